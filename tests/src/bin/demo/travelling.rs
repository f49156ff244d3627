//! The third part of the story: members whose wallets are at head office travel between the two stations. They start by phone, by
//! card and, while a line is cut, by voucher; one owes at one station and pays at the other. After each step the three books add
//! up to zero, and at the end they stand side by side.

use crate::{
    head_office::{Chain, Site, equal},
    three_books::ThreeBooks,
};
use anyhow::{Context, bail, ensure};
use domain::{
    order::State,
    topics::{DownKind, UpKind},
    units::Fen,
};
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use world::{
    back_end::{self, yuan},
    head_office::HeadOfficeProcess,
    history,
};

/// How long any one thing may take: a connection is tried again after up to a minute.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who travels.
const MEMBERS: [&str; 3] = ["wang", "li", "zhao"];
/// What they pay in through the channel.
const PAID_IN: [&str; 3] = ["100.00", "60.00", "13.50"];
/// What zhao's phone carries over the line that is cut.
const VOUCHER: &str = "5.00";
/// What zhao pays in cash.
const CASH: &str = "20.00";

/// Tells it.
///
/// # Errors
/// Something did not go as it should, or the books do not fit.
pub(crate) async fn tell(begun: Instant, chain: &mut Chain) -> anyhow::Result<()> {
    let row = |text: &str| println!("\n[{:>4.1}s] {text}", begun.elapsed().as_secs_f32());
    let first = ThreeBooks::of(chain).await?;
    let mut spent = Fen::ZERO;

    row("Three members pay in through a channel, which calls head office back, signed.");
    back_end::open_channel(&chain.office).await?;
    for (member, amount) in MEMBERS.into_iter().zip(PAID_IN) {
        back_end::add_member(&chain.office, member, member).await?;
        back_end::top_up(&chain.office, member, amount).await?;
    }
    weigh(chain).await?;

    row(
        "By phone: head office sends the money and the order along. What is left of it is back in the wallet with the step that \
         ends the order.",
    );
    for (member, at_south, kwh) in [("wang", false, 5), ("wang", true, 4), ("zhao", false, 5)] {
        let office = &chain.office;
        let site = if at_south { &mut chain.south } else { &mut chain.north };
        let before = balance(office, member).await?;
        let (from, to) = plugged(site, kwh).await?;
        let order = back_end::place(office, site.id, member, "10.00").await?;
        let fee = paid(site, &order, (&from, &to)).await?;
        spent += fee;
        let left = wallet_has(office, member, before - fee).await?;
        println!(
            "       {member} at {}: order {order}, ¥10.00 reserved, ¥{fee} paid; the wallet has ¥{left}",
            site.id
        );
    }
    weigh(chain).await?;

    row("By card: south has too little of li's money, asks head office, and the order comes with it.");
    let card = json!({ "member": "li" });
    back_end::told(&chain.office, Method::PUT, "/v1/cards/C0FFEE", &card).await?;
    directives_done(chain, "south").await?;
    let before = balance(&chain.office, "li").await?;
    let (from, to) = plugged(&mut chain.south, 5).await?;
    let site = &mut chain.south;
    let swipe = json!({ "connector": 1, "card_id": "C0FFEE" });
    let swiped = site.pile.say(UpKind::Card, &swipe).await?;
    let answer = site.pile.ack_of(&swiped).await?;
    println!(
        "       the card is held to the pile: {} ({})",
        answer["result"], answer["detail"]
    );
    let order = started(site, None).await?;
    let fee = end(site, &order, (&from, &to)).await?;
    spent += fee;
    let left = wallet_has(&chain.office, "li", before - fee).await?;
    println!("       li at south: order {order}, ¥{fee} paid; the wallet has ¥{left}");
    weigh(chain).await?;

    row("The line of south is cut. zhao's phone carries the money there: a voucher, which counts once.");
    chain.south.line.cut();
    let wanted = json!({ "site": "south", "amount": VOUCHER, "hours": 2 });
    let voucher = back_end::told(&chain.office, Method::POST, "/v1/members/zhao/vouchers", &wanted).await?;
    weigh(chain).await?;
    let shown = json!({ "voucher": voucher["text"] });
    for _ in 0..2 {
        chain.south.station.post("/v1/vouchers", &shown).await?.success()?;
    }
    let there = chain.south.station.get("/v1/members/zhao").await?.success()?;
    ensure!(there["allowance"] == VOUCHER, "the voucher was shown twice: {there}");
    println!("       south takes it, shown twice, for ¥{VOUCHER}; head office does not know yet");
    let (from, to) = plugged(&mut chain.south, 5).await?;
    let order = chain.south.station.place("zhao", "P1", VOUCHER).await?;
    started(&mut chain.south, Some(&order)).await?;
    let (fee, debt) = ends_in_debt(&mut chain.south, &order, (&from, &to)).await?;
    spent += fee;
    println!("       zhao at south: order {order} costs ¥{fee}, ¥{VOUCHER} were there: ¥{debt} are owed");
    weigh(chain).await?;

    row("The line is back: the wallet pays what it can of the debt at once. The rest is owed, and north is told.");
    chain.south.line.mend();
    let has = balance(&chain.office, "zhao").await?;
    ensure!(has < debt, "the wallet has {has}: all of {debt} would be paid");
    wallet_has(&chain.office, "zhao", Fen::ZERO).await?;
    owes(chain, debt - has).await?;
    println!("       the wallet had ¥{has} and pays it; ¥{} are owed", debt - has);
    let wish = json!({ "site": "north", "member": "zhao", "pile": "P1", "connector": 1, "prepay": "5.00" });
    let refused = back_end::ask(&chain.office, Method::POST, "/v1/orders", &wish).await?;
    let why: Value = serde_json::from_slice(&refused.body)?;
    ensure!(refused.status == 409, "who owes could start: {why}");
    println!(
        "       zhao at north, by phone: {}",
        why["detail"].as_str().unwrap_or_default()
    );
    let wish = json!({ "member": "zhao", "pile": "P1", "connector": 1, "prepay": "5.00" });
    let refused = until_refused(&chain.north, &wish).await?;
    println!("       zhao at north, at the desk: {refused}");
    weigh(chain).await?;

    row("zhao pays ¥20.00 in cash at north's desk. It is recalled to the wallet, and pays at south.");
    let cash = json!({ "amount": CASH, "receipt": "demo-travelling-1" });
    let paid_in = chain.north.station.post("/v1/members/zhao/topups", &cash).await?;
    paid_in.success()?;
    let all = json!({ "site": "north", "amount": CASH });
    back_end::told(&chain.office, Method::POST, "/v1/members/zhao/recalls", &all).await?;
    let left = yuan(&json!(CASH))? - (debt - has);
    wallet_has(&chain.office, "zhao", left).await?;
    chain
        .south
        .station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await?;
    owes(chain, Fen::ZERO).await?;
    println!("       order {order} is paid at south; zhao's wallet has ¥{left}");
    weigh(chain).await?;

    row("The three balance sheets, and the accounts that mirror each other");
    for site in [&chain.north, &chain.south] {
        equal(site, &chain.office).await?;
    }
    let last = ThreeBooks::of(chain).await?;
    last.print();
    last.fit()?;
    let mut paid_in = Fen::ZERO;
    for amount in PAID_IN {
        paid_in += yuan(&json!(amount))?;
    }
    let members: Fen = MEMBERS.iter().map(|member| last.of_member(member)).sum();
    let sold = last.sold() - first.sold();
    println!(
        "       paid in: ¥{paid_in} through the channel and ¥{CASH} in cash; sold: ¥{sold}; the members have ¥{members}"
    );
    ensure!(sold == spent, "the orders cost {spent}, and {sold} are sold");
    let expected = paid_in + yuan(&json!(CASH))? - spent;
    ensure!(
        members == expected,
        "the members have {members}, and should have {expected}"
    );
    Ok(())
}

