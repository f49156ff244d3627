//! What befalls head office itself and a station's whole box: databases that are restored from copies, and a row that is gone.

use super::{
    chain::{Chain, PATIENCE, STRANGER, by_hand, join, until},
    meters::{FROM, begin, end, fee_of},
    orders::{given_back, paid_through_head_office},
    person::Person,
    planted::Planted,
};
use anyhow::{Context, ensure};
use domain::{order::State, time::Wall, units::Fen};
use hyper::Method;
use serde_json::{Value, json};
use world::back_end;

/// Who runs head office's machine: what one proposes another approves.
const ADMINISTRATORS: [&str; 2] = ["office-a", "office-b"];

/// A third site comes in, and never comes again: two people close it.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn closed(chain: &Chain, begins: Wall, planted: &mut Planted) -> anyhow::Result<()> {
    let mut west = join(&chain.office, "west", begins, None).await?;
    west.equal(&chain.office).await?;
    // What it says of itself, its time zone with it, is written down some moments later.
    back_end::once(&chain.office, "/v1/sites/west", PATIENCE, |site| {
        site["said"]["time_zone"].is_string()
    })
    .await?;
    west.stop().await?;
    let [one, other] = ADMINISTRATORS;
    let one = Person::new(&chain.office, one, "admin").await?;
    let other = Person::new(&chain.office, other, "admin").await?;
    let path = "/v1/sites/west/closure";
    let proposed = one
        .put(path, &json!({ "reason": "the lease of the yard is over" }))
        .await?;
    let approval = json!({ "proposal": proposed["proposal"] });
    other.put(&format!("{path}/approval"), &approval).await?;
    planted.add(
        "site:west",
        "orders CLOSED",
        ("600.00", "600.00"),
        "a third site is closed, and its own members have something there",
    );
    Ok(())
}

/// Head office's database is lost, and a copy takes its place from before somebody gave 1.00 back for an order: the site has marked a
/// refund of which nothing is known here.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn forgotten(chain: &mut Chain, planted: &mut Planted) -> anyhow::Result<()> {
    let order = paid_through_head_office(chain, "P6", "1005.0000").await?;
    chain.equal().await?;
    let copy = chain.office.folder().join("copy.sqlite");
    chain.office.cli(&["backup", copy.to_str().context("a path")?])?;
    given_back(chain, &order, "1.00").await?;
    chain.equal().await?;
    chain.office.terminate().await?;
    let database = chain.office.database();
    for beside in ["-wal", "-shm"] {
        let _none = std::fs::remove_file(format!("{}{beside}", database.display()));
    }
    std::fs::copy(&copy, &database)?;
    let said = ["restored", "--reason", "its disk is gone", "--config", "central.toml"];
    chain.office.cli(&said)?;
    chain.office.start_again().await?;
    chain.agents_again().await?;
    chain.equal().await?;
    // Both have said what they know; until a person says so, no wallet pays.
    back_end::told(&chain.office, Method::PUT, "/v1/head-office/wallets", &json!({})).await?;
    planted.add(
        "site:north",
        "orders FORGOTTEN",
        ("-", "-"),
        "a refund was marked that head office's restored database does not know",
    );
    Ok(())
}

/// A row of head office's copy is gone, so an entry of the site's cannot be followed. Two people set it aside.
///
/// # Errors
/// Something does not go as it should.
pub(super) async fn set_aside(chain: &mut Chain, planted: &mut Planted) -> anyhow::Result<()> {
    let gone = format!("DELETE FROM r_member WHERE site = 'north' AND id = '{STRANGER}'");
    chain.by_hand(&gone).await?;
    let block = json!({ "on": true, "reason": "nobody knows who that is" });
    let path = format!("/v1/members/{STRANGER}/block");
    let blocked = chain.north.station.ask(Method::PUT, &path, Some(&block), None).await?;
    blocked.success()?;
    // The station is idle: its last entry is that.
    let entry = chain.north.station.get("/v1/station").await?.success()?["journal"].clone();
    chain.north.hurry(&chain.office).await?;
    let broken = back_end::once(&chain.office, "/v1/sites/north", PATIENCE, |site| {
        site["state"] == "broken"
    })
    .await?;
    let followed = broken["head"]["seq"].as_u64().context("how far north is followed")?;
    ensure!(
        entry["seq"] == followed + 1,
        "it is not {entry} that is not followed: {broken}"
    );
    let hash = entry["hash"].as_str().context("the hash of an entry")?;
    let path = format!("/v1/sites/north/set-aside/{}:{hash}", entry["seq"]);
    let [one, other] = ADMINISTRATORS;
    let one = Person::again(&chain.office, one).await?;
    let other = Person::again(&chain.office, other).await?;
    let proposed = one.put(&path, &json!({ "reason": "the member's row is gone" })).await?;
    let approval = json!({ "proposal": proposed["proposal"] });
    other.put(&format!("{path}/approval"), &approval).await?;
    chain.agents_again().await?;
    back_end::once(&chain.office, "/v1/sites/north", PATIENCE, |site| {
        site["state"] == "following"
    })
    .await?;
    chain.equal().await?;
    planted.add(
        "site:north",
        "orders SET_ASIDE",
        ("-", "-"),
        "an entry that head office's copy contradicts is set aside by two people",
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
    let before = fee_of(site, &order).await?.to_string();
    let top_up = json!({ "amount": "7.00", "receipt": "after-the-copy" });
    site.station.post("/v1/members/li/topups", &top_up).await?.success()?;
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
    let accept = ["site", "accept", site.id, &place, "--reason", "the old disk is gone"];
    office.cli(&accept)?;
    site.equal(office).await?;
    let again = fee_of(site, &order).await?.to_string();
    planted.add(
        "site:south",
        "orders FORK",
        (&before, &again),
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

/// Somebody changes the bill of an order in head office's copy, while that is stopped in the evening.
///
/// # Errors
/// It is not there.
pub(super) async fn bill_changed(
    chain: &Chain,
    (order, billed): &(String, Fen),
    planted: &mut Planted,
) -> anyhow::Result<()> {
    let by = Fen(100);
    let statement = format!("UPDATE r_order SET fee = fee + {} WHERE id = '{order}'", by.0);
    by_hand(&chain.office, &statement).await?;
    planted.add(
        "site:north",
        "orders BOOKS",
        (&billed.to_string(), &(*billed + by).to_string()),
        "what is booked as sold is not the bill: somebody has changed it",
    );
    Ok(())
}
