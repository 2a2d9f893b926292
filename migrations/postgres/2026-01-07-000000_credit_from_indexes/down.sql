DROP INDEX mail_events_by_time;
CREATE INDEX mail_events_by_time ON mail_events (store_id, at);
DROP INDEX messages_by_sending;
