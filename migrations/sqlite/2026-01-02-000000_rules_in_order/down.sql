ALTER TABLE rules DROP COLUMN position;
