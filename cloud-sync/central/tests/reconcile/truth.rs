//! Days by chance, as `tests/figures/bills.py` plants them: it knows what must come of them, and shares no code with what finds it. Bills
//! come late, files and credits of WeChat, Alipay and a bank whose clocks change; after each morning's work what is known is kept, and at
//! the end what was open on every day is held against the truth.

use crate::world::{CHANNEL, World, day, wait};
use central::{
    bills::{Biller, Format},
    reconcile::days::through,
    store::Value as Sql,
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
    for morning in 1..=days + 6 {
        // What is in the books of days to come changes nothing of the past: it is there from the beginning.
        world.set(berlin.begin_of(first.plus(morning)).after_ms(10 * 3_600_000));
        for file in truth["files"].as_array().unwrap() {
            if file["arrives"].as_i64().unwrap() == i64::from(morning) {
                let bytes = fs::read(file["path"].as_str().unwrap()).unwrap();
                let format: Format = text(&file["format"]).parse().unwrap();
                world
                    .import(&text(&file["channel"]), day(&text(&file["day"])), format, &bytes)
                    .unwrap();
            }
        }
        for name in &names {
            // What comes after the last day is nobody's to judge.
            let asked = last.min(first.plus(morning - 1));
            wait(world.reconciler.run(name, asked, "test")).unwrap();
        }
        if morning % 5 == 0 {
            let before = world.found();
            for name in &names {
                wait(world.reconciler.run(name, last.min(first.plus(morning - 1)), "test")).unwrap();
            }
            assert_eq!(
                world.found(),
                before,
                "seed {seed}: done again it is the same to the byte"
            );
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
        assert_eq!(
            counted,
            channel["pairs"].as_i64().unwrap(),
            "seed {seed}, {name}: pairs"
        );
    }
    assert_eq!(
        world.query("SELECT 1 FROM verdict WHERE class = 11", vec![]).len(),
        0,
        "seed {seed}: every bill came in the end"
    );
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
