-- Why the program paused all marketing mail of a store, and since when; and when an operator last lifted such a pause:
-- what was before is settled.
ALTER TABLE stores ADD COLUMN paused_for TEXT;
ALTER TABLE stores ADD COLUMN paused_at BIGINT;
ALTER TABLE stores ADD COLUMN resumed_at BIGINT;
