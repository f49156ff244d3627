CREATE TABLE "account" (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        balance INT NOT NULL,
        CHECK (kind NOT IN ('wallet', 'transit', 'allowance', 'held', 'refund_due', 'long') OR balance >= 0),
        CHECK (kind NOT IN ('debt', 'short') OR balance <= 0)) STRICT
;
CREATE TABLE adjustment (
        id TEXT PRIMARY KEY,
        member TEXT NOT NULL REFERENCES member (id),
        amount INT NOT NULL CHECK (amount <> 0),
        reason TEXT NOT NULL,
        site TEXT,
        branch INT,
        seq INT,
        class TEXT,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'posted', 'rejected')),
        why TEXT,
        proposed_by TEXT NOT NULL,
        proposed_at INT NOT NULL,
        decided_by TEXT,
        decided_at INT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK (state = 'rejected' OR decided_by IS NULL OR decided_by <> proposed_by),
        CHECK ((site IS NULL) = (class IS NULL) AND (site IS NULL) = (branch IS NULL) AND (site IS NULL) = (seq IS NULL))) STRICT
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
CREATE TABLE bill_decision (
        id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        order_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('review', 'correct')),
        electricity INT CHECK (electricity >= 0),
        service INT CHECK (service >= 0),
        version INT,
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'sent', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at INT NOT NULL,
        decided_by TEXT,
        decided_at INT,
        hq_epoch TEXT,
        n INT,
        CHECK (state = 'rejected' OR decided_by IS NULL OR decided_by <> proposed_by)) STRICT
;
CREATE TABLE bill_file (
        id INT PRIMARY KEY,
        channel TEXT NOT NULL REFERENCES channel (name),
        format TEXT NOT NULL,
        day TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INT NOT NULL CHECK (bytes >= 0),
        state TEXT NOT NULL CHECK (state IN ('loading', 'imported', 'left')),
        lines INT NOT NULL CHECK (lines >= 0),
        income INT NOT NULL CHECK (income >= 0),
        outgo INT NOT NULL CHECK (outgo >= 0),
        fees INT NOT NULL,
        alive_until INT NOT NULL,
        made_at INT NOT NULL,
        made_by TEXT NOT NULL) STRICT
;
CREATE TABLE bill_fund (
        file INT NOT NULL,
        line INT NOT NULL,
        channel TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'fee', 'payout', 'other')),
        ref TEXT NOT NULL,
        out_no TEXT NOT NULL,
        number TEXT NOT NULL,
        amount INT NOT NULL,
        status TEXT NOT NULL,
        at INT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (file, line)) STRICT
;
CREATE TABLE bill_proposal (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('withdraw', 'nothing')),
        channel TEXT NOT NULL REFERENCES channel (name),
        format TEXT NOT NULL,
        day TEXT NOT NULL,
        file INT REFERENCES bill_file (id),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at INT NOT NULL,
        decided_by TEXT,
        decided_at INT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
        CHECK (state <> 'approved' OR decided_by <> proposed_by),
        CHECK (file IS NOT NULL OR (kind = 'nothing' AND state <> 'approved'))) STRICT
;
CREATE TABLE bill_trade (
        file INT NOT NULL,
        line INT NOT NULL,
        channel TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund')),
        ref TEXT NOT NULL,
        out_no TEXT NOT NULL,
        origin TEXT,
        origin_ref TEXT,
        amount INT NOT NULL,
        settled INT NOT NULL,
        fee INT NOT NULL,
        status TEXT NOT NULL,
        at INT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (file, line)) STRICT
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
CREATE TABLE callback (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL,
        at INT NOT NULL,
        address TEXT,
        headers TEXT NOT NULL,
        body BLOB NOT NULL,
        is_signed INT NOT NULL CHECK (is_signed IN (0, 1)),
        ref TEXT,
        transaction_id TEXT,
        status INT NOT NULL,
        outcome TEXT NOT NULL,
        why TEXT) STRICT
