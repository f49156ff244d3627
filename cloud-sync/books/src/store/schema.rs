//! The tables, by version. A newer program brings an older database up to date when it starts, in one transaction; an older
//! program refuses a newer database.

mod after_sales;
mod bill_proposals;
mod bills;
mod inbox;
mod money;
mod payouts;
mod reconciliation;
mod rules;
mod site_days;
mod suspense;

use super::{Access, Dialect, Engine, StoreError, Tx, Value};

/// The newest version.
const VERSION: i64 = 14;
/// How often it is tried again where another process does the same at the same moment.
const ATTEMPTS: usize = 5;

/// Brings the tables up to date.
pub(super) fn migrate(engine: &mut impl Engine) -> Result<(), StoreError> {
    let dialect = engine.dialect();
    for _ in 1..ATTEMPTS {
        match engine.transact(Access::Write, &mut |tx| bring_up_to_date(tx, dialect)) {
            // Two processes that make the first table at once: one of them is refused, and finds it made.
            Err(StoreError::Constraint(_)) => {}
            done => return done,
        }
    }
    engine.transact(Access::Write, &mut |tx| bring_up_to_date(tx, dialect))
}

fn bring_up_to_date(tx: &mut dyn Tx, dialect: Dialect) -> Result<(), StoreError> {
    if dialect == Dialect::Postgres {
        // However long it takes, and however long another process takes that does the same.
        tx.execute("SET LOCAL lock_timeout = 0", &[])?;
        tx.execute("SET LOCAL statement_timeout = 0", &[])?;
    }
    tx.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)",
        &[],
    )?;
    tx.execute(
        "INSERT INTO schema_version (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING",
        &[],
    )?;
    // Whoever else starts now waits here, and finds it done.
    let lock = match dialect {
        Dialect::Sqlite => "SELECT version FROM schema_version WHERE id = 1",
        Dialect::Postgres => "SELECT version FROM schema_version WHERE id = 1 FOR UPDATE",
    };
    let row = tx.query_optional(lock, &[])?;
    let mut row = row.ok_or_else(|| StoreError::Broken("it has no schema version".to_owned()))?;
    let found = row.int(0)?;
    if found > VERSION {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    if found == VERSION {
        return Ok(());
    }
    for version in found + 1..=VERSION {
        for statement in statements(version, dialect) {
            tx.execute(&statement, &[])?;
        }
    }
    tx.execute(
        "UPDATE schema_version SET version = $1 WHERE id = 1",
        &[Value::Int(VERSION)],
    )?;
    Ok(())
}

fn statements(version: i64, dialect: Dialect) -> Vec<String> {
    match version {
        1 => version_1(dialect),
        2 => of_both(bills::TABLES, dialect),
        3 => {
            let mut statements = of_both(reconciliation::TABLES, dialect);
            for table in reconciliation::ONLY_ADDED_TO {
                statements.extend(append_only(table, dialect));
            }
            statements
        }
        4 => of_both(after_sales::TABLES, dialect),
        5 => of_both(bill_proposals::TABLES, dialect),
        6 => of_both(rules::TABLES, dialect),
        7 => of_both(suspense::TABLES, dialect),
        8 => of_both(site_days::TABLES, dialect),
        9 => of_both(payouts::TABLES, dialect),
        // A key that is announced to sites and does not sign yet.
        10 => of_both(&["ALTER TABLE head_office ADD COLUMN next_key TEXT"], dialect),
        11 => of_both(payouts::BACK, dialect),
        // Keys that signed once, and up to which mark of vouchers they count.
        12 => of_both(
            &["CREATE TABLE ended_key (public_key TEXT PRIMARY KEY, ends BIGINT NOT NULL)"],
            dialect,
        ),
        13 => of_both(&[suspense::SINCE, after_sales::OVER_REFUNDS].concat(), dialect),
        14 => of_both(site_days::ORDERS_OF_A_DAY, dialect),
        _ => Vec::new(),
    }
}

