DROP INDEX customers_gone;
