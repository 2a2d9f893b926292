-- The house: every table of the main job. Times are microseconds since 1970, UTC; money is minor units;
-- documents are JSON in TEXT, so that one query reads both databases alike. Ids are made by the application.
-- Every per-customer table begins its keys with the customer, so that it can be partitioned by customer.
-- The PostgreSQL twin differs only in not saying WITHOUT ROWID.

CREATE TABLE stores (
    id             BIGINT NOT NULL CONSTRAINT stores_pkey PRIMARY KEY,
    key            TEXT   NOT NULL CONSTRAINT stores_key UNIQUE,
    name           TEXT   NOT NULL,
    timezone       TEXT   NOT NULL,
    currency       TEXT   NOT NULL,
    locale         TEXT   NOT NULL,
    mail_from      TEXT,  -- a name and an address; NULL until settings are applied, and nothing is sent before
    reply_to       TEXT,
    postal_address TEXT,
    sending        TEXT   NOT NULL, -- JSON: the guardrails, [sending] of shop.toml
    scoring        TEXT   NOT NULL, -- JSON: [scoring] of shop.toml
    created_at     BIGINT NOT NULL
);
INSERT INTO stores (id, key, name, timezone, currency, locale, sending, scoring, created_at)
VALUES (1, 'default', 'My store', 'UTC', 'EUR', 'en', '{}', '{}', 0);