/// The three books at this moment, and that they add up.
async fn weigh(chain: &Chain) -> anyhow::Result<()> {
    let books = ThreeBooks::of(chain).await?;
    println!("       {}", books.in_a_line());
    books.add_up()
}

async fn balance(office: &HeadOfficeProcess, member: &str) -> anyhow::Result<Fen> {
    yuan(&back_end::wallet(office, member).await?["balance"])
}

/// Waits until a wallet has so much, and nothing of the member's is on the road.
async fn wallet_has(office: &HeadOfficeProcess, member: &str, amount: Fen) -> anyhow::Result<Fen> {
    let path = format!("/v1/members/{member}/wallet");
    let amount_text = amount.to_string();
    back_end::once(office, &path, PATIENCE, |shown| {
        shown["balance"] == amount_text && shown["on_road"] == json!([])
    })
    .await?;
    Ok(amount)
}

/// Waits until head office has heard that zhao owes so much at south.
async fn owes(chain: &Chain, amount: Fen) -> anyhow::Result<()> {
    let amount = amount.to_string();
    back_end::once(&chain.office, "/v1/members/zhao/wallet", PATIENCE, |shown| {
        let at_sites = shown["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
        at_sites.iter().any(|at| at["site"] == "south" && at["debt"] == amount)
    })
    .await
    .map(drop)
}

/// Waits until a site has done all that it was told.
async fn directives_done(chain: &Chain, site: &str) -> anyhow::Result<()> {
    let path = format!("/v1/sites/{site}/directives");
    back_end::once(&chain.office, &path, PATIENCE, |shown| {
        let all = shown.as_array().or_else(|| shown["items"].as_array());
        all.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["state"] != "waiting"))
    })
    .await
    .map(drop)
}

