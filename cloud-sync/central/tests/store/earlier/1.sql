CREATE TABLE account (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        balance INT NOT NULL,
        CHECK (kind NOT IN ('wallet', 'transit', 'allowance', 'held', 'refund_due') OR balance >= 0),
        CHECK (kind <> 'debt' OR balance <= 0)) STRICT
;
CREATE TABLE alert (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, open INT NOT NULL, begun_at INT NOT NULL,
        ended_at INT, words TEXT NOT NULL) STRICT
;
CREATE TABLE audit (
        seq INT PRIMARY KEY, hash BLOB NOT NULL, entry TEXT NOT NULL) STRICT
;
CREATE TABLE audit_head (id INT PRIMARY KEY CHECK (id = 1), seq INT NOT NULL, hash TEXT NOT NULL) STRICT
;
CREATE TABLE batch (
        site TEXT NOT NULL REFERENCES site (id),
        branch INT NOT NULL,
        first INT NOT NULL,
        last INT NOT NULL,
        prev BLOB NOT NULL,
        dictionary INT NOT NULL,
        raw INT NOT NULL,
        body BLOB NOT NULL,
        sig BLOB NOT NULL,
        taken_at INT NOT NULL,
        PRIMARY KEY (site, branch, first)) STRICT
;
CREATE TABLE branch (
        site TEXT NOT NULL REFERENCES site (id),
        branch INT NOT NULL,
        left_seq INT NOT NULL,
        left_hash BLOB NOT NULL,
        first INT NOT NULL,
        seq INT NOT NULL,
        hash BLOB NOT NULL,
        bytes INT NOT NULL,
        taken_at INT NOT NULL,
        PRIMARY KEY (site, branch)) STRICT
;
CREATE TABLE branch_order (
        site TEXT NOT NULL, order_id TEXT NOT NULL, branch INT NOT NULL, fee INT NOT NULL,
        PRIMARY KEY (site, order_id, branch)) STRICT
;
CREATE TABLE card (id TEXT PRIMARY KEY, member TEXT, given_by TEXT NOT NULL, given_at INT NOT NULL) STRICT
;
CREATE TABLE channel (
        name TEXT PRIMARY KEY, signs TEXT NOT NULL, secret TEXT NOT NULL, merchant TEXT NOT NULL, fee_ppm INT NOT NULL,
        settle_days INT NOT NULL, zone TEXT NOT NULL, made_at INT NOT NULL) STRICT
;
CREATE TABLE channel_transaction (
        channel TEXT NOT NULL, id TEXT NOT NULL, ref TEXT NOT NULL, amount INT NOT NULL, credited INT NOT NULL,
        why TEXT, at INT NOT NULL, PRIMARY KEY (channel, id)) STRICT
;
CREATE TABLE dead_letter (
        id TEXT PRIMARY KEY REFERENCES inbox (id),
        died_at INT NOT NULL,
        tries INT NOT NULL,
        why TEXT NOT NULL,
        waits INT NOT NULL,
        tried_since INT,
        due_at INT NOT NULL,
        claimed_until INT NOT NULL) STRICT
;
CREATE TABLE directive (
        site TEXT NOT NULL REFERENCES site (id),
        hq_epoch TEXT NOT NULL,
        row TEXT NOT NULL,
        n INT NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        member TEXT,
        order_id TEXT,
        about TEXT,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'refused', 'forgotten')),
        refused TEXT,
        made_at INT NOT NULL,
        made_by TEXT NOT NULL,
        branch INT,
        seq INT,
        ended_at INT,
        PRIMARY KEY (site, hq_epoch, row, n)) STRICT
;
CREATE TABLE directive_row (
        site TEXT NOT NULL REFERENCES site (id), hq_epoch TEXT NOT NULL, row TEXT NOT NULL, n INT NOT NULL,
        PRIMARY KEY (site, hq_epoch, row)) STRICT
;
CREATE TABLE enrolment (
        site TEXT PRIMARY KEY REFERENCES site (id), token TEXT NOT NULL UNIQUE, until INT NOT NULL, used_for TEXT) STRICT
;
CREATE TABLE familiar_network (
        person TEXT NOT NULL REFERENCES person (name), network TEXT NOT NULL, seen_at INT NOT NULL,
        PRIMARY KEY (person, network)) STRICT
;
CREATE TABLE finding (
        site TEXT NOT NULL REFERENCES site (id),
        branch INT NOT NULL,
        seq INT NOT NULL,
        class TEXT NOT NULL,
        order_id TEXT,
        detail TEXT NOT NULL,
        found_at INT NOT NULL,
        PRIMARY KEY (site, branch, seq, class)) STRICT
