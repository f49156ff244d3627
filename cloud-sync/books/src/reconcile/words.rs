//! What is said of rows, in words for people and in numbers for the database. The numbers stand in rows for years: one is never given to
//! another word.

/// What a row's verdict is. A row that is simply in a pair is MATCHED, and has no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Not due yet: no discrepancy.
    Pending = 1,
    /// 长款: the channel has it, and nobody was credited.
    Long = 2,
    /// 短款: somebody was credited, and the channel does not have it.
    Short = 3,
    /// Amounts differ.
    Amount = 4,
    /// The channel does not say that it was done.
    Status = 5,
    /// The fee is not what was agreed on.
    Fee = 6,
    /// The same number again.
    Duplicate = 7,
    /// There are several that it may be; none is taken.
    Ambiguous = 8,
    /// A refund whose payment is not known.
    RefundOrphan = 9,
    /// More was given back than was paid.
    OverRefund = 10,
    /// The day's bill was due, and is not there.
    FileMissing = 11,
    /// A bill of a site's is another one when it is rated again; or its pile splits the energy otherwise.
    Rating = 12,
    /// A site's books are not what they are here.
    Books = 13,
    /// An order was settled on two branches of a site's journal.
    Fork = 14,
    /// Two people have set an entry aside.
    SetAside = 15,
    /// What was open when a site was closed.
    Closed = 16,
    /// A member's id is another site's.
    MemberId = 17,
    /// Money of a cause that head office has forgotten.
    Forgotten = 18,
    /// What members had above a fork.
    AboveFork = 19,
    /// A till has not what its books say.
    Cash = 20,
    /// What was billed is not what the register says.
    Energy = 21,
    /// Energy on the register between sessions.
    RegisterGap = 22,
    /// The register ran backwards, or is another meter's.
    Rollback = 23,
    /// Energy that nobody was billed for.
    Unbilled = 24,
    /// An order without a record: its bill is an estimate.
    NoMeter = 25,
    /// A record contradicts the one that its order has.
    Conflict = 26,
    /// A site's day is over, and its journal is not here to its end.
    JournalGap = 27,
    /// What a channel has paid out is not what was due, net of its fees.
    Payout = 28,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::Pending,
        Self::Long,
        Self::Short,
        Self::Amount,
        Self::Status,
        Self::Fee,
        Self::Duplicate,
        Self::Ambiguous,
        Self::RefundOrphan,
        Self::OverRefund,
        Self::FileMissing,
        Self::Rating,
        Self::Books,
        Self::Fork,
        Self::SetAside,
        Self::Closed,
        Self::MemberId,
        Self::Forgotten,
        Self::AboveFork,
        Self::Cash,
        Self::Energy,
        Self::RegisterGap,
        Self::Rollback,
        Self::Unbilled,
        Self::NoMeter,
        Self::Conflict,
        Self::JournalGap,
        Self::Payout,
    ];

    /// Its word, as in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Long => "LONG",
            Self::Short => "SHORT",
            Self::Amount => "AMOUNT",
            Self::Status => "STATUS",
            Self::Fee => "FEE",
            Self::Duplicate => "DUPLICATE",
            Self::Ambiguous => "AMBIGUOUS",
            Self::RefundOrphan => "REFUND_ORPHAN",
            Self::OverRefund => "OVER_REFUND",
            Self::FileMissing => "FILE_MISSING",
            Self::Rating => "RATING",
            Self::Books => "BOOKS",
            Self::Fork => "FORK",
            Self::SetAside => "SET_ASIDE",
            Self::Closed => "CLOSED",
            Self::MemberId => "MEMBER_ID",
            Self::Forgotten => "FORGOTTEN",
            Self::AboveFork => "ABOVE_FORK",
            Self::Cash => "CASH",
            Self::Energy => "ENERGY",
            Self::RegisterGap => "REGISTER_GAP",
            Self::Rollback => "ROLLBACK",
            Self::Unbilled => "UNBILLED",
            Self::NoMeter => "NO_METER",
            Self::Conflict => "CONFLICT",
            Self::JournalGap => "JOURNAL_GAP",
            Self::Payout => "PAYOUT",
        }
    }

    /// The legs in which a report may have it. PENDING is in none: it differs from nothing.
    pub const fn legs(self) -> &'static [Leg] {
        match self {
            Self::Pending => &[],
            Self::Long
            | Self::Short
            | Self::Amount
            | Self::Status
            | Self::Fee
            | Self::Duplicate
            | Self::Ambiguous
            | Self::RefundOrphan => &[Leg::Funds],
            Self::OverRefund => &[Leg::Funds, Leg::Orders],
            Self::FileMissing | Self::JournalGap => &[Leg::Sources],
            Self::Rating => &[Leg::Orders, Leg::Meters],
            Self::Books
            | Self::Fork
            | Self::SetAside
            | Self::Closed
            | Self::MemberId
            | Self::Forgotten
            | Self::AboveFork => &[Leg::Orders],
            Self::Cash => &[Leg::Till],
            Self::Energy | Self::RegisterGap | Self::Rollback | Self::Unbilled | Self::NoMeter | Self::Conflict => {
                &[Leg::Meters]
            }
            Self::Payout => &[Leg::Bank],
        }
    }

    /// Its number.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The one of this number.
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

