//! What can be said on the command line and in the configuration file: the same words in both.
//! The help text is written for a maker of piles who has the contract beside it.

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use domain::{
    ids::{CardId, PileId},
    time::Wall,
    units::{Energy, Power},
};
use serde::{Deserialize, Deserializer, de};
use std::{fmt::Display, fmt::Write, path::PathBuf, str::FromStr};
use world::pile::{BEHAVIOURS, read_duration_ms};

/// Simulated charging piles that speak the Holdfast pile contract v1 over MQTT.
///
/// Each pile connects, subscribes to its `down/#`, announces itself and waits for a `start`. A car is at every
/// connector; when its session is over and its record acknowledged it leaves, and the next one comes. Point it at a
/// station to see what the station does; compare what it sends with what your own pile sends.
#[derive(Debug, Parser)]
#[command(name = "pile-sim", version, verbatim_doc_comment)]
pub(crate) struct Options {
    /// A TOML file with the same options, see below.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(flatten)]
    pub(crate) station: StationOptions,
    #[command(flatten)]
    pub(crate) piles: PileOptions,
}

/// How the simulation goes.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Course")]
pub(crate) struct RunOptions {
    /// Pile time runs so many times faster than real time; all durations here are pile time [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) speed: Option<u32>,
    /// What the piles' clocks show at first, RFC 3339 [default: now]. A `time` message from the station sets them.
    #[arg(long, value_name = "TIME", value_parser = Wall::parse)]
    pub(crate) clock_start: Option<Wall>,
    /// Where all randomness comes from [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// End when every pile has had `--sessions` visits (ended sessions, refused and ignored starts) and every record
    /// has its ack. The exit code then tells whether all went well.
    #[arg(verbatim_doc_comment, long)]
    #[serde(default)]
    pub(crate) once: bool,
    /// Visits per pile, after which nobody comes any more [default: 1 with --once, otherwise no end].
    #[arg(long, value_name = "N")]
    pub(crate) sessions: Option<u32>,
    /// With --once: give up after so much REAL time, with exit code 1 [default: 10m].
    #[arg(long, value_name = "DURATION", value_parser = read_duration_ms)]
    #[serde(deserialize_with = "duration")]
    pub(crate) give_up_after: Option<u64>,
    /// Keep registers, offline counters and unacknowledged records in this file from one run to the next, as a real
    /// pile does in its flash. Without it registers begin at --meter-kwh each time, and a station that remembers more
    /// will suspect the meter.
    #[arg(verbatim_doc_comment, long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// One JSON object per line instead of words for people.
    #[arg(long)]
    #[serde(default)]
    pub(crate) json: bool,
}

