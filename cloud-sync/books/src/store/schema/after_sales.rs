//! Tables of version 4: refunds, adjustments of wallets, and what people decide of bills.

pub(super) const TABLES: &[&str] = &[
    // What is given back for orders (售后退款). `marked`: the order's site has it in the order's row, by the entry `seq` of `branch`.
    "CREATE TABLE refund (
        id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        order_id TEXT NOT NULL,
        member TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'credited', 'refused', 'rejected')),
        why TEXT,
        marked BIGINT NOT NULL,
        branch BIGINT,
        seq BIGINT,
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        ended_at BIGINT,
        CHECK (state = 'rejected' OR decided_by IS NULL OR decided_by <> proposed_by),
        CHECK (state <> 'approved' OR marked = 0))",
    "CREATE INDEX refund_order ON refund (site, order_id)",
    "CREATE INDEX refund_proposed ON refund (proposed_at, id)",
    "CREATE INDEX refund_marked ON refund (site, branch, seq) WHERE branch IS NOT NULL",
    // Of each order that anything was to be given back for: what its driver has paid of the bill in force, and how much of it was given
    // back or is on its way. `beyond`: a later bill is lower than that by so much.
    "CREATE TABLE order_refund (
        site TEXT NOT NULL REFERENCES site (id),
        order_id TEXT NOT NULL,
        member TEXT NOT NULL,
        charged BIGINT NOT NULL CHECK (charged >= 0),
        total BIGINT NOT NULL CHECK (total >= 0),
        beyond BIGINT NOT NULL CHECK (beyond >= 0),
        CHECK (total <= charged + beyond),
        PRIMARY KEY (site, order_id))",
    // What two people add to a member's wallet, or take from it (调账). Of a finding a member has one that was not rejected.
    "CREATE TABLE adjustment (
        id TEXT PRIMARY KEY,
        member TEXT NOT NULL REFERENCES member (id),
        amount BIGINT NOT NULL CHECK (amount <> 0),
        reason TEXT NOT NULL,
        site TEXT,
        branch BIGINT,
        seq BIGINT,
        class TEXT,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'posted', 'rejected')),
        why TEXT,
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK (state = 'rejected' OR decided_by IS NULL OR decided_by <> proposed_by),
        CHECK ((site IS NULL) = (class IS NULL) AND (site IS NULL) = (branch IS NULL) AND (site IS NULL) = (seq IS NULL)))",
    "CREATE UNIQUE INDEX adjustment_finding ON adjustment (site, branch, seq, class, member)
        WHERE site IS NOT NULL AND state <> 'rejected'",
    "CREATE INDEX adjustment_proposed ON adjustment (proposed_at, id)",
    // Who owes something: wallets pay it when they can.
    "CREATE INDEX account_in_debt ON account (name) WHERE kind = 'debt' AND balance < 0",
    // What people have decided of bills at head office, on its way to the site.
    "CREATE TABLE bill_decision (
        id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        order_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('review', 'correct')),
        electricity BIGINT CHECK (electricity >= 0),
        service BIGINT CHECK (service >= 0),
        version BIGINT,
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'sent', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        hq_epoch TEXT,
        n BIGINT,
        CHECK (state = 'rejected' OR decided_by IS NULL OR decided_by <> proposed_by))",
    "CREATE INDEX bill_decision_order ON bill_decision (site, order_id)",
    "CREATE INDEX bill_decision_proposed ON bill_decision (proposed_at, id)",
];

/// What was given back and what the bill says stand in all findings under the same names.
pub(super) const OVER_REFUNDS: &[&str] = &[
    "UPDATE finding SET detail = REPLACE(REPLACE(detail, '\"refunded\":', '\"here\":'), '\"bill\":', '\"site\":') \
    WHERE class = 'OVER_REFUND'",
];
