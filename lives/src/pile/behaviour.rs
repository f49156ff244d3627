//! How a pile misbehaves, as short texts that combine: `drop=after:120s,for:300s`, `slow-reply=20s`.
//! One list serves the parser, the help text and the tests, so that none of them can forget a behaviour.

use domain::{ids::CardId, units::Energy};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// One way in which a pile differs from a perfect one. Any number of them combine.
///
/// Durations are pile time. `after` counts from the start of each session unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers commands late. One that is too late for a command's `ttl_ms` answers `expired` and does nothing.
    SlowReply {
        /// How late.
        by_ms: u64,
    },
    /// Hears commands and neither answers nor acts.
    NoReply,
    /// Starts and charges, but never answers a `start`: only the heartbeat tells.
    SilentStart,
    /// Refuses every `start`.
    Refuse {
        /// The pile's own code in the reply.
        code: i32,
    },
    /// Says nothing to a `start`, and starts all the same when nobody expects it any more.
    LateStart {
        /// How late.
        by_ms: u64,
    },
    /// Says ok to a `start`, then fails to deliver: a record with reason 10 and no energy.
    FailStart {
        /// How long it tries.
        after_ms: u64,
    },
    /// Loses the network in the middle of a charge, goes on charging, and comes back.
    Drop {
        /// When.
        after_ms: u64,
        /// For how long.
        for_ms: u64,
        /// Whether its record then carries buffered samples.
        samples: bool,
    },
    /// Loses its mains: the session ends (reason 6), the pile goes dark and boots again.
    PowerLoss {
        /// When.
        after_ms: u64,
        /// For how long.
        for_ms: u64,
    },
    /// Stops with a fault, which clears after a minute.
    Fault {
        /// When.
        after_ms: u64,
        /// The reason code of the contract.
        code: u16,
    },
    /// Somebody presses the emergency stop; it is released after a minute.
    EmergencyStop {
        /// When.
        after_ms: u64,
    },
    /// Somebody pulls the plug out.
    Unplug {
        /// When.
        after_ms: u64,
    },
    /// The driver stops at the pile.
    UserStop {
        /// When.
        after_ms: u64,
    },
    /// Sends every record three times: twice as the same message, once more under a new `msg_id`.
    DuplicateRecord,
    /// After the acknowledgement sends another record for the same order, with 0.5 kWh more.
    ConflictingRecord,
    /// After the acknowledgement sends so many other records for the same order, each with another stop.
    ConflictingRecords {
        /// How many.
        many: u8,
    },
    /// Its records say half of what was delivered; the true one follows after the acknowledgement.
    ShortRecord,
    /// After the first connect sends a record for an order nobody knows.
    OrphanRecord,
    /// Loses the network, starts a session by itself for a card, ends it, and comes back with an `off-…` record.
    OfflineCard {
        /// Whose card.
        card: CardId,
        /// When, counted from power-on.
        after_ms: u64,
        /// For how long it charges.
        for_ms: u64,
    },
    /// Sends messages that break the contract.
    Garbage {
        /// One every so often.
        every_ms: u64,
    },
    /// Loses the network again and again, whatever else it does.
    Flapping {
        /// From one loss to the next; the first comes so long after power-on.
        every_ms: u64,
        /// For how long each time.
        for_ms: u64,
    },
    /// Its clock is wrong, and the station's `time` does not set it.
    ClockOff {
        /// How far ahead of the true time it runs, in milliseconds; negative: behind.
        ahead_ms: i64,
    },
    /// Fake charging (虚充): current flows and the register stands still.
    StuckMeter {
        /// When it stops counting.
        after_ms: u64,
    },
    /// The register is wrong.
    Meter(MeterFault),
    /// Claims a split over the tariff periods that does not follow from its readings.
    WrongPeriods,
}

/// How a register is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterFault {
    /// Records begin at zero.
    ZeroStart,
    /// Records end 1 kWh below their start.
    Backwards,
    /// Each session ends with this much more than was delivered.
    Jump(Energy),
    /// This much is counted between sessions.
    Gap(Energy),
    /// Each car finds it this much lower: another meter, or one that ran backwards.
    Rollback(Energy),
}

/// A behaviour as it is shown to people: how it is written, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct BehaviourHelp {
    /// How it is written, with its defaults or examples filled in.
    pub example: &'static str,
    /// What it does.
    pub text: &'static str,
}

