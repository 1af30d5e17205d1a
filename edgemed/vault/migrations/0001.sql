-- Times are microseconds since 1970, UTC. `deleted` is the time of deletion: the row can be brought back until it is
-- purged. Ids are 32 hexadecimal digits, except `place`, which orders turns as they were asked.

CREATE TABLE cases (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    header TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    deleted INTEGER
) STRICT;

CREATE TABLE chats (
    id TEXT PRIMARY KEY,
    case_id TEXT REFERENCES cases (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    system TEXT,
    draft TEXT NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    deleted INTEGER
) STRICT;
CREATE INDEX chats_by_case ON chats (case_id);

-- Questions that wait for the current answer to end.
CREATE TABLE queued (
    chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    question TEXT NOT NULL,
    length TEXT NOT NULL,
    PRIMARY KEY (chat_id, place)
) STRICT;

-- A tree: siblings have the same parent, and one of them is shown. `parent` is no foreign key: erasing a long branch
-- would cascade row by row, deeper than SQLite allows (1000).
CREATE TABLE turns (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    parent TEXT,
    shown INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    length TEXT NOT NULL,
    question TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX turns_by_chat ON turns (chat_id, place);

-- Apart from the questions, so that a long question is not written again with every second of its answer.
-- `sampling` is JSON. `seed` is decimal text, because it has 64 bits without a sign.
CREATE TABLE answers (
    place INTEGER PRIMARY KEY REFERENCES turns (place) ON DELETE CASCADE,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    sampling TEXT,
    seed TEXT,
    weights_digest TEXT,
    engine_version TEXT,
    prompt_digest TEXT,
    context_used INTEGER NOT NULL,
    resumed_at INTEGER NOT NULL,
    answer TEXT NOT NULL
) STRICT;

-- The user's settings that must not lie outside the vault, such as the hash of the PIN.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
