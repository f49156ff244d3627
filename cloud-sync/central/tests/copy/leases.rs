//! How long a site is held, while somebody is at work on one of them.

use crate::{
    head_office::{HeadOffice, ME, NOW},
    journal::Journal,
};
use central::store::sites;
use std::sync::mpsc;

/// To accept a branch, or to make rows anew, takes minutes in one transaction. The leases of all other sites go on meanwhile, of this
/// process and of others.
#[test]
fn leases_of_other_sites_go_on_while_somebody_is_at_work_on_one() {
    let office = HeadOffice::on_postgresql();
    for site in ["A", "B"] {
        office.add(&Journal::of_sessions(site, 1));
    }
    let (holds, held) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let until = NOW.after_ms(25_000);
    let leases = || {
        let all = office.read(|tx| tx.query("SELECT owner_until FROM site ORDER BY id", &[]));
        let until = all.unwrap().into_iter().map(|mut row| row.int(0).unwrap());
        until.collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let office = &office;
        scope.spawn(move || {
            office.write(move |tx| {
                tx.execute("UPDATE site SET name = 'at work' WHERE id = 'A'", &[])?;
                holds.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(())
            })
        });
        held.recv().unwrap();
        let left = office.write(move |tx| sites::hold_all(tx, ME, &[], until));
        assert_eq!(left, Ok(1), "whoever waits for the one fails after a while for all");
        assert_eq!(leases(), [NOW.after_ms(20_000).0, until.0]);
        let owned = office.read(|tx| sites::held(tx, ME)).unwrap();
        assert_eq!(
            owned.len(),
            2,
            "it is this process's own as long as its time is not over"
        );
        go_on.send(()).unwrap();
    });
    let left = office.write(move |tx| sites::hold_all(tx, ME, &[], until));
    assert_eq!((left, leases()), (Ok(0), vec![until.0; 2]));
}