/// Every behaviour, in the order in which `--help` prints them.
pub const BEHAVIOURS: &[BehaviourHelp] = &[
    help("normal", "does everything right; the same as no behaviour at all"),
    help(
        "slow-reply=20s",
        "answers and acts that much later; `expired` where the command's ttl_ms is over by then",
    ),
    help("no-reply", "hears commands, neither answers nor acts"),
    help(
        "silent-start",
        "starts, but never answers the start: only its heartbeats tell",
    ),
    help("refuse=7", "refuses every start, with this code of its own"),
    help(
        "late-start=70s",
        "says nothing to a start and starts all the same, that much later",
    ),
    help(
        "fail-start=5s",
        "says ok to a start, delivers nothing, sends a record with reason 10",
    ),
    help(
        "drop=after:120s,for:300s",
        "loses the network mid-charge, goes on charging, returns; with `,no-samples` its record carries no buffered readings",
    ),
    help(
        "power-loss=after:120s,for:60s",
        "loses its mains: session over (reason 6), dark, then a new boot with the record it kept",
    ),
    help(
        "fault=after:90s,code:1",
        "stops with this reason code of the contract and stays faulted for a minute",
    ),
    help("estop=after:90s", "the emergency stop is pressed, for a minute"),
    help("unplug=after:90s", "the plug is pulled out while charging"),
    help("user-stop=after:10m", "the driver stops at the pile"),
    help(
        "duplicate-record",
        "sends each record twice as the same message and once more under a new msg_id",
    ),
    help(
        "conflicting-record",
        "after its record's ack, sends another one for the same order with 0.5 kWh more",
    ),
    help(
        "conflicting-records=20",
        "after its record's ack, sends so many other ones for the same order, each with another stop",
    ),
    help(
        "short-record",
        "its records say half of what was delivered, and after the ack the true one follows",
    ),
    help(
        "orphan-record",
        "after the first connect, sends a record for an order nobody knows",
    ),
    help(
        "offline-card=card:C1,after:30s,for:10m",
        "loses the network after power-on, charges for that card on its own, returns with an off-… record",
    ),
    help("garbage=30s", "sends a message that breaks the contract every so often"),
    help(
        "flapping=every:60s,for:5s",
        "loses the network again and again, without a word, and comes back",
    ),
    help(
        "clock=ahead:5h",
        "its clock is wrong by so much (or `behind:5h`), and the station's time does not set it",
    ),
    help(
        "stuck-meter=after:60s",
        "fake charging: current flows, the register stands still",
    ),
    help(
        "meter=zero-start",
        "records begin at register 0: what the meter ever counted, in one session",
    ),
    help("meter=backwards", "records end 1 kWh below their start"),
    help(
        "meter=jump:50.0",
        "the register jumps by so many kWh at the end of a session",
    ),
    help("meter=gap:1.5", "the register counts so many kWh between sessions"),
    help(
        "meter=rollback:500",
        "each car finds the register so many kWh lower: another meter, or one that ran backwards",
    ),
    help(
        "wrong-periods",
        "claims a split over the tariff periods that its readings do not support",
    ),
];

const fn help(example: &'static str, text: &'static str) -> BehaviourHelp {
    BehaviourHelp { example, text }
}

/// Why a text is not a behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBehaviour {
    /// No behaviour has this name.
    #[error("there is no behaviour `{0}`; --help lists them all")]
    Unknown(String),
    /// The name is right, what follows it is not.
    #[error("`{text}`: {detail}; it is written like `{example}`")]
    Arguments {
        /// What was given.
        text: String,
        /// What is wrong with it.
        detail: String,
        /// How it is written.
        example: &'static str,
    },
}

/// Reads a list of behaviours; `normal` adds none.
pub fn read_behaviours<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Behaviour>, InvalidBehaviour> {
    texts
        .into_iter()
        .filter(|text| *text != "normal")
        .map(str::parse)
        .collect()
}

/// Reads a duration such as `500ms`, `20s`, `5m` or `2h`, in milliseconds; at most a year.
pub fn read_duration_ms(text: &str) -> Result<u64, String> {
    const YEAR_MS: u64 = 366 * 86_400_000;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor = match &text[digits..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number = text[..digits].parse::<u64>().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|ms| *ms <= YEAR_MS)
        .ok_or_else(|| format!("`{text}` is not a duration such as 500ms, 20s, 5m or 2h"))
}

