-- What happened, in order, without any text (edgemed/vault/audit.py). The ids refer to rows that may have been purged.
-- `question`, `answer`, `previous` and `mac` are HMACs in hexadecimal. `details` is JSON. `seed` is decimal text.

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    event TEXT NOT NULL,
    rules TEXT NOT NULL,
    who TEXT,
    case_id TEXT,
    chat_id TEXT,
    turn_id TEXT,
    weights_digest TEXT,
    prompt_digest TEXT,
    engine_version TEXT,
    seed TEXT,
    sampling TEXT,
    question TEXT,
    answer TEXT,
    details TEXT,
    previous TEXT NOT NULL,
    mac TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_turn ON audit (turn_id, sequence) WHERE turn_id IS NOT NULL;

-- These keep mistakes of the program away from the rows, not a person with the key: only the MACs show that one.
CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit
BEGIN
    SELECT raise(ABORT, 'audit rows are not deleted');
END;
CREATE TRIGGER audit_rows_do_not_change BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'audit rows are not changed');
END;
