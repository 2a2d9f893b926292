DROP INDEX orders_by_day;
CREATE INDEX orders_by_day ON orders (store_id, placed_at);
