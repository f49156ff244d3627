//! The tables of channels' bills: version 2.

/// Amounts are fen, times milliseconds since 1970.
pub(super) const TABLES: &[&str] = &[
    // Whose files the channel's bills are: none where no bill is expected.
    "ALTER TABLE channel ADD COLUMN bills TEXT",
    // Files. Lines of one count once it is 'imported', and of a day there is one of a format; until then a process is at it up to
    // `alive_until` (0: it was taken for dead), and what is left behind is taken away. `lines` and what follows are what it comes to.
    "CREATE TABLE bill_file (
        id BIGINT PRIMARY KEY,
        channel TEXT NOT NULL REFERENCES channel (name),
        format TEXT NOT NULL,
        day TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes BIGINT NOT NULL CHECK (bytes >= 0),
        state TEXT NOT NULL CHECK (state IN ('loading', 'imported', 'left')),
        lines BIGINT NOT NULL CHECK (lines >= 0),
        income BIGINT NOT NULL CHECK (income >= 0),
        outgo BIGINT NOT NULL CHECK (outgo >= 0),
        fees BIGINT NOT NULL,
        alive_until BIGINT NOT NULL,
        made_at BIGINT NOT NULL,
        made_by TEXT NOT NULL)",
    "CREATE UNIQUE INDEX bill_file_day ON bill_file (channel, format, day) WHERE state = 'imported'",
    "CREATE INDEX bill_file_hash ON bill_file (sha256) WHERE state = 'imported'",
    "CREATE INDEX bill_file_made ON bill_file (made_at, id) WHERE state = 'imported'",
    "CREATE INDEX bill_file_channel ON bill_file (channel, made_at, id) WHERE state = 'imported'",
    "CREATE INDEX bill_file_loading ON bill_file (alive_until) WHERE state = 'loading'",
    // Lines of trade formats, one by one: as in `bills::Line`. Their channel stands with them, so that a line is found by an index
    // that leads through no other channel's. Without a foreign key: it would be looked for line by line, and lines are written under
    // the row of their file alone.
    "CREATE TABLE bill_trade (
        file BIGINT NOT NULL,
        line BIGINT NOT NULL,
        channel TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund')),
        ref TEXT NOT NULL,
        out_no TEXT NOT NULL,
        origin TEXT,
        origin_ref TEXT,
        amount BIGINT NOT NULL,
        settled BIGINT NOT NULL,
        fee BIGINT NOT NULL,
        status TEXT NOT NULL,
        at BIGINT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (file, line))",
    // What a payment is found by, whichever day it is of: the channel's number, or ours.
    "CREATE INDEX bill_trade_payment ON bill_trade (channel, ref) WHERE kind = 'payment'",
    "CREATE INDEX bill_trade_payment_no ON bill_trade (channel, out_no) WHERE kind = 'payment'",
    // What a refund is found by: its own numbers, the payment that it is of, and the file that it is in.
    "CREATE INDEX bill_trade_refund ON bill_trade (channel, ref, out_no) WHERE kind = 'refund'",
    "CREATE INDEX bill_trade_refund_of ON bill_trade (channel, origin) WHERE kind = 'refund'",
    "CREATE INDEX bill_trade_refund_in ON bill_trade (file, line) WHERE kind = 'refund'",
    // Movements of the account at the channel, as its bills of the account have them; `number` is the entry's own.
    "CREATE TABLE bill_fund (
        file BIGINT NOT NULL,
        line BIGINT NOT NULL,
        channel TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'fee', 'payout', 'other')),
        ref TEXT NOT NULL,
        out_no TEXT NOT NULL,
        number TEXT NOT NULL,
        amount BIGINT NOT NULL,
        status TEXT NOT NULL,
        at BIGINT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (file, line))",
    "CREATE INDEX bill_fund_ref ON bill_fund (channel, ref)",
    // What the bank account got: few of many lines.
    "CREATE INDEX bill_fund_payout ON bill_fund (channel, at) WHERE kind = 'payout'",
];
