//! Piles whose registers do not say what was billed: each has a pile of its own, played by hand.

use super::{
    chain::{PATIENCE, Site, until},
    planted::Planted,
};
use anyhow::{Context, ensure};
use domain::{
    order::State,
    topics::{DownKind, UpKind},
    units::Fen,
};
use serde_json::{Value, json};
use world::{back_end, hand::Hand, history};

/// What every register shows when its pile comes.
pub(super) const FROM: &str = "1000.0000";

/// An order that charges: its number.
///
/// # Errors
/// The station or the pile does not do as it should.
pub(super) async fn begin(site: &Site, hand: &mut Hand, member: &str) -> anyhow::Result<String> {
    history::report(hand, "plugged", None, FROM).await?;
    let pile = hand.pile().to_string();
    let order = site.station.place(member, &pile, "20.00").await?;
    started(site, hand, &order).await?;
    Ok(order)
}

/// A pile is told to start an order, and does.
///
/// # Errors
/// It is told something else.
pub(super) async fn started(site: &Site, hand: &mut Hand, order: &str) -> anyhow::Result<()> {
    let start = hand.hear(DownKind::Command).await?;
    ensure!(start["order_id"] == order, "{start}");
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    hand.say(UpKind::Reply, &reply).await?;
    history::report(hand, "charging", Some(order), FROM).await?;
    site.station
        .wait_for_order(order, State::Charging, PATIENCE)
        .await
        .map(drop)
}

/// A whole order at a pile that has just come, up to this register; its number.
///
/// # Errors
/// The station or the pile does not do as it should.
pub(super) async fn charge(site: &Site, hand: &mut Hand, member: &str, to: &str) -> anyhow::Result<String> {
    let order = begin(site, hand, member).await?;
    end(site, hand, &order, to).await?;
    Ok(order)
}

/// The end of it.
///
/// # Errors
/// It is not paid.
pub(super) async fn end(site: &Site, hand: &mut Hand, order: &str, to: &str) -> anyhow::Result<()> {
    history::record(hand, order, FROM, to).await?;
    site.station.wait_for_order(order, State::Payed, PATIENCE).await?;
    history::report(hand, "idle", None, to).await
}

/// What the station has billed an order for.
///
/// # Errors
/// It has not.
pub(super) async fn fee_of(site: &Site, order: &str) -> anyhow::Result<Fen> {
    let order = site.station.get(&format!("/v1/orders/{order}")).await?.success()?;
    back_end::yuan(&order["bill"]["fee"])
}

/// A record says less than the station saw of the register. A person has looked, and lets it stand.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn less_than_seen(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P2", FROM).await?;
    let order = begin(site, &mut hand, &site.own("anna")).await?;
    history::report(&mut hand, "charging", Some(&order), "1002.0001").await?;
    history::record(&mut hand, &order, FROM, "1001.5001").await?;
    site.station.wait_for_order(&order, State::Review, PATIENCE).await?;
    let decision = json!({ "decision": "as_is", "reason": "looked at the meter" });
    let path = format!("/v1/reviews/{order}/decision");
    site.station.post(&path, &decision).await?.success()?;
    site.station.wait_for_order(&order, State::Payed, PATIENCE).await?;
    hand.leave().await;
    planted.add(
        &site.scope(),
        "meters ENERGY",
        ("1.5001", "2.0001"),
        "a record of half a kWh less than its register moved",
    );
    Ok(())
}

/// A little more on the register than its orders account for.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn moved_between_orders(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P2", FROM).await?;
    charge(site, &mut hand, &site.own("anna"), "1005.0000").await?;
    history::report(&mut hand, "idle", None, "1005.0500").await?;
    hand.leave().await;
    planted.add(
        &site.scope(),
        "meters REGISTER_GAP",
        ("-", "0.0500"),
        "the register moves while nobody charges",
    );
    Ok(())
}

/// A pile comes back with a lower register than it had.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn rolled_back(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P3", FROM).await?;
    charge(site, &mut hand, &site.own("anna"), "1003.0000").await?;
    hand.leave().await;
    site.pile("P3", "3.0000").await?.leave().await;
    planted.add(
        &site.scope(),
        "meters ROLLBACK",
        ("1003.0000", "3.0000"),
        "a pile comes back with a lower register",
    );
    Ok(())
}

