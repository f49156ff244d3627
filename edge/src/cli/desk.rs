//! `desk`: the till, shifts, and cash that goes to the bank.

use super::{Shown, client::Client};
use clap::Subcommand;
use domain::time::Day;
use serde_json::{Value, json};
use service::table;

#[derive(Debug, Subcommand)]
pub(super) enum Desk {
    /// What the till holds by the books, and who has the desk.
    Show,
    /// Take over the desk, with the till as it is. Money may be taken without that too.
    Open,
    /// Say what was counted in the till. What it differs from the books is booked.
    Count {
        /// In yuan, such as 480.00.
        counted: String,
        /// Why it differs from the books; must be given if it does.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Book cash that was taken from the till to the bank.
    Bank {
        /// In yuan, such as 400.00.
        amount: String,
        /// The number of the bank's slip. The same number never counts twice.
        #[arg(long)]
        slip: String,
    },
    /// Leave the desk. The cash must have been counted since it last moved.
    Close,
    /// All shifts, newest first.
    Shifts,
    /// What a business day did to the till.
    Day {
        /// The day, such as 2026-03-01.
        day: Day,
    },
}

impl Desk {
    pub(super) fn ask(self, client: &Client) -> anyhow::Result<Shown> {
        Ok(match self {
            Desk::Show => (client.get("/v1/desk")?, desk),
            Desk::Open => (client.post("/v1/desk/shift", &json!({}))?, desk),
            Desk::Count { counted, reason } => {
                let body = json!({ "counted": counted, "reason": reason });
                (client.post("/v1/desk/count", &body)?, desk)
            }
            Desk::Bank { amount, slip } => {
                let body = json!({ "amount": amount, "slip": slip });
                (client.post("/v1/desk/bank", &body)?, desk)
            }
            Desk::Close => (client.post("/v1/desk/close", &json!({}))?, shift),
            Desk::Shifts => (client.all("/v1/desk/shifts")?, shifts),
            Desk::Day { day } => (client.get(&format!("/v1/desk/days/{day}"))?, table::fields),
        })
    }
}

fn desk(answer: &Value) -> String {
    let till = format!("till   {}", answer["till"].as_str().unwrap_or("-"));
    match &answer["shift"] {
        Value::Null => format!("{till}\nshift  none is open"),
        open => format!("{till}\n{}", shift(open)),
    }
}

fn shift(shift: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = vec![format!(
        "shift  {}, {} since {}",
        shift["shift"],
        word(&shift["opened_by"]),
        word(&shift["opened_at"])
    )];
    if let Some(at) = shift["closed_at"].as_str() {
        lines.push(format!("closed {at} by {}", word(&shift["closed_by"])));
    }
    let moved = &shift["moved"];
    let sums = [
        ("topped up", &moved["topped_up"]),
        ("debts paid", &moved["debts_paid"]),
        ("reversed", &moved["reversed"]),
        ("banked", &moved["banked"]),
        ("over", &moved["over"]),
    ];
    let sums = sums.map(|(name, amount)| format!("{name} {}", word(amount))).join(", ");
    let (opening, till) = (word(&shift["opening"]), word(&shift["till"]));
    lines.push(format!("moved  from {opening} to {till}: {sums}"));
    lines.push(match &shift["count"] {
        Value::Null => "count  none yet".to_owned(),
        count => {
            let since = match shift["is_counted"] == true {
                true => "",
                false => "; CASH HAS MOVED SINCE",
            };
            let (counted, by) = (word(&count["counted"]), word(&count["by"]));
            let difference = word(&count["difference"]);
            format!(
                "count  {counted} at {} by {by}, difference {difference}{since}",
                word(&count["at"])
            )
        }
    });
    lines.join("\n")
}

fn shifts(answer: &Value) -> String {
    let rows = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let rows = rows.iter().map(|shift| {
        let moved = &shift["moved"];
        json!({
            "shift": shift["shift"], "opened": shift["opened_at"], "by": shift["opened_by"],
            "closed": shift["closed_at"], "opening": shift["opening"], "topped up": moved["topped_up"],
            "debts paid": moved["debts_paid"], "reversed": moved["reversed"], "banked": moved["banked"],
            "over": moved["over"], "till": shift["till"],
        })
    });
    let columns = [
        "shift",
        "opened",
        "by",
        "closed",
        "opening",
        "topped up",
        "debts paid",
        "reversed",
        "banked",
        "over",
        "till",
    ];
    table::columns(&json!({ "items": rows.collect::<Vec<_>>() }), &columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Value {
        json!({
            "shift": 12, "opened_at": "2026-03-01T00:00:00Z", "opened_by": "alice", "opening": "100.00",
            "moved": { "topped_up": "50.00", "debts_paid": "0.00", "reversed": "0.00", "banked": "40.00", "over": "-1.00" },
            "till": "109.00",
            "count": { "at": "2026-03-01T08:00:00Z", "by": "alice", "counted": "149.00", "by_books": "150.00",
                "difference": "-1.00", "reason": "change" },
            "is_counted": false, "closed_at": null, "closed_by": null,
        })
    }

    #[test]
    fn the_desk_is_read_from_the_till() {
        assert_eq!(
            desk(&json!({ "till": "109.00", "shift": open() })),
            "till   109.00\n\
             shift  12, alice since 2026-03-01T00:00:00Z\n\
             moved  from 100.00 to 109.00: topped up 50.00, debts paid 0.00, reversed 0.00, banked 40.00, over -1.00\n\
             count  149.00 at 2026-03-01T08:00:00Z by alice, difference -1.00; CASH HAS MOVED SINCE"
        );
        assert_eq!(
            desk(&json!({ "till": "0.00", "shift": null })),
            "till   0.00\nshift  none is open"
        );
    }

    #[test]
    fn shifts_stand_one_a_line() {
        let listed = shifts(&json!({ "items": [open()] }));
        let mut lines = listed.lines();
        assert!(lines.next().unwrap().starts_with("shift  opened"));
        assert!(lines.next().unwrap().ends_with("40.00   -1.00  109.00"), "{listed}");
    }
}
