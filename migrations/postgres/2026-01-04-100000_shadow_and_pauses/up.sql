-- A rule in shadow decides as if it were live and sends nothing: what it would have done is kept apart by this mark.
ALTER TABLE enrolments ADD COLUMN shadow BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE messages ADD COLUMN shadow BOOLEAN NOT NULL DEFAULT FALSE;
-- Why the program paused a rule by itself, and since when; lifted by an operator alone.
ALTER TABLE rules ADD COLUMN paused_for TEXT;
ALTER TABLE rules ADD COLUMN paused_at BIGINT;
