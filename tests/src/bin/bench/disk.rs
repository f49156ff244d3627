//! How many bytes a day of charging writes to the disk: a hundred piles at the world's pace.

use crate::{
    Scale,
    http::{Door, Http},
    load, pile,
    process::written_bytes,
    table::Row,
};
use std::time::{Duration, Instant};

const PILES: usize = 100;
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long a session lasts; then the next car comes.
const SESSION: Duration = Duration::from_secs(3600);

/// All piles charge; sessions end one after the other so that each has an hour, and the next begins at once.
pub(crate) async fn written_a_day(scale: Scale) -> anyhow::Result<Row> {
    let count = scale.of(PILES, 10);
    let station = load::station("disk").await?;
    let door = Door::of(&station).await?;
    let secrets = pile::provision(&door, 0..count, Some("100000.00")).await?;
    let mut http = Http::open(&door, "disk").await?;
    let mut piles = pile::crowd(station.mqtt, 0, &secrets).await?;
    for pile in &mut piles {
        pile::charge(&mut http, pile).await?;
    }
    let time = scale.time(Duration::from_secs(180), Duration::from_secs(5));
    let pid = station.pid()?;
    let begin = Instant::now();
    let before = written_bytes(pid)?;
    let mut rounds = tokio::task::JoinSet::new();
    let mut sessions = 0;
    for mut pile in piles {
        let share = pile.n as f64 / count as f64;
        let end_of_session = SESSION.mul_f64(share);
        sessions += usize::from(end_of_session < time);
        let mut http = Http::open(&door, &format!("disk-{}", pile.n)).await?;
        rounds.spawn(async move {
            let mut turn = begin + HEARTBEAT_EVERY.mul_f64(share);
            let mut next_session = begin + end_of_session;
            while turn < begin + time {
                tokio::time::sleep_until(turn.into()).await;
                turn += HEARTBEAT_EVERY;
                // 7 kW for 15 s.
                pile.meter.0 += 291;
                if turn > next_session {
                    next_session += SESSION;
                    let record = pile.say_record()?;
                    pile.settled(record).await?;
                    let idle = pile.say_heartbeat();
                    pile.acknowledged(idle).await?;
                    pile::charge(&mut http, &mut pile).await?;
                }
                let heartbeat = pile.say_heartbeat();
                pile.acknowledged(heartbeat).await?;
            }
            anyhow::Ok(pile)
        });
    }
    let mut kept = Vec::new();
    while let Some(pile) = rounds.join_next().await {
        kept.push(pile??);
    }
    tokio::time::sleep_until((begin + time).into()).await;
    let written = written_bytes(pid)? - before;
    let a_day = written as f64 / begin.elapsed().as_secs_f64() * 86_400.0;
    Ok(Row {
        what: format!("bytes to disk per day, {count} piles charging, a heartbeat each 15 s, sessions of an hour"),
        measured: format!(
            "{:.2} GB ({:.1} MB in {:.0} s, {sessions} sessions ended and begun)",
            a_day / 1e9,
            written as f64 / 1e6,
            time.as_secs_f64()
        ),
        yardstick: "–".to_owned(),
        ratio: None,
        aim: "2 GB".to_owned(),
        met: a_day <= 2e9,
    })
}
