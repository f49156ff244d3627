//! Piles in a snapshot: who they are, what they last said and reported; and the tariffs they charge by.
//! Samples lie by time, all connectors together.

use super::{Reader, bad, parse};
use crate::store::{StoreError, tables};
use domain::{
    ids::{ConnectorNo, Outlet, PileId},
    messages::ConnectorReport,
    pile::Pile,
    site::OutletLive,
    tariff::Tariff,
    time::Wall,
};
use redb::ReadableTable;

/// What a connector reported, and when that was received.
pub type Sample = (Wall, ConnectorReport);

/// How many samples, of whatever connector, one answer may look at: some tens of milliseconds.
const SAMPLES_LOOKED_AT_MAX: usize = 50_000;

impl Reader {
    /// All piles.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn piles(&self) -> Result<Vec<Pile>, StoreError> {
        let piles = self.read.open_table(tables::PILES)?;
        piles
            .iter()?
            .map(|row| {
                row.map_err(Into::into)
                    .and_then(|(id, row)| parse("piles", &id.value(), row.value()))
            })
            .collect()
    }

    /// One pile.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn pile(&self, id: &PileId) -> Result<Option<Pile>, StoreError> {
        let piles = self.read.open_table(tables::PILES)?;
        piles
            .get(id.as_str())?
            .map(|row| parse("piles", id, row.value()))
            .transpose()
    }

    /// All tariff versions.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn tariffs(&self) -> Result<Vec<Tariff>, StoreError> {
        let tariffs = self.read.open_table(tables::TARIFFS)?;
        let rows = tariffs.iter()?;
        rows.map(|row| {
            row.map_err(Into::into)
                .and_then(|(id, row)| parse("tariffs", &id.value(), row.value()))
        })
        .collect()
    }

    /// The samples of a connector from `from` to `to`, at most `limit`; and how far they go, where that is not to `to`:
    /// rows lie by time, so those of every other connector are looked at too, and no more than so many at once.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn samples(
        &self,
        outlet: &Outlet,
        from: Wall,
        to: Wall,
        limit: usize,
    ) -> Result<(Vec<Sample>, Option<Wall>), StoreError> {
        let samples = self.read.open_table(tables::SAMPLES)?;
        let mut found = Vec::new();
        let mut before = from;
        for (looked_at, row) in samples
            .range((from.0, "", 0)..=(to.0, "\u{10ffff}", u8::MAX))?
            .enumerate()
        {
            let (key, report) = row?;
            let (at, pile, connector) = key.value();
            // A moment is looked at as a whole or not at all.
            if looked_at >= SAMPLES_LOOKED_AT_MAX && Wall(at) > before {
                return Ok((found, Some(before)));
            }
            before = Wall(at);
            if pile == outlet.pile.as_str() && connector == outlet.connector.0 {
                found.push((Wall(at), parse("samples", &at, report.value())?));
                if found.len() == limit {
                    return Ok((found, Some(Wall(at))));
                }
            }
        }
        Ok((found, None))
    }

    pub(in crate::store) fn live(&self) -> Result<Vec<(Outlet, OutletLive)>, StoreError> {
        let live = self.read.open_table(tables::LIVE)?;
        let mut outlets = Vec::new();
        for row in live.iter()? {
            let (key, row) = row?;
            let (pile, connector) = key.value();
            let pile = PileId::new(pile).map_err(|error| bad("live", pile, error))?;
            let outlet = Outlet {
                pile,
                connector: ConnectorNo(connector),
            };
            let state = parse("live", &outlet, row.value())?;
            outlets.push((outlet, state));
        }
        Ok(outlets)
    }
}