;
CREATE TABLE card (id TEXT PRIMARY KEY, member TEXT, given_by TEXT NOT NULL, given_at INT NOT NULL) STRICT
;
CREATE TABLE channel (
        name TEXT PRIMARY KEY, signs TEXT NOT NULL, secret TEXT NOT NULL, merchant TEXT NOT NULL, fee_ppm INT NOT NULL,
        settle_days INT NOT NULL, zone TEXT NOT NULL, made_at INT NOT NULL, bills TEXT) STRICT
;
CREATE TABLE channel_setting (
        channel TEXT NOT NULL REFERENCES channel (name),
        from_day TEXT NOT NULL,
        zone TEXT NOT NULL,
        fee_ppm INT NOT NULL,
        settle_days INT NOT NULL,
        bills TEXT NOT NULL,
        PRIMARY KEY (channel, from_day)) STRICT
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
CREATE TABLE discrepancy (
        id INT PRIMARY KEY,
        scope TEXT NOT NULL,
        leg INT NOT NULL,
        source INT NOT NULL,
        ref TEXT NOT NULL,
        file INT NOT NULL,
        line INT NOT NULL,
        class INT NOT NULL,
        day TEXT NOT NULL,
        of_day TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'proposed', 'approved', 'posted', 'cleared')),
        amount INT NOT NULL,
        ours INT,
        theirs INT,
        assigned TEXT,
        opened_at INT NOT NULL,
        closed_at INT, n INT NOT NULL DEFAULT 0, is_matched INT NOT NULL DEFAULT 0,
        CHECK ((state IN ('posted', 'cleared')) = (closed_at IS NOT NULL))) STRICT
;
CREATE TABLE discrepancy_decision (
        discrepancy INT NOT NULL REFERENCES discrepancy (id),
        no INT NOT NULL CHECK (no > 0),
        kind TEXT NOT NULL CHECK (kind IN ('credit', 'write_off', 'adjust', 'accept')),
        member TEXT,
        stake INT NOT NULL,
        reason TEXT NOT NULL,
        maker TEXT NOT NULL,
        made_at INT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        checker TEXT,
        checked_at INT,
        answer TEXT,
        transfer TEXT,
        over_at INT,
        PRIMARY KEY (discrepancy, no),
        CHECK ((state = 'proposed') = (checker IS NULL)),
        CHECK ((checker IS NULL) = (checked_at IS NULL)),
        CHECK (state <> 'approved' OR checker <> maker),
        CHECK (transfer IS NULL OR state = 'approved'),
        CHECK (over_at IS NULL OR state = 'approved')) STRICT
;
CREATE TABLE discrepancy_event (
        discrepancy INT NOT NULL REFERENCES discrepancy (id),
        no INT NOT NULL CHECK (no > 0),
        kind TEXT NOT NULL CHECK (kind IN ('opened', 'changed', 'cleared', 'assigned', 'commented', 'proposed', 'approved', 'rejected', 'posted')),
        at INT NOT NULL,
        by TEXT NOT NULL,
        amount INT NOT NULL,
        ours INT,
        theirs INT,
        body TEXT,
        PRIMARY KEY (discrepancy, no)) STRICT
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
CREATE TABLE matched (
        channel TEXT NOT NULL,
        ref TEXT NOT NULL,
        file INT NOT NULL,
        line INT NOT NULL,
        amount INT NOT NULL, differs INT NOT NULL DEFAULT 1,
        PRIMARY KEY (channel, ref)) STRICT
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
CREATE TABLE order_refund (
        site TEXT NOT NULL REFERENCES site (id),
        order_id TEXT NOT NULL,
        member TEXT NOT NULL,
        charged INT NOT NULL CHECK (charged >= 0),
        total INT NOT NULL CHECK (total >= 0),
        beyond INT NOT NULL CHECK (beyond >= 0),
        CHECK (total <= charged + beyond),
        PRIMARY KEY (site, order_id)) STRICT
