CREATE INDEX scores_at_risk ON scores (store_id, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX scores_at_risk_by_segment ON scores (store_id, segment, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX historic_scores_at_risk ON historic_scores (store_id, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
CREATE INDEX historic_scores_at_risk_by_segment ON historic_scores (store_id, segment, risk_rank DESC, customer_id, spent, value_at_risk) WHERE risk_rank IS NOT NULL;
ALTER TABLE scoring_runs DROP COLUMN edition;
DROP TABLE at_risk_list;
