//! A folder that is watched for channels' bills: what comes to rest is imported and put away, links lead nowhere, and what cannot be done now
//! is tried again.

use crate::{
    bill_writer::{DAY, alipay_trade, alipay_zip, gbk, trades, wechat_trade},
    bills::{channels, count},
    cluster::Folder as Home,
    office::Office,
};
use central::{
    bills::{
        folder::{Folder, REST_MS, Seen, Stuck, TOLD_AFTER},
        import::Importer,
    },
    desk::Clock,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    slice,
    sync::Arc,
};

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder that is watched, and that of a channel in it.
fn watched(office: &Office, home: &Home) -> (PathBuf, Folder) {
    let wechat = home.path().join("in/wechat");
    fs::create_dir_all(&wechat).unwrap();
    let folder = Folder {
        folder: home.path().join("in"),
        spool: home.path().join("spool"),
        importer: Importer {
            db: office.db.clone(),
            clock: Arc::clone(&office.clock) as Arc<dyn Clock>,
            csv: Arc::new([]),
        },
        stuck: Stuck::default(),
    };
    (wechat, folder)
}

/// Looks once, and once more when what is there has come to rest.
async fn look_twice(office: &Office, folder: &Folder, seen: &mut Seen) {
    folder.look(seen).await;
    office.pass(i64::try_from(REST_MS).unwrap());
    folder.look(seen).await;
}

pub(crate) async fn a_folder_that_is_watched_is_emptied_into_imported_and_refused(office: Office) {
    channels(&office).await;
    let home = Home::new("bills");
    let (wechat, folder) = watched(&office, &home);
    let bill = wechat_trade(&trades());
    let name = format!("{DAY}.wechat_trade.csv");
    fs::write(wechat.join(&name), &bill.as_bytes()[..100]).unwrap();
    fs::write(wechat.join(format!("{DAY}.wechat_fund.csv")), gbk("记账时间\n")).unwrap();
    fs::write(wechat.join("bill.csv"), &bill).unwrap();
    fs::write(wechat.join(format!("{name}.part")), &bill).unwrap();
    let mut resting = Seen::default();
    let rest = i64::try_from(REST_MS).unwrap();
    folder.look(&mut resting).await;
    office.pass(rest - 1);
    // It is still being written.
    fs::write(wechat.join(&name), &bill).unwrap();
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat).len(), 4);
    office.pass(1);
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat), [name.clone(), format!("{name}.part")]);
    let refused = wechat.join("refused");
    let fund = format!("{DAY}.wechat_fund.csv");
    assert_eq!(
        names(&refused),
        [
            fund.clone(),
            format!("{fund}.reason.txt"),
            "bill.csv".to_owned(),
            "bill.csv.reason.txt".to_owned()
        ]
    );
    let reason = |name: &str| fs::read_to_string(refused.join(format!("{name}.reason.txt"))).unwrap();
    assert!(reason(&fund).starts_with("line 1: is not utf-8"), "{}", reason(&fund));
    assert!(reason("bill.csv").contains("a bill is called by its day and format"));
    office.pass(rest);
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat), [format!("{name}.part")]);
    assert_eq!(names(&wechat.join("imported")), slice::from_ref(&name));
    assert_eq!(count(&office, "bill_trade").await, 3);

    // The same again is known; nothing that is there is overwritten.
    fs::write(wechat.join(&name), &bill).unwrap();
    folder.look(&mut resting).await;
    office.pass(rest);
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat.join("imported")), [name.clone(), format!("{name}.2")]);
    assert_eq!(count(&office, "bill_trade").await, 3);
    assert_eq!(names(&home.path().join("spool")), Vec::<String>::new());
}

