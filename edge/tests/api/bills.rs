//! Bill audits over HTTP: each reads a day of the journal, so that one caller gets one at a time.

use super::bench::{Bench, Reply};
use futures_util::future::select;
use std::{future::Future, sync::mpsc, time::Duration};
use tokio::task::spawn_blocking;

/// How long an answer may take that is given at once.
const PATIENCE: Duration = Duration::from_secs(60);

async fn audit(bench: &Bench, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    bench.raw("GET", "/v1/bills/audit?day=2026-03-01", &headers, None).await
}

async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.expect("it is answered, and waits for no audit")
}

#[test]
fn a_caller_has_one_audit_at_a_time_until_its_work_is_done_also_after_hanging_up() {
    // One thread for work that blocks: while the test has it, no audit goes on.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let bench = Bench::new().await;
        let desk = bench.token("desk", "service").await;
        audit(&bench, &desk).await.expect(200);

        let (go_on, held) = mpsc::channel::<()>();
        let holding = spawn_blocking(move || held.recv());
        let both = select(Box::pin(audit(&bench, &desk)), Box::pin(audit(&bench, &desk)));
        let (refused, waiting) = at_once(both).await.factor_first();
        refused.problem(429, "audit-running");
        drop(waiting);
        for _ in 0..100 {
            at_once(audit(&bench, &desk)).await.problem(429, "audit-running");
        }

        // Somebody else's is made, in its turn.
        let other = audit(&bench, &bench.admin);
        let in_turn = async {
            go_on.send(()).unwrap();
            holding.await.unwrap().unwrap();
            loop {
                let reply = audit(&bench, &desk).await;
                if reply.status != 429 {
                    return reply;
                }
            }
        };
        let (other, own) = at_once(async { tokio::join!(other, in_turn) }).await;
        other.expect(200);
        own.expect(200);
    });
}
