-- What a rule began in shadow and has open is asked for whenever one goes live: few or none, among all it ever enrolled.
CREATE INDEX enrolments_in_shadow ON enrolments (rule_id) WHERE shadow AND status IN ('active', 'waiting');
