-- The day's figures are sums over the orders of days: read from the index alone, they do not visit each order's row.
DROP INDEX orders_by_day;
CREATE INDEX orders_by_day ON orders (store_id, placed_at, currency, status, total);
