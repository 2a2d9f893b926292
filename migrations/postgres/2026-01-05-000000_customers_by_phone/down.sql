DROP INDEX customers_by_phone;
