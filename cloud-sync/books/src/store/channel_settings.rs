//! How a channel's days are reconciled, from which day on: what is changed counts from the first day that is not final, and a final day
//! reads for ever what held when it was made so.

use super::{Row, StoreError, Tx, bill_proposals, channels::Channel, reconcile_runs as runs};
use crate::reconcile::{
    days::{Setting, Settings},
    funds::scope_of,
};
use bills::Biller;
use domain::time::{Day, Wall, Zone};

fn of(channel: &Channel, from: Day, biller: Biller) -> Result<Setting, StoreError> {
    Ok(Setting {
        from,
        zone: Zone::named(&channel.zone).map_err(StoreError::Broken)?,
        fee_ppm: channel.fee_ppm,
        settle_days: channel.settle_days,
        biller,
    })
}

fn first_day(channel: &Channel) -> Result<Day, StoreError> {
    let zone = Zone::named(&channel.zone).map_err(StoreError::Broken)?;
    Ok(zone.day_of(channel.made_at))
}

fn setting(mut row: Row) -> Result<Setting, StoreError> {
    let bad = || StoreError::Broken("a channel's setting".to_owned());
    let from = row.text(0)?.parse().map_err(StoreError::Broken)?;
    Ok(Setting {
        from,
        zone: Zone::named(&row.text(1)?).map_err(StoreError::Broken)?,
        fee_ppm: u32::try_from(row.count(2)?).map_err(|_| bad())?,
        settle_days: u32::try_from(row.count(3)?).map_err(|_| bad())?,
        biller: Biller::of_word(&row.text(4)?).ok_or_else(bad)?,
    })
}

fn kept(tx: &mut dyn Tx, channel: &str) -> Result<Vec<Setting>, StoreError> {
    let rows = tx.query(
        "SELECT from_day, zone, fee_ppm, settle_days, bills FROM channel_setting WHERE channel = $1 ORDER BY from_day",
        &[channel.into()],
    )?;
    rows.into_iter().map(setting).collect()
}

/// The settings of a channel, by their days; none where it never had bills.
///
/// # Errors
/// [`StoreError`].
pub fn load(tx: &mut dyn Tx, channel: &Channel) -> Result<Option<Settings>, StoreError> {
    let kept = kept(tx, &channel.name)?;
    if kept.is_empty()
        && let Some(biller) = channel.bills
    {
        // As it was made by a version that kept none.
        return Ok(Settings::new(vec![of(channel, first_day(channel)?, biller)?]));
    }
    Ok(Settings::new(kept))
}

/// A channel as it was on a day: whose files its bills were, and in which zone their times are. One without bills has none of any day.
///
/// # Errors
/// [`StoreError`].
pub fn as_on(tx: &mut dyn Tx, channel: &mut Channel, day: Day) -> Result<(), StoreError> {
    if channel.bills.is_some()
        && let Some(settings) = load(tx, channel)?
    {
        let setting = settings.on(day);
        channel.bills = Some(setting.biller);
        channel.zone = setting.zone.name().to_owned();
        channel.fee_ppm = setting.fee_ppm;
        channel.settle_days = setting.settle_days;
    }
    Ok(())
}

fn add(tx: &mut dyn Tx, channel: &str, of: &Setting) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO channel_setting (channel, from_day, zone, fee_ppm, settle_days, bills) VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            channel.into(),
            of.from.to_string().into(),
            of.zone.name().into(),
            u64::from(of.fee_ppm).into(),
            u64::from(of.settle_days).into(),
            of.biller.word().into(),
        ],
    )
    .map(drop)
}

/// A channel was added or changed. Its first day is that on which it has bills; what is changed later counts from the first day that is
/// not final.
///
/// # Errors
/// [`StoreError`].
pub fn changed(tx: &mut dyn Tx, before: Option<&Channel>, channel: &Channel, now: Wall) -> Result<(), StoreError> {
    let Some(biller) = channel.bills else {
        return Ok(());
    };
    let name = &channel.name;
    // Nobody makes a day final meanwhile.
    bill_proposals::hold_days(tx)?;
    let known = match before {
        Some(before) => load(tx, before)?,
        None => None,
    };
    let Some(known) = known else {
        let zone = Zone::named(&channel.zone).map_err(StoreError::Broken)?;
        return add(tx, name, &of(channel, zone.day_of(now), biller)?);
    };
    if kept(tx, name)?.is_empty() {
        add(tx, name, known.last())?;
    }
    let from = runs::last_final(tx, &scope_of(name))?.map_or(known.first(), |last| last.plus(1).max(known.first()));
    let setting = of(channel, from, biller)?;
    if known.last().is_like(&setting) {
        return Ok(());
    }
    tx.execute(
        "DELETE FROM channel_setting WHERE channel = $1 AND from_day >= $2",
        &[name.as_str().into(), from.to_string().into()],
    )?;
    add(tx, name, &setting)
}