/// A car is plugged in that will take so many kWh; what the register shows before and after.
async fn plugged(site: &mut Site, kwh: u32) -> anyhow::Result<(String, String)> {
    let (from, to) = site.deliver(kwh);
    history::report(&mut site.pile, "plugged", None, &from).await?;
    Ok((from, to))
}

/// The pile is told to start, and says that it does; for which order.
async fn started(site: &mut Site, order: Option<&str>) -> anyhow::Result<String> {
    let start = site.pile.hear(DownKind::Command).await?;
    let told = start["order_id"]
        .as_str()
        .context("a command without an order")?
        .to_owned();
    ensure!(order.is_none_or(|order| order == told), "{start}");
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    site.pile.say(UpKind::Reply, &reply).await?;
    Ok(told)
}

/// An order that head office has placed, from the pile's start to its money; its fee.
async fn paid(site: &mut Site, order: &str, registers: (&str, &str)) -> anyhow::Result<Fen> {
    started(site, Some(order)).await?;
    end(site, order, registers).await
}

/// The car charges and leaves; the fee, which was paid.
async fn end(site: &mut Site, order: &str, registers: (&str, &str)) -> anyhow::Result<Fen> {
    charged(site, order, registers).await?;
    let settled = site.station.wait_for_order(order, State::Payed, PATIENCE).await?;
    yuan(&settled["bill"]["fee"])
}

/// The same of an order that costs more than there is: the fee, and what is owed of it.
async fn ends_in_debt(site: &mut Site, order: &str, registers: (&str, &str)) -> anyhow::Result<(Fen, Fen)> {
    charged(site, order, registers).await?;
    let unpaid = site.station.wait_for_order(order, State::Unpaid, PATIENCE).await?;
    Ok((yuan(&unpaid["bill"]["fee"])?, yuan(&unpaid["paid"]["debt"])?))
}

async fn charged(site: &mut Site, order: &str, (from, to): (&str, &str)) -> anyhow::Result<()> {
    history::report(&mut site.pile, "charging", Some(order), from).await?;
    history::record(&mut site.pile, order, from, to).await
}

/// What a station answers to who owes elsewhere, once it was told.
async fn until_refused(site: &Site, wish: &Value) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let member = site.station.get("/v1/members/zhao").await?.success()?;
        if member["owes"].as_str().is_some_and(|owes| owes != "0.00") {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "north is not told what zhao owes: {member}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = site.station.post("/v1/orders", wish).await?;
    match refused.status {
        409 => Ok(refused.body["detail"].as_str().unwrap_or_default().to_owned()),
        other => bail!("who owes elsewhere is answered {other} at north: {}", refused.body),
    }
}