fn version_1(dialect: Dialect) -> Vec<String> {
    let tables = TABLES_1.iter().chain(inbox::TABLES).chain(money::TABLES);
    let mut statements: Vec<String> = tables.map(|table| of_engine(table, dialect)).collect();
    for table in ["transfer", "audit"] {
        statements.extend(append_only(table, dialect));
    }
    if dialect == Dialect::Postgres {
        // What is packed is not packed again: half the time of an ingest went there.
        statements.push("ALTER TABLE batch ALTER COLUMN body SET STORAGE EXTERNAL".to_owned());
        for table in ["r_order", "r_pile", "r_quarantine", "r_energy_day", "r_energy_report"] {
            statements.push(format!("ALTER TABLE {table} ALTER COLUMN row SET STORAGE EXTERNAL"));
            // And stays in its row where that fits into a page, instead of going to a second table with an index of its own.
            statements.push(format!("ALTER TABLE {table} SET (toast_tuple_target = 8160)"));
        }
    }
    statements
}

fn of_both(tables: &[&str], dialect: Dialect) -> Vec<String> {
    tables.iter().map(|table| of_engine(table, dialect)).collect()
}

/// The statement that makes a table, in the words of the engine. SQLite's tables are STRICT: without it a sum too large for 64
/// bits becomes a floating-point number without a word, a text fits where a number belongs, and a key may be NULL.
fn of_engine(table: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => table.replace("BYTES", "BYTEA"),
        Dialect::Sqlite => {
            let strict = if table.starts_with("CREATE TABLE") {
                " STRICT"
            } else {
                ""
            };
            // `INT`, as an `INTEGER PRIMARY KEY` would be numbered by SQLite where it is NULL.
            table.replace("BYTES", "BLOB").replace("BIGINT", "INT") + strict
        }
    }
}

/// No row of it is ever changed or taken away.
fn append_only(table: &str, dialect: Dialect) -> Vec<String> {
    match dialect {
        Dialect::Sqlite => ["UPDATE", "DELETE"]
            .map(|what| {
                format!(
                    "CREATE TRIGGER {table}_no_{what} BEFORE {what} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is only ever \
                     added to'); END"
                )
            })
            .to_vec(),
        Dialect::Postgres => vec![
            format!(
                "CREATE FUNCTION {table}_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{table} \
                 is only ever added to'; END $$"
            ),
            format!(
                "CREATE TRIGGER {table}_only_added_to BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION \
                 {table}_only_added_to()"
            ),
            format!(
                "CREATE TRIGGER {table}_never_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION \
                 {table}_only_added_to()"
            ),
        ],
    }
}

