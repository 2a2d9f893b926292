ALTER TABLE rules DROP COLUMN paused_at;
ALTER TABLE rules DROP COLUMN paused_for;
ALTER TABLE messages DROP COLUMN shadow;
ALTER TABLE enrolments DROP COLUMN shadow;
