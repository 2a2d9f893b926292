DROP TABLE repurchases;
DROP TABLE rhythms;