/// Amounts are fen, energies 0.1 Wh, times milliseconds since 1970.
const TABLES_1: &[&str] = &[
    // What this database is.
    "CREATE TABLE head_office (
        id BIGINT PRIMARY KEY CHECK (id = 1), hq_epoch TEXT NOT NULL, signing_key TEXT NOT NULL, frozen TEXT)",
    // A move of the database: where to it went, or where from it comes and is not all here.
    "CREATE TABLE moved (
        id BIGINT PRIMARY KEY CHECK (id = 1), move TEXT NOT NULL, arrives BIGINT NOT NULL, place TEXT NOT NULL)",
    // Its lives, the one that goes on among them.
    "CREATE TABLE hq_life (epoch TEXT PRIMARY KEY, number BIGINT NOT NULL UNIQUE, begun_at BIGINT NOT NULL)",
    // A site: how far its journal is here, what is made of it, and which process goes on with it.
    "CREATE TABLE site (
        id TEXT PRIMARY KEY,
        number BIGINT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        keys TEXT NOT NULL,
        certificate TEXT,
        certificate_until BIGINT,
        state TEXT NOT NULL,
        trouble TEXT,
        branch BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        hash BYTES NOT NULL,
        mono BIGINT NOT NULL,
        epoch TEXT,
        hq_epoch TEXT,
        day TEXT,
        hello TEXT,
        heard_at BIGINT,
        owner TEXT,
        owner_until BIGINT NOT NULL,
        revoked_at BIGINT,
        closed_at BIGINT,
        begins TEXT)",
    // The rows with which a station with a history joins, or has joined; `begins` of its site says where.
    "CREATE TABLE opening (site TEXT PRIMARY KEY REFERENCES site (id), begins TEXT NOT NULL, totals TEXT NOT NULL)",
    "CREATE TABLE opening_part (
        site TEXT NOT NULL REFERENCES site (id), n BIGINT NOT NULL, raw BIGINT NOT NULL, body BYTES NOT NULL,
        PRIMARY KEY (site, n))",
    // Who may come in for the first time, or anew, by a token that counts once.
    "CREATE TABLE enrolment (
        site TEXT PRIMARY KEY REFERENCES site (id), token TEXT NOT NULL UNIQUE, until BIGINT NOT NULL, used_for TEXT)",
    // What a site says of head office that this database does not know, and whether people know of that.
    "CREATE TABLE forgotten (
        site TEXT PRIMARY KEY REFERENCES site (id), hq_epoch TEXT, place TEXT, said_at BIGINT NOT NULL,
        known BIGINT NOT NULL)",
    // Batches as they came; those that are not followed have another branch than the site.
    "CREATE TABLE batch (
        site TEXT NOT NULL REFERENCES site (id),
        branch BIGINT NOT NULL,
        first BIGINT NOT NULL,
        last BIGINT NOT NULL,
        prev BYTES NOT NULL,
        dictionary BIGINT NOT NULL,
        raw BIGINT NOT NULL,
        body BYTES NOT NULL,
        sig BYTES NOT NULL,
        taken_at BIGINT NOT NULL,
        PRIMARY KEY (site, branch, first))",
    // Branches of a site's journal other than the one it began with: where each leaves the one that is followed, the first
    // entry of its own batches, and its end.
    "CREATE TABLE branch (
        site TEXT NOT NULL REFERENCES site (id),
        branch BIGINT NOT NULL,
        left_seq BIGINT NOT NULL,
        left_hash BYTES NOT NULL,
        first BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        hash BYTES NOT NULL,
        bytes BIGINT NOT NULL,
        taken_at BIGINT NOT NULL,
        PRIMARY KEY (site, branch))",
    // Orders that were settled on a branch that is not followed any more.
    "CREATE TABLE branch_order (
        site TEXT NOT NULL, order_id TEXT NOT NULL, branch BIGINT NOT NULL, fee BIGINT NOT NULL,
        PRIMARY KEY (site, order_id, branch))",
    // What two people decide of a site: one proposes, another approves.
    "CREATE TABLE site_decision (
        site TEXT NOT NULL REFERENCES site (id),
        kind TEXT NOT NULL CHECK (kind IN ('set_aside', 'close', 'open')),
        branch BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        hash TEXT NOT NULL,
        reason TEXT NOT NULL,
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        approved_by TEXT,
        approved_at BIGINT,
        PRIMARY KEY (site, kind, branch, seq, hash),
        CHECK (approved_by IS NULL OR approved_by <> proposed_by))",
    // Which batches the log of an order is in.
    "CREATE TABLE order_batch (
        site TEXT NOT NULL, order_id TEXT NOT NULL, branch BIGINT NOT NULL, first BIGINT NOT NULL,
        PRIMARY KEY (site, order_id, branch, first))",
    // The replica: rows of sites, in the station's own JSON.
    "CREATE TABLE r_order (
        site TEXT NOT NULL,
        id TEXT NOT NULL,
        member TEXT NOT NULL,
        pile TEXT NOT NULL,
        state TEXT NOT NULL,
        open BIGINT NOT NULL,
        placed_at BIGINT NOT NULL,
        day TEXT,
        fee BIGINT,
        energy BIGINT,
        held BIGINT NOT NULL,
        row TEXT NOT NULL,
        PRIMARY KEY (site, id))",
    "CREATE INDEX r_order_open ON r_order (site, open) WHERE open = 1",
    "CREATE INDEX r_order_placed ON r_order (placed_at, site, id)",
    "CREATE INDEX r_order_member ON r_order (member, placed_at)",
    "CREATE INDEX r_order_state ON r_order (state, placed_at)",
    "CREATE TABLE r_member (
        site TEXT NOT NULL, id TEXT NOT NULL, allowance BIGINT NOT NULL, debt BIGINT NOT NULL, row TEXT NOT NULL,
        PRIMARY KEY (site, id))",
    "CREATE TABLE r_pile (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id))",
    "CREATE TABLE r_card (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id))",
    "CREATE TABLE r_tariff (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id))",
    "CREATE TABLE r_receipt (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id))",
    "CREATE TABLE r_slip (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id))",
    "CREATE TABLE r_quarantine (
        site TEXT NOT NULL, item BIGINT NOT NULL, pile TEXT NOT NULL, digest TEXT NOT NULL, open BIGINT NOT NULL,
        row TEXT NOT NULL, PRIMARY KEY (site, item))",
    "CREATE UNIQUE INDEX r_quarantine_content ON r_quarantine (site, pile, digest)",
    "CREATE TABLE r_shift (
        site TEXT NOT NULL, number BIGINT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, number))",
    "CREATE TABLE r_desk_day (
        site TEXT NOT NULL, day TEXT NOT NULL, first BIGINT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, day, first))",
    "CREATE TABLE r_energy_day (
        site TEXT NOT NULL, day TEXT NOT NULL, pile TEXT NOT NULL, connector BIGINT NOT NULL, row TEXT NOT NULL,
        PRIMARY KEY (site, day, pile, connector))",
    "CREATE TABLE r_energy_report (
        site TEXT NOT NULL, day TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, day))",
    // What there is one of at a site: `clock`, `days`, `desk`, `head_office`.
    "CREATE TABLE r_state (site TEXT NOT NULL, name TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, name))",
    // The station's own accounts.
    "CREATE TABLE r_account (site TEXT NOT NULL, name TEXT NOT NULL, balance BIGINT NOT NULL, PRIMARY KEY (site, name))",
    // The books: every account, and every movement between two of them. Movements have no foreign keys to their accounts: they
    // would cost a third of an ingest on PostgreSQL, and `upkeep::ledger` finds a movement of an account that is not there.
    "CREATE TABLE account (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        balance BIGINT NOT NULL,
        CHECK (kind NOT IN ('wallet', 'transit', 'allowance', 'held', 'refund_due') OR balance >= 0),
        CHECK (kind <> 'debt' OR balance <= 0))",
    "CREATE TABLE transfer (
        id TEXT PRIMARY KEY,
        debit TEXT NOT NULL,
        credit TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        code TEXT NOT NULL,
        site TEXT,
        branch BIGINT,
        seq BIGINT,
        order_id TEXT,
        member TEXT,
        day TEXT,
        at BIGINT NOT NULL,
        by TEXT,
        CHECK (debit <> credit))",
    "CREATE INDEX transfer_seq ON transfer (site, branch, seq)",
    "CREATE INDEX transfer_order ON transfer (site, order_id)",
    // Where a site says one thing, and another is worked out here.
    "CREATE TABLE finding (
        site TEXT NOT NULL REFERENCES site (id),
        branch BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        class TEXT NOT NULL,
        order_id TEXT,
        detail TEXT NOT NULL,
        found_at BIGINT NOT NULL,
        PRIMARY KEY (site, branch, seq, class))",
    "CREATE INDEX finding_found ON finding (found_at, site, branch, seq, class)",
    "CREATE INDEX finding_site ON finding (site, found_at, branch, seq, class)",
    "CREATE INDEX finding_class ON finding (class, found_at, site, branch, seq)",
    "CREATE INDEX finding_order ON finding (order_id, found_at, site, branch, seq, class) WHERE order_id IS NOT NULL",
    "CREATE INDEX transfer_member ON transfer (member, at, id)",
    // Work that is done once for something (`key`), whichever process does it: what it was last done for and what came of it.
    "CREATE TABLE job (
        kind TEXT NOT NULL, key TEXT NOT NULL, done TEXT, outcome TEXT, done_at BIGINT, due_at BIGINT NOT NULL,
        claimed_until BIGINT NOT NULL, PRIMARY KEY (kind, key))",
    // What people must look at, from when to when; one of a kind about something is open at a time.
    "CREATE TABLE alert (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, open BIGINT NOT NULL, begun_at BIGINT NOT NULL,
        ended_at BIGINT, words TEXT NOT NULL)",
    "CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE open = 1",
    "CREATE INDEX alert_begun ON alert (open, begun_at, id)",
    // What is told elsewhere, until it is told.
    "CREATE TABLE outbox (
        id TEXT NOT NULL, channel TEXT NOT NULL, body TEXT NOT NULL, made_at BIGINT NOT NULL, due_at BIGINT NOT NULL,
        claimed_until BIGINT NOT NULL, tries BIGINT NOT NULL, state TEXT NOT NULL, ended_at BIGINT, trouble TEXT,
        PRIMARY KEY (id, channel))",
    "CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'waiting'",
    // Who changed what, each sealed to the one before.
    "CREATE TABLE audit (
        seq BIGINT PRIMARY KEY, hash BYTES NOT NULL, entry TEXT NOT NULL)",
    // Its end: whoever adds to it holds this row fast. The hash is hexadecimal.
    "CREATE TABLE audit_head (id BIGINT PRIMARY KEY CHECK (id = 1), seq BIGINT NOT NULL, hash TEXT NOT NULL)",
    "INSERT INTO audit_head (id, seq, hash)
        VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000')",
    // People, their sessions and from where they came, tokens of machines, and answers that may be asked for again.
    "CREATE TABLE person (
        name TEXT PRIMARY KEY, roles TEXT NOT NULL, password TEXT NOT NULL, must_change BIGINT NOT NULL,
        disabled BIGINT NOT NULL, made_at BIGINT NOT NULL)",
    "CREATE TABLE session (
        hash TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES person (name), began_at BIGINT NOT NULL,
        seen_at BIGINT NOT NULL)",
    "CREATE INDEX session_person ON session (person)",
    "CREATE TABLE familiar_network (
        person TEXT NOT NULL REFERENCES person (name), network TEXT NOT NULL, seen_at BIGINT NOT NULL,
        PRIMARY KEY (person, network))",
    "CREATE TABLE token (
        name TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, roles TEXT NOT NULL, made_at BIGINT NOT NULL,
        made_by TEXT NOT NULL)",
    "CREATE TABLE idempotency (
        caller TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL, status BIGINT NOT NULL,
        answer TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (caller, route, key))",
    "CREATE INDEX idempotency_at ON idempotency (at)",
    // What lists are read by.
    "CREATE INDEX r_order_site ON r_order (site, placed_at, id)",
    "CREATE INDEX r_order_day ON r_order (day, placed_at, site, id) WHERE day IS NOT NULL",
    "CREATE INDEX r_member_id ON r_member (id, site)",
    "CREATE INDEX r_quarantine_open ON r_quarantine (site, item) WHERE open = 1",
    "CREATE INDEX r_energy_report_day ON r_energy_report (day, site)",
    "CREATE INDEX transfer_site ON transfer (site, at, id)",
    "CREATE INDEX account_kind ON account (kind, name)",
];
