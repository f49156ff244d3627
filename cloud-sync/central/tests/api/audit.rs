//! The chain that says who changed what: every change is in it, in the transaction of the change, and nobody alters it unseen.

use crate::office::Office;
use central::store::{StoreError, audit};
use domain::time::Wall;
use serde_json::{Value, json};

pub(crate) async fn every_change_is_told_with_who_and_what(office: Office) {
    let admin = office.machine("root", &["admin"]).await;
    let user = json!({ "name": "ann", "roles": ["viewer"] });
    office.post(&admin, "/v1/users", &user).await.expect(201);
    office
        .post(&admin, "/v1/users", &user)
        .await
        .problem(409, "user-exists");
    let roles = json!({ "roles": ["risk", "viewer"] });
    office
        .ask(&admin, "PUT", "/v1/users/ann/roles", Some(&roles))
        .await
        .expect(200);
    office
        .ask(
            &admin,
            "PUT",
            "/v1/users/ann/disabled",
            Some(&json!({ "disabled": true })),
        )
        .await
        .expect(200);
    office
        .post(&admin, "/v1/users/ann/password", &json!({}))
        .await
        .expect(201);
    office.ask(&admin, "DELETE", "/v1/tokens/root", None).await.expect(204);
    let checker = office.machine("checker", &["finance_checker"]).await;
    let entries = office.all(&checker, "/v1/audit", 2).await;
    let told: Vec<(&str, &str)> = entries
        .iter()
        .rev()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["subject"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("token_made", "token:root"),
            ("user_added", "ann"),
            ("user_roles", "ann"),
            ("user_disabled", "ann"),
            ("user_password_reset", "ann"),
            ("token_removed", "token:root"),
            ("token_made", "token:checker"),
        ],
        "what was refused changed nothing"
    );
    let places: Vec<u64> = entries
        .iter()
        .rev()
        .map(|entry| entry["place"]["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6, 7]);
    let by: Vec<&Value> = entries.iter().map(|entry| &entry["by"]).collect();
    assert_eq!(by[1], "token:root");
    assert!(by[0].as_str().unwrap().starts_with("local:"));
    assert_eq!(
        entries[4]["detail"],
        json!({ "roles": ["risk", "viewer"], "before": ["viewer"] })
    );
    let head = office.db.read(audit::verify).await.unwrap().unwrap();
    assert_eq!(entries[0]["place"]["hash"], head.hash.to_string());
}

pub(crate) async fn many_at_once_are_one_chain(office: Office) {
    let added = (0..40).map(|n| {
        office.db.write(move |tx| {
            audit::append(
                tx,
                Wall(n),
                "somebody",
                "something_done",
                &format!("thing {n}"),
                json!({}),
            )
        })
    });
    let places = futures_util::future::join_all(added).await;
    let mut numbers: Vec<u64> = places.into_iter().map(|place| place.unwrap().seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());
    assert_eq!(office.db.read(audit::verify).await.unwrap().unwrap().seq, 40);
    // What is taken back leaves no gap.
    let failed = office.db.write(|tx| {
        audit::append(tx, Wall(0), "somebody", "something_done", "nothing", json!({}))?;
        Err::<(), _>(StoreError::Broken("it went wrong".to_owned()))
    });
    assert!(failed.await.is_err());
    let next = office
        .db
        .write(|tx| audit::append(tx, Wall(0), "somebody", "something_done", "more", json!({})));
    assert_eq!(next.await.unwrap().seq, 41);
}

/// Takes the triggers away that stand against a change, as whoever owns the database can.
async fn without_triggers(office: &Office, statement: &'static str) {
    let done = office
        .db
        .write(move |tx| tx.execute("DROP TRIGGER audit_only_added_to ON audit", &[]));
    if done.await.is_err() {
        for trigger in ["audit_no_UPDATE", "audit_no_DELETE"] {
            let drop = format!("DROP TRIGGER IF EXISTS {trigger}");
            office.db.write(move |tx| tx.execute(&drop, &[])).await.unwrap();
        }
    }
    assert_eq!(office.db.write(move |tx| tx.execute(statement, &[])).await, Ok(1));
}

async fn chain_of_five(office: &Office) {
    for n in 0..5 {
        let subject = format!("thing {n}");
        let added = office
            .db
            .write(move |tx| audit::append(tx, Wall(n), "me", "something_done", &subject, json!({})));
        added.await.unwrap();
    }
    for refused in [
        "UPDATE audit SET entry = '{}' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 5",
    ] {
        let refused = office.db.write(move |tx| tx.execute(refused, &[])).await;
        assert!(matches!(refused, Err(StoreError::Constraint(_))), "{refused:?}");
    }
}

pub(crate) async fn an_entry_that_was_altered_is_named(office: Office) {
    chain_of_five(&office).await;
    let altered = "UPDATE audit SET entry = REPLACE(entry, 'thing 2', 'thing 9') WHERE seq = 3";
    without_triggers(&office, altered).await;
    assert_eq!(
        office.db.read(audit::verify).await.unwrap(),
        Err(audit::Broken::Changed(3))
    );
}

pub(crate) async fn an_entry_that_was_taken_out_is_named(office: Office) {
    chain_of_five(&office).await;
    without_triggers(&office, "DELETE FROM audit WHERE seq = 2").await;
    assert_eq!(
        office.db.read(audit::verify).await.unwrap(),
        Err(audit::Broken::Missing(2))
    );
}

pub(crate) async fn an_end_that_was_cut_off_is_found(office: Office) {
    chain_of_five(&office).await;
    without_triggers(&office, "DELETE FROM audit WHERE seq = 5").await;
    let cut = audit::Broken::Ends { found: 4, kept: 5 };
    assert_eq!(office.db.read(audit::verify).await.unwrap(), Err(cut));
}
