-- The at-risk list in its own order: an edition, written whole and in order by a run in which many ranks moved. Indexes over
-- `scores` in this order had each of a night's rows take four scattered places.
CREATE TABLE at_risk_list (
    store_id    BIGINT NOT NULL,
    edition     BIGINT NOT NULL, -- the run that wrote it
    segment     TEXT   NOT NULL, -- '': whatever the segment; each customer stands here and under their own
    risk_rank   DOUBLE PRECISION NOT NULL,
    customer_id BIGINT NOT NULL,
    spent       BIGINT NOT NULL,
    value       BIGINT NOT NULL, -- at risk; where that is not known, the net spend
    PRIMARY KEY (store_id, edition, segment, risk_rank DESC, customer_id)
) WITHOUT ROWID;
-- NULL: a replica of before this table made the run, and it has no list.
ALTER TABLE scoring_runs ADD COLUMN edition BIGINT;

INSERT INTO at_risk_list
SELECT s.store_id, n.id, '', s.risk_rank, s.customer_id, s.spent, COALESCE(s.value_at_risk, s.spent)
FROM (SELECT store_id, MAX(id) AS id FROM scoring_runs WHERE finished AND NOT historic GROUP BY store_id) n
JOIN scores s ON s.store_id = n.store_id
WHERE s.risk_rank IS NOT NULL
ORDER BY s.store_id, s.risk_rank DESC, s.customer_id;
INSERT INTO at_risk_list
SELECT s.store_id, n.id, s.segment, s.risk_rank, s.customer_id, s.spent, COALESCE(s.value_at_risk, s.spent)
FROM (SELECT store_id, MAX(id) AS id FROM scoring_runs WHERE finished AND NOT historic GROUP BY store_id) n
JOIN scores s ON s.store_id = n.store_id
WHERE s.risk_rank IS NOT NULL
ORDER BY s.store_id, s.segment, s.risk_rank DESC, s.customer_id;
-- A look into the past that is shown.
INSERT INTO at_risk_list
SELECT s.store_id, n.id, p.segment, s.risk_rank, s.customer_id, s.spent, COALESCE(s.value_at_risk, s.spent)
FROM (SELECT store_id, MAX(id) AS id FROM scoring_runs WHERE finished GROUP BY store_id) n
JOIN scoring_runs r ON r.store_id = n.store_id AND r.id = n.id AND r.historic
JOIN historic_scores s ON s.store_id = n.store_id
JOIN (SELECT customer_id, '' AS segment FROM historic_scores UNION ALL SELECT customer_id, segment FROM historic_scores) p
    ON p.customer_id = s.customer_id
WHERE s.risk_rank IS NOT NULL;
UPDATE scoring_runs SET edition = id WHERE EXISTS
    (SELECT 1 FROM at_risk_list l WHERE l.store_id = scoring_runs.store_id AND l.edition = scoring_runs.id);

DROP INDEX scores_at_risk;
DROP INDEX scores_at_risk_by_segment;
DROP INDEX historic_scores_at_risk;
DROP INDEX historic_scores_at_risk_by_segment;