;
CREATE TABLE outbox (
        id TEXT NOT NULL, channel TEXT NOT NULL, body TEXT NOT NULL, made_at INT NOT NULL, due_at INT NOT NULL,
        claimed_until INT NOT NULL, tries INT NOT NULL, state TEXT NOT NULL, ended_at INT, trouble TEXT,
        PRIMARY KEY (id, channel)) STRICT
;
CREATE TABLE payout (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL REFERENCES channel (name),
        day TEXT NOT NULL,
        reference TEXT NOT NULL,
        amount INT NOT NULL CHECK (amount > 0),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at INT NOT NULL,
        decided_by TEXT,
        decided_at INT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
        CHECK (state <> 'approved' OR decided_by <> proposed_by)) STRICT
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
CREATE TABLE refund (
        id TEXT PRIMARY KEY,
        site TEXT NOT NULL REFERENCES site (id),
        order_id TEXT NOT NULL,
        member TEXT NOT NULL,
        amount INT NOT NULL CHECK (amount > 0),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'credited', 'refused', 'rejected')),
        why TEXT,
        marked INT NOT NULL,
        branch INT,
        seq INT,
        proposed_by TEXT NOT NULL,
        proposed_at INT NOT NULL,
        decided_by TEXT,
        decided_at INT,
        ended_at INT,
        CHECK (state = 'rejected' OR decided_by IS NULL OR decided_by <> proposed_by),
        CHECK (state <> 'approved' OR marked = 0)) STRICT
