//! Tables of version 6: what runs go by, and by what a difference is known.

pub(super) const TABLES: &[&str] = &[
    // How a channel's days are reconciled, from a day on up to the next of its rows: nothing of it changes for days that are final.
    "CREATE TABLE channel_setting (
        channel TEXT NOT NULL REFERENCES channel (name),
        from_day TEXT NOT NULL,
        zone TEXT NOT NULL,
        fee_ppm BIGINT NOT NULL,
        settle_days BIGINT NOT NULL,
        bills TEXT NOT NULL,
        PRIMARY KEY (channel, from_day))",
    // When the day of a final run was over: nothing is credited before that any more.
    "ALTER TABLE run ADD COLUMN ends_at BIGINT",
    // Whether anything of line and credit differs: of a pair of which nothing does nothing is to be said.
    "ALTER TABLE matched ADD COLUMN differs BIGINT NOT NULL DEFAULT 1",
    // How many lines of the same kind, number and day stand before this one: by that a line is the same whichever file it is in.
    "ALTER TABLE verdict ADD COLUMN n BIGINT NOT NULL DEFAULT 0",
    "UPDATE verdict SET n = (SELECT COUNT(*) FROM bill_trade l JOIN bill_trade e ON e.channel = l.channel AND e.kind = l.kind \
        AND e.ref = l.ref JOIN bill_file f ON f.id = e.file WHERE l.file = verdict.file AND l.line = verdict.line \
        AND f.state = 'imported' AND f.day = verdict.of_day AND (e.file < l.file OR (e.file = l.file AND e.line < l.line))) \
        WHERE line > 0",
    "ALTER TABLE discrepancy ADD COLUMN n BIGINT NOT NULL DEFAULT 0",
    // One that no run finds any more is nobody's but its own.
    "UPDATE discrepancy SET n = COALESCE((SELECT MIN(v.n) FROM verdict v WHERE v.scope = discrepancy.scope \
        AND v.leg = discrepancy.leg AND v.source = discrepancy.source AND v.ref = discrepancy.ref AND v.file = discrepancy.file \
        AND v.line = discrepancy.line AND v.class = discrepancy.class), -id) WHERE line > 0",
    // Whether its line is in a pair: of one that is not nobody was credited with any of it.
    "ALTER TABLE discrepancy ADD COLUMN is_matched BIGINT NOT NULL DEFAULT 0",
    "UPDATE discrepancy SET is_matched = 1 WHERE EXISTS (SELECT 1 FROM verdict v WHERE v.scope = discrepancy.scope \
        AND v.leg = discrepancy.leg AND v.source = discrepancy.source AND v.ref = discrepancy.ref AND v.file = discrepancy.file \
        AND v.line = discrepancy.line AND v.class = discrepancy.class AND v.is_matched = 1 AND v.until IS NULL)",
    "DROP INDEX discrepancy_row",
    "DROP INDEX discrepancy_open_scope",
    "CREATE UNIQUE INDEX discrepancy_row ON discrepancy (scope, leg, source, ref, of_day, n, class)",
    "CREATE INDEX discrepancy_open_scope ON discrepancy (scope, leg, source, ref, of_day, n, class) WHERE closed_at IS NULL",
];
