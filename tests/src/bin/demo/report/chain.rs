//! Head office and two stations whose days pass when the story says so: each is stopped in the evening and started at another time.

use anyhow::{Context, ensure};
use domain::time::Wall;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    time::{Duration, Instant},
};
use world::{
    back_end,
    hand::Hand,
    head_office::{AgentProcess, HeadOfficeProcess},
    history,
    relay::Relay,
    station::{Setup, StationProcess},
};

/// How long any one thing may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// The bank's channel, whose files have columns of their own.
pub(super) const BANK: &str = "unionpay";
/// Whose cards they are that stations are told of.
pub(super) const CARD_OF: &str = "li";
/// A member of north's from before it had a head office, under an id that is made at south's desk.
pub(super) const STRANGER: &str = "s2_1001";
/// Where bills are put, and how the bank's are to be read.
const BILLS: &str = "[bills]\nfolder = \"bills\"\n\
    [[bills.csv]]\nchannel = \"unionpay\"\nreference = \"流水号\"\nout_no = \"订单号\"\namount = \"金额\"\nfee = \"手续费\"\n\
    at = \"时间\"\nkind = \"类型\"\npayments = [\"消费\"]\nrefunds = [\"退货\"]\nrefund_reference = \"退货流水号\"\n\
    refund_out_no = \"退货单号\"\nmerchant = \"商户号\"\ncurrency = \"币种\"\nstatus = \"状态\"\ntotal = \"合计\"\n";

/// All of it.
pub(super) struct Chain {
    pub(super) office: HeadOfficeProcess,
    pub(super) north: Site,
    pub(super) south: Site,
}

/// A station, and the way from it to head office.
pub(super) struct Site {
    pub(super) id: &'static str,
    pub(super) station: StationProcess,
    pub(super) agent: AgentProcess,
    pub(super) line: Relay,
    /// What its piles show themselves with.
    secrets: BTreeMap<&'static str, String>,
    /// How many cards it was told of.
    cards: u32,
}

/// A time of the story, as in `2026-03-09T18:00:00`, by the clocks of everything in it.
pub(super) fn at(text: &str) -> anyhow::Result<Wall> {
    Wall::parse(&format!("{text}+08:00")).map_err(anyhow::Error::msg)
}

impl Chain {
    /// Begins at this time, with piles at both sites, and with members of each site's own who have paid in cash.
    ///
    /// # Errors
    /// Something does not come up.
    pub(super) async fn begin(begins: Wall) -> anyhow::Result<Self> {
        let mut office = HeadOfficeProcess::with_sites("demo-report", BILLS)?;
        // What stands in it becomes a channel's word on money: nobody else may write there.
        DirBuilder::new().mode(0o750).create(office.folder().join("bills"))?;
        office.set_clock(begins);
        office.start_again().await?;
        let north = join(&office, "north", begins, Some(STRANGER)).await?;
        let south = join(&office, "south", begins, None).await?;
        Ok(Self { office, north, south })
    }

    /// Waits until head office has all of both sites.
    ///
    /// # Errors
    /// The books are not equal.
    pub(super) async fn equal(&mut self) -> anyhow::Result<()> {
        self.north.equal(&self.office).await?;
        self.south.equal(&self.office).await
    }

    /// Everybody goes home.
    ///
    /// # Errors
    /// Something does not end as it should.
    pub(super) async fn evening(&mut self) -> anyhow::Result<()> {
        let (north, south) = tokio::join!(self.north.stop(), self.south.stop());
        north.and(south)?;
        self.office.terminate().await
    }

    /// It is another day.
    ///
    /// # Errors
    /// Something does not come up.
    pub(super) async fn morning(&mut self, now: Wall) -> anyhow::Result<()> {
        self.office.set_clock(now);
        self.office.start_again().await?;
        let (north, south) = tokio::join!(self.north.start(now), self.south.start(now));
        north.and(south)
    }

    /// Head office is stopped, somebody does something to its database, and it is started again.
    ///
    /// # Errors
    /// It does not end or come up, or the statement changes nothing.
    pub(super) async fn by_hand(&mut self, statement: &str) -> anyhow::Result<()> {
        self.office.terminate().await?;
        by_hand(&self.office, statement).await?;
        self.office.start_again().await?;
        self.agents_again().await
    }

    /// The programs on both boxes begin anew: they would try again by themselves, but after a pause.
    ///
    /// # Errors
    /// One does not.
    pub(super) async fn agents_again(&mut self) -> anyhow::Result<()> {
        for site in [&mut self.north, &mut self.south] {
            site.agent.terminate().await?;
            site.agent.start().await?;
        }
        Ok(())
    }
}

