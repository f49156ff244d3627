//! The tables of reconciliation (对账): version 3.

/// Amounts are fen, times milliseconds since 1970; JSON is text.
pub(super) const TABLES: &[&str] = &[
    // Runs: of a day and a scope (a site, a channel, or everything) one at a time, and one that is final. `inputs` are the files and the
    // ranges of journals that it went by, `totals` its control totals, `digest` one number for all its verdicts.
    "CREATE TABLE run (
        id BIGINT PRIMARY KEY,
        day TEXT NOT NULL,
        scope TEXT NOT NULL,
        no BIGINT NOT NULL CHECK (no > 0),
        rules TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'provisional', 'final', 'left')),
        inputs TEXT NOT NULL,
        totals TEXT,
        digest TEXT,
        alive_until BIGINT NOT NULL,
        begun_at BIGINT NOT NULL,
        begun_by TEXT NOT NULL,
        ended_at BIGINT,
        CHECK (status NOT IN ('provisional', 'final') OR (totals IS NOT NULL AND digest IS NOT NULL AND ended_at IS NOT NULL)))",
    "CREATE UNIQUE INDEX run_no ON run (day, scope, no)",
    "CREATE UNIQUE INDEX run_running ON run (day, scope) WHERE status = 'running'",
    "CREATE UNIQUE INDEX run_final ON run (day, scope) WHERE status = 'final'",
    // What a run says of a row of a source: one thing. `other` is the row that it was matched with.
    "CREATE TABLE verdict (
        run BIGINT NOT NULL REFERENCES run (id),
        leg TEXT NOT NULL,
        source TEXT NOT NULL,
        source_id TEXT NOT NULL,
        class TEXT NOT NULL,
        other TEXT,
        PRIMARY KEY (run, leg, source, source_id))",
    // And each row is matched with one.
    "CREATE UNIQUE INDEX verdict_other ON verdict (run, leg, source, other) WHERE other IS NOT NULL",
    // What differs, named once by what it is about (`key`), whichever runs find it. `ours` and `theirs` are both values.
    "CREATE TABLE discrepancy (
        id BIGINT PRIMARY KEY,
        leg TEXT NOT NULL,
        class TEXT NOT NULL,
        key TEXT NOT NULL,
        scope TEXT NOT NULL,
        day TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'proposed', 'approved', 'posted', 'cleared')),
        amount BIGINT,
        ours TEXT,
        theirs TEXT,
        detail TEXT NOT NULL,
        first_run BIGINT NOT NULL REFERENCES run (id),
        last_run BIGINT NOT NULL REFERENCES run (id),
        assigned TEXT,
        opened_at BIGINT NOT NULL,
        closed_at BIGINT,
        CHECK ((state IN ('posted', 'cleared')) = (closed_at IS NOT NULL)))",
    "CREATE UNIQUE INDEX discrepancy_key ON discrepancy (leg, class, key)",
    "CREATE INDEX discrepancy_open ON discrepancy (day, id) WHERE closed_at IS NULL",
    "CREATE INDEX discrepancy_assigned ON discrepancy (assigned, day, id) WHERE closed_at IS NULL AND assigned IS NOT NULL",
    // What two people decide of one: one proposes, another approves or rejects. One proposal is open at a time, and what was approved
    // is posted once: `transfer` is the movement's id.
    "CREATE TABLE discrepancy_decision (
        discrepancy BIGINT NOT NULL REFERENCES discrepancy (id),
        no BIGINT NOT NULL CHECK (no > 0),
        kind TEXT NOT NULL CHECK (kind IN ('credit', 'write_off', 'adjust', 'accept')),
        reason TEXT NOT NULL,
        maker TEXT NOT NULL,
        made_at BIGINT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        checker TEXT CHECK (checker <> maker),
        checked_at BIGINT,
        answer TEXT,
        transfer TEXT,
        PRIMARY KEY (discrepancy, no),
        CHECK ((state = 'proposed') = (checker IS NULL)),
        CHECK ((checker IS NULL) = (checked_at IS NULL)),
        CHECK (transfer IS NULL OR state = 'approved'))",
    "CREATE UNIQUE INDEX discrepancy_decision_open ON discrepancy_decision (discrepancy) WHERE state <> 'rejected'",
    "CREATE UNIQUE INDEX discrepancy_decision_transfer ON discrepancy_decision (transfer) WHERE transfer IS NOT NULL",
];
