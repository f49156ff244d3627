//! The tables of head office's own money and of what it has sites do.

/// Amounts are fen, times milliseconds since 1970.
pub(super) const TABLES: &[&str] = &[
    // Members of head office's: whoever has a wallet. What is done with somebody's money holds this row fast first.
    "CREATE TABLE member (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, frozen TEXT, blocked TEXT, made_at BIGINT NOT NULL, made_by TEXT NOT NULL)",
    "CREATE TABLE card (id TEXT PRIMARY KEY, member TEXT, given_by TEXT NOT NULL, given_at BIGINT NOT NULL)",
    "CREATE INDEX card_member ON card (member) WHERE member IS NOT NULL",
    // Sites that people have named as missing after head office's database was restored: who is known there spends nothing until
    // the site has said that it takes no voucher of before any more.
    "CREATE TABLE missing_site (site TEXT PRIMARY KEY REFERENCES site (id), since BIGINT NOT NULL, named_by TEXT NOT NULL)",
    // The last number of each row of directives to a site, in each life of head office's.
    "CREATE TABLE directive_row (
        site TEXT NOT NULL REFERENCES site (id), hq_epoch TEXT NOT NULL, row TEXT NOT NULL, n BIGINT NOT NULL,
        PRIMARY KEY (site, hq_epoch, row))",
    // Directives, as they were signed: what is sent again is the same to the byte. `about` is what a newer one of its kind stands
    // over it by; `branch` and `seq` are the entry by which it ended.
    "CREATE TABLE directive (
        site TEXT NOT NULL REFERENCES site (id),
        hq_epoch TEXT NOT NULL,
        row TEXT NOT NULL,
        n BIGINT NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        member TEXT,
        order_id TEXT,
        about TEXT,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'refused', 'forgotten')),
        refused TEXT,
        made_at BIGINT NOT NULL,
        made_by TEXT NOT NULL,
        branch BIGINT,
        seq BIGINT,
        ended_at BIGINT,
        PRIMARY KEY (site, hq_epoch, row, n))",
    "CREATE INDEX directive_waiting ON directive (site, row, n) WHERE state = 'waiting'",
    "CREATE INDEX directive_order ON directive (site, order_id) WHERE order_id IS NOT NULL",
    "CREATE INDEX directive_about ON directive (site, kind, about) WHERE about IS NOT NULL",
    "CREATE INDEX directive_ended ON directive (site, branch, seq) WHERE branch IS NOT NULL",
    "CREATE INDEX directive_made ON directive (made_at, site, row, n)",
    // Money on the road: a directive that carries it, or a voucher. `rest` is what is on the road still.
    "CREATE TABLE issue (
        id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        member TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('lease', 'standing', 'start', 'debt_paid', 'voucher')),
        amount BIGINT NOT NULL CHECK (amount > 0),
        rest BIGINT NOT NULL CHECK (rest >= 0),
        arrived BIGINT NOT NULL CHECK (arrived >= 0),
        state TEXT NOT NULL CHECK (state IN ('on_road', 'received', 'returned')),
        order_id TEXT,
        branch BIGINT,
        seq BIGINT,
        expires_at BIGINT,
        epoch TEXT,
        hq_epoch TEXT NOT NULL,
        made_at BIGINT NOT NULL,
        made_by TEXT NOT NULL,
        ended_at BIGINT,
        CHECK (rest + arrived <= amount),
        CHECK (state = 'on_road' OR rest = 0))",
    "CREATE INDEX issue_on_road ON issue (site, member) WHERE state = 'on_road'",
    "CREATE INDEX issue_member ON issue (member, made_at)",
    "CREATE INDEX issue_order ON issue (order_id) WHERE order_id IS NOT NULL",
    // Orders that are placed through head office.
    "CREATE TABLE order_placing (
        order_id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        member TEXT NOT NULL,
        pile TEXT NOT NULL,
        connector BIGINT NOT NULL,
        prepay BIGINT NOT NULL CHECK (prepay > 0),
        until TEXT NOT NULL,
        wished BIGINT,
        state TEXT NOT NULL CHECK (state IN ('gathering', 'sent', 'placed', 'refused', 'expired')),
        refused TEXT,
        expires_at BIGINT NOT NULL,
        made_at BIGINT NOT NULL,
        made_by TEXT NOT NULL)",
    "CREATE INDEX order_placing_gathering ON order_placing (member, made_at) WHERE state = 'gathering'",
    "CREATE INDEX order_placing_site ON order_placing (site) WHERE state IN ('gathering', 'sent')",
    "CREATE INDEX order_placing_due ON order_placing (expires_at) WHERE state = 'gathering'",
    // Whoever money comes in through.
    "CREATE TABLE channel (
        name TEXT PRIMARY KEY, signs TEXT NOT NULL, secret TEXT NOT NULL, merchant TEXT NOT NULL, fee_ppm BIGINT NOT NULL,
        settle_days BIGINT NOT NULL, zone TEXT NOT NULL, made_at BIGINT NOT NULL)",
    // Top-ups through a channel: asked for, then paid by a callback that the channel has signed.
    "CREATE TABLE topup (
        channel TEXT NOT NULL,
        ref TEXT NOT NULL,
        member TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        state TEXT NOT NULL CHECK (state IN ('pending', 'credited', 'closed')),
        made_at BIGINT NOT NULL,
        made_by TEXT NOT NULL,
        credited_at BIGINT,
        PRIMARY KEY (channel, ref))",
    "CREATE INDEX topup_member ON topup (member, made_at)",
    // What a channel's transactions were used for: each once, whoever credits it.
    "CREATE TABLE channel_transaction (
        channel TEXT NOT NULL, id TEXT NOT NULL, ref TEXT NOT NULL, amount BIGINT NOT NULL, credited BIGINT NOT NULL,
        why TEXT, at BIGINT NOT NULL, PRIMARY KEY (channel, id))",
    "CREATE INDEX channel_transaction_aside ON channel_transaction (at, channel, id) WHERE credited = 0",
];