-- Keys of the APIs. Only a SHA-256 of the key is kept: the key itself has 190 bits of chance.
CREATE TABLE api_keys (
    id         BIGINT NOT NULL CONSTRAINT api_keys_pkey PRIMARY KEY,
    store_id   BIGINT NOT NULL CONSTRAINT api_keys_store REFERENCES stores,
    hash       TEXT   NOT NULL CONSTRAINT api_keys_hash UNIQUE,
    scope      TEXT   NOT NULL CONSTRAINT api_keys_scope CHECK (scope IN ('ingest', 'read', 'manage')),
    trust      TEXT   NOT NULL CONSTRAINT api_keys_trust CHECK (trust IN ('server', 'browser')),
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE users (
    id            BIGINT NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
    store_id      BIGINT NOT NULL CONSTRAINT users_store REFERENCES stores,
    email         TEXT   NOT NULL CONSTRAINT users_email UNIQUE, -- in lower case
    role          TEXT   NOT NULL CONSTRAINT users_role CHECK (role IN ('owner', 'operator', 'viewer')),
    password_hash TEXT   NOT NULL, -- argon2id, PHC string
    created_at    BIGINT NOT NULL
);

-- Who a customer is. Made by folding facts, like the rollup: see journal/fold.
CREATE TABLE customers (
    id             BIGINT NOT NULL CONSTRAINT customers_pkey PRIMARY KEY,
    store_id       BIGINT NOT NULL CONSTRAINT customers_store REFERENCES stores,
    identified     BOOLEAN NOT NULL, -- has an id of a shop, not only a browser's or an address
    external_id    TEXT,
    email          TEXT,
    email_key      TEXT,   -- lower case, for search and suppression
    phone          TEXT,
    name           TEXT,
    locale         TEXT,
    timezone       TEXT,
    country        TEXT,
    city           TEXT,
    tags           TEXT   NOT NULL, -- JSON array
    traits         TEXT   NOT NULL, -- JSON object: whatever else the shop tells
    consent        TEXT   NOT NULL CONSTRAINT customers_consent CHECK (consent IN ('none', 'granted', 'withdrawn')),
    consent_at     BIGINT,
    consent_source TEXT,
    created_at     BIGINT NOT NULL,
    merged_into    BIGINT CONSTRAINT customers_merged_into REFERENCES customers,
    erased_at      BIGINT,
    CONSTRAINT customers_erased_is_nobody
        CHECK (erased_at IS NULL OR (email IS NULL AND email_key IS NULL AND phone IS NULL AND name IS NULL AND external_id IS NULL))
);
CREATE INDEX customers_by_store ON customers (store_id, id);
CREATE INDEX customers_by_email ON customers (store_id, email_key) WHERE email_key IS NOT NULL;
CREATE INDEX customers_by_external_id ON customers (store_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX customers_by_name ON customers (store_id, name) WHERE name IS NOT NULL;

-- Look-up from an identity to the customer who owns it now (exempt from the customer-first rule).
-- Of an erased person only `erased:` and a keyed hash is left, so that a late fact brings nobody back.
CREATE TABLE identities (
    store_id    BIGINT NOT NULL CONSTRAINT identities_store REFERENCES stores,
    identity    TEXT   NOT NULL, -- namespace:value, such as anon:…, ext:…, email:…
    customer_id BIGINT NOT NULL CONSTRAINT identities_customer REFERENCES customers,
    home_id     BIGINT CONSTRAINT identities_home REFERENCES customers, -- made for this identity alone; a redirect once it is owned by another
    CONSTRAINT identities_pkey PRIMARY KEY (store_id, identity)
) WITHOUT ROWID;
CREATE INDEX identities_by_customer ON identities (customer_id);

-- The evidence behind ownership: the earliest fact that named both. A minimum, so order of arrival is nothing.
CREATE TABLE identity_links (
    store_id    BIGINT NOT NULL CONSTRAINT identity_links_store REFERENCES stores,
    identity    TEXT   NOT NULL,
    target      TEXT   NOT NULL,
    occurred_at BIGINT NOT NULL,
    source_key  TEXT   NOT NULL,
    CONSTRAINT identity_links_pkey PRIMARY KEY (store_id, identity, target)
) WITHOUT ROWID;
CREATE INDEX identity_links_by_target ON identity_links (store_id, target);

-- A fact counts once: the global key of each (exempt from the customer-first rule).
CREATE TABLE fact_keys (
    store_id   BIGINT NOT NULL CONSTRAINT fact_keys_store REFERENCES stores,
    source     TEXT   NOT NULL,
    source_key TEXT   NOT NULL,
    CONSTRAINT fact_keys_pkey PRIMARY KEY (store_id, source, source_key)
) WITHOUT ROWID;

CREATE TABLE facts (
    customer_id BIGINT  NOT NULL CONSTRAINT facts_customer REFERENCES customers,
    id          BIGINT  NOT NULL,
    store_id    BIGINT  NOT NULL,
    kind        TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    source_key  TEXT    NOT NULL,
    subject     TEXT    NOT NULL, -- the identity, or order, through which it is the customer's
    occurred_at BIGINT  NOT NULL CONSTRAINT facts_occurred_at CHECK (occurred_at BETWEEN 0 AND 253370764799999999),
    received_at BIGINT  NOT NULL,
    live        BOOLEAN NOT NULL, -- from a live source, not a history import
    payload     TEXT    NOT NULL, -- JSON, see journal::Payload
    CONSTRAINT facts_pkey PRIMARY KEY (customer_id, id)
) WITHOUT ROWID;

-- Running totals and moments of a customer, folded from the facts in order of (occurred_at, source_key).
CREATE TABLE rollups (
    customer_id          BIGINT  NOT NULL CONSTRAINT rollups_pkey PRIMARY KEY CONSTRAINT rollups_customer REFERENCES customers,
    store_id             BIGINT  NOT NULL,
    changed_at           BIGINT  NOT NULL, -- when a fact last changed it, by the real clock
    position_at          BIGINT  NOT NULL, -- the last fact folded; an earlier one means folding anew
    position_key         TEXT    NOT NULL,
    first_seen_at        BIGINT,
    last_seen_at         BIGINT,
    visits_count         INTEGER NOT NULL,
    page_views           INTEGER NOT NULL,
    product_views        INTEGER NOT NULL,
    carts_count          INTEGER NOT NULL,
    checkouts_count      INTEGER NOT NULL,
    visit_started_at     BIGINT,
    visit_product_views  INTEGER NOT NULL,
    cart_started_at      BIGINT,
    cart_updated_at      BIGINT,
    cart_value           BIGINT,
    checkout_started_at  BIGINT,
    orders_count         INTEGER NOT NULL,
    order_days           INTEGER NOT NULL,
    spent                BIGINT  NOT NULL, -- net of refunds, in the store's currency
    foreign_orders       INTEGER NOT NULL, -- counting orders in another currency
    first_order_at       BIGINT,
    last_order_at        BIGINT,
    last_order_day       INTEGER,
    median_gap_days      DOUBLE PRECISION,
    last_placed_at       BIGINT, -- any order placed, counting or not
    state                TEXT    NOT NULL, -- JSON, see journal::State: open baskets, last products, arrival floors
    CONSTRAINT rollups_orders CHECK ((orders_count = 0) = (first_order_at IS NULL))
);
CREATE INDEX rollups_changed ON rollups (store_id, changed_at);
CREATE INDEX rollups_last_seen ON rollups (store_id, last_seen_at) WHERE last_seen_at IS NOT NULL;
CREATE INDEX rollups_cart ON rollups (store_id, cart_updated_at) WHERE cart_updated_at IS NOT NULL;
CREATE INDEX rollups_checkout ON rollups (store_id, checkout_started_at) WHERE checkout_started_at IS NOT NULL;
CREATE INDEX rollups_first_order ON rollups (store_id, first_order_at) WHERE first_order_at IS NOT NULL;
CREATE INDEX rollups_last_order ON rollups (store_id, last_order_at) WHERE last_order_at IS NOT NULL;

CREATE TABLE visits (
    customer_id   BIGINT  NOT NULL CONSTRAINT visits_customer REFERENCES customers,
    started_at    BIGINT  NOT NULL,
    store_id      BIGINT  NOT NULL,
    ended_at      BIGINT  NOT NULL,
    page_views    INTEGER NOT NULL,
    product_views INTEGER NOT NULL,
    depth         TEXT    NOT NULL CONSTRAINT visits_depth CHECK (depth IN ('page', 'product', 'cart', 'checkout')),
    channel       TEXT,
    campaign      TEXT,
    CONSTRAINT visits_pkey PRIMARY KEY (customer_id, started_at),
    CONSTRAINT visits_in_order CHECK (ended_at >= started_at)
) WITHOUT ROWID;
CREATE INDEX visits_by_day ON visits (store_id, started_at);

-- Look-up from an order id to its customer (exempt from the customer-first rule), with the strength of the claim.
CREATE TABLE order_keys (
    store_id    BIGINT NOT NULL CONSTRAINT order_keys_store REFERENCES stores,
    order_id    TEXT   NOT NULL,
    customer_id BIGINT NOT NULL CONSTRAINT order_keys_customer REFERENCES customers,
    subject     TEXT   NOT NULL, -- the identity that holds the order
    claim       TEXT   NOT NULL, -- sorts: the smallest claim holds the order, see identity::OrderClaim
    CONSTRAINT order_keys_pkey PRIMARY KEY (store_id, order_id)
) WITHOUT ROWID;

CREATE TABLE orders (
    customer_id    BIGINT  NOT NULL CONSTRAINT orders_customer REFERENCES customers,
    order_id       TEXT    NOT NULL,
    store_id       BIGINT  NOT NULL,
    status         TEXT    NOT NULL CONSTRAINT orders_status
                   CHECK (status IN ('draft', 'test', 'open', 'paid', 'cancelled', 'refunded')),
    placed_at      BIGINT  NOT NULL,
    counts         BOOLEAN NOT NULL,
    currency       TEXT    NOT NULL,
    total          BIGINT  NOT NULL,
    refunded       BIGINT  NOT NULL,
    coupon         TEXT,
    channel        TEXT,
    told_by        TEXT    NOT NULL, -- JSON: each source, and when by its word the order was placed
    best           TEXT    NOT NULL, -- sorts: which statement's word stands
    stated_refunded BIGINT NOT NULL, -- given back by that statement's own count
    floor_at       BIGINT  NOT NULL, -- it may trigger nothing that fell due before
    CONSTRAINT orders_pkey PRIMARY KEY (customer_id, order_id),
    CONSTRAINT orders_refunded_within_total CHECK (refunded BETWEEN 0 AND total)
) WITHOUT ROWID;
CREATE INDEX orders_by_day ON orders (store_id, placed_at);

CREATE TABLE order_lines (
    customer_id  BIGINT NOT NULL,
    order_id     TEXT   NOT NULL,
    line         INTEGER NOT NULL,
    product_id   TEXT,
    name         TEXT,
    quantity     DOUBLE PRECISION NOT NULL,
    unit_price   BIGINT,
    CONSTRAINT order_lines_pkey PRIMARY KEY (customer_id, order_id, line)
) WITHOUT ROWID;

-- Refunds as they were told, also those whose order is not known yet.
CREATE TABLE refunds (
    customer_id BIGINT NOT NULL CONSTRAINT refunds_customer REFERENCES customers,
    order_id    TEXT   NOT NULL,
    source_key  TEXT   NOT NULL,
    refunded_at BIGINT NOT NULL,
    amount      BIGINT, -- NULL: the whole order
    CONSTRAINT refunds_pkey PRIMARY KEY (customer_id, order_id, source_key)
) WITHOUT ROWID;

-- The catalogue as facts and imports tell it; the newest word stands.
CREATE TABLE products (
    store_id   BIGINT NOT NULL CONSTRAINT products_store REFERENCES stores,
    product_id TEXT   NOT NULL,
    name       TEXT,
    category   TEXT,
    brand      TEXT,
    url        TEXT,
    image_url  TEXT,
    price      BIGINT,
    currency   TEXT,
    told_at    BIGINT NOT NULL,
    CONSTRAINT products_pkey PRIMARY KEY (store_id, product_id)
) WITHOUT ROWID;

-- Each scoring of a store. The newest finished one says what is shown, and as of when.
CREATE TABLE scoring_runs (
    store_id       BIGINT  NOT NULL CONSTRAINT scoring_runs_store REFERENCES stores,
    id             BIGINT  NOT NULL,
    as_of          BIGINT  NOT NULL,
    historic       BOOLEAN NOT NULL, -- shows historic_scores instead of scores; wrote no history, triggers nothing
    ran_at         BIGINT  NOT NULL,
    finished       BOOLEAN NOT NULL, -- false: under way, or broken off by a crash or a later run
    buyers         BIGINT  NOT NULL,
    visitors       BIGINT  NOT NULL,
    store_gap_days DOUBLE PRECISION,
    summary        TEXT    NOT NULL, -- JSON, see scoring::Summary: counts per segment and score
    CONSTRAINT scoring_runs_pkey PRIMARY KEY (store_id, id)
) WITHOUT ROWID;

-- What the last live run found. Rules read this table alone: a look into the past triggers nothing.
CREATE TABLE scores (
    customer_id      BIGINT  NOT NULL CONSTRAINT scores_pkey PRIMARY KEY CONSTRAINT scores_customer REFERENCES customers,
    store_id         BIGINT  NOT NULL,
    kind             TEXT    NOT NULL CONSTRAINT scores_kind CHECK (kind IN ('buyer', 'visitor')),
    r                SMALLINT NOT NULL CONSTRAINT scores_r CHECK (r BETWEEN 1 AND 5),
    f                SMALLINT NOT NULL CONSTRAINT scores_f CHECK (f BETWEEN 1 AND 5),
    m                SMALLINT NOT NULL CONSTRAINT scores_m CHECK (m BETWEEN 1 AND 5), -- visitors: depth of intent
    segment          TEXT    NOT NULL,
    segment_since    BIGINT  NOT NULL,
    frequency        INTEGER NOT NULL, -- order days, or visits
    spent            BIGINT  NOT NULL,
    orders_count     INTEGER NOT NULL,
    last_order_at    BIGINT, -- days since then are told from the run's as_of: stored, they would change every row daily
    usual_gap_days   DOUBLE PRECISION,
    p_alive          DOUBLE PRECISION CONSTRAINT scores_p_alive CHECK (p_alive BETWEEN 0 AND 1),
    expected_orders_90d DOUBLE PRECISION,
    value_at_risk    BIGINT,
    next_order_expected_at BIGINT,
    risk_rank        DOUBLE PRECISION -- the order of the at-risk list, highest first; NULL: not on it
) WITHOUT ROWID;
-- These hold what is filtered by, so that a filter by value never visits the rows it leaves out.
CREATE INDEX scores_at_risk ON scores (store_id, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX scores_at_risk_by_segment ON scores (store_id, segment, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX scores_by_segment ON scores (store_id, segment, segment_since, customer_id);

-- What a run for a time in the past found: shown in place of scores until the next live run empties it.
CREATE TABLE historic_scores (
    customer_id      BIGINT  NOT NULL CONSTRAINT historic_scores_pkey PRIMARY KEY CONSTRAINT historic_scores_customer REFERENCES customers,
    store_id         BIGINT  NOT NULL,
    kind             TEXT    NOT NULL CONSTRAINT historic_scores_kind CHECK (kind IN ('buyer', 'visitor')),
    r                SMALLINT NOT NULL CONSTRAINT historic_scores_r CHECK (r BETWEEN 1 AND 5),
    f                SMALLINT NOT NULL CONSTRAINT historic_scores_f CHECK (f BETWEEN 1 AND 5),
    m                SMALLINT NOT NULL CONSTRAINT historic_scores_m CHECK (m BETWEEN 1 AND 5),
    segment          TEXT    NOT NULL,
    segment_since    BIGINT  NOT NULL, -- the run's as_of: when the stay began is not asked
    frequency        INTEGER NOT NULL,
    spent            BIGINT  NOT NULL,
    orders_count     INTEGER NOT NULL,
    last_order_at    BIGINT,
    usual_gap_days   DOUBLE PRECISION,
    p_alive          DOUBLE PRECISION CONSTRAINT historic_scores_p_alive CHECK (p_alive BETWEEN 0 AND 1),
    expected_orders_90d DOUBLE PRECISION,
    value_at_risk    BIGINT,
    next_order_expected_at BIGINT,
    risk_rank        DOUBLE PRECISION
) WITHOUT ROWID;
CREATE INDEX historic_scores_at_risk ON historic_scores (store_id, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX historic_scores_at_risk_by_segment ON historic_scores (store_id, segment, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX historic_scores_by_segment ON historic_scores (store_id, segment, segment_since, customer_id);

CREATE TABLE segment_history (
    customer_id BIGINT NOT NULL CONSTRAINT segment_history_customer REFERENCES customers,
    since       BIGINT NOT NULL,
    segment     TEXT   NOT NULL,
    CONSTRAINT segment_history_pkey PRIMARY KEY (customer_id, since)
) WITHOUT ROWID;

CREATE TABLE rules (
    id         BIGINT  NOT NULL CONSTRAINT rules_pkey PRIMARY KEY,
    store_id   BIGINT  NOT NULL CONSTRAINT rules_store REFERENCES stores,
    key        TEXT    NOT NULL,
    version    INTEGER NOT NULL, -- the one in force
    status     TEXT    NOT NULL CONSTRAINT rules_status CHECK (status IN ('draft', 'shadow', 'live', 'paused')),
    live_since BIGINT, -- of the trigger as it stands
    retired_at BIGINT, -- taken out of the settings; kept for its ledger
    CONSTRAINT rules_key UNIQUE (store_id, key),
    CONSTRAINT rules_live_since CHECK (status <> 'live' OR live_since IS NOT NULL)
);

CREATE TABLE rule_versions (
    rule_id    BIGINT  NOT NULL CONSTRAINT rule_versions_rule REFERENCES rules,
    version    INTEGER NOT NULL,
    definition TEXT    NOT NULL, -- JSON, see rules::Rule
    created_at BIGINT  NOT NULL,
    CONSTRAINT rule_versions_pkey PRIMARY KEY (rule_id, version)
) WITHOUT ROWID;

-- Which arm of which experiment a customer is in: a keyed hash, kept at first eligibility.
CREATE TABLE assignments (
    customer_id BIGINT NOT NULL CONSTRAINT assignments_customer REFERENCES customers,
    experiment  TEXT   NOT NULL, -- a rule's key, or 'global'
    arm         TEXT   NOT NULL CONSTRAINT assignments_arm CHECK (arm IN ('treatment', 'holdout')),
    assigned_at BIGINT NOT NULL,
    CONSTRAINT assignments_pkey PRIMARY KEY (customer_id, experiment)
) WITHOUT ROWID;

-- One customer in one rule for one episode: entered, held out, waiting for a stronger rule, or refused.
CREATE TABLE enrolments (
    customer_id   BIGINT  NOT NULL CONSTRAINT enrolments_customer REFERENCES customers,
    id            BIGINT  NOT NULL,
    store_id      BIGINT  NOT NULL,
    rule_id       BIGINT  NOT NULL CONSTRAINT enrolments_rule REFERENCES rules,
    rule_version  INTEGER NOT NULL,
    episode       BIGINT  NOT NULL, -- when the visit, basket, order or stay began
    episode_until BIGINT  NOT NULL, -- the latest moment seen in it
    order_id      TEXT,             -- the order that the episode is: its time may be told anew, its id not
    due_at        BIGINT  NOT NULL,
    useful_until  BIGINT  NOT NULL,
    status        TEXT    NOT NULL CONSTRAINT enrolments_status
                  CHECK (status IN ('active', 'waiting', 'completed', 'stopped', 'held_out', 'refused', 'expired')),
    reason        TEXT,
    stops_after   BIGINT  NOT NULL, -- an order placed later than this ends it
    created_at    BIGINT  NOT NULL,
    enrolled_at   BIGINT, -- when it entered, or was held out
    retry_at      BIGINT, -- when a waiting one is asked again
    CONSTRAINT enrolments_pkey PRIMARY KEY (customer_id, id),
    CONSTRAINT enrolments_once_per_episode UNIQUE (customer_id, rule_id, episode),
    CONSTRAINT enrolments_waiting CHECK ((status = 'waiting') = (retry_at IS NOT NULL))
);
CREATE INDEX enrolments_waiting_due ON enrolments (store_id, retry_at) WHERE status = 'waiting';
-- What an order may end: looked at by a process that has just started.
CREATE INDEX enrolments_open ON enrolments (store_id, customer_id, stops_after) WHERE status IN ('active', 'waiting');
CREATE INDEX enrolments_by_rule ON enrolments (rule_id, created_at);

-- The ledger: every decision that mattered, with the facts used.
CREATE TABLE decisions (
    customer_id  BIGINT NOT NULL CONSTRAINT decisions_customer REFERENCES customers,
    id           BIGINT NOT NULL,
    store_id     BIGINT NOT NULL,
    at           BIGINT NOT NULL, -- business time
    rule_id      BIGINT NOT NULL CONSTRAINT decisions_rule REFERENCES rules,
    enrolment_id BIGINT,
    step         INTEGER,
    outcome      TEXT   NOT NULL CONSTRAINT decisions_outcome
                 CHECK (outcome IN ('enrolled', 'sent', 'deferred', 'suppressed', 'held_out', 'not_eligible', 'stopped', 'expired', 'failed', 'in_doubt')),
    reason       TEXT,
    facts        TEXT   NOT NULL, -- JSON object
    message_id   BIGINT,
    CONSTRAINT decisions_pkey PRIMARY KEY (customer_id, id)
) WITHOUT ROWID;
CREATE INDEX decisions_by_time ON decisions (store_id, at);
CREATE INDEX decisions_by_rule ON decisions (rule_id, at, outcome, reason);

-- The outbox: messages that the planner decided on.
CREATE TABLE messages (
    customer_id    BIGINT  NOT NULL CONSTRAINT messages_customer REFERENCES customers,
    id             BIGINT  NOT NULL,
    store_id       BIGINT  NOT NULL,
    rule_id        BIGINT  NOT NULL CONSTRAINT messages_rule REFERENCES rules,
    rule_version   INTEGER NOT NULL,
    enrolment_id   BIGINT  NOT NULL,
    step           INTEGER NOT NULL, -- from 1
    class          TEXT    NOT NULL CONSTRAINT messages_class CHECK (class IN ('marketing', 'service')),
    status         TEXT    NOT NULL CONSTRAINT messages_status
                   CHECK (status IN ('scheduled', 'sending', 'sent', 'failed', 'cancelled', 'in_doubt')),
    scheduled_at   BIGINT  NOT NULL,
    useful_until   BIGINT  NOT NULL,
    planned_for    BIGINT  NOT NULL, -- the first scheduled_at, before any deferral
    held_for       TEXT,   -- why it is deferred now; a ledger row is written when this changes
    cancelled_for  TEXT,
    attempts       INTEGER NOT NULL,
    claimed_at     BIGINT, -- business time of the last attempt: what caps count while no sent_at is known
    lease_until    BIGINT, -- by the machine's clock
    lease_owner    TEXT,
    sent_at        BIGINT,
    address        TEXT,   -- where the last attempt went
    subject        TEXT,
    last_reply     TEXT,
    CONSTRAINT messages_pkey PRIMARY KEY (customer_id, id),
    CONSTRAINT messages_once_per_step UNIQUE (customer_id, rule_id, enrolment_id, step),
    CONSTRAINT messages_leased_iff_sending CHECK ((status = 'sending') = (lease_until IS NOT NULL)),
    CONSTRAINT messages_sent_at CHECK (status <> 'sent' OR sent_at IS NOT NULL)
);
CREATE INDEX messages_due ON messages (store_id, scheduled_at, id) WHERE status = 'scheduled';
CREATE INDEX messages_paused ON messages (store_id, rule_id) WHERE status = 'scheduled' AND held_for = 'paused';
CREATE INDEX messages_leased ON messages (lease_until) WHERE status = 'sending';
CREATE INDEX messages_by_status ON messages (store_id, status, scheduled_at, id);
CREATE INDEX messages_by_store ON messages (store_id, id);
CREATE INDEX messages_by_rule ON messages (rule_id, id);

-- Addresses never to be written to at all.
CREATE TABLE suppressions (
    store_id   BIGINT NOT NULL CONSTRAINT suppressions_store REFERENCES stores,
    email_key  TEXT   NOT NULL,
    reason     TEXT   NOT NULL CONSTRAINT suppressions_reason CHECK (reason IN ('hard_bounce', 'complaint', 'operator', 'erased')),
    note       TEXT,
    created_at BIGINT NOT NULL,
    CONSTRAINT suppressions_pkey PRIMARY KEY (store_id, email_key)
) WITHOUT ROWID;
