CREATE INDEX messages_by_rule ON messages (rule_id, id);
DROP INDEX messages_by_rule_and_status;
