//! What the database itself holds of reconciliation, whoever writes into it.

use crate::{Home, everywhere, execute, is_constraint};
use central::store::{Db, StoreError, Value};

everywhere! {
    a_scope_has_one_run_at_a_time_and_one_that_counts_of_a_day
    a_row_is_in_one_pair
    a_row_is_of_a_class_once_and_what_is_over_says_why
    what_differs_is_named_once_and_its_events_are_only_added_to
    who_proposes_does_not_approve_and_one_proposal_is_open_at_a_time
    an_account_of_suspense_never_has_what_the_other_side_has_too_much_rule_25
}

fn run(db: &Db, id: i64, no: i64, status: &str) -> Result<u64, StoreError> {
    let ended = matches!(status, "provisional" | "final");
    execute(
        db,
        "INSERT INTO run (id, day, scope, no, status, inputs, totals, digest, alive_until, begun_at, begun_by, ended_at) \
         VALUES ($1, '2026-03-09', 'channel:wechat', $2, $3, '[]', $4, $5, 0, 0, 'rule', $6)",
        vec![
            id.into(),
            no.into(),
            status.into(),
            ended.then_some("{}").into(),
            ended.then_some("00").into(),
            ended.then_some(1_i64).into(),
        ],
    )
}

fn a_scope_has_one_run_at_a_time_and_one_that_counts_of_a_day(home: &Home) {
    let db = home.open();
    run(&db, 1, 1, "provisional").unwrap();
    is_constraint(run(&db, 2, 1, "provisional"));
    is_constraint(run(&db, 2, 2, "final"));
    run(&db, 2, 2, "running").unwrap();
    is_constraint(run(&db, 3, 3, "running"));
    execute(&db, "UPDATE run SET status = 'replaced' WHERE id = 1", vec![]).unwrap();
    is_constraint(execute(&db, "UPDATE run SET status = 'final' WHERE id = 2", vec![]));
    let ends = "UPDATE run SET status = 'final', totals = '{}', digest = '00', ended_at = 1 WHERE id = 2";
    execute(&db, ends, vec![]).unwrap();
    is_constraint(run(&db, 3, 3, "final"));
    run(&db, 3, 3, "running").unwrap();
}

fn pair(db: &Db, reference: &str, line: i64) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO matched (channel, ref, file, line, amount) VALUES ('wechat', $1, 1, $2, 100)",
        vec![reference.into(), line.into()],
    )
}

fn a_row_is_in_one_pair(home: &Home) {
    let db = home.open();
    pair(&db, "t1", 2).unwrap();
    is_constraint(pair(&db, "t1", 3));
    is_constraint(pair(&db, "t2", 2));
    pair(&db, "t2", 3).unwrap();
}

fn verdict(db: &Db, line: i64, class: i64) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO verdict (scope, leg, source, ref, file, line, class, is_matched, day, of_day, at, amount) \
         VALUES ('channel:wechat', 1, 1, 't1', 1, $1, $2, 0, '2026-03-09', '2026-03-09', 0, 100)",
        vec![line.into(), class.into()],
    )
}

fn a_row_is_of_a_class_once_and_what_is_over_says_why(home: &Home) {
    let db = home.open();
    verdict(&db, 2, 2).unwrap();
    is_constraint(verdict(&db, 2, 2));
    verdict(&db, 2, 4).unwrap();
    verdict(&db, 3, 2).unwrap();
    is_constraint(execute(
        &db,
        "UPDATE verdict SET until = '2026-03-10' WHERE line = 3",
        vec![],
    ));
    is_constraint(execute(&db, "UPDATE verdict SET ended = 1 WHERE line = 3", vec![]));
    execute(
        &db,
        "UPDATE verdict SET until = '2026-03-10', ended = 1 WHERE line = 3",
        vec![],
    )
    .unwrap();
}

