//! What opening a database does to it: nothing before every page has been checked, and after that in steps, of which any
//! may be the last before the power goes.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::ids::SiteId;
use edge::store::{Store, StoreError, Verified};
use world::{
    seed::Seed,
    station::{SITE, repository},
    world::disk::Disk,
};

fn open(disk: &Disk) -> Result<Store, StoreError> {
    Store::on(disk.clone(), &SiteId::new(SITE).unwrap())
}

/// A real station's disk, as the version before left it.
fn old() -> Vec<u8> {
    std::fs::read(repository().join("tests/fixtures/station-schema-1.redb")).unwrap()
}

/// The same after a crash: brought up to date, changed once more, and then nobody closed it.
fn crashed() -> Vec<u8> {
    let disk = Disk::with(old());
    let store = open(&disk).unwrap();
    let head = store.reader().unwrap().verify(None).unwrap().head;
    store.acknowledge(&store.identity().epoch.clone(), head).unwrap();
    disk.end_process()
}

/// What a station that is opened on this disk finds, if it takes it.
fn found(image: &[u8]) -> Result<(Verified, String), StoreError> {
    let store = open(&Disk::with(image.to_vec()))?;
    let verified = store.reader()?.verify(None)?;
    Ok((verified, format!("{:?}", store.recover()?.rows)))
}

/// Opens it again and again, with the power going after one more step each time. Returns how many steps there are.
fn cut_at_every_step(image: &[u8]) -> u32 {
    let before = found(image).unwrap();
    let mut seed = Seed::new(1);
    let mut steps = 0;
    loop {
        let disk = Disk::with(image.to_vec());
        disk.set_fuse(steps);
        let opened = open(&disk);
        assert_eq!(opened.is_ok(), !disk.is_dead(), "after {steps} steps");
        for kept in [0, 100].into_iter().chain(std::iter::repeat_n(50, 20)) {
            let left = disk.cut(kept, &mut seed);
            assert_eq!(found(&left).unwrap(), before, "after {steps} steps, {kept} %");
        }
        if opened.is_ok() {
            return steps;
        }
        steps += 1;
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_start_loses_nothing() {
    let image = crashed();
    assert!(found(&image).unwrap().0.acknowledged.is_some());
    let steps = cut_at_every_step(&image);
    assert!(
        steps >= 6,
        "only {steps} writes and syncs: is a disk that crashed not repaired?"
    );
}

#[test]
fn a_power_cut_at_any_step_of_a_migration_loses_nothing() {
    let steps = cut_at_every_step(&old());
    assert!(steps >= 6, "only {steps} writes and syncs: is nothing migrated?");
}

#[test]
fn a_disk_that_is_refused_was_not_written_to() {
    let image = crashed();
    let before = found(&image).unwrap();
    let (mut refused, mut taken) = (0, 0);
    for at in (0..320).step_by(11).chain((320..image.len()).step_by(4_099)) {
        let mut bad = image.clone();
        bad[at] ^= 1 << (at % 8);
        let disk = Disk::with(bad.clone());
        match open(&disk) {
            Ok(_) => taken += 1,
            Err(_) => {
                assert!(disk.end_process() == bad, "byte {at}");
                refused += 1;
            }
        }
    }
    let disk = Disk::with(image.clone());
    let elsewhere = Store::on(disk.clone(), &SiteId::new("elsewhere").unwrap());
    assert!(matches!(elsewhere, Err(StoreError::OtherSite { .. })));
    assert!(disk.end_process() == image);
    assert_eq!(found(&disk.image()).unwrap(), before);
    println!("{refused} refused, {taken} taken");
    assert!(refused >= 10, "{refused} refused");
}