;
CREATE TABLE forgotten (
        site TEXT PRIMARY KEY REFERENCES site (id), hq_epoch TEXT, place TEXT, said_at INT NOT NULL,
        known INT NOT NULL) STRICT
;
CREATE TABLE head_office (
        id INT PRIMARY KEY CHECK (id = 1), hq_epoch TEXT NOT NULL, signing_key TEXT NOT NULL, frozen TEXT) STRICT
;
CREATE TABLE hq_life (epoch TEXT PRIMARY KEY, number INT NOT NULL UNIQUE, begun_at INT NOT NULL) STRICT
;
CREATE TABLE idempotency (
        caller TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL, status INT NOT NULL,
        answer TEXT NOT NULL, at INT NOT NULL, PRIMARY KEY (caller, route, key)) STRICT
;
CREATE TABLE inbox (
        id TEXT PRIMARY KEY, member TEXT NOT NULL, seq INT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
        at INT NOT NULL) STRICT
;
CREATE TABLE inbox_member (
        member TEXT PRIMARY KEY,
        seq INT NOT NULL,
        sent INT NOT NULL,
        tries INT NOT NULL,
        tried_since INT,
        due_at INT NOT NULL,
        claimed_until INT NOT NULL,
        CHECK (sent <= seq)) STRICT
;
CREATE TABLE issue (
        id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        member TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('lease', 'standing', 'start', 'debt_paid', 'voucher')),
        amount INT NOT NULL CHECK (amount > 0),
        rest INT NOT NULL CHECK (rest >= 0),
        arrived INT NOT NULL CHECK (arrived >= 0),
        state TEXT NOT NULL CHECK (state IN ('on_road', 'received', 'returned')),
        order_id TEXT,
        branch INT,
        seq INT,
        expires_at INT,
        epoch TEXT,
        hq_epoch TEXT NOT NULL,
        made_at INT NOT NULL,
        made_by TEXT NOT NULL,
        ended_at INT,
        CHECK (rest + arrived <= amount),
        CHECK (state = 'on_road' OR rest = 0)) STRICT
;
CREATE TABLE job (
        kind TEXT NOT NULL, key TEXT NOT NULL, done TEXT, outcome TEXT, done_at INT, due_at INT NOT NULL,
        claimed_until INT NOT NULL, PRIMARY KEY (kind, key)) STRICT
;
CREATE TABLE member (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, frozen TEXT, blocked TEXT, made_at INT NOT NULL, made_by TEXT NOT NULL) STRICT
;
CREATE TABLE missing_site (site TEXT PRIMARY KEY REFERENCES site (id), since INT NOT NULL, named_by TEXT NOT NULL) STRICT
;
CREATE TABLE moved (
        id INT PRIMARY KEY CHECK (id = 1), move TEXT NOT NULL, arrives INT NOT NULL, place TEXT NOT NULL) STRICT
;
CREATE TABLE opening (site TEXT PRIMARY KEY REFERENCES site (id), begins TEXT NOT NULL, totals TEXT NOT NULL) STRICT
;
CREATE TABLE opening_part (
        site TEXT NOT NULL REFERENCES site (id), n INT NOT NULL, raw INT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (site, n)) STRICT
;
CREATE TABLE order_batch (
        site TEXT NOT NULL, order_id TEXT NOT NULL, branch INT NOT NULL, first INT NOT NULL,
        PRIMARY KEY (site, order_id, branch, first)) STRICT
;
CREATE TABLE order_placing (
        order_id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        member TEXT NOT NULL,
        pile TEXT NOT NULL,
        connector INT NOT NULL,
        prepay INT NOT NULL CHECK (prepay > 0),
        until TEXT NOT NULL,
        wished INT,
        state TEXT NOT NULL CHECK (state IN ('gathering', 'sent', 'placed', 'refused', 'expired')),
        refused TEXT,
        expires_at INT NOT NULL,
        made_at INT NOT NULL,
        made_by TEXT NOT NULL) STRICT
;
CREATE TABLE outbox (
        id TEXT NOT NULL, channel TEXT NOT NULL, body TEXT NOT NULL, made_at INT NOT NULL, due_at INT NOT NULL,
        claimed_until INT NOT NULL, tries INT NOT NULL, state TEXT NOT NULL, ended_at INT, trouble TEXT,
        PRIMARY KEY (id, channel)) STRICT
;
CREATE TABLE person (
        name TEXT PRIMARY KEY, roles TEXT NOT NULL, password TEXT NOT NULL, must_change INT NOT NULL,
        disabled INT NOT NULL, made_at INT NOT NULL) STRICT
