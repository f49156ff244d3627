//! The second part of the story: two stations and their head office. The line of one of them is cut; cars go on charging; the
//! line comes back, head office catches up, and the books of both sides are equal to the fen.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use world::{
    books,
    hand::Hand,
    head_office::{AgentProcess, HeadOfficeProcess},
    history,
    relay::Relay,
    station::{Setup, StationProcess},
};

/// How long any one thing may take: a connection is tried again after up to a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two stations and their head office.
pub(crate) struct Chain {
    pub(crate) office: HeadOfficeProcess,
    pub(crate) north: Site,
    pub(crate) south: Site,
}

/// A station at the end of a line that can be cut.
pub(crate) struct Site {
    pub(crate) id: &'static str,
    pub(crate) station: StationProcess,
    agent: AgentProcess,
    pub(crate) line: Relay,
    pub(crate) pile: Hand,
    /// What its pile's register shows, in kWh.
    register: u32,
}

/// Tells it. The stations and head office go on.
///
/// # Errors
/// Something did not go as it should.
pub(crate) async fn tell(begun: Instant) -> anyhow::Result<Chain> {
    let row = |text: &str| println!("\n[{:>4.1}s] {text}", begun.elapsed().as_secs_f32());
    row(
        "Head office begins: one program, a database in a file. Two sites come in, each with an invitation that counts once.",
    );
    let head_office = HeadOfficeProcess::start("demo-office").await?;
    let mut north = join(&head_office, "north").await?;
    let mut south = join(&head_office, "south").await?;
    for site in [&mut north, &mut south] {
        site.charge().await?;
    }
    for site in [&north, &south] {
        equal(site, &head_office).await?;
    }

    row("The line of north is cut. Cars go on charging there, and south's line is none the worse for it.");
    north.line.cut();
    for _ in 0..3 {
        north.charge().await?;
    }
    south.charge().await?;
    equal(&south, &head_office).await?;
    let sheet = north.station.get("/v1/balance-sheet").await?.success()?;
    let here = sheet["seq"].as_u64().context("no entry's number")?;
    let there = books::entries_of(&head_office, north.id).await?;
    ensure!(
        there < here,
        "head office has {there} of {here} entries over a line that is cut"
    );
    println!(
        "       north has journaled {here} entries, head office has {there}; nothing waits at the station for it."
    );

    row("The line is back: head office catches up.");
    north.line.mend();
    equal(&north, &head_office).await?;

    row("What head office says of it");
    for line in head_office.cli(&["status"])?.lines() {
        println!("       {line}");
    }
    for site in [&north, &south] {
        let verified = head_office.cli(&["--json", "replica", "verify", site.id])?;
        let verified: Value = serde_json::from_str(&verified)?;
        println!(
            "       the rows of {} follow again from its journal: {} looked at, {} differ",
            site.id, verified["looked_at"], verified["differ"]
        );
    }
    let books: Value = serde_json::from_str(&head_office.cli(&["--json", "ledger", "verify"])?)?;
    println!(
        "       the books add up to zero: {} accounts and movements looked at",
        books["looked_at"]
    );
    Ok(Chain {
        office: head_office,
        north,
        south,
    })
}

/// A station, and its place at head office.
async fn join(head_office: &HeadOfficeProcess, id: &'static str) -> anyhow::Result<Site> {
    let setup = Setup {
        site: id.to_owned(),
        ..history::setup()
    };
    let mut station = StationProcess::start(id, &setup).await?;
    // From before it had a head office: its own, and nobody's there.
    station.add_member("anna", "200.00").await?;
    let mut agent = AgentProcess::beside(&station)?;
    head_office.cli(&["site", "add", id, "--name", id])?;
    agent.enrol(&head_office.folder().join(format!("{id}.invitation")))?;
    let line = Relay::to(agent.broker()?).await?;
    agent.meet_at(line.address)?;
    station.setup_mut().head_office = agent.head_office_that_owns()?;
    station.terminate().await?;
    station.start_again().await?;
    agent.start().await?;
    let secret = station.add_pile("P1").await?;
    let pile = history::boot(&station, "P1", &secret).await?;
    println!(
        "       {id} has enrolled: a key of its own on the box, a certificate from head office for its connection."
    );
    Ok(Site {
        id,
        station,
        agent,
        line,
        pile,
        register: 1_000,
    })
}

impl Site {
    /// What the register shows, and what it shows after so many kWh more.
    pub(crate) fn deliver(&mut self, more: u32) -> (String, String) {
        let kwh = |register: u32| format!("{register}.0000");
        let from = self.register;
        self.register += more;
        (kwh(from), kwh(self.register))
    }

    /// The program on its box ends as it should.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.agent.terminate().await
    }

    /// A car charges 2 kWh.
    async fn charge(&mut self) -> anyhow::Result<()> {
        let (from, to) = self.deliver(2);
        let order = history::charge(&self.station, &mut self.pile, "P1", (&from, &to)).await?;
        let order = self.station.get(&format!("/v1/orders/{order}")).await?.success()?;
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        println!(
            "       {}: order {} is paid, ¥{}",
            self.id,
            text(&order["id"]),
            text(&order["bill"]["fee"])
        );
        Ok(())
    }
}

pub(crate) async fn equal(site: &Site, head_office: &HeadOfficeProcess) -> anyhow::Result<()> {
    let begun = Instant::now();
    let equal = books::are_equal(&site.station, site.id, head_office, PATIENCE).await?;
    println!(
        "       {}: entry {} on both sides after {:.1?}, {} accounts equal to the fen",
        site.id,
        equal.seq,
        begun.elapsed(),
        equal.accounts
    );
    Ok(())
}
