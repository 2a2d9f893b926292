-- Who is beyond the line that an at_risk rule draws, and since when: the moment that the rule counts from.
-- Rows exist for rules that are or were live; the planner brings them up to date after each scoring.
CREATE TABLE at_risk_stays (
    customer_id BIGINT NOT NULL CONSTRAINT at_risk_stays_customer REFERENCES customers,
    rule_id     BIGINT NOT NULL CONSTRAINT at_risk_stays_rule REFERENCES rules,
    since       BIGINT NOT NULL,
    left_at     BIGINT, -- back on the safe side; who returns soon, and without an order, had never left
    CONSTRAINT at_risk_stays_pkey PRIMARY KEY (customer_id, rule_id)
);
CREATE INDEX at_risk_stays_due ON at_risk_stays (rule_id, since) WHERE left_at IS NULL;

-- Up to which scoring run each rule's stays were brought, and of which trigger they are.
CREATE TABLE at_risk_watches (
    rule_id    BIGINT NOT NULL CONSTRAINT at_risk_watches_pkey PRIMARY KEY CONSTRAINT at_risk_watches_rule REFERENCES rules,
    live_since BIGINT NOT NULL,
    run        BIGINT NOT NULL -- 0: before the first
);
