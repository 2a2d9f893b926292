-- How long what was decided, sent and clicked is kept: a JSON object, each member a span of time or none for ever.
ALTER TABLE stores ADD COLUMN retention TEXT NOT NULL DEFAULT '{}';