impl FromStr for Behaviour {
    type Err = InvalidBehaviour;

    fn from_str(text: &str) -> Result<Self, InvalidBehaviour> {
        let name = text.split_once('=').map_or(text, |(name, _)| name);
        let help = BEHAVIOURS.iter().find(|known| known.name() == name && name != "normal");
        let help = help.ok_or_else(|| InvalidBehaviour::Unknown(name.chars().take(40).collect()))?;
        let wrong = |detail| InvalidBehaviour::Arguments {
            text: text.to_owned(),
            detail,
            example: help.example,
        };
        let mut arguments = Arguments::read(text).map_err(wrong)?;
        let behaviour = build(name, &mut arguments).map_err(wrong)?;
        arguments.finish().map_err(wrong)?;
        Ok(behaviour)
    }
}

impl BehaviourHelp {
    /// The name in front of `=`.
    pub fn name(&self) -> &'static str {
        self.example.split_once('=').map_or(self.example, |(name, _)| name)
    }
}

fn build(name: &str, arguments: &mut Arguments<'_>) -> Result<Behaviour, String> {
    Ok(match name {
        "slow-reply" => Behaviour::SlowReply {
            by_ms: arguments.bare_duration(None)?,
        },
        "no-reply" => Behaviour::NoReply,
        "silent-start" => Behaviour::SilentStart,
        "refuse" => Behaviour::Refuse {
            code: arguments.bare()?.map_or(Ok(7), |code| number("code", code))?,
        },
        "late-start" => Behaviour::LateStart {
            by_ms: arguments.bare_duration(None)?,
        },
        "fail-start" => Behaviour::FailStart {
            after_ms: arguments.bare_duration(Some(5_000))?,
        },
        "drop" => Behaviour::Drop {
            after_ms: arguments.duration("after")?,
            for_ms: arguments.duration("for")?,
            samples: !arguments.word("no-samples"),
        },
        "power-loss" => Behaviour::PowerLoss {
            after_ms: arguments.duration("after")?,
            for_ms: arguments.duration("for")?,
        },
        "fault" => Behaviour::Fault {
            after_ms: arguments.duration("after")?,
            code: arguments.value("code").map_or(Ok(1), |code| number("code", code))?,
        },
        "estop" => Behaviour::EmergencyStop {
            after_ms: arguments.duration("after")?,
        },
        "unplug" => Behaviour::Unplug {
            after_ms: arguments.duration("after")?,
        },
        "user-stop" => Behaviour::UserStop {
            after_ms: arguments.duration("after")?,
        },
        "duplicate-record" => Behaviour::DuplicateRecord,
        "conflicting-record" => Behaviour::ConflictingRecord,
        "conflicting-records" => Behaviour::ConflictingRecords {
            many: arguments
                .bare()?
                .map_or(Ok(20), |many| number("number up to 255", many))?,
        },
        "short-record" => Behaviour::ShortRecord,
        "orphan-record" => Behaviour::OrphanRecord,
        "offline-card" => Behaviour::OfflineCard {
            card: arguments
                .value("card")
                .ok_or("`card` is missing")?
                .parse()
                .map_err(|e| format!("{e}"))?,
            after_ms: arguments.duration("after")?,
            for_ms: arguments.duration("for")?,
        },
        "garbage" => match arguments.bare_duration(Some(30_000))? {
            every_ms @ 100.. => Behaviour::Garbage { every_ms },
            _ => return Err("not more often than every 100ms".to_owned()),
        },
        "flapping" => {
            let (every_ms, for_ms) = (arguments.duration("every")?, arguments.duration("for")?);
            if every_ms <= for_ms {
                return Err("`every` must be longer than `for`".to_owned());
            }
            Behaviour::Flapping { every_ms, for_ms }
        }
        "clock" => {
            let mut off = |key| match arguments.value(key) {
                Some(text) => {
                    let ms = read_duration_ms(text)?;
                    i64::try_from(ms).map(Some).map_err(|_| format!("`{text}` is too long"))
                }
                None => Ok(None),
            };
            match (off("ahead")?, off("behind")?) {
                (Some(ahead_ms), None) => Behaviour::ClockOff { ahead_ms },
                (None, Some(behind_ms)) => Behaviour::ClockOff { ahead_ms: -behind_ms },
                _ => return Err("it takes one of ahead:DURATION, behind:DURATION".to_owned()),
            }
        }
        "stuck-meter" => Behaviour::StuckMeter {
            after_ms: arguments.duration("after")?,
        },
        "meter" => Behaviour::Meter(meter_fault(arguments)?),
        "wrong-periods" => Behaviour::WrongPeriods,
        _ => return Err("not a behaviour".to_owned()),
    })
}

