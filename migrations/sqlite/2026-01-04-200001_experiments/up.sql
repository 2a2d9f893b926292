-- An experiment's customers in the order in which they became eligible: what its report reads.
CREATE INDEX assignments_by_experiment ON assignments (experiment, assigned_at);
