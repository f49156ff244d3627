//! Days by chance, as `tests/figures/bills.py` plants them: it knows what must come of them, and shares no code with what finds it. Bills
//! come late, some are wrong and withdrawn, fees are changed; files and credits are WeChat's, Alipay's and a bank's whose clocks change. Each
//! morning what was open on every day of which all is there is held against the truth: what comes later changes nothing of it.

use crate::{
    reports::adds_up,
    world::{CHANNEL, World, day, wait},
};
use central::{
    bills::{Biller, Format},
    reconcile::days::through,
    store::{Value as Sql, bill_proposals},
};
use domain::time::Zone;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Days of each of three channels; `HOLDFAST_RECONCILED_DAYS` has it live more.
const DAYS: i32 = 20;
const SEEDS: [u64; 2] = [1, 2];

#[test]
fn on_sqlite_no_day_says_anything_but_the_truth() {
    each_seed(World::sqlite);
}

#[test]
fn on_postgresql_no_day_says_anything_but_the_truth() {
    each_seed(World::postgresql);
}

fn each_seed(world: impl Fn() -> World) {
    let asked = std::env::var("HOLDFAST_RECONCILED_DAYS").ok();
    let days = asked.map_or(DAYS, |days| days.parse().unwrap());
    for seed in SEEDS {
        live(&world(), seed, days);
    }
}

fn live(world: &World, seed: u64, days: i32) {
    let folder = world.folder();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/figures/bills.py");
    let made = Command::new("python3")
        .arg(script)
        .args([seed.to_string(), days.to_string()])
        .arg(folder)
        .status();
    assert!(made.unwrap().success());
    let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let first = day(truth["first"].as_str().unwrap());
    let last = first.plus(days - 1);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    world.execute("DELETE FROM channel_setting", vec![]);
    world.execute("DELETE FROM channel WHERE name = $1", vec![CHANNEL.into()]);
    let mut names = Vec::new();
    for channel in truth["channels"].as_array().unwrap() {
        let name = text(&channel["name"]);
        let biller = Biller::of_word(&name).unwrap_or(Biller::Csv);
        let settle_days = u32::try_from(channel["settle_days"].as_u64().unwrap()).unwrap();
        world.channel_since(
            &name,
            biller,
            &text(&channel["zone"]),
            settle_days,
            &text(&channel["merchant"]),
            first,
        );
        names.push(name);
    }
    plant(world, &truth);

    let berlin = Zone::named("Europe/Berlin").unwrap();
    let channels = truth["channels"].as_array().unwrap();
    let last_bill = channels.iter().map(|of| of["last"].as_i64().unwrap()).max().unwrap();
    for morning in 1..=i32::try_from(last_bill).unwrap().max(days) + 2 {
        // What is in the books of days to come changes nothing of the past: it is there from the beginning.
        world.set(berlin.begin_of(first.plus(morning)).after_ms(10 * 3_600_000));
        let is_now = |at: &Value| at.as_i64() == Some(i64::from(morning));
        for channel in channels.iter().filter(|of| is_now(&of["changed"])) {
            let fee_ppm = u32::try_from(channel["fee_ppm"].as_u64().unwrap()).unwrap();
            world.change_of(&text(&channel["name"]), |channel| channel.fee_ppm = fee_ppm);
        }
        let files = truth["files"].as_array().unwrap();
        for file in files.iter().filter(|of| is_now(&of["withdrawn"])) {
            withdraw(world, &text(&file["channel"]), &text(&file["day"]));
        }
        for file in files.iter().filter(|of| is_now(&of["arrives"])) {
            let (name, of) = (text(&file["channel"]), text(&file["day"]));
            let bytes = fs::read(file["path"].as_str().unwrap()).unwrap();
            let format: Format = text(&file["format"]).parse().unwrap();
            world.import(&name, day(&of), format, &bytes).unwrap();
            if !file["withdrawn"].is_null() {
                propose(world, &name, &of);
            }
        }
        // What comes after the last day is nobody's to judge.
        let asked = last.min(first.plus(morning - 1));
        for name in &names {
            wait(world.reconciler.run(name, asked, "test")).unwrap();
        }
        if morning % 5 == 0 {
            let before = world.found();
            for name in &names {
                wait(world.reconciler.run(name, asked, "test")).unwrap();
            }
            assert_eq!(
                world.found(),
                before,
                "seed {seed}: done again it is the same to the byte"
            );
        }
        for channel in channels {
            let name = text(&channel["name"]);
            let known = channel["known"][usize::try_from(morning).unwrap()].as_u64().unwrap();
            let open = channel["open"]
                .as_array()
                .unwrap()
                .iter()
                .take(usize::try_from(known).unwrap());
            // Of the days before these it was looked on the mornings before.
            let days: Vec<_> = through(first, last).zip(open).collect();
            for (of, open) in days.iter().rev().take(6) {
                let open: Vec<String> = open.as_array().unwrap().iter().map(text).collect();
                assert_eq!(
                    world.open_of(&name, *of),
                    open,
                    "seed {seed}, {name}, {of} as it is known on morning {morning}"
                );
            }
        }
    }

    for channel in truth["channels"].as_array().unwrap() {
        let name = text(&channel["name"]);
        let counted = world.query(
            "SELECT COUNT(*) FROM matched WHERE channel = $1",
            vec![name.as_str().into()],
        )[0]
        .int(0)
        .unwrap();
        for (of, open) in through(first, last).zip(channel["open"].as_array().unwrap()) {
            let open: Vec<String> = open.as_array().unwrap().iter().map(text).collect();
            assert_eq!(world.open_of(&name, of), open, "seed {seed}, {name}, {of}");
            let run = wait(world.reconciler.run(&name, of, "test")).unwrap();
            assert_eq!(run.status.word(), "final", "seed {seed}, {name}, {of}");
            let mut classes: BTreeMap<String, i64> = BTreeMap::new();
            for said in &open {
                let class = said.split(' ').next().unwrap();
                *classes.entry(format!("funds {class}")).or_default() += 1;
            }
            let totals = run.totals.unwrap().classes.into_iter();
            let totals: BTreeMap<String, i64> = totals
                .map(|(class, flow)| (class, flow.closing.count))
                .filter(|(_, count)| *count > 0)
                .collect();
            assert_eq!(totals, classes, "seed {seed}, {name}, {of}: totals count what is open");
        }
        let open = channel["open"].as_array().unwrap().last().unwrap();
        let open: Vec<String> = open.as_array().unwrap().iter().map(text).collect();
        let differs: Vec<String> = open.into_iter().filter(|said| !said.starts_with("PENDING")).collect();
        assert_eq!(
            world.discrepancies_of(&name),
            differs,
            "seed {seed}, {name}: what differs is named once"
        );
        assert_eq!(
            counted,
            channel["pairs"].as_i64().unwrap(),
            "seed {seed}, {name}: pairs"
        );
    }
    for of in through(first, last) {
        adds_up(world, of);
    }
    assert_eq!(
        world.query("SELECT 1 FROM verdict WHERE class = 11", vec![]).len(),
        0,
        "seed {seed}: every bill came in the end"
    );
}

