//! What befalls the line, its ends and head office, counted over all lives; and the rule that none of it may be missing.

use super::station::AGENT_DIES_AT;
use protocol::topic::Kind;
use std::{collections::BTreeMap, fmt};

/// What goes wrong between three sites and head office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// A message never arrives.
    Lost,
    /// It arrives late, and everything behind it.
    Late,
    /// It arrives twice.
    Twice,
    /// Younger ones arrive before it.
    Overtaken,
    /// The line is cut and a message of this kind does not pass any more.
    CutBefore(Kind),
    /// The line is cut and a message of this kind was the last that passed.
    CutAfter(Kind),
    /// The program that carries the journal is killed where a message of this kind passes it.
    AgentKilled(Kind),
    /// The power of a station's box goes, and that program with it.
    BoxDown,
    /// Head office is killed where a message of this kind reaches it.
    OfficeKilled(Kind),
    /// Head office loses its power before a commit.
    PowerBeforeCommit,
    /// Head office loses its power after a commit, before anybody was told.
    PowerAfterCommit,
    /// Head office's database is lost, and a copy takes its place.
    OfficeRestored,
    /// Such a copy has less of a site than there was.
    OfficeForgot,
    /// A station that was restored goes on without entries that head office had had, and lost as well.
    LostInBoth,
    /// Sites knew what head office had forgotten, and people said that it was restored.
    AskedForRestored,
    /// A station hears that this is another life of head office's.
    AnotherLifeHeard,
    /// A process of head office stood still until another had its sites, and is kept from writing what it had heard.
    WokeLate,
    /// A station goes down while its line is up.
    StationDown,
    /// A station's power goes while it notes an acknowledgement.
    PowerWhileAcknowledging,
    /// A station that was restored from a copy starts while its line is up.
    RestoredOnline,
    /// The same while its line is cut.
    RestoredOffline,
    /// Somebody does not wait until a restored station has back what head office has.
    WentAlone,
    /// A restored station has nothing to get back.
    RestoredWhole,
    /// Entries that head office had not are gone with the disk.
    EntriesGone,
    /// Entries are handed back and taken.
    TailTaken,
    /// Entries are handed back that are here by then, or do not follow yet.
    TailRefused,
    /// A station's power goes while it is recovering.
    PowerWhileRecovering,
    /// A station has rated a bill otherwise than its tariff says, and head office says so.
    WrongRating,
    /// A station is older than head office, and cannot read what it is told (rule 17).
    UnreadableDirective,
    /// Head office signs with another key, which every site believes (rule 11).
    KeyChanged,
    /// A station is asked while it is away, and its program says so.
    AskedWhileAway,
    /// An answer of several parts has come to head office whole.
    AnsweredInParts,
    /// What a restore had paid for a member is repaid by a payment that head office had forgotten (rule 4).
    RestoreRepaid,
}

/// The kinds of messages that pass in these lives.
const KINDS: [Kind; 11] = [
    Kind::Status,
    Kind::Journal,
    Kind::Ping,
    Kind::Ack,
    Kind::Tail,
    Kind::Pong,
    Kind::Directive,
    Kind::Ask,
    Kind::Answer,
    Kind::Watch,
    Kind::Live,
];

impl Mishap {
    /// Every one.
    pub fn all() -> Vec<Self> {
        let cuts = KINDS
            .into_iter()
            .flat_map(|kind| [Self::CutBefore(kind), Self::CutAfter(kind)]);
        let others = [
            Self::Lost,
            Self::Late,
            Self::Twice,
            Self::Overtaken,
            Self::BoxDown,
            Self::PowerBeforeCommit,
            Self::PowerAfterCommit,
            Self::OfficeRestored,
            Self::OfficeForgot,
            Self::LostInBoth,
            Self::AskedForRestored,
            Self::AnotherLifeHeard,
            Self::WokeLate,
            Self::StationDown,
            Self::PowerWhileAcknowledging,
            Self::RestoredOnline,
            Self::RestoredOffline,
            Self::WentAlone,
            Self::RestoredWhole,
            Self::EntriesGone,
            Self::TailTaken,
            Self::TailRefused,
            Self::PowerWhileRecovering,
            Self::WrongRating,
            Self::UnreadableDirective,
            Self::KeyChanged,
            Self::AskedWhileAway,
            Self::AnsweredInParts,
            Self::RestoreRepaid,
        ];
        let agent = AGENT_DIES_AT.into_iter().map(Self::AgentKilled);
        let office = [Kind::Status, Kind::Journal].map(Self::OfficeKilled);
        others.into_iter().chain(agent).chain(office).chain(cuts).collect()
    }
}

/// How often each was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met(BTreeMap<Mishap, u64>);

impl Met {
    /// It was met once more.
    pub fn note(&mut self, mishap: Mishap) {
        *self.0.entry(mishap).or_default() += 1;
    }

    /// What another life met.
    pub fn add(&mut self, other: &Self) {
        for (mishap, count) in &other.0 {
            *self.0.entry(*mishap).or_default() += count;
        }
    }

    /// What was never met.
    pub fn missing(&self) -> Vec<Mishap> {
        let all = Mishap::all().into_iter();
        all.filter(|mishap| !self.0.contains_key(mishap)).collect()
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mishap) in Mishap::all().into_iter().enumerate() {
            let between = match n % 5 {
                0 if n > 0 => "\n",
                0 => "",
                _ => ", ",
            };
            let count = self.0.get(&mishap).copied().unwrap_or(0);
            write!(f, "{between}{mishap:?} {count}")?;
        }
        Ok(())
    }
}
