ALTER TABLE stores DROP COLUMN retention;
