-- What an order is credited to is found from these alone, without a look at each buyer's mails. SQLite reads no row only
-- where the index also holds the column of its own condition.
CREATE INDEX messages_by_sending ON messages (store_id, sent_at, customer_id, id, rule_id, status) WHERE status = 'sent';
DROP INDEX mail_events_by_time;
CREATE INDEX mail_events_by_time ON mail_events (store_id, at, kind, verdict, rule_id, customer_id, message_id, id);
