//! Processes of head office whose clocks are years off: what they write of time keeps nobody else waiting.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW},
    journal::Journal,
};
use central::{
    bell::Bell,
    desk::{Clock, Office, bounds::Bounds},
    door::{self, Door},
    front::Front,
    owners::Owners,
    store::{
        Db, jobs,
        outbox::{self, Channel},
        sites,
    },
};
use domain::time::{Mono, Wall};
use protocol::{frame::HqEpoch, key::SigningKey};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

everywhere! {
    a_process_whose_clock_is_years_off_keeps_a_site_while_it_lives_and_no_longer
    what_a_clock_that_was_years_ahead_has_put_off_is_due
}

/// Ten years, in milliseconds.
const YEARS_MS: i64 = 10 * 365 * 86_400_000;
/// How often a process looks who has which site, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// A machine's clock: it goes on with the time of the test, from where somebody has set it.
struct Shows {
    passed: Arc<AtomicU64>,
    off_by_ms: i64,
}

impl Clock for Shows {
    fn mono(&self) -> Mono {
        Mono(self.passed.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Wall {
        NOW.after_ms(self.off_by_ms + self.mono().0 as i64)
    }
}

fn process(db: &Db, name: &str, passed: &Arc<AtomicU64>, off_by_ms: i64) -> Owners {
    let office = Office {
        process: name.to_owned(),
        hq_epoch: HqEpoch([1; 16]),
        key: SigningKey::from_seed([2; 32]).into(),
    };
    let clock = Shows {
        passed: Arc::clone(passed),
        off_by_ms,
    };
    let door = Arc::new(Door::default());
    let broker = door::open(&door, door::CONNECTIONS_PER_ADDRESS_MAX);
    let front = Arc::new(Front::Own(door, broker));
    Owners::new(
        Arc::new(office),
        Arc::new(clock),
        db.clone(),
        front,
        Bell::new(),
        Arc::new(Bounds::default()),
    )
}

async fn owner(db: &Db) -> Option<String> {
    let owner = db.read(|tx| tx.query("SELECT owner FROM site", &[])?.remove(0).optional_text(0));
    owner.await.unwrap()
}

fn a_process_whose_clock_is_years_off_keeps_a_site_while_it_lives_and_no_longer(office: &HeadOffice) {
    office.add(&Journal::of_sessions("S1", 1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let db = &office.db;
        for off_by_ms in [YEARS_MS, -YEARS_MS] {
            db.write(|tx| sites::let_go(tx, "right")).await.unwrap();
            db.write(|tx| sites::let_go(tx, ME)).await.unwrap();
            let passed = Arc::<AtomicU64>::default();
            let look_later = || passed.fetch_add(LOOK_MS, Ordering::SeqCst);
            let mut wrong = process(db, "wrong", &passed, off_by_ms);
            let mut right = process(db, "right", &passed, 0);
            wrong.look().await;
            for _ in 0..12 {
                right.look().await;
                wrong.look().await;
                assert_eq!(
                    owner(db).await.as_deref(),
                    Some("wrong"),
                    "it lives, whatever its clock shows"
                );
                look_later();
            }
            // It is killed.
            drop(wrong);
            let mut looks = 0;
            while owner(db).await.as_deref() != Some("right") {
                look_later();
                right.look().await;
                looks += 1;
                assert!(looks <= 6, "whoever was killed still has the site");
            }
            // And when it is back it waits as everybody does.
            let mut back = process(db, "wrong", &passed, off_by_ms);
            for _ in 0..12 {
                look_later();
                back.look().await;
                right.look().await;
                assert_eq!(owner(db).await.as_deref(), Some("right"));
            }
        }
    });
}

fn what_a_clock_that_was_years_ahead_has_put_off_is_due(office: &HeadOffice) {
    let years = NOW.after_ms(YEARS_MS);
    let done = office.write(move |tx| {
        let claim = |tx: &mut dyn central::store::Tx, now: Wall| {
            jobs::claim(tx, "books", "S1", "2026-03-01", now, now.after_ms(300_000))
        };
        assert!(claim(tx, years)?);
        assert!(claim(tx, NOW)?, "claimed until in ten years");
        assert!(!claim(tx, NOW)?, "claimed by somebody whose clock is right");
        jobs::later(tx, "books", "S1", years)?;
        assert!(claim(tx, NOW)?, "due in ten years");

        let ids = |claimed: Vec<outbox::Message>| claimed.into_iter().map(|message| message.id).collect::<Vec<_>>();
        let claim = |tx: &mut dyn central::store::Tx, now: Wall| {
            outbox::claim(tx, Channel::Mail, now, now.after_ms(1_200_000), 10).map(ids)
        };
        outbox::add(tx, "a.begun", Channel::Mail, "{}", years)?;
        assert_eq!(claim(tx, NOW)?, ["a.begun"], "due in ten years");
        assert!(claim(tx, NOW)?.is_empty(), "claimed by somebody whose clock is right");
        outbox::add(tx, "b.begun", Channel::Mail, "{}", NOW)?;
        assert_eq!(claim(tx, years)?, ["b.begun", "a.begun"]);
        assert_eq!(claim(tx, NOW)?, ["b.begun", "a.begun"], "claimed until in ten years");
        assert_eq!(outbox::prune(tx, years)?, 0, "what was not told yet is not forgotten");
        Ok(())
    });
    done.unwrap();
}
