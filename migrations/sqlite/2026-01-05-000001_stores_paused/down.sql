ALTER TABLE stores DROP COLUMN resumed_at;
ALTER TABLE stores DROP COLUMN paused_at;
ALTER TABLE stores DROP COLUMN paused_for;