/// What somebody does to head office's database while it is stopped: one statement, which must change something.
///
/// # Errors
/// It does not.
pub(super) async fn by_hand(office: &HeadOfficeProcess, statement: &str) -> anyhow::Result<()> {
    use central::store::{Db, Place};
    let place = Place::File(office.database());
    let (wrong, statement) = (statement.to_owned(), statement.to_owned());
    let db = tokio::task::spawn_blocking(move || Db::open(&place)).await??;
    let changed = db.write(move |tx| tx.execute(&statement, &[])).await?;
    ensure!(changed > 0, "nothing is changed by {wrong}");
    Ok(())
}

/// A station, and its place at head office.
///
/// # Errors
/// It does not come up, or head office does not let it in.
pub(super) async fn join(
    office: &HeadOfficeProcess,
    id: &'static str,
    begins: Wall,
    stranger: Option<&str>,
) -> anyhow::Result<Site> {
    let setup = Setup {
        site: id.to_owned(),
        clock_start: Some(begins),
        ..Setup::new()
    };
    let mut station = StationProcess::start(&format!("report-{id}"), &setup).await?;
    // From before it had a head office: its own, and nobody's there.
    for member in ["anna", "carl"] {
        station.add_member(&format!("{member}-{id}"), "300.00").await?;
    }
    if let Some(stranger) = stranger {
        station.add_member(stranger, "0.00").await?;
    }
    let mut secrets = BTreeMap::new();
    for pile in ["P1", "P2", "P3", "P4", "P5", "P6", "P7"] {
        secrets.insert(pile, station.add_pile(pile).await?);
    }
    let mut agent = AgentProcess::beside(&station)?;
    office.cli(&["site", "add", id, "--name", &format!("{id} yard")])?;
    agent.enrol(&office.folder().join(format!("{id}.invitation")))?;
    let line = Relay::to(agent.broker()?).await?;
    agent.meet_at(line.address)?;
    station.setup_mut().head_office = agent.head_office_that_owns()?;
    station.terminate().await?;
    station.start_again().await?;
    agent.start().await?;
    Ok(Site {
        id,
        station,
        agent,
        line,
        secrets,
        cards: 0,
    })
}

impl Site {
    /// What its days are called in reports.
    pub(super) fn scope(&self) -> String {
        format!("site:{}", self.id)
    }

    /// A member of its own, from before it had a head office.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    /// The station is started again as it is set up now.
    ///
    /// # Errors
    /// It does not end or come up.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.station.start_again().await?;
        self.agent.start().await
    }

    /// It is stopped, and so is the program on its box.
    ///
    /// # Errors
    /// One does not end as it should.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.agent.terminate().await?;
        ensure!(self.station.terminate().await?, "{} did not end cleanly", self.id);
        Ok(())
    }

    async fn start(&mut self, now: Wall) -> anyhow::Result<()> {
        self.station.set_clock(now);
        self.station.start_again().await?;
        self.agent.start().await
    }

    /// A pile connects, and its register shows this.
    ///
    /// # Errors
    /// The station does not let it in.
    pub(super) async fn pile(&self, pile: &str, register: &str) -> anyhow::Result<Hand> {
        let secret = self.secrets.get(pile).context("a pile that was let in")?;
        history::boot_at(&self.station, pile, secret, register).await
    }

    /// Waits until head office has all that the station has said, and the books of both are equal.
    ///
    /// # Errors
    /// They are not.
    pub(super) async fn equal(&mut self, office: &HeadOfficeProcess) -> anyhow::Result<()> {
        self.hurry(office).await?;
        let equal = world::books::are_equal(&self.station, self.id, office, PATIENCE).await;
        equal.map(drop).with_context(|| self.id)
    }

    /// What is not urgent waits ten seconds for company on the box. Head office tells the station of another card, and the answer to that is
    /// urgent and takes the rest along.
    ///
    /// # Errors
    /// Head office refuses it.
    pub(super) async fn hurry(&mut self, office: &HeadOfficeProcess) -> anyhow::Result<()> {
        self.cards += 1;
        let path = format!("/v1/cards/{}-{}", self.id, self.cards);
        let card = json!({ "member": CARD_OF });
        back_end::told(office, hyper::Method::PUT, &path, &card).await.map(drop)
    }
}

/// Waits until something is so.
///
/// # Errors
/// It never is: with what was waited for.
pub(super) async fn until(what: &str, mut is: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is().await? {
        ensure!(begun.elapsed() < PATIENCE, "it is never so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
