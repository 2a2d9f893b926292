-- A database that was put back from a backup sends nothing until an operator has said what became of the mail
-- between the backup and now: a row without lifted_at is that pause.
CREATE TABLE restores (
    restored_at BIGINT NOT NULL CONSTRAINT restores_pkey PRIMARY KEY,
    knows_until BIGINT, -- when the last thing it knows of was written down
    lifted_at   BIGINT
);
-- The processes that serve this database: each says every few seconds that it lives, by its machine's clock.
CREATE TABLE replicas (
    id         TEXT   NOT NULL CONSTRAINT replicas_pkey PRIMARY KEY,
    host       TEXT   NOT NULL,
    process    BIGINT NOT NULL,
    address    TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
-- What must not wait behind a backlog: mail that is owed, and mail that is of use for a day or less.
CREATE INDEX messages_due_urgent ON messages (store_id, scheduled_at, id)
    WHERE status = 'scheduled' AND (class = 'service' OR useful_until - planned_for <= 86400000000);
