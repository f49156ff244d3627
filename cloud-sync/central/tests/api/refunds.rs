//! Money back for orders over HTTP, and decisions on their bills: one person or two, and what is refused.

use crate::{
    bench::{order_id, yuan},
    inbox::one_order,
    office::Office,
    station::Journal,
};
use domain::head_office::Directive;
use serde_json::{Value, json};

const REFUNDS: &str = "/v1/sites/s1/orders/hq-1/refunds";
const REVIEW: &str = "/v1/sites/s1/orders/hq-1/review";

fn back(amount: &str) -> Value {
    json!({ "amount": amount, "reason": "the cable was short" })
}

pub(crate) async fn money_goes_back_for_an_order_by_one_person_or_two_once_its_site_has_marked_it(office: Office) {
    let mut site = one_order();
    office.follow(&Journal::of(&site.bench, "s1")).await;
    let service = office.machine("service", &["service"]).await;
    let maker = office.machine("maker", &["finance_maker", "finance_checker"]).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let once = service.clone().with("idempotency-key", "complaint-1");
    let approved = office
        .ask(&once, "POST", REFUNDS, Some(&back("1.00")))
        .await
        .expect(202);
    let one = json!({
        "site": "s1", "order": "hq-1", "member": "w", "amount": "1.00", "state": "approved", "marked": false,
        "proposed_by": "token:service", "decided_by": "head office", "why": null, "ended_at": null,
    });
    for (field, value) in one.as_object().unwrap() {
        assert_eq!(&approved[field], value, "{field}: {approved}");
    }
    let again = office.ask(&once, "POST", REFUNDS, Some(&back("1.00"))).await;
    assert!(again.is_replayed());
    assert_eq!(
        again.expect(202)["id"],
        approved["id"],
        "asked again it is the same one"
    );
    let other = office.ask(&once, "POST", REFUNDS, Some(&back("1.50"))).await;
    other.problem(422, "idempotency-key-reused");

    let too_much = office.post(&service, REFUNDS, &back("2.01")).await;
    assert_eq!(too_much.problem(409, "refund-too-much")["most"], "2.00");
    for nothing in [
        back("0.00"),
        json!({ "amount": "1.00", "reason": " " }),
        json!({ "amount": "1.00" }),
    ] {
        office
            .post(&service, REFUNDS, &nothing)
            .await
            .problem(422, "invalid-body");
    }
    let nobodys = "/v1/sites/s1/orders/nobodys/refunds";
    office
        .post(&service, nobodys, &back("1.00"))
        .await
        .problem(404, "unknown-order");

    // Together it is more than one person may give back here.
    let waits = office.post(&maker, REFUNDS, &back("1.50")).await.expect(202);
    assert_eq!(
        (&waits["state"], &waits["decided_by"]),
        (&json!("proposed"), &Value::Null)
    );
    let of = |refund: &Value, what: &str| format!("/v1/refunds/{}{what}", refund["id"].as_str().unwrap());
    let own = office.post(&maker, &of(&waits, "/approve"), &json!({})).await;
    own.problem(409, "same-person");
    let yes = office
        .post(&checker, &of(&waits, "/approve"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&yes["state"], &yes["decided_by"]),
        (&json!("approved"), &json!("token:checker"))
    );
    let twice = office.post(&checker, &of(&waits, "/approve"), &json!({})).await;
    twice.problem(409, "refund-decided");
    let small = office.post(&maker, REFUNDS, &back("0.40")).await.expect(202);
    let no = json!({ "reason": "he came late" });
    let rejected = office.post(&service, &of(&small, "/reject"), &no).await.expect(200);
    assert_eq!(rejected["why"]["detail"], "he came late");
    office
        .post(&checker, "/v1/refunds/r9/approve", &json!({}))
        .await
        .problem(404, "unknown-refund");
    office
        .get(&checker, "/v1/refunds/r9")
        .await
        .problem(404, "unknown-refund");

    // The site marks the first.
    let wallet = "/v1/members/w/wallet";
    let before = office.get(&service, wallet).await.expect(200)["balance"].clone();
    site.done(Directive::RefundMark {
        order: order_id("hq-1"),
        amount: yuan("1"),
        reference: approved["id"].as_str().unwrap().to_owned(),
    });
    let journal = Journal::of(&site.bench, "s1");
    office.take(&journal, journal.batches(1)).await;
    let shown = office.get(&service, &of(&approved, "")).await.expect(200);
    assert_eq!((&shown["state"], &shown["marked"]), (&json!("credited"), &json!(true)));
    let after = office.get(&service, wallet).await.expect(200)["balance"].clone();
    let amount = |text: &Value| yuan(text.as_str().unwrap());
    assert_eq!(amount(&after), amount(&before) + yuan("1"));

    for limit in [1, 2, 200] {
        let all = office.all(&checker, "/v1/refunds", limit).await;
        assert_eq!(all.len(), 3, "{all:?}");
        let approved = office
            .all(
                &checker,
                "/v1/refunds?state=approved&site=s1&order=hq-1&member=w",
                limit,
            )
            .await;
        assert_eq!(approved.len(), 1);
    }
    assert!(office.all(&checker, "/v1/refunds?state=proposed", 50).await.is_empty());
    let reader = office.machine("reader", &["viewer"]).await;
    let told = office
        .all(&reader, "/v1/members/w/inbox?kind=refund_approved", 50)
        .await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["body"]["amount"], "1.00");
    let chain = office.local("GET", "/v1/audit", None).await.expect(200).to_string();
    for action in ["refund_proposed", "refund_approved", "refund_rejected"] {
        assert!(chain.contains(action), "{chain}");
    }
    let verified = office.local("GET", "/v1/ledger/verification", None).await.expect(200);
    assert_eq!(verified["differences"], json!([]), "{verified}");
}

