-- Who is no customer any more, merged into another or erased: an audience is counted over the rollups alone, without
-- a look at every profile for these few.
CREATE INDEX customers_gone ON customers (store_id, id) WHERE merged_into IS NOT NULL OR erased_at IS NOT NULL;
