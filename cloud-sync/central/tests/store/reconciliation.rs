//! What the database itself holds of reconciliation, whoever writes into it.

use crate::{Home, everywhere, execute, is_constraint};
use central::store::{Db, StoreError, Value};

everywhere! {
    a_day_of_a_scope_has_one_run_at_a_time_and_one_that_is_final
    a_row_of_a_source_is_judged_once_and_matched_with_one
    what_differs_is_named_once
    who_proposes_does_not_approve_and_one_proposal_is_open_at_a_time
}

fn run(db: &Db, id: i64, no: i64, status: &str) -> Result<u64, StoreError> {
    let ended = matches!(status, "provisional" | "final");
    execute(
        db,
        "INSERT INTO run (id, day, scope, no, rules, status, inputs, totals, digest, alive_until, begun_at, begun_by, ended_at) \
         VALUES ($1, '2026-03-09', 'channel:wechat', $2, '1', $3, '[]', $4, $5, 0, 0, 'rule', $6)",
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

fn a_day_of_a_scope_has_one_run_at_a_time_and_one_that_is_final(home: &Home) {
    let db = home.open();
    run(&db, 1, 1, "provisional").unwrap();
    is_constraint(run(&db, 2, 1, "provisional"));
    run(&db, 2, 2, "running").unwrap();
    is_constraint(run(&db, 3, 3, "running"));
    let ends = "UPDATE run SET status = 'final', totals = '{}', digest = '00', ended_at = 1 WHERE id = 2";
    is_constraint(execute(&db, "UPDATE run SET status = 'final' WHERE id = 2", vec![]));
    execute(&db, ends, vec![]).unwrap();
    is_constraint(run(&db, 3, 3, "final"));
    run(&db, 3, 3, "running").unwrap();
}

fn verdict(db: &Db, source: &str, id: &str, other: Option<&str>) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO verdict (run, leg, source, source_id, class, other) VALUES (1, 'funds', $1, $2, 'MATCHED', $3)",
        vec![source.into(), id.into(), other.into()],
    )
}

fn a_row_of_a_source_is_judged_once_and_matched_with_one(home: &Home) {
    let db = home.open();
    is_constraint(verdict(&db, "bill", "1:2", None));
    run(&db, 1, 1, "running").unwrap();
    verdict(&db, "bill", "1:2", Some("T1")).unwrap();
    is_constraint(verdict(&db, "bill", "1:2", Some("T2")));
    is_constraint(verdict(&db, "bill", "1:3", Some("T1")));
    verdict(&db, "bill", "1:3", None).unwrap();
    verdict(&db, "bill", "1:4", None).unwrap();
    verdict(&db, "topup", "T1", Some("1:2")).unwrap();
}

fn discrepancy(db: &Db, id: i64, class: &str) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO discrepancy (id, leg, class, key, scope, day, state, detail, first_run, last_run, opened_at) \
         VALUES ($1, 'funds', $2, 'wechat:4200001', 'channel:wechat', '2026-03-09', 'open', '{}', 1, 1, 0)",
        vec![id.into(), class.into()],
    )
}

fn what_differs_is_named_once(home: &Home) {
    let db = home.open();
    run(&db, 1, 1, "running").unwrap();
    discrepancy(&db, 1, "LONG").unwrap();
    is_constraint(discrepancy(&db, 2, "LONG"));
    discrepancy(&db, 2, "AMOUNT").unwrap();
    is_constraint(execute(
        &db,
        "UPDATE discrepancy SET state = 'posted' WHERE id = 1",
        vec![],
    ));
    let posted = "UPDATE discrepancy SET state = 'posted', closed_at = 1 WHERE id = 1";
    execute(&db, posted, vec![]).unwrap();
    is_constraint(discrepancy(&db, 3, "LONG"));
}

fn decide(db: &Db, discrepancy: i64, no: i64, maker: &str) -> Result<u64, StoreError> {
    execute(
        db,
        "INSERT INTO discrepancy_decision (discrepancy, no, kind, reason, maker, made_at, state) \
         VALUES ($1, $2, 'credit', 'paid', $3, 0, 'proposed')",
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
    run(&db, 1, 1, "running").unwrap();
    discrepancy(&db, 1, "LONG").unwrap();
    discrepancy(&db, 2, "SHORT").unwrap();
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
    is_constraint(decide(&db, 1, 3, "li"));
    decide(&db, 2, 1, "li").unwrap();
    is_constraint(check(&db, 2, "approved", "wang", Some("t1")));
}