/// Somebody wants to withdraw the bill of a day: it is not final before that is decided.
fn propose(world: &World, channel: &str, of: &str) {
    world.execute(
        "INSERT INTO bill_proposal (id, kind, channel, format, day, file, reason, state, proposed_by, proposed_at) \
         SELECT 'p' || CAST(id AS TEXT), 'withdraw', channel, format, day, id, 'wrong', 'proposed', 'anna', 0 FROM bill_file \
         WHERE channel = $1 AND day = $2 AND state = 'imported'",
        vec![channel.into(), of.into()],
    );
}

/// Somebody else approves that.
fn withdraw(world: &World, channel: &str, of: &str) {
    let rows = world.query(
        "SELECT id FROM bill_file WHERE channel = $1 AND day = $2 AND state = 'imported'",
        vec![channel.into(), of.into()],
    );
    let file = rows[0].clone().int(0).unwrap().unsigned_abs();
    let now = world.reconciler.clock.wall();
    let done = world.db.write(move |tx| {
        bill_proposals::withdraw(tx, file)?;
        let (id, state) = (format!("p{file}"), bill_proposals::State::Approved);
        bill_proposals::decide(tx, &id, state, Some(file), "ben", now)
    });
    wait(done).unwrap();
}

/// Writes credits, and top-ups that were asked for.
fn plant(world: &World, truth: &Value) {
    let rows = |of: &str, keys: &[&str]| -> Vec<Vec<Sql>> {
        let value = |value: &Value| match value {
            Value::String(text) => text.as_str().into(),
            Value::Null => Sql::Null,
            number => number.as_i64().unwrap().into(),
        };
        let row = |row: &Value| keys.iter().map(|key| value(&row[*key])).collect();
        truth[of].as_array().unwrap().iter().map(row).collect()
    };
    let credits = rows("credits", &["channel", "id", "ref", "amount", "at"]);
    let topups = rows("topups", &["channel", "ref", "amount", "made_at", "credited_at"]);
    let planted = world.db.write(move |tx| {
        for row in credits {
            tx.execute(
                "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) VALUES ($1, $2, $3, $4, 1, $5)",
                &row,
            )?;
        }
        for row in topups {
            tx.execute(
                "INSERT INTO topup (channel, ref, member, amount, state, made_at, made_by, credited_at) \
                 VALUES ($1, $2, 'm1', $3, 'pending', $4, 'test', $5)",
                &row,
            )?;
        }
        Ok(())
    });
    wait(planted).unwrap();
}
