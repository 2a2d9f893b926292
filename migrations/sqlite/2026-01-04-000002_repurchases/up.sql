-- How the store's products are bought again: learnt with the predictions, and kept until it is learnt anew.
CREATE TABLE rhythms (
    store_id   BIGINT NOT NULL CONSTRAINT rhythms_pkey PRIMARY KEY CONSTRAINT rhythms_store REFERENCES stores,
    as_of      BIGINT NOT NULL,
    -- Whoever's rollup changed later is not in `repurchases` as they are now.
    told_until BIGINT NOT NULL,
    document   TEXT   NOT NULL -- JSON, see scoring::rhythm::store::Learnt
);

-- When a customer is expected to buy a product again, of the few that they do buy again. As it stood when they ordered last.
CREATE TABLE repurchases (
    customer_id    BIGINT NOT NULL CONSTRAINT repurchases_customer REFERENCES customers,
    product_id     TEXT   NOT NULL,
    store_id       BIGINT NOT NULL,
    ordered_at     BIGINT NOT NULL, -- their last order of anything
    bought_at      BIGINT NOT NULL, -- their last purchase of this product
    gap_days       DOUBLE PRECISION NOT NULL, -- usual from this purchase to the next, by its quantity
    -- If it comes within a year of their last order: by then in one of five cases, in half of them, in four of five.
    expected_from  BIGINT NOT NULL,
    expected_at    BIGINT NOT NULL,
    expected_until BIGINT NOT NULL,
    probability    DOUBLE PRECISION NOT NULL CONSTRAINT repurchases_probability CHECK (probability BETWEEN 0 AND 1),
    CONSTRAINT repurchases_pkey PRIMARY KEY (customer_id, product_id)
) WITHOUT ROWID;
CREATE INDEX repurchases_due ON repurchases (store_id, expected_at);
