//! Sites that stand still, over HTTP: what is decided is done, told to the audit chain, and their desks begin anew.

use crate::{
    office::{ME, Office, Somebody},
    station::lived,
};
use central::{
    bell::Ring,
    enrolments::Line,
    ingest::{Read, SiteCopy, fork::keep_of_other, take},
    store::{decisions, sites},
};
use domain::{
    ids::SiteId,
    journal::{Hash, Head},
};
use protocol::frame::State;
use serde_json::{Value, json};
use service::tls::client::ClientKey;

fn site() -> SiteId {
    "s1".parse().unwrap()
}

/// The desk of the site was told to begin anew.
#[track_caller]
fn has_rung(office: &Office) {
    let rung = office.rings.lock().unwrap().try_recv();
    assert!(
        matches!(rung, Ok(Ring::Anew(id)) if id == site()),
        "its desk is not told"
    );
}

async fn last_told(office: &Office) -> Value {
    let chain = office.local("GET", "/v1/audit", None).await.expect(200);
    // The newest comes first.
    chain["items"][0].clone()
}

pub(crate) async fn a_branch_that_is_accepted_is_followed_and_told(office: Office) {
    let journal = lived().journal("s1");
    office.follow(&journal).await;
    let other = journal.copied();
    for batch in other.batches(20) {
        let taken = office.db.write(move |tx| {
            let found = sites::find(tx, &site())?.unwrap();
            let mut copy = SiteCopy::load(tx, found)?;
            let read = Read::of(&batch, &site(), &copy.site().keys).unwrap();
            match copy.site().state {
                State::Forked => keep_of_other(tx, ME, &copy, &read, crate::office::BEGIN).map(drop),
                _ => take(tx, ME, &mut copy, &read, crate::office::BEGIN).map(drop),
            }
        });
        taken.await.unwrap();
    }
    let viewer = office.machine("viewer", &["viewer"]).await;
    let listed = office.get(&viewer, "/v1/sites/s1/branches").await.expect(200);
    let end = other.head();
    assert_eq!(listed["followed"], 0);
    assert_eq!(
        listed["others"][0]["head"],
        json!({ "seq": end.seq, "hash": end.hash.to_string() })
    );
    let shown = office.get(&viewer, "/v1/sites/s1").await.expect(200);
    assert_eq!(shown["state"], "forked");

    let admin = office.machine("admin", &["admin"]).await;
    let body = json!({ "through": end.to_string(), "reason": "the other disk is broken" });
    let accepted = office
        .ask(&admin, "PUT", "/v1/sites/s1/branch", Some(&body))
        .await
        .expect(200);
    assert_eq!(accepted["branch"], 1);
    assert_eq!(accepted["head"]["seq"], end.seq);
    assert_eq!(accepted["trouble"], Value::Null);
    assert!(accepted["opened"].as_u64() > Some(0), "{accepted}");
    has_rung(&office);
    let shown = office.get(&viewer, "/v1/sites/s1").await.expect(200);
    assert_eq!(
        (&shown["state"], &shown["head"]["seq"]),
        (&json!("following"), &json!(end.seq))
    );
    let told = last_told(&office).await;
    assert_eq!(
        (&told["action"], &told["subject"]),
        (&json!("branch_accepted"), &json!("s1"))
    );
    assert_eq!(
        (&told["by"], &told["detail"]["branch"]),
        (&json!("token:admin"), &json!(1))
    );
    // It is followed already: the same again changes nothing.
    let again = office
        .ask(&admin, "PUT", "/v1/sites/s1/branch", Some(&body))
        .await
        .expect(200);
    assert_eq!((&again["branch"], &again["from"]), (&json!(1), &Value::Null));
}

pub(crate) async fn a_site_that_stands_still_is_tried_again_and_an_entry_is_set_aside_by_two(office: Office) {
    let journal = lived().journal("s1");
    office.follow(&journal).await;
    let [ann, bob] = [
        office.machine("ann", &["admin"]).await,
        office.machine("bob", &["admin"]).await,
    ];
    let trial = "/v1/sites/s1/trial";
    office
        .ask(&ann, "PUT", trial, Some(&json!({})))
        .await
        .problem(409, "site-follows");
    let next = journal.head().seq + 1;
    let broken = office.db.write(move |tx| {
        let found = sites::find(tx, &site())?.unwrap();
        sites::stand_still(tx, ME, &found, State::Broken, &format!("entry {next} contradicts"))
    });
    broken.await.unwrap();
    office.ask(&ann, "PUT", trial, Some(&json!({}))).await.expect(204);
    has_rung(&office);
    assert_eq!(last_told(&office).await["action"], "site_tried_again");

    let entry = Head {
        seq: next,
        hash: Hash([5; 32]),
    };
    let path = format!("/v1/sites/s1/set-aside/{entry}");
    office
        .ask(
            &ann,
            "PUT",
            &format!("/v1/sites/s1/set-aside/{next}"),
            Some(&json!({ "reason": "by its number alone" })),
        )
        .await
        .problem(400, "invalid-url");
    let (approval, reason) = (format!("{path}/approval"), json!({ "reason": "a bug of long ago" }));
    let approve = json!({ "proposal": "0000000000000000" });
    office
        .ask(&bob, "PUT", &approval, Some(&approve))
        .await
        .problem(409, "not-proposed");
    let before = office
        .ask(&ann, "PUT", &path, Some(&json!({ "reason": "it looks odd" })))
        .await
        .expect(200);
    let proposed = office.ask(&ann, "PUT", &path, Some(&reason)).await.expect(200);
    let changed = office
        .ask(&bob, "PUT", &approval, Some(&before))
        .await
        .problem(409, "other-proposal");
    assert!(
        changed["detail"].as_str().unwrap().contains("a bug of long ago"),
        "{changed}"
    );
    let approve = proposed;
    office
        .ask(&ann, "PUT", &approval, Some(&approve))
        .await
        .problem(409, "same-person");
    office.ask(&bob, "PUT", &approval, Some(&approve)).await.expect(204);
    has_rung(&office);
    let told = last_told(&office).await;
    assert_eq!(
        (&told["action"], &told["by"]),
        (&json!("set_aside_approved"), &json!("token:bob"))
    );
    assert_eq!(told["detail"]["proposed_by"], "token:ann");
    let set_aside = office.db.read(|tx| decisions::set_aside(tx, &site(), 0)).await.unwrap();
    assert_eq!(set_aside, [entry]);
    office
        .ask(&bob, "PUT", &approval, Some(&approve))
        .await
        .problem(409, "approved-already");
}

