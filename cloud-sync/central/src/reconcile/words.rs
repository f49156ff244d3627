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
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 11] = [
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
}

impl Leg {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Funds => "funds",
            Self::Sources => "sources",
        }
    }

    /// Its number.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The one of this number.
    pub fn of_code(code: i64) -> Option<Self> {
        [Self::Funds, Self::Sources].into_iter().find(|leg| leg.code() == code)
    }
}

/// Which kind of row a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A payment on a channel's trade bill.
    Payment = 1,
    /// A wallet was credited with a transaction of the channel's.
    Credit = 2,
    /// A day of a channel.
    Day = 3,
    /// A refund on a channel's trade bill.
    Refund = 4,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Payment, Self::Credit, Self::Day, Self::Refund];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Credit => "credit",
            Self::Day => "day",
            Self::Refund => "refund",
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
        for leg in [Leg::Funds, Leg::Sources] {
            assert_eq!(Leg::of_code(leg.code()), Some(leg));
        }
        for source in Source::ALL {
            assert_eq!(Source::of_code(source.code()), Some(source));
        }
    }
}
