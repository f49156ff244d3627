//! Suspense (挂账): what is on one side alone, by the row that it is about.

pub(super) const TABLES: &[&str] = &[
    // `amount` is above zero for what the channel has too much (`long:{channel}:{discrepancy}`), below zero for what it has too little
    // (`short:…`). `turn` counts how often it was put there: what is taken back may be put there again. `basis` are the discrepancy's values
    // then. `state`: `parked` it is there; `credited`, `recovered`, `written_off` by a decision; `reversed` it was no difference.
    "CREATE TABLE suspense (
        discrepancy BIGINT PRIMARY KEY REFERENCES discrepancy (id),
        channel TEXT NOT NULL,
        transaction_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('long', 'short')),
        amount BIGINT NOT NULL,
        turn BIGINT NOT NULL CHECK (turn > 0),
        basis TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('parked', 'credited', 'recovered', 'written_off', 'reversed')),
        member TEXT,
        at BIGINT NOT NULL,
        CHECK ((kind = 'long' AND amount > 0) OR (kind = 'short' AND amount < 0)))",
    "CREATE INDEX suspense_transaction ON suspense (channel, transaction_id)",
    "CREATE INDEX suspense_there ON suspense (channel, kind, state)",
    // What two people decide of a discrepancy, made anew before anything was in it. `stake` is what was at stake when it was proposed, as
    // `suspense.amount`; `member` whose wallet it is about; `transfer` the movement it stands for. One waits at a time, and who approves
    // it is not who proposed it. What was approved counts in control totals from `checked_at` up to `over_at`.
    "DROP TABLE discrepancy_decision",
    "CREATE TABLE discrepancy_decision (
        discrepancy BIGINT NOT NULL REFERENCES discrepancy (id),
        no BIGINT NOT NULL CHECK (no > 0),
        kind TEXT NOT NULL CHECK (kind IN ('credit', 'write_off', 'adjust', 'accept')),
        member TEXT,
        stake BIGINT NOT NULL,
        reason TEXT NOT NULL,
        maker TEXT NOT NULL,
        made_at BIGINT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        checker TEXT,
        checked_at BIGINT,
        answer TEXT,
        transfer TEXT,
        over_at BIGINT,
        PRIMARY KEY (discrepancy, no),
        CHECK ((state = 'proposed') = (checker IS NULL)),
        CHECK ((checker IS NULL) = (checked_at IS NULL)),
        CHECK (state <> 'approved' OR checker <> maker),
        CHECK (transfer IS NULL OR state = 'approved'),
        CHECK (over_at IS NULL OR state = 'approved'))",
    "CREATE UNIQUE INDEX discrepancy_decision_waits ON discrepancy_decision (discrepancy) WHERE state = 'proposed'",
    "CREATE UNIQUE INDEX discrepancy_decision_transfer ON discrepancy_decision (transfer) WHERE transfer IS NOT NULL",
    "CREATE INDEX discrepancy_decision_approved ON discrepancy_decision (checked_at) WHERE state = 'approved'",
    "CREATE INDEX discrepancy_decision_over ON discrepancy_decision (over_at) WHERE over_at IS NOT NULL",
    // An account of suspense has what one side has too much or too little, and never the other way (rule 25): a table's CHECKs are changed
    // on both engines by making it anew.
    "CREATE TABLE account_7 (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        balance BIGINT NOT NULL,
        CHECK (kind NOT IN ('wallet', 'transit', 'allowance', 'held', 'refund_due', 'long') OR balance >= 0),
        CHECK (kind NOT IN ('debt', 'short') OR balance <= 0))",
    "INSERT INTO account_7 (name, kind, balance) SELECT name, kind, balance FROM account",
    "DROP TABLE account",
    "ALTER TABLE account_7 RENAME TO account",
    "CREATE INDEX account_kind ON account (kind, name)",
    "CREATE INDEX account_in_debt ON account (name) WHERE kind = 'debt' AND balance < 0",
];

/// Since which day a discrepancy is open, whatever its values have been.
pub(super) const SINCE: &[&str] = &[
    "ALTER TABLE discrepancy ADD COLUMN since TEXT NOT NULL DEFAULT ''",
    "UPDATE discrepancy SET since = day",
    "CREATE INDEX discrepancy_open_since ON discrepancy (since) WHERE closed_at IS NULL",
];
