//! Tables of version 5: what two people decide of channels' bills.

pub(super) const TABLES: &[&str] = &[
    // A file is to be withdrawn, or a day is to have no bill as nothing was traded on it: one person proposes, another approves or
    // rejects. `file`: the one that goes, or the empty one that was made.
    "CREATE TABLE bill_proposal (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('withdraw', 'nothing')),
        channel TEXT NOT NULL REFERENCES channel (name),
        format TEXT NOT NULL,
        day TEXT NOT NULL,
        file BIGINT REFERENCES bill_file (id),
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'rejected')),
        proposed_by TEXT NOT NULL,
        proposed_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        CHECK ((state = 'proposed') = (decided_by IS NULL)),
        CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
        CHECK (state <> 'approved' OR decided_by <> proposed_by),
        CHECK (file IS NOT NULL OR (kind = 'nothing' AND state <> 'approved')))",
    "CREATE UNIQUE INDEX bill_proposal_open ON bill_proposal (channel, format, day) WHERE state = 'proposed'",
    "CREATE INDEX bill_proposal_made ON bill_proposal (proposed_at, id)",
    // The same bytes are one bill, whichever channel and day they are brought for: but bytes without a line may be those of several
    // days on which nothing was.
    "CREATE UNIQUE INDEX bill_file_bytes ON bill_file (sha256) WHERE state = 'imported' AND lines > 0",
];
