ALTER TABLE assignments DROP COLUMN share;
