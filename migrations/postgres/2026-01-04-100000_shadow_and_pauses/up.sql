-- A rule in shadow decides as if it were live and sends nothing: what it would have done is kept apart by this mark.
ALTER TABLE enrolments ADD COLUMN shadow BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE messages ADD COLUMN shadow BOOLEAN NOT NULL DEFAULT FALSE;
-- Why the program paused a rule, or all sending of a store, and since when; lifted by an operator alone.
ALTER TABLE rules ADD COLUMN paused_for TEXT;
ALTER TABLE rules ADD COLUMN paused_at BIGINT;
ALTER TABLE stores ADD COLUMN paused_for TEXT;
ALTER TABLE stores ADD COLUMN paused_at BIGINT;
