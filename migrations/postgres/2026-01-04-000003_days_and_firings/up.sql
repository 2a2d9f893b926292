-- Days of the year that profiles tell, such as birthdays: what a rule on a date finds its customers by. Made from the
-- rollup's document, which has their years and floors; profiles folded before this have none until something is told
-- of them again, or `homing rebuild` is run.
CREATE TABLE customer_days (
    customer_id BIGINT   NOT NULL CONSTRAINT customer_days_customer REFERENCES customers,
    field       TEXT     NOT NULL,
    store_id    BIGINT   NOT NULL,
    month_day   SMALLINT NOT NULL CONSTRAINT customer_days_month_day CHECK (month_day BETWEEN 101 AND 1231), -- 501: the 1st of May
    CONSTRAINT customer_days_pkey PRIMARY KEY (customer_id, field)
);
CREATE INDEX customer_days_by_day ON customer_days (store_id, field, month_day, customer_id);

-- How far a schedule's firing was carried out.
CREATE TABLE firings (
    rule_id     BIGINT NOT NULL CONSTRAINT firings_rule REFERENCES rules,
    fired_at    BIGINT NOT NULL,
    reached     BIGINT NOT NULL, -- the last customer decided about
    finished_at BIGINT,
    CONSTRAINT firings_pkey PRIMARY KEY (rule_id, fired_at)
);
