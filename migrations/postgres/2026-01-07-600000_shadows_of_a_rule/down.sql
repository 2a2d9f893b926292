DROP INDEX enrolments_in_shadow;
