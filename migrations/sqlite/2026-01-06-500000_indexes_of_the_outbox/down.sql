CREATE INDEX messages_leased ON messages (lease_until) WHERE status = 'sending';
CREATE INDEX messages_due ON messages (store_id, scheduled_at, id) WHERE status = 'scheduled';
DROP INDEX messages_in_shadow;
