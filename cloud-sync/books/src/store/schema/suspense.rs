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
    // The first day of its verdicts that follow on each other: where one is over on a day on which no other begins, and one begins later,
    // it was found again and began anew.
    "UPDATE discrepancy SET since = COALESCE((SELECT MIN(v.day) FROM verdict v WHERE v.scope = discrepancy.scope \
        AND v.leg = discrepancy.leg AND v.source = discrepancy.source AND v.ref = discrepancy.ref AND v.of_day = discrepancy.of_day \
        AND v.n = discrepancy.n AND v.class = discrepancy.class AND NOT EXISTS (SELECT 1 FROM verdict w WHERE w.scope = v.scope \
        AND w.leg = v.leg AND w.source = v.source AND w.ref = v.ref AND w.of_day = v.of_day AND w.n = v.n AND w.class = v.class \
        AND w.until > v.day AND NOT EXISTS (SELECT 1 FROM verdict x WHERE x.scope = v.scope AND x.leg = v.leg AND x.source = v.source \
        AND x.ref = v.ref AND x.of_day = v.of_day AND x.n = v.n AND x.class = v.class AND x.day = w.until) \
        AND EXISTS (SELECT 1 FROM verdict y WHERE y.scope = v.scope AND y.leg = v.leg AND y.source = v.source AND y.ref = v.ref \
        AND y.of_day = v.of_day AND y.n = v.n AND y.class = v.class AND y.day > w.until))), day)",
    "CREATE INDEX discrepancy_open_since ON discrepancy (since) WHERE closed_at IS NULL",
];
