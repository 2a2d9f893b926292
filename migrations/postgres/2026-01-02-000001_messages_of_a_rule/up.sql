-- A rule's messages of one status, by time: its own page and its part of the outbox, however much others send. It
-- holds sent_at too, so that what was sent lately is counted in the index alone.
CREATE INDEX messages_by_rule_and_status ON messages (rule_id, status, scheduled_at, id, sent_at);
DROP INDEX messages_by_rule;