/// Which books are held against which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// Channels' bills against what wallets were credited.
    Funds = 1,
    /// Whether what the others go by is there.
    Sources = 2,
    /// Sites' orders against the books here.
    Orders = 3,
    /// Registers against what was billed.
    Meters = 4,
    /// Sites' tills against their books.
    Till = 5,
    /// What channels have paid out against what was due.
    Bank = 6,
}

impl Leg {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Funds,
        Self::Sources,
        Self::Orders,
        Self::Meters,
        Self::Till,
        Self::Bank,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Funds => "funds",
            Self::Sources => "sources",
            Self::Orders => "orders",
            Self::Meters => "meters",
            Self::Till => "till",
            Self::Bank => "bank",
        }
    }

    /// Its number.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The one of this number.
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|leg| leg.code() == code)
    }
}

/// Which kind of row a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A payment on a channel's trade bill.
    Payment = 1,
    /// A wallet was credited with a transaction of the channel's.
    Credit = 2,
    /// A day of a channel or of a site.
    Day = 3,
    /// A refund on a channel's trade bill.
    Refund = 4,
    /// An order.
    Order = 5,
    /// An entry of a site's journal.
    Entry = 6,
    /// A connector, in a site's energy report.
    Connector = 7,
    /// What a channel has paid out.
    Payout = 8,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Payment,
        Self::Credit,
        Self::Day,
        Self::Refund,
        Self::Order,
        Self::Entry,
        Self::Connector,
        Self::Payout,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Credit => "credit",
            Self::Day => "day",
            Self::Refund => "refund",
            Self::Order => "order",
            Self::Entry => "entry",
            Self::Connector => "connector",
            Self::Payout => "payout",
        }
    }

    /// Its number.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The one of this number.
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.code() == code)
    }
}

/// By what a verdict is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// What was missing is there.
    Matched = 1,
    /// Another class took its place.
    Changed = 2,
    /// The channel has given all of it back.
    Refunded = 3,
    /// A later line says how it ended. Four was never written.
    Said = 5,
}

impl Ended {
    /// Its number.
    pub const fn code(self) -> i64 {
        self as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_and_number_leads_back_to_its_own() {
        for class in Class::ALL {
            assert_eq!(Class::of_code(class.code()), Some(class));
            assert_eq!(Class::of_word(class.word()), Some(class));
        }
        assert_eq!((Class::of_code(0), Class::of_word("MATCHED")), (None, None));
        for leg in Leg::ALL {
            assert_eq!(Leg::of_code(leg.code()), Some(leg));
        }
        for source in Source::ALL {
            assert_eq!(Source::of_code(source.code()), Some(source));
        }
    }
}
