-- Who shares a phone number: an order of one may hold back a message to the other.
CREATE INDEX customers_by_phone ON customers (store_id, phone) WHERE phone IS NOT NULL;
