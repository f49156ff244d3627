//! Sites as a driver looks for one: piles, what charges there, and prices.

use super::{Filter, Page, parse, sites::Said};
use crate::store::{Row, StoreError, Tx, Value};
use domain::{ids::Outlet, pile::Pile, tariff::Tariff, time::Wall};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A site that is served.
#[derive(Debug, Clone, PartialEq)]
pub struct StationRow {
    /// Its id.
    pub site: String,
    /// A name for people.
    pub name: String,
    /// When it was last heard.
    pub heard_at: Option<Wall>,
    /// Since when something of it waits that is not here, by its own clock; none where nothing does.
    pub waiting_since: Option<Wall>,
    /// Its piles, by their ids.
    pub piles: Vec<Pile>,
    /// Connectors that an order occupies.
    pub occupied: BTreeSet<Outlet>,
    /// Its tariff versions.
    pub tariffs: Vec<Tariff>,
}

/// What counts of an order's row.
#[derive(Deserialize)]
struct Occupies {
    outlet: Outlet,
}

fn station(mut row: Row) -> Result<StationRow, StoreError> {
    let (hello, seq) = (row.optional_text(3)?, row.count(4)?);
    // What a site says of itself counts as far as it can be read.
    let said: Option<Said> = hello.and_then(|hello| serde_json::from_str(&hello).ok());
    let is_behind = |said: &Said| said.head.is_some_and(|head| head.seq > seq);
    Ok(StationRow {
        site: row.text(0)?,
        name: row.text(1)?,
        heard_at: row.optional_int(2)?.map(Wall),
        waiting_since: said.filter(is_behind).and_then(|said| said.waiting_since),
        piles: Vec::new(),
        occupied: BTreeSet::new(),
        tariffs: Vec::new(),
    })
}

/// Sites that are served, after this id, in the order of their ids; those that were shut out or closed are left out.
///
/// # Errors
/// [`StoreError`].
pub fn list(
    tx: &mut dyn Tx,
    only: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<StationRow>, StoreError> {
    let mut filter = Filter::default();
    filter.and("revoked_at IS NULL AND closed_at IS NULL", []);
    filter.and_if("id = ?", only);
    filter.and_if("id > ?", after);
    let columns = "id, name, heard_at, hello, seq";
    let mut page = filter.page(tx, columns, "site", "id", limit, station)?;
    let stations = &mut page.items;
    // First and last as the database orders them.
    let (Some(first), Some(last)) = (stations.first(), stations.last()) else {
        return Ok(page);
    };
    let within: [Value; 2] = [first.site.as_str().into(), last.site.as_str().into()];
    let piles = "SELECT site, row FROM r_pile WHERE site >= $1 AND site <= $2 ORDER BY site, id";
    each(tx, piles, &within, stations, |station, text| {
        station.piles.push(parse("r_pile", text)?);
        Ok(())
    })?;
    let orders =
        "SELECT site, row FROM r_order WHERE open = 1 AND state IN ('PLACE', 'CHARGING') AND site >= $1 AND site <= $2";
    each(tx, orders, &within, stations, |station, text| {
        let order: Occupies = parse("r_order", text)?;
        station.occupied.insert(order.outlet);
        Ok(())
    })?;
    let tariffs = "SELECT site, row FROM r_tariff WHERE site >= $1 AND site <= $2";
    each(tx, tariffs, &within, stations, |station, text| {
        station.tariffs.push(parse("r_tariff", text)?);
        Ok(())
    })?;
    Ok(page)
}

/// Takes each row of a statement to its site; those of sites between that are not listed are passed over.
fn each(
    tx: &mut dyn Tx,
    statement: &str,
    within: &[Value],
    stations: &mut [StationRow],
    mut take: impl FnMut(&mut StationRow, &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let place = |(at, station): (usize, &StationRow)| (station.site.clone(), at);
    let places: BTreeMap<String, usize> = stations.iter().enumerate().map(place).collect();
    for mut row in tx.query(statement, within)? {
        let at = places.get(&row.text(0)?).copied();
        if let Some(station) = at.and_then(|at| stations.get_mut(at)) {
            take(station, &row.text(1)?)?;
        }
    }
    Ok(())
}
