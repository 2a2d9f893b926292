DROP TABLE firings;
DROP TABLE customer_days;