/// A record of an order that nobody has placed.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn of_nobody(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P4", FROM).await?;
    history::record(&mut hand, "nobodys-1", FROM, "1002.0000").await?;
    history::report(&mut hand, "idle", None, "1002.0000").await?;
    hand.leave().await;
    planted.add(
        &site.scope(),
        "meters UNBILLED",
        ("-", "2.0000"),
        "a record of an order that nobody has placed",
    );
    Ok(())
}

/// A second record of an order, which says more than the first.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn contradicted(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P5", FROM).await?;
    let order = charge(site, &mut hand, &site.own("anna"), "1003.0000").await?;
    let (ts, mono_ms) = (hand.ts(), hand.mono_ms());
    let record = json!({
        "order_id": order, "connector": 1, "start_ts": ts, "stop_ts": ts, "start_mono_ms": mono_ms, "stop_mono_ms": mono_ms,
        "meter_start_kwh": FROM, "meter_stop_kwh": "1004.0000", "reason": { "code": 0, "text": "" },
    });
    let said = hand.say(UpKind::Record, &record).await?;
    let ack = hand.ack_of(&said).await?;
    ensure!(ack["result"] == "rejected", "{ack}");
    hand.leave().await;
    planted.add(
        &site.scope(),
        "meters CONFLICT",
        ("3.0000", "4.0000"),
        "a second record of an order says more",
    );
    Ok(())
}

/// A record says that all was drawn by night, at noon. The bill stands by the station's own tariff.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn split_otherwise(site: &Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P6", FROM).await?;
    let order = begin(site, &mut hand, &site.own("anna")).await?;
    let (ts, mono_ms) = (hand.ts(), hand.mono_ms());
    let record = json!({
        "order_id": order, "connector": 1, "start_ts": ts, "stop_ts": ts, "start_mono_ms": mono_ms, "stop_mono_ms": mono_ms,
        "meter_start_kwh": FROM, "meter_stop_kwh": "1003.0000", "reason": { "code": 0, "text": "" },
        "periods": { "sharp_kwh": "0", "peak_kwh": "0", "flat_kwh": "0", "valley_kwh": "3.0000" },
    });
    let said = hand.say(UpKind::Record, &record).await?;
    let ack = hand.ack_of(&said).await?;
    ensure!(ack["result"] == "ok", "{ack}");
    site.station.wait_for_order(&order, State::Payed, PATIENCE).await?;
    history::report(&mut hand, "idle", None, "1003.0000").await?;
    hand.leave().await;
    planted.add(
        &site.scope(),
        "meters RATING",
        ("-", "-"),
        "a pile splits an order over the day's prices otherwise",
    );
    Ok(())
}

/// An order whose record never comes: after its time the station bills what it has seen.
///
/// # Errors
/// The station does not do as it should.
pub(super) async fn never_recorded(site: &mut Site, planted: &mut Planted) -> anyhow::Result<()> {
    let mut hand = site.pile("P3", FROM).await?;
    let order = begin(site, &mut hand, &site.own("anna")).await?;
    history::report(&mut hand, "charging", Some(&order), "1002.0001").await?;
    history::report(&mut hand, "idle", None, "1002.0001").await?;
    hand.leave().await;
    // Only here the station waits less long than it does: nobody else's record is on the way.
    let before = std::mem::take(&mut site.station.setup_mut().policy);
    for policy in ["record_request = \"1s\"\nrecord_overdue = \"2s\"\n", &before] {
        policy.clone_into(&mut site.station.setup_mut().policy);
        site.restart().await?;
        if policy == before {
            break;
        }
        let mut hand = site.pile("P3", "1002.0001").await?;
        history::report(&mut hand, "idle", None, "1002.0001").await?;
        // What is left of its hold waits for the record for a day.
        let settled = site.station.wait_for_order(&order, State::Settle, PATIENCE).await?;
        ensure!(settled["estimated"] == true, "{settled}");
        hand.leave().await;
    }
    planted.add(
        &site.scope(),
        "meters NO_METER",
        ("2.0001", "-"),
        "a record that never comes: the bill is an estimate",
    );
    Ok(())
}

/// Waits until the station has reported the energy of a day.
///
/// # Errors
/// It does not.
pub(super) async fn reported(site: &Site, day: &str) -> anyhow::Result<Value> {
    let path = format!("/v1/energy-reports/{day}");
    until("a day's energy is reported", async || {
        Ok(site.station.get(&path).await?.status == 200)
    })
    .await?;
    site.station.get(&path).await?.success().context("an energy report")
}