fn meter_fault(arguments: &mut Arguments<'_>) -> Result<MeterFault, String> {
    let mut energy = |key| match arguments.value(key) {
        Some(kwh) => kwh.parse::<Energy>().map(Some).map_err(|error| error.to_string()),
        None => Ok(None),
    };
    let (jump, gap, rollback) = (energy("jump")?, energy("gap")?, energy("rollback")?);
    let mut faults = Vec::new();
    faults.extend(arguments.word("zero-start").then_some(MeterFault::ZeroStart));
    faults.extend(arguments.word("backwards").then_some(MeterFault::Backwards));
    faults.extend(jump.map(MeterFault::Jump));
    faults.extend(gap.map(MeterFault::Gap));
    faults.extend(rollback.map(MeterFault::Rollback));
    match faults[..] {
        [fault] => Ok(fault),
        _ => Err("it takes one of zero-start, backwards, jump:KWH, gap:KWH, rollback:KWH".to_owned()),
    }
}

fn number<T: FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a {what}"))
}

/// What stands behind `=`: words, and values with keys, each at most once.
struct Arguments<'t> {
    words: Vec<&'t str>,
    values: BTreeMap<&'t str, &'t str>,
}

impl<'t> Arguments<'t> {
    fn read(text: &'t str) -> Result<Self, String> {
        let mut arguments = Self {
            words: Vec::new(),
            values: BTreeMap::new(),
        };
        let Some((_, rest)) = text.split_once('=') else {
            return Ok(arguments);
        };
        for part in rest.split(',') {
            match part.split_once(':') {
                Some((key, value)) => {
                    if arguments.values.insert(key, value).is_some() {
                        return Err(format!("`{key}` twice"));
                    }
                }
                None => arguments.words.push(part),
            }
        }
        Ok(arguments)
    }

