//! Orders of which head office's books say something else than their site, and what is wrong at the desk.

use super::{
    chain::{Chain, PATIENCE, Site, by_hand, until},
    meters::{FROM, begin, charge, end, started},
    planted::Planted,
};
use anyhow::Context;
use domain::order::State;
use hyper::Method;
use serde_json::{Value, json};
use world::{back_end, history};

/// Somebody at the desk counts a yuan too much.
///
/// # Errors
/// The station refuses it.
pub(super) async fn at_the_desk(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let station = &site.station;
    let desk = station.post("/v1/desk/shift", &json!({})).await?.expect(201)?;
    let till = back_end::yuan(&desk["till"])?;
    let counted = till + domain::units::Fen(100);
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
    let (right, wrong) = ("0.64370", "0.65370");
    let changed = |from: &str, to: &str| {
        format!("UPDATE r_tariff SET row = REPLACE(row, '{from}', '{to}') WHERE site = 'north' AND row LIKE '%{from}%'")
    };
    chain.by_hand(&changed(right, wrong)).await?;
    let north = &mut chain.north;
    let mut hand = north.pile("P4", FROM).await?;
    charge(north, &mut hand, &north.own("anna"), "1005.0000").await?;
    hand.leave().await;
    north.equal(&chain.office).await?;
    chain.by_hand(&changed(wrong, right)).await?;
    planted.add(
        "site:north",
        "orders RATING",
        ("5.27", "5.22"),
        "a price in head office's copy of the tariff is another",
    );
    Ok(())
}

/// More was given back of an order than its bill says, once that was corrected.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn given_back_too_much(chain: &mut Chain, planted: &mut Planted) -> anyhow::Result<()> {
    let (office, site) = (&chain.office, &mut chain.north);
    let mut hand = site.pile("P1", FROM).await?;
    history::report(&mut hand, "plugged", None, FROM).await?;
    let order = back_end::place(office, site.id, "wang", "20.00").await?;
    started(site, &mut hand, &order).await?;
    end(site, &mut hand, &order, "1005.0000").await?;
    hand.leave().await;
    site.equal(office).await?;
    let refund = json!({ "amount": "3.00", "reason": "the cable was short" });
    let path = format!("/v1/sites/{}/orders/{order}/refunds", site.id);
    let asked = back_end::told(office, Method::POST, &path, &refund).await?;
    let number = asked["id"].as_str().context("a refund without a number")?;
    back_end::once(office, &format!("/v1/refunds/{number}"), PATIENCE, |refund| {
        refund["state"] == "credited"
    })
    .await?;
    let lower = json!({ "electricity": "1.20", "service": "0.80", "reason": "charged for half the time" });
    let path = format!("/v1/orders/{order}/corrections");
    site.station.post(&path, &lower).await?.success()?;
    site.equal(office).await?;
    planted.add(
        "site:north",
        "orders OVER_REFUND",
        ("3.00", "2.00"),
        "given back more than the bill says once it was corrected",
    );
    Ok(())
}

/// An order at north whose bill somebody changes in head office's copy, while that is stopped in the evening.
///
/// # Errors
/// The station or the pile does not do as it should.
pub(super) async fn to_be_changed(site: &Site) -> anyhow::Result<String> {
    let mut hand = site.pile("P5", FROM).await?;
    let order = charge(site, &mut hand, &site.own("anna"), "1003.0000").await?;
    hand.leave().await;
    Ok(order)
}

/// It is changed.
///
/// # Errors
/// It is not there.
pub(super) async fn change(chain: &Chain, order: &str, planted: &mut Planted) -> anyhow::Result<()> {
    let statement = format!("UPDATE r_order SET fee = fee + 100 WHERE id = '{order}'");
    by_hand(&chain.office, &statement).await?;
    planted.add(
        "site:north",
        "orders BOOKS",
        ("3.13", "4.13"),
        "what is booked as sold is not the bill: somebody has changed it",
    );
    Ok(())
}

/// A station is lost after a copy of it was made, restored from that, and goes on by itself: it settles an order again that it had settled,
/// and does not know what a member had paid in. A person says that the restored one lives.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn twice(chain: &mut Chain, planted: &mut Planted) -> anyhow::Result<()> {
    let (office, site) = (&chain.office, &mut chain.south);
    let mut hand = site.pile("P1", FROM).await?;
    let order = begin(site, &mut hand, &site.own("anna")).await?;
    let copy = site.station.folder().join("data/copy.redb");
    let copy = copy.to_str().context("a path")?.to_owned();
    site.station.cli(&["backup", &copy])?;
    end(site, &mut hand, &order, "1003.0000").await?;
    hand.leave().await;
    let top_up = json!({ "amount": "7.00", "receipt": "after-the-copy" });
    let member = site.own("carl");
    site.station
        .post(&format!("/v1/members/{member}/topups"), &top_up)
        .await?
        .success()?;
    site.equal(office).await?;

    site.agent.terminate().await?;
    site.station.kill()?;
    let config = site.station.config_path();
    let config = config.to_str().context("a path")?.to_owned();
    site.station
        .offline(&["restore", "--move-aside", &copy, "--config", &config])?;
    site.station.start_again().await?;
    site.station
        .cli(&["recover", "--alone", "the disk is gone, and so is the line"])?;
    let mut hand = site.pile("P1", "1003.0000").await?;
    end(site, &mut hand, &order, "1003.0000").await?;
    hand.leave().await;
    site.agent.start().await?;
    let mut place = String::new();
    until("head office has the other branch", async || {
        let head: Value = site.station.get("/v1/station").await?.success()?["journal"].clone();
        place = format!("{}:{}", head["seq"], head["hash"].as_str().unwrap_or_default());
        Ok(office.cli(&["site", "branches", site.id])?.contains(&place))
    })
    .await?;
    office.cli(&["site", "accept", site.id, &place, "--reason", "the old disk is gone"])?;
    site.equal(office).await?;
    planted.add(
        "site:south",
        "orders FORK",
        ("3.13", "3.13"),
        "a restored station settles an order again",
    );
    planted.add(
        "site:south",
        "orders ABOVE_FORK",
        ("-", "-"),
        "and does not know what a member had paid in since the copy",
    );
    site.station
        .wait_for_order(&order, State::Payed, PATIENCE)
        .await
        .map(drop)
}