pub(crate) async fn a_site_is_closed_by_two(office: Office) {
    office.follow(&lived().journal("s1")).await;
    let [ann, bob] = [
        office.machine("ann", &["admin"]).await,
        office.machine("bob", &["admin"]).await,
    ];
    let (path, approval) = ("/v1/sites/s1/closure", "/v1/sites/s1/closure/approval");
    let reason = json!({ "reason": "it burnt down" });
    let approve = office.ask(&ann, "PUT", path, Some(&reason)).await.expect(200);
    office
        .ask(&ann, "PUT", approval, Some(&approve))
        .await
        .problem(409, "same-person");
    office.ask(&bob, "PUT", approval, Some(&approve)).await.expect(204);
    has_rung(&office);
    let told = last_told(&office).await;
    assert_eq!(
        (&told["action"], &told["detail"]["proposed_by"]),
        (&json!("site_closed"), &json!("token:ann"))
    );
    let reader = office.machine("reader", &["viewer"]).await;
    let shown = office.get(&reader, "/v1/sites/s1").await.expect(200);
    assert!(shown["revoked_at"].is_string(), "{shown}");
    let findings = office.all(&reader, "/v1/findings?class=CLOSED", 10).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    office
        .ask(&bob, "PUT", approval, Some(&approve))
        .await
        .problem(409, "site-closed");
}

/// A process whose clock is years ahead makes no token that counts for years.
pub(crate) async fn an_invitation_of_a_clock_that_was_years_ahead_lets_nobody_in(office: Office) {
    let years = 10 * 365 * 86_400_000;
    let ann = office.machine("ann", &["admin"]).await;
    let put = async |path: &str, body: Value| office.ask(&ann, "PUT", path, Some(&body)).await;
    let agent = ClientKey::generate().unwrap().public();
    let come_in = async |invited: &Value| {
        let body = json!({ "token": invited["token"], "agent_key": agent.to_text(), "edge_key": "08".repeat(32) });
        office
            .ask(&Somebody::default(), "POST", "/v1/enrolments", Some(&body))
            .await
    };
    put("/v1/sites/s7", json!({ "name": "a yard" })).await.expect(204);
    office.pass(years);
    let ahead = put("/v1/sites/s7/invitation", json!({})).await.expect(200);
    office.pass(-years);
    let refused = come_in(&ahead).await.problem(403, "old-token");
    let words = refused["detail"].as_str().unwrap();
    assert!(
        words.contains("a clock that was off") && words.contains("site enrol"),
        "{words}"
    );
    let right = put("/v1/sites/s7/invitation", json!({})).await.expect(200);
    come_in(&right).await.expect(200);
}

/// Rule 11: a database that is restored from a copy has forgotten it.
pub(crate) async fn whoever_comes_in_or_is_shut_out_is_written_down_beside_the_database(office: Office) {
    let ann = office.machine("ann", &["admin"]).await;
    let put = async |path: &str, body: Value| office.ask(&ann, "PUT", path, Some(&body)).await;
    put("/v1/sites/s7", json!({ "name": "a yard" })).await.expect(204);
    let invited = put("/v1/sites/s7/invitation", json!({})).await.expect(200);
    let agent = ClientKey::generate().unwrap().public();
    let body = json!({ "token": invited["token"], "agent_key": agent.to_text(), "edge_key": "08".repeat(32) });
    let enrolled = office
        .ask(&Somebody::default(), "POST", "/v1/enrolments", Some(&body))
        .await
        .expect(200);
    office
        .ask(&ann, "DELETE", "/v1/sites/s7/certificate", None)
        .await
        .expect(204);
    let lines = office.enrolments.read().unwrap();
    let [
        Line::Enrolled {
            site, number, edge_key, ..
        },
        Line::Revoked { site: shut_out, .. },
    ] = lines.as_slice()
    else {
        panic!("{lines:?}")
    };
    assert_eq!((site.as_str(), shut_out.as_str()), ("s7", "s7"));
    assert_eq!((json!(number), edge_key.0), (enrolled["number"].clone(), [8; 32]));
}