    fn value(&mut self, key: &str) -> Option<&'t str> {
        self.values.remove(key)
    }

    fn duration(&mut self, key: &str) -> Result<u64, String> {
        read_duration_ms(self.value(key).ok_or_else(|| format!("`{key}` is missing"))?)
    }

    fn word(&mut self, word: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|known| *known != word);
        self.words.len() < before
    }

    fn bare(&mut self) -> Result<Option<&'t str>, String> {
        if self.words.len() > 1 {
            Err("one value only".to_owned())
        } else {
            Ok(self.words.pop())
        }
    }

    fn bare_duration(&mut self, default: Option<u64>) -> Result<u64, String> {
        match (self.bare()?, default) {
            (Some(text), _) => read_duration_ms(text),
            (None, Some(default)) => Ok(default),
            (None, None) => Err("the duration is missing".to_owned()),
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.words.first().copied().or(self.values.keys().next().copied()) {
            Some(extra) => Err(format!("`{extra}` means nothing here")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlowReply { by_ms } => write!(f, "slow-reply={by_ms}ms"),
            Self::NoReply => f.write_str("no-reply"),
            Self::SilentStart => f.write_str("silent-start"),
            Self::Refuse { code } => write!(f, "refuse={code}"),
            Self::LateStart { by_ms } => write!(f, "late-start={by_ms}ms"),
            Self::FailStart { after_ms } => write!(f, "fail-start={after_ms}ms"),
            Self::Drop {
                after_ms,
                for_ms,
                samples,
            } => {
                write!(
                    f,
                    "drop=after:{after_ms}ms,for:{for_ms}ms{}",
                    if *samples { "" } else { ",no-samples" }
                )
            }
            Self::PowerLoss { after_ms, for_ms } => write!(f, "power-loss=after:{after_ms}ms,for:{for_ms}ms"),
            Self::Fault { after_ms, code } => write!(f, "fault=after:{after_ms}ms,code:{code}"),
            Self::EmergencyStop { after_ms } => write!(f, "estop=after:{after_ms}ms"),
            Self::Unplug { after_ms } => write!(f, "unplug=after:{after_ms}ms"),
            Self::UserStop { after_ms } => write!(f, "user-stop=after:{after_ms}ms"),
            Self::DuplicateRecord => f.write_str("duplicate-record"),
            Self::ConflictingRecord => f.write_str("conflicting-record"),
            Self::ConflictingRecords { many } => write!(f, "conflicting-records={many}"),
            Self::ShortRecord => f.write_str("short-record"),
            Self::OrphanRecord => f.write_str("orphan-record"),
            Self::OfflineCard { card, after_ms, for_ms } => {
                write!(f, "offline-card=card:{card},after:{after_ms}ms,for:{for_ms}ms")
            }
            Self::Garbage { every_ms } => write!(f, "garbage={every_ms}ms"),
            Self::Flapping { every_ms, for_ms } => write!(f, "flapping=every:{every_ms}ms,for:{for_ms}ms"),
            Self::ClockOff { ahead_ms } if *ahead_ms < 0 => write!(f, "clock=behind:{}ms", ahead_ms.unsigned_abs()),
            Self::ClockOff { ahead_ms } => write!(f, "clock=ahead:{ahead_ms}ms"),
            Self::StuckMeter { after_ms } => write!(f, "stuck-meter=after:{after_ms}ms"),
            Self::Meter(MeterFault::ZeroStart) => f.write_str("meter=zero-start"),
            Self::Meter(MeterFault::Backwards) => f.write_str("meter=backwards"),
            Self::Meter(MeterFault::Jump(by)) => write!(f, "meter=jump:{by}"),
            Self::Meter(MeterFault::Gap(by)) => write!(f, "meter=gap:{by}"),
            Self::Meter(MeterFault::Rollback(by)) => write!(f, "meter=rollback:{by}"),
            Self::WrongPeriods => f.write_str("wrong-periods"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behaviour_in_the_help_is_read_and_written_back() {
        for help in BEHAVIOURS.iter().filter(|help| help.example != "normal") {
            let behaviour: Behaviour = help.example.parse().unwrap_or_else(|e| panic!("{}: {e}", help.example));
            assert_eq!(behaviour.to_string().parse(), Ok(behaviour), "{}", help.example);
        }
        assert_eq!(read_behaviours(["normal"]), Ok(Vec::new()));
    }

    #[test]
    fn defaults_and_options_are_what_the_help_says() {
        assert_eq!("garbage".parse(), Ok(Behaviour::Garbage { every_ms: 30_000 }));
        assert_eq!(
            "fault=after:1m".parse(),
            Ok(Behaviour::Fault {
                after_ms: 60_000,
                code: 1
            })
        );
        let without = Behaviour::Drop {
            after_ms: 1_000,
            for_ms: 7_200_000,
            samples: false,
        };
        assert_eq!("drop=for:2h,no-samples,after:1s".parse(), Ok(without));
        assert_eq!(
            "meter=jump:50".parse(),
            Ok(Behaviour::Meter(MeterFault::Jump(Energy(500_000))))
        );
    }

    #[test]
    fn a_wrong_behaviour_says_what_to_write_instead() {
        let error = |text: &str| text.parse::<Behaviour>().unwrap_err().to_string();
        assert_eq!(error("drp"), "there is no behaviour `drp`; --help lists them all");
        assert_eq!(
            error("drop=after:5s"),
            "`drop=after:5s`: `for` is missing; it is written like `drop=after:120s,for:300s`"
        );
        for bad in [
            "slow-reply",
            "slow-reply=5",
            "slow-reply=5s,6s",
            "no-reply=x",
            "drop=after:1s,after:2s,for:3s",
            "offline-card=card:a/b,after:1s,for:1s",
            "garbage=1ms",
            "meter=zero-start,backwards",
            "flapping=every:5s,for:5s",
            "clock=ahead:1h,behind:1h",
            "clock",
            "meter",
            "normal=1",
            "fault=after:1s,code:-1",
            "late-start=999999999h",
        ] {
            assert!(bad.parse::<Behaviour>().is_err(), "{bad}");
        }
    }
}
