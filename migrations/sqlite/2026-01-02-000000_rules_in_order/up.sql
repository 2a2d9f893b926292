-- The place of a rule in the settings it was applied from: exported settings keep the order that people gave them.
ALTER TABLE rules ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