fn discrepancy(db: &Db, id: i64, class: i64) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO discrepancy (id, scope, leg, source, ref, file, line, class, day, of_day, state, amount, opened_at) \
         VALUES ($1, 'channel:wechat', 1, 1, '4200001', 1, 2, $2, '2026-03-09', '2026-03-09', 'open', 100, 0)",
        vec![id.into(), class.into()],
    )
}

fn what_differs_is_named_once_and_its_events_are_only_added_to(home: &Home) {
    let db = home.open();
    discrepancy(&db, 1, 2).unwrap();
    is_constraint(discrepancy(&db, 2, 2));
    discrepancy(&db, 2, 4).unwrap();
    is_constraint(execute(
        &db,
        "UPDATE discrepancy SET state = 'posted' WHERE id = 1",
        vec![],
    ));
    let posted = "UPDATE discrepancy SET state = 'posted', closed_at = 1 WHERE id = 1";
    execute(&db, posted, vec![]).unwrap();
    is_constraint(discrepancy(&db, 3, 2));
    let opened =
        "INSERT INTO discrepancy_event (discrepancy, no, kind, at, by, amount) VALUES (1, 1, 'opened', 0, 'rule', 100)";
    execute(&db, opened, vec![]).unwrap();
    is_constraint(execute(&db, "UPDATE discrepancy_event SET amount = 1", vec![]));
    is_constraint(execute(&db, "DELETE FROM discrepancy_event", vec![]));
}

fn decide(db: &Db, discrepancy: i64, no: i64, maker: &str) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO discrepancy_decision (discrepancy, no, kind, stake, reason, maker, made_at, state) \
         VALUES ($1, $2, 'credit', 100, 'paid', $3, 0, 'proposed')",
        vec![discrepancy.into(), no.into(), maker.into()],
    )
}

fn check(db: &Db, discrepancy: i64, state: &str, checker: &str, transfer: Option<&str>) -> Result<u64, StoreError> {
    let values: Vec<Value> = vec![state.into(), checker.into(), transfer.into(), discrepancy.into()];
    execute(
        db,
        "UPDATE discrepancy_decision SET state = $1, checker = $2, checked_at = 1, transfer = $3 \
         WHERE discrepancy = $4 AND state = 'proposed'",
        values,
    )
}

fn who_proposes_does_not_approve_and_one_proposal_is_open_at_a_time(home: &Home) {
    let db = home.open();
    discrepancy(&db, 1, 2).unwrap();
    discrepancy(&db, 2, 3).unwrap();
    decide(&db, 1, 1, "li").unwrap();
    is_constraint(decide(&db, 1, 2, "wang"));
    is_constraint(check(&db, 1, "approved", "li", None));
    is_constraint(check(&db, 1, "rejected", "wang", Some("t1")));
    assert_eq!(check(&db, 1, "rejected", "wang", None), Ok(1));
    decide(&db, 1, 2, "li").unwrap();
    assert_eq!(check(&db, 1, "approved", "wang", Some("t1")), Ok(1));
    assert_eq!(
        check(&db, 1, "approved", "zhao", Some("t2")),
        Ok(0),
        "two who decide at once: one does"
    );
    // What was taken back may be decided anew.
    decide(&db, 1, 3, "li").unwrap();
    decide(&db, 2, 1, "li").unwrap();
    is_constraint(check(&db, 2, "approved", "wang", Some("t1")));
}

fn an_account_of_suspense_never_has_what_the_other_side_has_too_much_rule_25(home: &Home) {
    let db = home.open();
    let account = |name: &str, balance: i64| {
        let kind = name.split(':').next().unwrap();
        execute(
            &db,
            "INSERT INTO account (name, kind, balance) VALUES ($1, $2, $3)",
            vec![name.into(), kind.into(), balance.into()],
        )
    };
    account("long:bank:1", 500).unwrap();
    account("short:bank:2", -500).unwrap();
    is_constraint(account("long:bank:3", -1));
    is_constraint(account("short:bank:4", 1));
    is_constraint(execute(&db, "UPDATE account SET balance = -balance", vec![]));
    // As before.
    is_constraint(account("wallet:m1", -1));
    is_constraint(account("debt:m1", 1));
}
