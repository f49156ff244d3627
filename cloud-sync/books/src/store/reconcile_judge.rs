//! What is to be said of lines, as statements: the classes of `docs/reconciliation.md` in their order.
//!
//! Lines that are looked for by a number lead to their files, one by one: as values and not as joins, so that no planner goes the other way,
//! from files to all of their lines. What is worked out of a line is worked out once (`MATERIALIZED`).

/// Words with which channels say of a payment that it was paid; `STATUS` is any other. A file without such a column has none.
pub(super) const PAID: &str = "'', 'SUCCESS', '交易', '成功', '交易成功', '支付成功'";
/// And of a refund that it is done.
pub(super) const GIVEN_BACK: &str = "'', 'SUCCESS', 'REVOKED', '退款', '成功', '退款成功'";
/// Or that it is under way: nothing has moved yet.
pub(super) const UNDER_WAY: &str = "'PROCESSING'";

/// The columns of a verdict.
pub(super) const COLUMNS: &str =
    "scope, leg, source, ref, file, line, class, is_matched, day, of_day, at, amount, ours, theirs, other, n";

/// A refund of which the file has no number but the payment's: each is another one.
pub(super) fn is_nameless(of: &str) -> String {
    format!("({of}.out_no = {of}.origin AND {of}.ref = COALESCE({of}.origin_ref, {of}.ref))")
}

/// Whether a line `e` is in a file that counts, and something holds of its day `f.day`.
fn in_file(e: &str, holds: &str) -> String {
    format!(
        "(SELECT CASE WHEN {holds} THEN 1 ELSE 0 END FROM bill_file f WHERE f.id = {e}.file AND f.state = 'imported') = 1"
    )
}

/// An earlier line than `q` of this kind for which something holds: in a file of an earlier day, or before it.
fn earlier(kind: &str, holds: &str) -> String {
    let in_file = in_file(
        "e",
        "f.day < q.of_day OR (f.day = q.of_day AND (e.file < q.file OR (e.file = q.file AND e.line < q.line)))",
    );
    format!(
        "EXISTS (SELECT 1 FROM bill_trade e WHERE e.kind = '{kind}' AND e.channel = q.channel AND {holds} AND {in_file})"
    )
}

/// How many lines of the same kind and number stand before one on its day.
fn before(kind: &str) -> String {
    let in_file = in_file(
        "e",
        "f.day = j.of_day AND (e.file < j.file OR (e.file = j.file AND e.line < j.line))",
    );
    format!(
        "(SELECT COUNT(*) FROM bill_trade e WHERE e.kind = '{kind}' AND e.channel = j.channel AND e.ref = j.ref AND {in_file})"
    )
}

/// The fee that is due of a line.
pub(super) fn due(fee_ppm: &str) -> String {
    format!("(l.settled * {fee_ppm} + 500000) / 1000000")
}

/// Whether there is anything to be said of the pair of a line and a credit, which a pair keeps.
pub(super) fn differs(fee_ppm: &str) -> String {
    let due = due(fee_ppm);
    format!(
        "CASE WHEN t.ref = l.out_no AND t.amount = l.amount AND l.status IN ({PAID}) AND l.fee = {due} THEN 0 ELSE 1 END"
    )
}

/// Where payments come from that are judged: `l` their lines, `m` their pairs.
pub(super) struct Payments<'a> {
    /// The day of the line.
    pub(super) of_day: &'a str,
    /// What the channel keeps of it, in millionths.
    pub(super) fee_ppm: &'a str,
    /// What was said of it until now; 0 where that is nothing.
    pub(super) was: &'a str,
    /// Tables and conditions.
    pub(super) from: &'a str,
}