pub(crate) async fn no_link_and_no_pipe_in_the_folder_is_read(office: Office) {
    channels(&office).await;
    let home = Home::new("bills-links");
    let (wechat, folder) = watched(&office, &home);
    let secret = home.path().join("secret");
    fs::write(&secret, "what nobody may read").unwrap();
    let named = |day: &str| wechat.join(format!("2026-03-0{day}.wechat_trade"));
    symlink(&secret, named("1")).unwrap();
    fs::hard_link(&secret, named("2")).unwrap();
    assert!(Command::new("mkfifo").arg(named("3")).status().unwrap().success());
    symlink("/nowhere", named("4")).unwrap();
    let bill = wechat_trade(&trades());
    fs::write(named("9"), &bill).unwrap();
    // The folder of another channel is a link to one of somebody else's.
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(
        elsewhere.join("2026-03-09.alipay_trade"),
        alipay_zip(&alipay_trade(&trades())),
    )
    .unwrap();
    symlink(&elsewhere, home.path().join("in/alipay")).unwrap();
    let mut seen = Seen::default();
    look_twice(&office, &folder, &mut seen).await;
    let refused = wechat.join("refused");
    for (day, what) in [("1", "a link"), ("2", "hard links"), ("3", "a pipe"), ("4", "a link")] {
        let name = format!("2026-03-0{day}.wechat_trade");
        assert!(refused.join(&name).symlink_metadata().is_ok(), "{name}");
        let reason = fs::read_to_string(refused.join(format!("{name}.reason.txt"))).unwrap();
        assert!(
            reason.contains(what) && reason.contains("is not read"),
            "{name}: {reason}"
        );
        assert!(!reason.contains("nobody may read"));
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "what nobody may read");
    assert_eq!(
        names(&wechat.join("imported")),
        ["2026-03-09.wechat_trade"],
        "the others wait for nobody"
    );
    assert_eq!(names(&elsewhere), ["2026-03-09.alipay_trade"]);
    assert_eq!(count(&office, "bill_file").await, 1);
    assert_eq!(folder.stuck.words(), None);
    for _ in 0..TOLD_AFTER {
        office.pass(600_000);
        folder.look(&mut seen).await;
    }
    let told = folder.stuck.words().unwrap();
    assert!(
        told.contains("in/alipay was tried") && told.contains("is a link"),
        "{told}"
    );
    fs::remove_file(home.path().join("in/alipay")).unwrap();
    folder.look(&mut seen).await;
    assert_eq!(folder.stuck.words(), None);
}

pub(crate) async fn what_is_put_away_goes_through_no_link_and_over_nothing(office: Office) {
    channels(&office).await;
    let home = Home::new("bills-away");
    let (wechat, folder) = watched(&office, &home);
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    symlink(&elsewhere, wechat.join("refused")).unwrap();
    let wrong = wechat.join("wrong.csv");
    fs::write(&wrong, "1").unwrap();
    let mut seen = Seen::default();
    look_twice(&office, &folder, &mut seen).await;
    assert_eq!(names(&elsewhere), Vec::<String>::new());
    assert_eq!(fs::read_to_string(&wrong).unwrap(), "1", "it stays");
    fs::remove_file(wechat.join("refused")).unwrap();
    // A reason that points elsewhere, or that is there, is not written over.
    let refused = wechat.join("refused");
    fs::create_dir(&refused).unwrap();
    let victim = elsewhere.join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, refused.join("wrong.csv.reason.txt")).unwrap();
    fs::write(refused.join("wrong.csv.2"), "an earlier one").unwrap();
    office.pass(600_000);
    folder.look(&mut seen).await;
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(
        fs::read_to_string(refused.join("wrong.csv.2")).unwrap(),
        "an earlier one"
    );
    assert_eq!(
        names(&refused),
        ["wrong.csv.2", "wrong.csv.3", "wrong.csv.3.reason.txt"]
    );
    assert_eq!(fs::read_to_string(refused.join("wrong.csv.3")).unwrap(), "1");
}

pub(crate) async fn a_database_that_says_no_is_asked_again_after_a_pause(office: Office) {
    channels(&office).await;
    let home = Home::new("bills-again");
    let (wechat, folder) = watched(&office, &home);
    let name = format!("{DAY}.wechat_trade");
    fs::write(wechat.join(&name), wechat_trade(&trades())).unwrap();
    let rename = async |from: &'static str, to: &'static str| {
        let renamed = office
            .db
            .write(move |tx| tx.execute(&format!("ALTER TABLE {from} RENAME TO {to}"), &[]));
        renamed.await.unwrap();
    };
    rename("bill_file", "away").await;
    let mut seen = Seen::default();
    look_twice(&office, &folder, &mut seen).await;
    for _ in 1..TOLD_AFTER {
        assert_eq!(folder.stuck.words(), None);
        office.pass(600_000);
        folder.look(&mut seen).await;
    }
    assert_eq!(names(&wechat), slice::from_ref(&name), "it is no fault of the file's");
    let told = folder.stuck.words().unwrap();
    assert!(
        told.contains(&format!("wechat/{name} was tried {TOLD_AFTER} times")),
        "{told}"
    );
    rename("away", "bill_file").await;
    folder.look(&mut seen).await;
    assert_eq!(names(&wechat), slice::from_ref(&name), "its pause is not over");
    office.pass(600_000);
    folder.look(&mut seen).await;
    assert_eq!(names(&wechat.join("imported")), [name]);
    assert_eq!(folder.stuck.words(), None);
}