;
CREATE TABLE run (
        id INT PRIMARY KEY,
        scope TEXT NOT NULL,
        day TEXT NOT NULL,
        no INT NOT NULL CHECK (no > 0),
        status TEXT NOT NULL CHECK (status IN ('running', 'provisional', 'final', 'replaced', 'left')),
        inputs TEXT NOT NULL,
        totals TEXT,
        digest TEXT,
        alive_until INT NOT NULL,
        begun_at INT NOT NULL,
        begun_by TEXT NOT NULL,
        ended_at INT, ends_at INT,
        CHECK (status NOT IN ('provisional', 'final') OR (totals IS NOT NULL AND digest IS NOT NULL AND ended_at IS NOT NULL))) STRICT
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
CREATE TABLE site_day (
        site TEXT NOT NULL REFERENCES site (id),
        branch INT NOT NULL,
        seq INT NOT NULL,
        day TEXT NOT NULL,
        hash TEXT NOT NULL,
        said_at INT NOT NULL,
        PRIMARY KEY (site, branch, seq)) STRICT
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
CREATE TABLE suspense (
        discrepancy INT PRIMARY KEY REFERENCES discrepancy (id),
        channel TEXT NOT NULL,
        transaction_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('long', 'short')),
        amount INT NOT NULL,
        turn INT NOT NULL CHECK (turn > 0),
        basis TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('parked', 'credited', 'recovered', 'written_off', 'reversed')),
        member TEXT,
        at INT NOT NULL,
        CHECK ((kind = 'long' AND amount > 0) OR (kind = 'short' AND amount < 0))) STRICT
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
CREATE TABLE verdict (
        scope TEXT NOT NULL,
        leg INT NOT NULL,
        source INT NOT NULL,
        ref TEXT NOT NULL,
        file INT NOT NULL,
        line INT NOT NULL,
        class INT NOT NULL,
        is_matched INT NOT NULL,
        day TEXT NOT NULL,
        until TEXT,
        ended INT,
        of_day TEXT NOT NULL,
        at INT NOT NULL,
        amount INT NOT NULL,
        ours INT,
        theirs INT,
        other TEXT, n INT NOT NULL DEFAULT 0,
        PRIMARY KEY (scope, leg, source, ref, file, line, class, is_matched),
        CHECK ((until IS NULL) = (ended IS NULL))) STRICT
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
INSERT INTO "adjustment" VALUES('a1','w',100,'goodwill',NULL,NULL,NULL,NULL,'proposed',NULL,'ann',1772424000000,NULL,NULL)
;
INSERT INTO "audit" VALUES(1,X'4444444444444444444444444444444444444444444444444444444444444444','{"by":"li","action":"lease"}')
;
INSERT INTO "audit_head" VALUES(1,0,'0000000000000000000000000000000000000000000000000000000000000000')
;
INSERT INTO "batch" VALUES('A',0,1,3,X'0000000000000000000000000000000000000000000000000000000000000000',0,300,X'28B52FFD',X'33333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333',1772424000000)
;
INSERT INTO "callback" VALUES('1','wechat',1772424000000,'198.51.100.7','{}',X'7B7D',1,'T-1','4200001',200,'credited',NULL)
;
INSERT INTO "card" VALUES('c9','w','li',1772424000000)
;
INSERT INTO "channel" VALUES('wechat','standard_webhooks','whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw','1900000001',6000,3,'Asia/Shanghai',1772424000000,NULL)
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
INSERT INTO "payout" VALUES('p1','wechat','2026-03-02','B-1',4970,'the bank says so','approved','ann',1772424000000,'bo',1772424000000)
;
INSERT INTO "person" VALUES('ann','["admin"]','argon2',0,0,1772424000000)
;
INSERT INTO "r_account" VALUES('A','allowance:w',500)
;
INSERT INTO "r_account" VALUES('A','hq',-500)
;
INSERT INTO "schema_version" VALUES(1,9)
;
INSERT INTO "site" VALUES('A',1,'North yard','[]',NULL,NULL,'following',NULL,0,3,X'1111111111111111111111111111111111111111111111111111111111111111',5000,'e1',NULL,'2026-03-02','{"epoch":"e1"}',1772424000000,NULL,0,NULL,NULL,NULL)
;
INSERT INTO "site_day" VALUES('A',0,3,'2026-03-02','1111111111111111111111111111111111111111111111111111111111111111',1772424000000)
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
CREATE UNIQUE INDEX bill_file_day ON bill_file (channel, format, day) WHERE state = 'imported'
;
CREATE INDEX bill_file_hash ON bill_file (sha256) WHERE state = 'imported'
;
CREATE INDEX bill_file_made ON bill_file (made_at, id) WHERE state = 'imported'
;
CREATE INDEX bill_file_channel ON bill_file (channel, made_at, id) WHERE state = 'imported'
;
CREATE INDEX bill_file_loading ON bill_file (alive_until) WHERE state = 'loading'
;
CREATE INDEX bill_trade_payment ON bill_trade (channel, ref) WHERE kind = 'payment'
;
CREATE INDEX bill_trade_payment_no ON bill_trade (channel, out_no) WHERE kind = 'payment'
;
CREATE INDEX bill_trade_refund ON bill_trade (channel, ref, out_no) WHERE kind = 'refund'
;
CREATE INDEX bill_trade_refund_of ON bill_trade (channel, origin) WHERE kind = 'refund'
;
CREATE INDEX bill_trade_refund_in ON bill_trade (file, line) WHERE kind = 'refund'
;
CREATE INDEX bill_fund_ref ON bill_fund (channel, ref)
;
CREATE INDEX bill_fund_payout ON bill_fund (channel, at) WHERE kind = 'payout'
;
CREATE INDEX channel_transaction_credited ON channel_transaction (channel, at, id, amount) WHERE credited = 1
;
CREATE INDEX callback_at ON callback (channel, at, id)
;
CREATE INDEX callback_ref ON callback (channel, ref, at, id) WHERE ref IS NOT NULL
;
CREATE INDEX callback_transaction ON callback (channel, transaction_id, at, id) WHERE transaction_id IS NOT NULL
;
CREATE INDEX callback_old ON callback (at)
;
CREATE INDEX topup_amount ON topup (channel, amount, made_at)
;
CREATE UNIQUE INDEX run_no ON run (scope, day, no)
;
CREATE UNIQUE INDEX run_running ON run (scope) WHERE status = 'running'
;
CREATE UNIQUE INDEX run_counts ON run (scope, day) WHERE status IN ('provisional', 'final')
;
CREATE INDEX run_day ON run (day, id)
;
CREATE UNIQUE INDEX matched_line ON matched (file, line)
;
CREATE INDEX verdict_open ON verdict (scope, leg, source, class, ref, file, line) WHERE until IS NULL
;
CREATE INDEX verdict_day ON verdict (scope, day, leg, source, ref, file, line, class, is_matched)
;
CREATE INDEX verdict_until ON verdict (scope, until, leg, source, ref, file, line, class, is_matched) WHERE until IS NOT NULL
;
CREATE INDEX verdict_other ON verdict (scope, other) WHERE other IS NOT NULL
;
CREATE INDEX discrepancy_list ON discrepancy (day, id)
;
CREATE INDEX discrepancy_scope ON discrepancy (scope, day, id)
;
CREATE INDEX discrepancy_class ON discrepancy (class, day, id)
;
CREATE INDEX discrepancy_open ON discrepancy (day, id) WHERE closed_at IS NULL
;
CREATE INDEX discrepancy_assigned ON discrepancy (assigned, day, id) WHERE closed_at IS NULL AND assigned IS NOT NULL
;
CREATE TRIGGER discrepancy_event_no_UPDATE BEFORE UPDATE ON discrepancy_event BEGIN SELECT RAISE(ABORT, 'discrepancy_event is only ever added to'); END
;
CREATE TRIGGER discrepancy_event_no_DELETE BEFORE DELETE ON discrepancy_event BEGIN SELECT RAISE(ABORT, 'discrepancy_event is only ever added to'); END
;
CREATE INDEX refund_order ON refund (site, order_id)
;
CREATE INDEX refund_proposed ON refund (proposed_at, id)
;
CREATE INDEX refund_marked ON refund (site, branch, seq) WHERE branch IS NOT NULL
;
CREATE UNIQUE INDEX adjustment_finding ON adjustment (site, branch, seq, class, member)
        WHERE site IS NOT NULL AND state <> 'rejected'
