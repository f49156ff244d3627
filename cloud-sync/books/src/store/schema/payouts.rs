//! What channels have paid out, where no bill of the account says so.

pub(super) const TABLES: &[&str] = &[
    // One person says that the bank has got it, another approves. `reference` is the bank's number of it.
    "CREATE TABLE payout (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL REFERENCES channel (name),
        day TEXT NOT NULL,
        reference TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
        CHECK (state <> 'approved' OR decided_by <> proposed_by))",
    "CREATE UNIQUE INDEX payout_reference ON payout (channel, reference) WHERE state <> 'rejected'",
    "CREATE INDEX payout_made ON payout (proposed_at, id)",
    "CREATE INDEX payout_day ON payout (channel, day) WHERE state = 'approved'",
];

/// Version 11: an amount below zero went back. Neither database drops a rule that has no name, so the table is made anew.
pub(super) const BACK: &[&str] = &[
    "ALTER TABLE payout RENAME TO payout_before",
    "DROP INDEX payout_reference",
    "DROP INDEX payout_made",
    "DROP INDEX payout_day",
    "CREATE TABLE payout (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL REFERENCES channel (name),
        day TEXT NOT NULL,
        reference TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount <> 0),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
        CHECK (state <> 'approved' OR decided_by <> proposed_by))",
    "INSERT INTO payout SELECT * FROM payout_before",
    "DROP TABLE payout_before",
    "CREATE UNIQUE INDEX payout_reference ON payout (channel, reference) WHERE state <> 'rejected'",
    "CREATE INDEX payout_made ON payout (proposed_at, id)",
    "CREATE INDEX payout_day ON payout (channel, day) WHERE state = 'approved'",
    // What the books have of a payout, by the day with which it became final: what is known of it may be another amount later.
    "CREATE TABLE payout_posted (
        channel TEXT NOT NULL REFERENCES channel (name),
        closed_on TEXT NOT NULL,
        day TEXT NOT NULL,
        reference TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount <> 0),
        PRIMARY KEY (channel, closed_on, day, reference))",
];
