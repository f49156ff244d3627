//! The tables of what members are told, and the mini-program's back end about it. Amounts, times and numbers are as in the others.

/// In the order in which they are made.
pub(super) const TABLES: &[&str] = &[
    // How far a member's inbox is: the number of its last event, and the one up to which the back end was told. That of the next
    // is tried since then, so often, and again when it is due.
    "CREATE TABLE inbox_member (
        member TEXT PRIMARY KEY,
        seq BIGINT NOT NULL,
        sent BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        tried_since BIGINT,
        due_at BIGINT NOT NULL,
        claimed_until BIGINT NOT NULL,
        CHECK (sent <= seq))",
    "CREATE INDEX inbox_due ON inbox_member (due_at) WHERE sent < seq",
    "CREATE TABLE inbox (
        id TEXT PRIMARY KEY, member TEXT NOT NULL, seq BIGINT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
        at BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX inbox_member_seq ON inbox (member, seq)",
    "CREATE INDEX inbox_at ON inbox (at)",
    // Events that the back end did not take and that it is told of no more, unless a person has them sent again.
    "CREATE TABLE dead_letter (
        id TEXT PRIMARY KEY REFERENCES inbox (id),
        died_at BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        why TEXT NOT NULL,
        waits BIGINT NOT NULL,
        tried_since BIGINT,
        due_at BIGINT NOT NULL,
        claimed_until BIGINT NOT NULL)",
    "CREATE INDEX dead_letter_died ON dead_letter (died_at, id)",
    "CREATE INDEX dead_letter_due ON dead_letter (due_at) WHERE waits = 1",
    // Since when there is a back end that is told, by its name: of what was before that it is not.
    "CREATE TABLE webhook (name TEXT PRIMARY KEY, since BIGINT NOT NULL)",
];