;
CREATE INDEX adjustment_proposed ON adjustment (proposed_at, id)
;
CREATE INDEX bill_decision_order ON bill_decision (site, order_id)
;
CREATE INDEX bill_decision_proposed ON bill_decision (proposed_at, id)
;
CREATE UNIQUE INDEX bill_proposal_open ON bill_proposal (channel, format, day) WHERE state = 'proposed'
;
CREATE INDEX bill_proposal_made ON bill_proposal (proposed_at, id)
;
CREATE UNIQUE INDEX bill_file_bytes ON bill_file (sha256) WHERE state = 'imported' AND lines > 0
;
CREATE UNIQUE INDEX discrepancy_row ON discrepancy (scope, leg, source, ref, of_day, n, class)
;
CREATE INDEX discrepancy_open_scope ON discrepancy (scope, leg, source, ref, of_day, n, class) WHERE closed_at IS NULL
;
CREATE INDEX suspense_transaction ON suspense (channel, transaction_id)
;
CREATE INDEX suspense_there ON suspense (channel, kind, state)
;
CREATE UNIQUE INDEX discrepancy_decision_waits ON discrepancy_decision (discrepancy) WHERE state = 'proposed'
;
CREATE UNIQUE INDEX discrepancy_decision_transfer ON discrepancy_decision (transfer) WHERE transfer IS NOT NULL
;
CREATE INDEX discrepancy_decision_approved ON discrepancy_decision (checked_at) WHERE state = 'approved'
;
CREATE INDEX discrepancy_decision_over ON discrepancy_decision (over_at) WHERE over_at IS NOT NULL
;
CREATE INDEX account_kind ON account (kind, name)
;
CREATE INDEX account_in_debt ON account (name) WHERE kind = 'debt' AND balance < 0
;
CREATE INDEX site_day_day ON site_day (site, branch, day)
;
CREATE INDEX r_order_site_day ON r_order (site, day) WHERE day IS NOT NULL
;
CREATE UNIQUE INDEX payout_reference ON payout (channel, reference) WHERE state <> 'rejected'
;
CREATE INDEX payout_made ON payout (proposed_at, id)
;
CREATE INDEX payout_day ON payout (channel, day) WHERE state = 'approved'
;
