-- The share that was held out when a customer was drawn: only those drawn by the same odds are compared with each
-- other. NULL: drawn before this was kept.
ALTER TABLE assignments ADD COLUMN share DOUBLE PRECISION CONSTRAINT assignments_share CHECK (share BETWEEN 0 AND 1);
