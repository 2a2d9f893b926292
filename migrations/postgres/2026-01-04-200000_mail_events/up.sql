-- Clicks on links of mails and loads of their pictures, as they came. The verdict is a function of all of a message's.
CREATE TABLE mail_events (
    customer_id BIGINT  NOT NULL CONSTRAINT mail_events_customer REFERENCES customers,
    message_id  BIGINT  NOT NULL,
    id          BIGINT  NOT NULL,
    store_id    BIGINT  NOT NULL,
    rule_id     BIGINT  NOT NULL,
    kind        TEXT    NOT NULL CONSTRAINT mail_events_kind CHECK (kind IN ('click', 'open')),
    at          BIGINT  NOT NULL,
    link        INTEGER NOT NULL, -- of a click: which of the mail's targets, from 0
    links       INTEGER NOT NULL, -- and how many it has
    target      TEXT,
    agent       TEXT    NOT NULL, -- what asked, by its own words: a class, never the words
    verdict     TEXT    NOT NULL CONSTRAINT mail_events_verdict CHECK (verdict IN ('human', 'machine')),
    reason      TEXT,   -- of a machine
    CONSTRAINT mail_events_pkey PRIMARY KEY (customer_id, message_id, id),
    CONSTRAINT mail_events_reason CHECK ((verdict = 'machine') = (reason IS NOT NULL)),
    CONSTRAINT mail_events_target CHECK ((kind = 'click') = (target IS NOT NULL))
);
CREATE INDEX mail_events_by_time ON mail_events (store_id, at);
