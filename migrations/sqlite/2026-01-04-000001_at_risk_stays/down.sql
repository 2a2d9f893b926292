DROP TABLE at_risk_watches;
DROP TABLE at_risk_stays;
