-- A rule's messages of one status, by time: its own page and its part of the outbox, however much others send.
CREATE INDEX messages_by_rule_and_status ON messages (rule_id, status, scheduled_at, id);
