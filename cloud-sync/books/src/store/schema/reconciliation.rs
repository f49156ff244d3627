//! The tables of reconciliation (对账): version 3.

/// Amounts are fen, times milliseconds since 1970; JSON is text. Nothing of it is ever taken away but what a run replaces: bills and
/// what was made of them are kept for as long as the books are, ten years at least (会计档案管理办法, 2015: 银行对账单, 银行存款余额调节表).
pub(super) const TABLES: &[&str] = &[
    // Credits by the day on which they were made.
    "CREATE INDEX channel_transaction_credited ON channel_transaction (channel, at, id, amount) WHERE credited = 1",
    // Callbacks as they came, whatever they came to: what people look at beside a LONG or a SHORT (S05 §3.2). `headers` is JSON of those
    // that say who signed it and when; `why` what is wrong with it, where something is; `status` what was answered.
    "CREATE TABLE callback (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL,
        at BIGINT NOT NULL,
        address TEXT,
        headers TEXT NOT NULL,
        body BYTES NOT NULL,
        is_signed BIGINT NOT NULL CHECK (is_signed IN (0, 1)),
        ref TEXT,
        transaction_id TEXT,
        status BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        why TEXT)",
    "CREATE INDEX callback_at ON callback (channel, at, id)",
    "CREATE INDEX callback_ref ON callback (channel, ref, at, id) WHERE ref IS NOT NULL",
    "CREATE INDEX callback_transaction ON callback (channel, transaction_id, at, id) WHERE transaction_id IS NOT NULL",
    "CREATE INDEX callback_old ON callback (at)",
    // Top-ups of an amount that were asked for shortly before a payment.
    "CREATE INDEX topup_amount ON topup (channel, amount, made_at)",
    // Runs: a scope (a channel, a site) has one at a time, each up to `alive_until` (0: it was taken for dead), and of a day one that
    // counts. A run that is made again replaces what was there of its day and of all days after it, but for days that are final.
    // `inputs` are what it went by, `totals` its control totals, `digest` one number for everything that it found.
    "CREATE TABLE run (
        id BIGINT PRIMARY KEY,
        scope TEXT NOT NULL,
        day TEXT NOT NULL,
        no BIGINT NOT NULL CHECK (no > 0),
        status TEXT NOT NULL CHECK (status IN ('running', 'provisional', 'final', 'replaced', 'left')),
        inputs TEXT NOT NULL,
        totals TEXT,
        digest TEXT,
        alive_until BIGINT NOT NULL,
        begun_at BIGINT NOT NULL,
        begun_by TEXT NOT NULL,
        ended_at BIGINT,
        CHECK (status NOT IN ('provisional', 'final') OR (totals IS NOT NULL AND digest IS NOT NULL AND ended_at IS NOT NULL)))",
    "CREATE UNIQUE INDEX run_no ON run (scope, day, no)",
    "CREATE UNIQUE INDEX run_running ON run (scope) WHERE status = 'running'",
    "CREATE UNIQUE INDEX run_counts ON run (scope, day) WHERE status IN ('provisional', 'final')",
    "CREATE INDEX run_day ON run (day, id)",
    // Pairs: a line of a channel's bill and the credit that it is. Each is in one pair. `amount` is the credit's. On which day a pair
    // was made follows from its file, or, where the line had waited for its credit, from its verdict.
    "CREATE TABLE matched (
        channel TEXT NOT NULL,
        ref TEXT NOT NULL,
        file BIGINT NOT NULL,
        line BIGINT NOT NULL,
        amount BIGINT NOT NULL,
        PRIMARY KEY (channel, ref))",
    "CREATE UNIQUE INDEX matched_line ON matched (file, line)",
    // What is said of a row of a source from one day on up to another, unless it is simply in a pair: `leg`, `source`, `class` and
    // `ended` as in `reconcile::words`. `of_day` is the row's own day, `is_matched` whether it is in a pair all the same, `other` the
    // payment that a refund is of.
    "CREATE TABLE verdict (
        scope TEXT NOT NULL,
        leg BIGINT NOT NULL,
        source BIGINT NOT NULL,
        ref TEXT NOT NULL,
        file BIGINT NOT NULL,
        line BIGINT NOT NULL,
        class BIGINT NOT NULL,
        is_matched BIGINT NOT NULL,
        day TEXT NOT NULL,
        until TEXT,
        ended BIGINT,
        of_day TEXT NOT NULL,
        at BIGINT NOT NULL,
        amount BIGINT NOT NULL,
        ours BIGINT,
        theirs BIGINT,
        other TEXT,
        PRIMARY KEY (scope, leg, source, ref, file, line, class, is_matched),
        CHECK ((until IS NULL) = (ended IS NULL)))",
    "CREATE INDEX verdict_open ON verdict (scope, leg, source, class, ref, file, line) WHERE until IS NULL",
    "CREATE INDEX verdict_day ON verdict (scope, day, leg, source, ref, file, line, class, is_matched)",
    "CREATE INDEX verdict_until ON verdict (scope, until, leg, source, ref, file, line, class, is_matched) WHERE until IS NOT NULL",
    "CREATE INDEX verdict_other ON verdict (scope, other) WHERE other IS NOT NULL",
    // What differs, named once by the row that it is about, whichever runs find it: as it is now. What happened to it is told by its
    // events.
    "CREATE TABLE discrepancy (
        id BIGINT PRIMARY KEY,
        scope TEXT NOT NULL,
        leg BIGINT NOT NULL,
        source BIGINT NOT NULL,
        ref TEXT NOT NULL,
        file BIGINT NOT NULL,
        line BIGINT NOT NULL,
        class BIGINT NOT NULL,
        day TEXT NOT NULL,
        of_day TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'proposed', 'approved', 'posted', 'cleared')),
        amount BIGINT NOT NULL,
        ours BIGINT,
        theirs BIGINT,
        assigned TEXT,
        opened_at BIGINT NOT NULL,
        closed_at BIGINT,
        CHECK ((state IN ('posted', 'cleared')) = (closed_at IS NOT NULL)))",
    "CREATE UNIQUE INDEX discrepancy_row ON discrepancy (scope, leg, source, ref, file, line, class)",
    "CREATE INDEX discrepancy_list ON discrepancy (day, id)",
    "CREATE INDEX discrepancy_scope ON discrepancy (scope, day, id)",
    "CREATE INDEX discrepancy_class ON discrepancy (class, day, id)",
    "CREATE INDEX discrepancy_open ON discrepancy (day, id) WHERE closed_at IS NULL",
    "CREATE INDEX discrepancy_open_scope ON discrepancy (scope, leg, source, ref, file, line, class) WHERE closed_at IS NULL",
    "CREATE INDEX discrepancy_assigned ON discrepancy (assigned, day, id) WHERE closed_at IS NULL AND assigned IS NOT NULL",
    "CREATE TABLE discrepancy_event (
        discrepancy BIGINT NOT NULL REFERENCES discrepancy (id),
        no BIGINT NOT NULL CHECK (no > 0),
        kind TEXT NOT NULL CHECK (kind IN ('opened', 'changed', 'cleared', 'assigned', 'commented', 'proposed', 'approved', \
            'rejected', 'posted')),
        at BIGINT NOT NULL,
        by TEXT NOT NULL,
        amount BIGINT NOT NULL,
        ours BIGINT,
        theirs BIGINT,
        body TEXT,
        PRIMARY KEY (discrepancy, no))",
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

/// Tables that are only ever added to.
pub(super) const ONLY_ADDED_TO: &[&str] = &["discrepancy_event"];