/// Where the station is, and how piles prove who they are.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Station")]
pub(crate) struct StationOptions {
    /// Host name or address; with TLS also the name in the station's certificate [default: 127.0.0.1].
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// TCP port [default: 1883, with --ca 8883].
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Use TLS, and trust the authorities in this PEM file.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Show this client certificate (PEM chain; its CN is the pile's id).
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of --cert (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The piles' secrets, a line `pile=secret` each; `*=secret` for all others; `#` begins a comment. The environment
    /// variable PILE_SIM_SECRET is the secret of every pile that the file does not name.
    #[arg(verbatim_doc_comment, long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Connect with an empty secret, to a broker that asks for none.
    #[arg(long)]
    #[serde(default)]
    pub(crate) anonymous: bool,
}

/// Which piles, and how they are.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Piles")]
pub(crate) struct PileOptions {
    /// This pile. May be given several times; --piles and --prefix then have no meaning.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Vec<PileId>,
    /// So many piles, named by --prefix and a number: SIM-01, SIM-02 … [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) piles: Option<u32>,
    /// What their names begin with [default: SIM-].
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// How they behave, see below. May be given several times, all of it together is what they do; `ID@BEHAVIOUR` is
    /// for one pile only.
    #[arg(verbatim_doc_comment, long = "behaviour", value_name = "BEHAVIOUR")]
    pub(crate) behaviours: Vec<String>,
    /// Connectors per pile [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) connectors: Option<u8>,
    /// What a connector delivers [default: 7.0].
    #[arg(long, value_name = "KW")]
    #[serde(deserialize_with = "text")]
    pub(crate) max_kw: Option<Power>,
    /// Where registers begin [default: 1000.0000].
    #[arg(long, value_name = "KWH")]
    #[serde(deserialize_with = "text")]
    pub(crate) meter_kwh: Option<Energy>,
    /// What a car's battery holds; without it cars never get full and charge until they are stopped.
    #[arg(long, value_name = "KWH")]
    #[serde(deserialize_with = "text")]
    pub(crate) battery_kwh: Option<Energy>,
    /// A car's state of charge when it comes [default: 20].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) soc: Option<u8>,
    /// The most a car takes [default: what the connector delivers].
    #[arg(long, value_name = "KW")]
    #[serde(deserialize_with = "text")]
    pub(crate) car_kw: Option<Power>,
    /// Cars take half the power above 80 % state of charge.
    #[arg(long)]
    #[serde(default)]
    pub(crate) taper: bool,
    /// Drivers swipe this card two seconds after plugging in, and again every minute until a session begins.
    #[arg(long, value_name = "CARD")]
    pub(crate) card: Option<CardId>,
    /// From the end of a session until the car leaves [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = read_duration_ms)]
    #[serde(deserialize_with = "duration")]
    pub(crate) pause: Option<u64>,
    /// A card for which the piles start by themselves while they are offline. May be given several times.
    #[arg(long = "offline-card", value_name = "CARD")]
    pub(crate) offline_cards: Vec<CardId>,
    /// Put the pile's own split over the tariff periods into records.
    #[arg(long)]
    #[serde(default)]
    pub(crate) periods: bool,
    /// The piles have no clock: `ts` is null everywhere.
    #[arg(long)]
    #[serde(default)]
    pub(crate) no_clock: bool,
    /// Their clocks are wrong at first: this much slow (`-20s` is fast).
    #[arg(long, value_name = "DURATION", value_parser = signed_duration, allow_hyphen_values = true)]
    #[serde(deserialize_with = "signed")]
    pub(crate) clock_slow_by: Option<i64>,
    /// What their clocks gain, in microseconds a second [default: 0].
    #[arg(long, value_name = "PPM", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-100_000..=100_000))]
    pub(crate) clock_drift_ppm: Option<i32>,
    /// Do not set the clocks by the station's `time` messages.
    #[arg(long)]
    #[serde(default)]
    pub(crate) ignore_time: bool,
    /// The site's offset from UTC, for the times in price tables [default: +08:00].
    #[arg(long, value_name = "+HH:MM", value_parser = utc_offset, allow_hyphen_values = true)]
    #[serde(deserialize_with = "offset")]
    pub(crate) utc_offset: Option<i64>,
    /// Send heartbeats at QoS 1 instead of 0.
    #[arg(long)]
    #[serde(default)]
    pub(crate) heartbeat_qos1: bool,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ConfigFile {
    pub(crate) run: RunOptions,
    pub(crate) station: StationOptions,
    #[serde(rename = "pile")]
    pub(crate) piles: Vec<PileOptions>,
}

/// Reads the command line; on a wrong one, and for `--help`, it prints and ends the program.
pub(crate) fn read() -> Options {
    let matches = command().get_matches();
    Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn command() -> clap::Command {
    Options::command()
        .after_long_help(after_help())
        .after_help("--help explains all of it, with behaviours and examples.")
}

fn after_help() -> String {
    let mut text =
        String::from("Behaviours (durations are pile time; `after` counts from the start of each session):\n");
    let width = BEHAVIOURS
        .iter()
        .map(|behaviour| behaviour.example.len())
        .filter(|len| *len < 38)
        .max()
        .unwrap_or(0);
    for behaviour in BEHAVIOURS {
        let gap = if behaviour.example.len() > width {
            format!("\n  {:width$}", "")
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:width$}{gap}  {}", behaviour.example, behaviour.text);
    }
    text.push_str(EXAMPLES);
    text
}

const EXAMPLES: &str = r#"
Reason codes in records: 0 user · 1 fault · 2 emergency stop · 3 insulation · 4 unplugged · 5 over-temperature ·
  6 power lost · 7 full · 8 limit · 9 remote stop · 10 start failed · 255 other.
Codes in this simulator's replies: 1 busy · 2 no car · 3 faulted · 4 no such session · 5 no such connector · 6 expired ·
  7 refused as told · 8 record memory full · 9 price table unreadable.

Examples:
  One perfect pile that drivers use with a card, an hour a minute, three sessions of 20 minutes:
    pile-sim --secrets secrets.txt --speed 60 --card C1 --behaviour user-stop=after:20m --once --sessions 3
  Ten piles over TLS that lose the network while charging, and one that lies about its register:
    pile-sim --host station.lan --ca ca.pem --secrets secrets.txt --piles 10 --prefix P --speed 60 \
             --behaviour drop=after:120s,for:300s --behaviour P03@meter=jump:50
  Does a station keep its side? Every record must be acknowledged, whatever happens around it:
    pile-sim --secrets secrets.txt --speed 60 --card C1 --once --sessions 5 --json \
             --behaviour power-loss=after:5m,for:1m --behaviour duplicate-record --behaviour garbage

Configuration file (--config): the options without their dashes. What a [[pile]] leaves out is taken from the command
line; for [run] and [station] the command line comes first.
    [run]
    speed = 60
    once = true
    [station]
    host = "station.lan"
    secrets = "secrets.txt"
    [[pile]]
    id = ["P01", "P02"]
    connectors = 2
    max-kw = "120.0"
    battery-kwh = "60"
    behaviours = ["drop=after:120s,for:300s", "P02@refuse"]
    [[pile]]
    piles = 5
    prefix = "AC-"

Exit codes: 0 all records acknowledged and nothing unexpected · 1 a record without its ack, something unexpected, or
--give-up-after is over · 2 the simulation could not begin. Ctrl-C (or SIGTERM) ends running sessions (reason 6), waits up to ten
seconds for their acks and disconnects; a second one ends at once. RUST_LOG=debug shows the MQTT side on stderr.
"#;

fn signed_duration(text: &str) -> Result<i64, String> {
    let (sign, magnitude) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let ms = read_duration_ms(magnitude)?;
    i64::try_from(ms).map(|ms| sign * ms).map_err(|error| error.to_string())
}

/// `+08:00` in milliseconds.
fn utc_offset(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not an offset such as +08:00");
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wrong()),
    };
    let two = |part: &str| {
        (part.len() == 2)
            .then(|| part.parse::<u8>().ok())
            .flatten()
            .map(i64::from)
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
    match (two(hours), two(minutes)) {
        (Some(hours @ 0..=14), Some(minutes @ 0..60)) => Ok(sign * (hours * 60 + minutes) * 60_000),
        _ => Err(wrong()),
    }
}

fn read_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    read(&String::deserialize(deserializer)?)
        .map(Some)
        .map_err(de::Error::custom)
}

fn text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    read_text(deserializer, |text| {
        text.parse().map_err(|error: T::Err| error.to_string())
    })
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    read_text(deserializer, read_duration_ms)
}

fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    read_text(deserializer, signed_duration)
}