;
CREATE TABLE r_account (site TEXT NOT NULL, name TEXT NOT NULL, balance INT NOT NULL, PRIMARY KEY (site, name)) STRICT
;
CREATE TABLE r_card (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE r_desk_day (
        site TEXT NOT NULL, day TEXT NOT NULL, first INT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, day, first)) STRICT
;
CREATE TABLE r_energy_day (
        site TEXT NOT NULL, day TEXT NOT NULL, pile TEXT NOT NULL, connector INT NOT NULL, row TEXT NOT NULL,
        PRIMARY KEY (site, day, pile, connector)) STRICT
;
CREATE TABLE r_energy_report (
        site TEXT NOT NULL, day TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, day)) STRICT
;
CREATE TABLE r_member (
        site TEXT NOT NULL, id TEXT NOT NULL, allowance INT NOT NULL, debt INT NOT NULL, row TEXT NOT NULL,
        PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE r_order (
        site TEXT NOT NULL,
        id TEXT NOT NULL,
        member TEXT NOT NULL,
        pile TEXT NOT NULL,
        state TEXT NOT NULL,
        open INT NOT NULL,
        placed_at INT NOT NULL,
        day TEXT,
        fee INT,
        energy INT,
        held INT NOT NULL,
        row TEXT NOT NULL,
        PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE r_pile (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE r_quarantine (
        site TEXT NOT NULL, item INT NOT NULL, pile TEXT NOT NULL, digest TEXT NOT NULL, open INT NOT NULL,
        row TEXT NOT NULL, PRIMARY KEY (site, item)) STRICT
;
CREATE TABLE r_receipt (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE r_shift (
        site TEXT NOT NULL, number INT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, number)) STRICT
;
CREATE TABLE r_slip (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE r_state (site TEXT NOT NULL, name TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, name)) STRICT
;
CREATE TABLE r_tariff (site TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, id)) STRICT
;
CREATE TABLE schema_version (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)
;
CREATE TABLE session (
        hash TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES person (name), began_at INT NOT NULL,
        seen_at INT NOT NULL) STRICT
;
CREATE TABLE site (
        id TEXT PRIMARY KEY,
        number INT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        keys TEXT NOT NULL,
        certificate TEXT,
        certificate_until INT,
        state TEXT NOT NULL,
        trouble TEXT,
        branch INT NOT NULL,
        seq INT NOT NULL,
        hash BLOB NOT NULL,
        mono INT NOT NULL,
        epoch TEXT,
        hq_epoch TEXT,
        day TEXT,
        hello TEXT,
        heard_at INT,
        owner TEXT,
        owner_until INT NOT NULL,
        revoked_at INT,
        closed_at INT,
        begins TEXT) STRICT
;
CREATE TABLE site_decision (
        site TEXT NOT NULL REFERENCES site (id),
        kind TEXT NOT NULL CHECK (kind IN ('set_aside', 'close', 'open')),
        branch INT NOT NULL,
        seq INT NOT NULL,
        hash TEXT NOT NULL,
        reason TEXT NOT NULL,
        proposed_by TEXT NOT NULL,
        proposed_at INT NOT NULL,
        approved_by TEXT,
        approved_at INT,
        PRIMARY KEY (site, kind, branch, seq, hash),
        CHECK (approved_by IS NULL OR approved_by <> proposed_by)) STRICT
;
CREATE TABLE token (
        name TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, roles TEXT NOT NULL, made_at INT NOT NULL,
        made_by TEXT NOT NULL) STRICT
;
CREATE TABLE topup (
        channel TEXT NOT NULL,
        ref TEXT NOT NULL,
        member TEXT NOT NULL,
        amount INT NOT NULL CHECK (amount > 0),
        state TEXT NOT NULL CHECK (state IN ('pending', 'credited', 'closed')),
        made_at INT NOT NULL,
        made_by TEXT NOT NULL,
        credited_at INT,
        PRIMARY KEY (channel, ref)) STRICT
;
CREATE TABLE transfer (
        id TEXT PRIMARY KEY,
        debit TEXT NOT NULL,
        credit TEXT NOT NULL,
        amount INT NOT NULL CHECK (amount > 0),
        code TEXT NOT NULL,
        site TEXT,
        branch INT,
        seq INT,
        order_id TEXT,
        member TEXT,
        day TEXT,
        at INT NOT NULL,
        by TEXT,
        CHECK (debit <> credit)) STRICT
;
CREATE TABLE webhook (name TEXT PRIMARY KEY, since INT NOT NULL) STRICT
;
INSERT INTO "account" VALUES('clearing:wechat','clearing',-5000)
;
INSERT INTO "account" VALUES('wallet:w','wallet',3700)
;
INSERT INTO "account" VALUES('transit:A:w','transit',800)
;
INSERT INTO "account" VALUES('allowance:A:w','allowance',500)
;
INSERT INTO "audit" VALUES(1,X'4444444444444444444444444444444444444444444444444444444444444444','{"by":"li","action":"lease"}')
;
INSERT INTO "audit_head" VALUES(1,0,'0000000000000000000000000000000000000000000000000000000000000000')
;
INSERT INTO "batch" VALUES('A',0,1,3,X'0000000000000000000000000000000000000000000000000000000000000000',0,300,X'28B52FFD',X'33333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333',1772424000000)
;
INSERT INTO "card" VALUES('c9','w','li',1772424000000)
;
INSERT INTO "channel" VALUES('wechat','standard_webhooks','whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw','1900000001',6000,3,'Asia/Shanghai',1772424000000)
;
INSERT INTO "channel_transaction" VALUES('wechat','4200001','T-1',5000,1,NULL,1772424000000)
;
INSERT INTO "directive" VALUES('A','11111111111111111111111111111111','orders',1,'lease','{"hq_epoch":"11111111111111111111111111111111","row":"orders","n":1,"do":{"lease":{"member":"w","name":"Wang","amount":"5.00"}}}','w',NULL,NULL,'done',NULL,1772424000000,'li',0,3,1772424000000)
;
INSERT INTO "directive" VALUES('A','11111111111111111111111111111111','orders',2,'lease','{"hq_epoch":"11111111111111111111111111111111","row":"orders","n":2,"do":{"lease":{"member":"w","name":"Wang","amount":"8.00"}}}','w',NULL,NULL,'waiting',NULL,1772424000000,'li',NULL,NULL,NULL)
;
INSERT INTO "directive_row" VALUES('A','11111111111111111111111111111111','orders',2)
;
INSERT INTO "enrolment" VALUES('A','abababababababababababababababababababababababababababababababab',1772510400000,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd')
;
INSERT INTO "finding" VALUES('A',0,2,'CASH',NULL,'{"why":"a till"}',1772424000000)
;
INSERT INTO "head_office" VALUES(1,'11111111111111111111111111111111','0202020202020202020202020202020202020202020202020202020202020202',NULL)
;
INSERT INTO "hq_life" VALUES('22222222222222222222222222222222',1,1772337600000)
;
INSERT INTO "hq_life" VALUES('11111111111111111111111111111111',2,1772424000000)
;
INSERT INTO "inbox" VALUES('A:0:2','w',1,'order_placed','{}',1772424000000)
;
INSERT INTO "inbox_member" VALUES('w',1,1,0,NULL,0,0)
;
INSERT INTO "issue" VALUES('A:11111111111111111111111111111111:orders:1','A','w','lease',500,0,500,'received',NULL,0,3,NULL,NULL,'11111111111111111111111111111111',1772424000000,'li',1772424000000)
;
INSERT INTO "issue" VALUES('A:11111111111111111111111111111111:orders:2','A','w','lease',800,800,0,'on_road',NULL,NULL,NULL,NULL,NULL,'11111111111111111111111111111111',1772424000000,'li',NULL)
;
INSERT INTO "job" VALUES('books','A','2026-03-02','equal',1772424000000,1772424000000,0)
;
INSERT INTO "member" VALUES('w','Wang',NULL,NULL,1772424000000,'li')
;
INSERT INTO "outbox" VALUES('alert-1','mail','{}',1772424000000,1772424000000,0,1,'sent',1772424000000,NULL)
;
INSERT INTO "person" VALUES('ann','["admin"]','argon2',0,0,1772424000000)
;
INSERT INTO "r_account" VALUES('A','allowance:w',500)
;
INSERT INTO "r_account" VALUES('A','hq',-500)
;
INSERT INTO "schema_version" VALUES(1,1)
;
INSERT INTO "site" VALUES('A',1,'North yard','[]',NULL,NULL,'following',NULL,0,3,X'1111111111111111111111111111111111111111111111111111111111111111',5000,'e1',NULL,'2026-03-02','{"epoch":"e1"}',1772424000000,NULL,0,NULL,NULL,NULL)
;
INSERT INTO "token" VALUES('back-end','efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef','["station"]',1772424000000,'ann')
;
INSERT INTO "topup" VALUES('wechat','T-1','w',5000,'credited',1772424000000,'back-end',1772424000000)
;
INSERT INTO "transfer" VALUES('t0','clearing:wechat','wallet:w',5000,'TOPUP',NULL,NULL,NULL,NULL,'w',NULL,1772424000000,'li')
;
INSERT INTO "transfer" VALUES('t1','wallet:w','transit:A:w',1300,'LEASE','A',0,1,NULL,'w',NULL,1772424000001,'li')
;
INSERT INTO "transfer" VALUES('t2','transit:A:w','allowance:A:w',500,'LEASE','A',0,2,NULL,'w',NULL,1772424000002,'li')
;
CREATE INDEX r_order_open ON r_order (site, open) WHERE open = 1
;
CREATE INDEX r_order_placed ON r_order (placed_at, site, id)
;
CREATE INDEX r_order_member ON r_order (member, placed_at)
;
CREATE INDEX r_order_state ON r_order (state, placed_at)
;
CREATE UNIQUE INDEX r_quarantine_content ON r_quarantine (site, pile, digest)
;
CREATE INDEX transfer_seq ON transfer (site, branch, seq)
;
CREATE INDEX transfer_order ON transfer (site, order_id)
;
CREATE INDEX finding_found ON finding (found_at, site, branch, seq, class)
;
CREATE INDEX finding_site ON finding (site, found_at, branch, seq, class)
;
CREATE INDEX finding_class ON finding (class, found_at, site, branch, seq)
;
CREATE INDEX finding_order ON finding (order_id, found_at, site, branch, seq, class) WHERE order_id IS NOT NULL
;
CREATE INDEX transfer_member ON transfer (member, at, id)
;
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE open = 1
;
CREATE INDEX alert_begun ON alert (open, begun_at, id)
;
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'waiting'
;
CREATE INDEX session_person ON session (person)
;
CREATE INDEX idempotency_at ON idempotency (at)
;
CREATE INDEX r_order_site ON r_order (site, placed_at, id)
;
CREATE INDEX r_order_day ON r_order (day, placed_at, site, id) WHERE day IS NOT NULL
;
CREATE INDEX r_member_id ON r_member (id, site)
;
CREATE INDEX r_quarantine_open ON r_quarantine (site, item) WHERE open = 1
;
CREATE INDEX r_energy_report_day ON r_energy_report (day, site)
;
CREATE INDEX transfer_site ON transfer (site, at, id)
;
CREATE INDEX account_kind ON account (kind, name)
;
CREATE INDEX inbox_due ON inbox_member (due_at) WHERE sent < seq
;
CREATE UNIQUE INDEX inbox_member_seq ON inbox (member, seq)
;
CREATE INDEX inbox_at ON inbox (at)
;
CREATE INDEX dead_letter_died ON dead_letter (died_at, id)
;
CREATE INDEX dead_letter_due ON dead_letter (due_at) WHERE waits = 1
;
CREATE INDEX card_member ON card (member) WHERE member IS NOT NULL
;
CREATE INDEX directive_waiting ON directive (site, row, n) WHERE state = 'waiting'
;
CREATE INDEX directive_order ON directive (site, order_id) WHERE order_id IS NOT NULL
;
CREATE INDEX directive_about ON directive (site, kind, about) WHERE about IS NOT NULL
;
CREATE INDEX directive_ended ON directive (site, branch, seq) WHERE branch IS NOT NULL
;
CREATE INDEX directive_made ON directive (made_at, site, row, n)
;
CREATE INDEX issue_on_road ON issue (site, member) WHERE state = 'on_road'
;
CREATE INDEX issue_member ON issue (member, made_at)
;
CREATE INDEX issue_order ON issue (order_id) WHERE order_id IS NOT NULL
;
CREATE INDEX order_placing_gathering ON order_placing (member, made_at) WHERE state = 'gathering'
;
CREATE INDEX order_placing_site ON order_placing (site) WHERE state IN ('gathering', 'sent')
;
CREATE INDEX order_placing_due ON order_placing (expires_at) WHERE state = 'gathering'
;
CREATE INDEX topup_member ON topup (member, made_at)
;
CREATE INDEX channel_transaction_aside ON channel_transaction (at, channel, id) WHERE credited = 0
;
CREATE TRIGGER transfer_no_UPDATE BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'transfer is only ever added to'); END
;
CREATE TRIGGER transfer_no_DELETE BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'transfer is only ever added to'); END
;
CREATE TRIGGER audit_no_UPDATE BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only ever added to'); END
;
CREATE TRIGGER audit_no_DELETE BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only ever added to'); END
;
