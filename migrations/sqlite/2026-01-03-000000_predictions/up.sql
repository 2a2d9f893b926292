-- What predictions need of a customer's orders, what they tell of each customer, and what was learnt.
-- Rollups folded before this hold 0 in the first two until the customer orders again or `homing rebuild` is run.

-- The sum of ln(days) over the gaps between order days: how regular they are.
ALTER TABLE rollups ADD COLUMN log_gap_sum DOUBLE PRECISION NOT NULL DEFAULT 0;
-- Of the last order day, net of refunds, in the store's currency.
ALTER TABLE rollups ADD COLUMN last_order_value BIGINT NOT NULL DEFAULT 0;

-- Of visitors: the first order.
ALTER TABLE scores ADD COLUMN p_order_30d DOUBLE PRECISION CONSTRAINT scores_p_order_30d CHECK (p_order_30d BETWEEN 0 AND 1);
ALTER TABLE scores ADD COLUMN p_order_90d DOUBLE PRECISION CONSTRAINT scores_p_order_90d CHECK (p_order_90d BETWEEN 0 AND 1);
ALTER TABLE scores ADD COLUMN expected_orders_30d DOUBLE PRECISION;
ALTER TABLE scores ADD COLUMN expected_orders_365d DOUBLE PRECISION;
-- What the orders of one day are expected to come to.
ALTER TABLE scores ADD COLUMN order_value BIGINT;
ALTER TABLE scores ADD COLUMN value_at_risk_week_ago BIGINT;
-- The next order comes before this with 20 % chance, before `next_order_until` with 80 %.
ALTER TABLE scores ADD COLUMN next_order_from BIGINT;
ALTER TABLE scores ADD COLUMN next_order_until BIGINT;
-- The stay on the at-risk list; NULL: not on it, or a look into the past.
ALTER TABLE scores ADD COLUMN at_risk_since BIGINT;

ALTER TABLE historic_scores ADD COLUMN p_order_30d DOUBLE PRECISION CONSTRAINT historic_scores_p_order_30d CHECK (p_order_30d BETWEEN 0 AND 1);
ALTER TABLE historic_scores ADD COLUMN p_order_90d DOUBLE PRECISION CONSTRAINT historic_scores_p_order_90d CHECK (p_order_90d BETWEEN 0 AND 1);
ALTER TABLE historic_scores ADD COLUMN expected_orders_30d DOUBLE PRECISION;
ALTER TABLE historic_scores ADD COLUMN expected_orders_365d DOUBLE PRECISION;
ALTER TABLE historic_scores ADD COLUMN order_value BIGINT;
ALTER TABLE historic_scores ADD COLUMN value_at_risk_week_ago BIGINT;
ALTER TABLE historic_scores ADD COLUMN next_order_from BIGINT;
ALTER TABLE historic_scores ADD COLUMN next_order_until BIGINT;
ALTER TABLE historic_scores ADD COLUMN at_risk_since BIGINT;

CREATE INDEX scores_by_next_order ON scores (store_id, next_order_expected_at) WHERE next_order_expected_at IS NOT NULL;

-- What was learnt from the store's past, newest last: parameters, weights, and how good they were on days replayed.
CREATE TABLE learnings (
    store_id   BIGINT NOT NULL CONSTRAINT learnings_store REFERENCES stores,
    id         BIGINT NOT NULL,
    as_of      BIGINT NOT NULL,
    learned_at BIGINT NOT NULL,
    document   TEXT   NOT NULL, -- JSON, see scoring::learning::Learning
    measure    TEXT   NOT NULL, -- JSON, see scoring::assess::Measure
    report     TEXT   NOT NULL, -- JSON, see scoring::learning::Report
    CONSTRAINT learnings_pkey PRIMARY KEY (store_id, id)
) WITHOUT ROWID;