fn offset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    read_text(deserializer, utc_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_names_every_behaviour() {
        command().debug_assert();
        let help = command().render_long_help().to_string();
        for behaviour in BEHAVIOURS {
            assert!(help.contains(behaviour.example), "{}", behaviour.example);
        }
        let too_long: Vec<_> = help.lines().filter(|line| line.chars().count() > 160).collect();
        assert!(too_long.is_empty(), "{too_long:?}");
    }

    #[test]
    fn the_configuration_in_the_help_is_one() {
        let begin = EXAMPLES.find("    [run]").unwrap();
        let end = EXAMPLES.find("Exit codes").unwrap();
        let config: ConfigFile = toml::from_str(&EXAMPLES[begin..end]).unwrap();
        assert_eq!((config.run.speed, config.piles.len()), (Some(60), 2));
        assert_eq!(config.piles[0].max_kw, Some(Power(120_000)));
        assert!(
            toml::from_str::<ConfigFile>("[run]\nsped = 1").is_err(),
            "a misspelt option is no option"
        );
    }

    #[test]
    fn offsets_and_signed_durations() {
        assert_eq!(
            (utc_offset("+08:00"), utc_offset("-03:30")),
            (Ok(28_800_000), Ok(-12_600_000))
        );
        for bad in ["", "8", "+8:00", "+08:60", "+15:00", "08:00", "é"] {
            assert!(utc_offset(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (signed_duration("-20s"), signed_duration("5m")),
            (Ok(-20_000), Ok(300_000))
        );
    }
}
