DROP INDEX assignments_by_experiment;
