ALTER TABLE messages DROP COLUMN exit;
ALTER TABLE messages DROP COLUMN variant;
