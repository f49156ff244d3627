//! The last part of the story: head office reconciles three days of two channels and two sites. People, piles and channels make one error
//! of each class; the report names each once under its class, with both values, and nothing else.

mod bills;
mod chain;
mod channels;
mod meters;
mod orders;
mod person;
mod planted;
mod printed;

use chain::{BANK, Chain, at};
use planted::Planted;
use std::time::Instant;
use world::back_end::CHANNEL;

/// The day on which it begins, that of the errors, and the one of which the report is.
const DAYS: [&str; 3] = ["2026-03-09", "2026-03-10", "2026-03-11"];

/// Tells it.
///
/// # Errors
/// Something did not go as it should, or the report says something else.
pub(crate) async fn tell(begun: Instant) -> anyhow::Result<()> {
    let row = |text: &str| println!("\n[{:>4.1}s] {text}", begun.elapsed().as_secs_f32());
    let mut planted = Planted::default();
    let [first, errors, last] = DAYS;

    row("Another head office, on the evening of 9 March: two sites come in, and two channels.");
    let mut chain = Chain::begin(at("2026-03-09T18:00:00")?).await?;
    channels::open(&chain.office).await?;
    planted.add("site:north", "orders MEMBER_ID", ("-", "-"), "a member from before has an id that is made at south's desk");
    chain.equal().await?;
    chain.evening().await?;

    row("10 March. Everybody makes one mistake.");
    chain.morning(at("2026-03-10T12:00:00")?).await?;
    let brought = channels::bring(&chain.office, CHANNEL, first, &[])?;
    planted.add(
        "channel:unionpay",
        "sources FILE_MISSING",
        ("-", "-"),
        "the bank's bill of the day before never comes",
    );
    let wechat = channels::wechat(&chain.office, errors, &mut planted).await?;
    let bank = channels::bank(&chain.office, errors, &mut planted).await?;
    orders::rated_otherwise(&mut chain, &mut planted).await?;
    orders::given_back_too_much(&mut chain, &mut planted).await?;
    let order = orders::to_be_changed(&chain.north).await?;
    orders::at_the_desk(&chain.north, &mut planted).await?;
    meters::less_than_seen(&chain.north, &mut planted).await?;
    meters::never_recorded(&mut chain.north, &mut planted).await?;
    meters::moved_between_orders(&chain.south, &mut planted).await?;
    meters::rolled_back(&chain.south, &mut planted).await?;
    meters::of_nobody(&chain.south, &mut planted).await?;
    meters::contradicted(&chain.south, &mut planted).await?;
    orders::twice(&mut chain, &mut planted).await?;
    chain.equal().await?;
    chain::until("WeChat's bill is taken from its folder", async || Ok(brought.exists())).await?;
    chain.evening().await?;
    orders::change(&chain, &order, &mut planted).await?;

    row("11 March. The bills of the day before come in.");
    chain.morning(at("2026-03-11T12:00:00")?).await?;
    channels::import(&chain.office, CHANNEL, errors, &wechat)?;
    channels::import(&chain.office, BANK, errors, &bank)?;
    channels::pay_out(&chain, last, &bank, &mut planted).await?;
    let wechat = channels::good_day(&chain.office, CHANNEL, last).await?;
    let bank = channels::good_day(&chain.office, BANK, last).await?;
    for site in [&mut chain.north, &mut chain.south] {
        meters::reported(site, errors).await?;
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

    row("12 March. What came of it.");
    chain.morning(at("2026-03-12T12:00:00")?).await?;
    channels::import(&chain.office, CHANNEL, last, &wechat)?;
    channels::import(&chain.office, BANK, last, &bank)?;
    meters::reported(&chain.north, last).await?;
    chain.north.equal(&chain.office).await?;
    chain.office.cli(&["ledger", "check", chain.north.id])?;
    printed::reconciled(&chain.office, last).await?;
    printed::first_page(&chain.office, last)?;
    let report = printed::report(&chain.office, last)?;
    row("Every difference");
    for line in planted.check(&report)? {
        println!("       {line}");
    }
    let written = printed::spreadsheet(&chain.office, last)?;
    println!("       {written}");
    Ok(())
}
