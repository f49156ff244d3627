//! Orders of which head office's books say something else than their site, and what is wrong at the desk.

use super::{
    chain::{Chain, PATIENCE, Site},
    meters::{FROM, charge, end, fee_of, started},
    planted::Planted,
};
use anyhow::Context;
use domain::units::{Fen, Price};
use hyper::Method;
use serde_json::json;
use world::{back_end, history};

/// By how much a price is dearer in head office's copy: a fen a kWh; and what that makes of five.
const DEARER: Price = Price(1_000);
const FIVE_KWH_DEARER: Fen = Fen(5);

/// Somebody at the desk counts a yuan too much.
///
/// # Errors
/// The station refuses it.
pub(super) async fn at_the_desk(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let station = &site.station;
    let desk = station.post("/v1/desk/shift", &json!({})).await?.expect(201)?;
    let till = back_end::yuan(&desk["till"])?;
    let counted = till + Fen(100);
    let count = json!({ "counted": counted, "reason": "a coin more than there should be" });
    station.post("/v1/desk/count", &count).await?.success()?;
    let (books, counted) = (till.to_string(), counted.to_string());
    planted.add(
        &site.scope(),
        "till CASH",
        (&books, &counted),
        "a shift counts a yuan too much",
    );
    Ok(())
}

/// Somebody changes a price in head office's copy of a tariff, and an order is rated otherwise here. Then it is put right.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn rated_otherwise(chain: &mut Chain, planted: &mut Planted) -> anyhow::Result<()> {
    let priced = chain.north.station.get("/v1/tariffs/in-force").await?.success()?;
    let right: Price = priced["price"]["electricity"].as_str().context("a price")?.parse()?;
    let wrong = right + DEARER;
    let changed = |from: Price, to: Price| {
        format!("UPDATE r_tariff SET row = REPLACE(row, '{from}', '{to}') WHERE site = 'north' AND row LIKE '%{from}%'")
    };
    chain.by_hand(&changed(right, wrong)).await?;
    let north = &mut chain.north;
    let mut hand = north.pile("P4", FROM).await?;
    let order = charge(north, &mut hand, &north.own("anna"), "1005.0000").await?;
    hand.leave().await;
    north.equal(&chain.office).await?;
    let billed = fee_of(&chain.north, &order).await?;
    let here = billed + FIVE_KWH_DEARER;
    chain.by_hand(&changed(wrong, right)).await?;
    planted.add(
        "site:north",
        "orders RATING",
        (&here.to_string(), &billed.to_string()),
        "a price in head office's copy of the tariff is another",
    );
    Ok(())
}

/// An order at north that a member starts by phone, up to this register; its number.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn paid_through_head_office(chain: &Chain, pile: &str, to: &str) -> anyhow::Result<String> {
    let site = &chain.north;
    let mut hand = site.pile(pile, FROM).await?;
    history::report(&mut hand, "plugged", None, FROM).await?;
    let wish = json!({ "site": site.id, "member": "wang", "pile": pile, "connector": 1, "prepay": "20.00" });
    let placed = back_end::told(&chain.office, Method::POST, "/v1/orders", &wish).await?;
    let order = placed["order"]
        .as_str()
        .context("an order without a number")?
        .to_owned();
    started(site, &mut hand, &order).await?;
    end(site, &mut hand, &order, to).await?;
    hand.leave().await;
    Ok(order)
}

/// Somebody at head office gives some of it back.
///
/// # Errors
/// It is not in the wallet.
pub(super) async fn given_back(chain: &mut Chain, order: &str, amount: &str) -> anyhow::Result<()> {
    chain.north.equal(&chain.office).await?;
    let refund = json!({ "amount": amount, "reason": "the cable was short" });
    let path = format!("/v1/sites/north/orders/{order}/refunds");
    let asked = back_end::told(&chain.office, Method::POST, &path, &refund).await?;
    let number = asked["id"].as_str().context("a refund without a number")?;
    let path = format!("/v1/refunds/{number}");
    back_end::once(&chain.office, &path, PATIENCE, |refund| refund["state"] == "credited")
        .await
        .map(drop)
}

/// More was given back of an order than its bill says, once that was corrected.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn given_back_too_much(chain: &mut Chain, planted: &mut Planted) -> anyhow::Result<()> {
    let order = paid_through_head_office(chain, "P1", "1005.0000").await?;
    given_back(chain, &order, "3.00").await?;
    let lower = json!({ "electricity": "1.20", "service": "0.80", "reason": "charged for half the time" });
    let path = format!("/v1/orders/{order}/corrections");
    chain.north.station.post(&path, &lower).await?.success()?;
    chain.north.equal(&chain.office).await?;
    planted.add(
        "site:north",
        "orders OVER_REFUND",
        ("3.00", "2.00"),
        "given back more than the bill says once it was corrected",
    );
    Ok(())
}

/// An order of which nothing is wrong.
///
/// # Errors
/// The station or the pile does not do as it should.
pub(super) async fn good(site: &Site) -> anyhow::Result<()> {
    let mut hand = site.pile("P7", FROM).await?;
    charge(site, &mut hand, &site.own("anna"), "1004.0000").await?;
    hand.leave().await;
    Ok(())
}

/// An order at north whose bill somebody changes in head office's copy, while that is stopped in the evening: its number, and its bill.
///
/// # Errors
/// The station or the pile does not do as it should.
pub(super) async fn to_be_changed(site: &Site) -> anyhow::Result<(String, Fen)> {
    let mut hand = site.pile("P5", FROM).await?;
    let order = charge(site, &mut hand, &site.own("anna"), "1003.0000").await?;
    hand.leave().await;
    let billed = fee_of(site, &order).await?;
    Ok((order, billed))
}