pub(crate) async fn a_bill_is_decided_at_head_office_and_by_two_where_it_is_far_off(office: Office) {
    let site = one_order();
    office.follow(&Journal::of(&site.bench, "s1")).await;
    let risk = office.machine("risk", &["risk"]).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let as_is = json!({ "decision": "as_is", "reason": "seen" });
    let settled = office.post(&risk, REVIEW, &as_is).await.problem(409, "not-decidable");
    assert_eq!(settled["state"], "PAYED");
    let bill = |electricity: &str| {
        let corrected = json!({ "electricity": electricity, "service": "1.20" });
        json!({ "decision": { "corrected": corrected }, "reason": "the meter was read" })
    };
    let near = office.post(&risk, REVIEW, &bill("1.00")).await.expect(202);
    assert_eq!(
        (&near["kind"], &near["state"], &near["directive"]["row"]),
        (&json!("correct"), &json!("waiting"), &json!("orders"))
    );
    let far = office.post(&risk, REVIEW, &bill("0.10")).await.expect(202);
    assert_eq!((&far["state"], &far["directive"]), (&json!("proposed"), &Value::Null));
    let of = |what: &str| format!("/v1/bill-decisions/{}/{what}", far["id"].as_str().unwrap());
    let approved = office.post(&checker, &of("approve"), &json!({})).await.expect(200);
    assert_eq!(
        (&approved["state"], &approved["decided_by"]),
        (&json!("waiting"), &json!("token:checker"))
    );
    office
        .post(&checker, &of("reject"), &json!({}))
        .await
        .problem(409, "decision-decided");
    let nobodys = "/v1/sites/s1/orders/nobodys/review";
    office.post(&risk, nobodys, &as_is).await.problem(404, "unknown-order");
    let less = office.post(&risk, REVIEW, &bill("-1.00")).await;
    less.problem(422, "invalid-body");
    let unknown = office.post(&checker, "/v1/bill-decisions/b9/approve", &json!({})).await;
    unknown.problem(404, "unknown-decision");
    let viewer = office.machine("viewer", &["viewer"]).await;
    assert_eq!(office.all(&viewer, "/v1/bill-decisions?order=hq-1", 1).await.len(), 2);
    assert!(
        office
            .all(&viewer, "/v1/bill-decisions?state=proposed", 50)
            .await
            .is_empty()
    );
    let directives = office
        .get(&viewer, "/v1/sites/s1/directives?state=waiting")
        .await
        .expect(200);
    assert_eq!(directives.as_array().unwrap().len(), 2, "{directives}");
}