/// Verdicts of payments that are not simply in a pair. `$1` scope, `$2` day, `$3` its end, `$4` from where on it is early.
///
/// A line that was not paid is no earlier line of one that was, unless the credit is in its pair.
pub(super) fn payments(of: &Payments<'_>) -> String {
    let Payments {
        of_day,
        fee_ppm,
        was,
        from,
    } = of;
    let is_one = format!(
        "e.ref = q.ref AND (e.status IN ({PAID}) OR EXISTS (SELECT 1 FROM matched w WHERE w.file = e.file AND w.line = e.line))"
    );
    let (duplicate, due, n) = (earlier("payment", &is_one), due(fee_ppm), before("payment"));
    format!(
        "INSERT INTO verdict ({COLUMNS}) \
         WITH q AS MATERIALIZED (SELECT l.channel, l.ref, l.out_no, l.file, l.line, l.at, l.amount, l.fee, l.status, {of_day} AS of_day, \
         m.amount AS credited, {due} AS due, CASE WHEN m.ref IS NULL THEN 0 ELSE 1 END AS is_matched, {was} AS was \
         FROM {from}), \
         k AS MATERIALIZED (SELECT q.*, CASE WHEN q.is_matched = 0 AND {duplicate} THEN 1 ELSE 0 END AS is_again, \
         CASE WHEN q.is_matched = 0 THEN (SELECT u.amount FROM topup u WHERE u.channel = q.channel AND u.ref = q.out_no \
         AND u.made_at < CAST($3 AS BIGINT)) END AS asked FROM q), \
         j AS MATERIALIZED (SELECT k.*, CASE WHEN k.is_matched = 0 THEN CASE \
         WHEN k.status NOT IN ({PAID}) THEN 5 \
         WHEN k.is_again = 1 THEN 7 \
         WHEN k.asked <> k.amount THEN 4 \
         WHEN k.asked IS NULL \
         AND (SELECT COUNT(*) FROM (SELECT 1 FROM topup c WHERE c.channel = k.channel AND c.amount = k.amount \
         AND c.made_at > k.at - 86400000 AND c.made_at <= k.at \
         AND (c.credited_at IS NULL OR c.credited_at >= CAST($3 AS BIGINT)) LIMIT 2) candidates) = 2 THEN 8 \
         WHEN k.at >= CAST($4 AS BIGINT) THEN 1 ELSE 2 END \
         WHEN k.status NOT IN ({PAID}) THEN 5 \
         WHEN (SELECT t.ref FROM channel_transaction t WHERE t.channel = k.channel AND t.id = k.ref) <> k.out_no THEN 8 \
         WHEN k.credited <> k.amount THEN 4 \
         WHEN k.fee <> k.due THEN 6 \
         ELSE 0 END AS class FROM k) \
         SELECT CAST($1 AS TEXT), 1, 1, j.ref, j.file, j.line, j.class, j.is_matched, CAST($2 AS TEXT), j.of_day, j.at, j.amount, \
         CASE j.class WHEN 6 THEN j.due WHEN 4 THEN COALESCE(j.credited, j.asked) ELSE j.credited END, \
         CASE j.class WHEN 6 THEN j.fee ELSE j.amount END, NULL, {n} \
         FROM j WHERE j.class <> 0 AND (j.is_matched = 1 OR j.class <> j.was)"
    )
}

/// Verdicts of refunds. `$1` scope, `$2` day; `of_day` is the day of a line, `was` what was said of it until now, `from` has lines as `r`.
///
/// A refund that is under way has moved nothing yet. One that is done is known to our books in no case: they have no refunds to channels.
pub(super) fn refunds(of_day: &str, was: &str, from: &str) -> String {
    let nameless = is_nameless("q");
    let is_one = format!("e.ref = q.ref AND e.out_no = q.out_no AND e.status IN ({GIVEN_BACK}) AND NOT {nameless}");
    let (duplicate, n) = (earlier("refund", &is_one), before("refund"));
    let (nameless, up_to_today) = (is_nameless("x"), in_file("p", "f.day <= CAST($2 AS TEXT)"));
    let up_to_it = in_file(
        "x",
        "f.day < k.of_day OR (f.day = k.of_day AND (x.file < k.file OR (x.file = k.file AND x.line <= k.line)))",
    );
    format!(
        "INSERT INTO verdict ({COLUMNS}) \
         WITH k AS MATERIALIZED (SELECT r.channel, r.ref, r.out_no, r.origin, r.origin_ref, r.file, r.line, r.at, r.amount, r.status, \
         {of_day} AS of_day, {was} AS was, \
         (SELECT MIN(p.ref) FROM bill_trade p WHERE p.kind = 'payment' AND p.channel = r.channel \
         AND p.out_no = r.origin AND (r.origin_ref IS NULL OR p.ref = r.origin_ref) AND {up_to_today}) AS payment FROM {from}), \
         q AS MATERIALIZED (SELECT k.*, \
         (SELECT MIN(p.amount) FROM bill_trade p WHERE p.kind = 'payment' \
         AND p.channel = k.channel AND p.ref = k.payment AND {up_to_today}) AS captured, \
         (SELECT CAST(COALESCE(SUM(y.back), 0) AS BIGINT) FROM (SELECT MAX(-x.amount) AS back FROM bill_trade x \
         WHERE x.kind = 'refund' AND x.channel = k.channel AND x.origin = k.origin \
         AND (x.origin_ref IS NULL OR k.origin_ref IS NULL OR x.origin_ref = k.origin_ref) \
         AND x.status IN ({GIVEN_BACK}) AND {up_to_it} \
         GROUP BY x.ref, x.out_no, CASE WHEN {nameless} THEN x.file END, CASE WHEN {nameless} THEN x.line END) y) AS back FROM k), \
         j AS MATERIALIZED (SELECT q.*, CASE WHEN q.status IN ({UNDER_WAY}) THEN 1 WHEN q.status NOT IN ({GIVEN_BACK}) THEN 5 \
         WHEN {duplicate} THEN 7 WHEN q.payment IS NULL THEN 9 WHEN q.back > q.captured THEN 10 ELSE 3 END AS class FROM q) \
         SELECT CAST($1 AS TEXT), 1, 4, j.ref, j.file, j.line, j.class, 0, CAST($2 AS TEXT), j.of_day, j.at, j.amount, \
         CASE j.class WHEN 10 THEN j.captured END, CASE j.class WHEN 10 THEN -j.back ELSE j.amount END, \
         j.payment, {n} FROM j WHERE j.class <> j.was"
    )
}
