//! Every answer of an API test that has a shape of `service::wire` is read by that shape, as another program would, and
//! must be the same when it is written again.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use service::wire::{
    PageOf,
    bill::{BillAuditView, BillView},
    energy::{EnergyReportBrief, EnergyReportView},
    member::{CardView, DebtsView, MemberView, NotificationView, TransferView},
    order::{Curve, LogEntry, OrderView, StopAccepted},
    quarantine::QuarantineView,
};

/// Reads a successful answer to this request by its shape, if it has one here.
pub(crate) fn read_back(method: &str, path: &str, body: &Value) {
    let path = path.split('?').next().unwrap_or(path);
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match (method, &parts[..]) {
        ("GET", ["orders" | "reviews" | "corrections"]) => same::<PageOf<OrderView>>(body),
        ("POST", ["orders", _, "stop"]) => same::<StopAccepted>(body),
        ("GET", ["orders", _, "bill"]) => same::<BillView>(body),
        ("GET", ["orders" | "piles", _, "log"]) => same::<PageOf<LogEntry>>(body),
        ("GET", ["orders", _, "curve"]) => same::<Curve>(body),
        ("GET", ["orders", _]) | ("POST", ["orders" | "reviews", ..]) => same::<OrderView>(body),
        ("GET", ["bills", "audit"]) => same::<BillAuditView>(body),
        ("GET", ["members"]) => same::<PageOf<MemberView>>(body),
        ("GET" | "PUT", ["members", _]) | ("PUT" | "POST", ["members", _, _]) => same::<MemberView>(body),
        ("GET", ["members", _, "debts"]) => same::<DebtsView>(body),
        ("GET", ["members", _, "statement"]) => same::<PageOf<TransferView>>(body),
        ("GET", ["members", _, "notifications"]) => same::<PageOf<NotificationView>>(body),
        ("GET", ["cards"]) => same::<PageOf<CardView>>(body),
        ("GET" | "PUT", ["cards", _]) => same::<CardView>(body),
        ("GET", ["quarantine"]) => same::<PageOf<QuarantineView>>(body),
        ("GET", ["quarantine", _]) | ("POST", ["quarantine", _, "close"]) => same::<QuarantineView>(body),
        ("GET", ["energy-reports"]) => same::<PageOf<EnergyReportBrief>>(body),
        ("GET", ["energy-reports", _]) => same::<EnergyReportView>(body),
        _ => {}
    }
}

fn same<T: Serialize + DeserializeOwned>(body: &Value) {
    let read: T = serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(&serde_json::to_value(read).unwrap(), body);
}
