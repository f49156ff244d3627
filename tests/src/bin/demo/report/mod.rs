//! The last part of the story: head office reconciles three days of two channels and two sites, and of a third that is closed. People, piles, channels and head office itself
//! make one error of each class; the report names each once under its class, with both values, and nothing else.
//!
//! | file | holds |
//! |---|---|
//! | here | the days |
//! | `chain` | head office and the stations, which are stopped in the evening and started at another time |
//! | `bills`, `channels` | what channels take and write on their bills, and what they have paid out |
//! | `orders`, `meters`, `mishaps` | what goes wrong at sites and at head office |
//! | `planted` | what was planted, held against the report |
//! | `printed` | the report as people read it |

mod bills;
mod chain;
mod channels;
mod meters;
mod mishaps;
mod orders;
mod person;
mod planted;
mod printed;

use bills::Line;
use chain::{BANK, Chain, at};
use planted::Planted;
use std::time::Instant;
use world::back_end::CHANNEL;

/// The day on which it begins, that of most errors, and the one of which the report is: a bill that never comes is told of two days later.
const FIRST: &str = "2026-03-09";
const ERRORS: &str = "2026-03-10";
const LAST: &str = "2026-03-11";

/// What the channels have taken on a day and will have on its bills: WeChat's, and the bank's.
type Taken = [Vec<Line>; 2];

/// Tells it.
///
/// # Errors
/// Something did not go as it should, or the report says something else.
pub(crate) async fn tell(begun: Instant) -> anyhow::Result<()> {
    let mut planted = Planted::default();
    let row = |text: &str| println!("\n[{:>4.1}s] {text}", begun.elapsed().as_secs_f32());

    row(
        "Another head office, on 9 March: two sites come in, and two channels. The first mistakes are made, each once.",
    );
    let (mut chain, paid_in) = first_day(&mut planted).await?;

    row("10 March. Most mistakes are made, each once.");
    let taken = errors(&mut chain, &paid_in, &mut planted).await?;

    row("11 March. The bills of the day before come in, and the bank has got something for them.");
    let taken = next_day(&mut chain, &taken, &mut planted).await?;

    row("12 March. Head office reconciles 11 March; what it says first:");
    let report = reconciled(&mut chain, &taken).await?;
    row("Every difference, once");
    for line in planted.check(&report)? {
        println!("       {line}");
    }
    println!("\n       {}", printed::spreadsheet(&chain.office, LAST, &report)?);
    chain.evening().await
}

async fn first_day(planted: &mut Planted) -> anyhow::Result<(Chain, Vec<Line>)> {
    let begins = at("2026-03-09T12:00:00")?;
    let mut chain = Chain::begin(begins).await?;
    planted.add(
        "site:north",
        "orders MEMBER_ID",
        ("-", "-"),
        "a member from before has an id that is made at south's desk",
    );
    channels::open(&chain.office).await?;
    mishaps::closed(&chain, begins, planted).await?;
    let paid_in = channels::good_day(&chain.office, CHANNEL, FIRST).await?;
    chain.equal().await?;
    mishaps::forgotten(&mut chain, planted).await?;
    mishaps::set_aside(&mut chain, planted).await?;
    orders::rated_otherwise(&mut chain, planted).await?;
    chain.evening().await?;
    Ok((chain, paid_in))
}

async fn errors(chain: &mut Chain, paid_in: &[Line], planted: &mut Planted) -> anyhow::Result<Taken> {
    chain.morning(at("2026-03-10T12:00:00")?).await?;
    // Orders can be sent to sites whose line is up.
    chain.equal().await?;
    // It is taken once it has stood still for a while: head office goes on for the whole day.
    let brought = channels::bring(&chain.office, CHANNEL, FIRST, paid_in)?;
    planted.add(
        "channel:unionpay",
        "sources FILE_MISSING",
        ("-", "-"),
        "the bank's bill of the day before never comes",
    );
    let wechat = channels::wechat(&chain.office, ERRORS, planted).await?;
    let bank = channels::bank(&chain.office, ERRORS, planted).await?;
    orders::given_back_too_much(chain, planted).await?;
    let order = orders::to_be_changed(&chain.north).await?;
    orders::at_the_desk(&chain.north, planted).await?;
    meters::less_than_seen(&chain.north, planted).await?;
    meters::never_recorded(&mut chain.north, planted).await?;
    meters::moved_between_orders(&chain.south, planted).await?;
    meters::rolled_back(&chain.south, planted).await?;
    meters::of_nobody(&chain.south, planted).await?;
    meters::contradicted(&chain.south, planted).await?;
    meters::split_otherwise(&chain.south, planted).await?;
    mishaps::twice(chain, planted).await?;
    chain.equal().await?;
    chain::until("WeChat's bill is taken from its folder", async || brought.is_taken()).await?;
    chain.evening().await?;
    mishaps::bill_changed(chain, &order, planted).await?;
    Ok([wechat, bank])
}

async fn next_day(chain: &mut Chain, [wechat, bank]: &Taken, planted: &mut Planted) -> anyhow::Result<Taken> {
    chain.morning(at("2026-03-11T12:00:00")?).await?;
    channels::import(&chain.office, CHANNEL, ERRORS, wechat)?;
    channels::import(&chain.office, BANK, ERRORS, bank)?;
    channels::pay_out(&chain.office, LAST, bank, planted).await?;
    let wechat = channels::good_day(&chain.office, CHANNEL, LAST).await?;
    let bank = channels::good_day(&chain.office, BANK, LAST).await?;
    for site in [&mut chain.north, &mut chain.south] {
        orders::good(site).await?;
        meters::reported(site, ERRORS).await?;
        site.equal(&chain.office).await?;
        chain.office.cli(&["ledger", "check", site.id])?;
    }
    chain.south.line.cut();
    planted.add(
        "site:south",
        "sources JOURNAL_GAP",
        ("-", "-"),
        "its line is cut before the day is over",
    );
    chain.evening().await?;
    Ok([wechat, bank])
}

async fn reconciled(chain: &mut Chain, [wechat, bank]: &Taken) -> anyhow::Result<serde_json::Value> {
    chain.morning(at("2026-03-12T12:00:00")?).await?;
    channels::import(&chain.office, CHANNEL, LAST, wechat)?;
    channels::import(&chain.office, BANK, LAST, bank)?;
    meters::reported(&chain.north, LAST).await?;
    chain.north.equal(&chain.office).await?;
    chain.office.cli(&["ledger", "check", chain.north.id])?;
    for of in [
        ["--channel", CHANNEL],
        ["--channel", BANK],
        ["--site", "north"],
        ["--site", "south"],
    ] {
        printed::reconciled(&chain.office, LAST, of).await?;
    }
    // Its last day ended when it was closed.
    printed::reconciled(&chain.office, FIRST, ["--site", "west"]).await?;
    channels::taken_up(&chain.office, &printed::report(&chain.office, LAST)?).await?;
    printed::first_page(&chain.office, LAST)?;
    printed::report(&chain.office, LAST)
}
