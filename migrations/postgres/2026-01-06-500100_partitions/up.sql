-- The tables that grow with what happens are kept in sixteen parts each, by a hash of the customer. docs/postgres.md
-- says why by customer and not by time. Whatever keys, checks and indexes a table has now, it has afterwards.
--
-- Each table is locked while its rows are copied, and needs its own size once more on the disk.
DO $$
DECLARE
    name  TEXT;
    line  TEXT;
    later TEXT[]; -- what is made again after the copy: keys, references, indexes
BEGIN
    FOREACH name IN ARRAY ARRAY['facts', 'visits', 'decisions', 'messages'] LOOP
        later := ARRAY(
            SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', name, c.conname, pg_get_constraintdef(c.oid))
            FROM pg_constraint c
            WHERE c.conrelid = name::regclass AND c.contype IN ('p', 'u', 'f')
            ORDER BY array_position('{p,u,f}', c.contype::text), c.conname
        ) || ARRAY(
            SELECT pg_get_indexdef(i.indexrelid)
            FROM pg_index i
            WHERE i.indrelid = name::regclass
              AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = i.indrelid AND c.conindid = i.indexrelid)
            ORDER BY 1
        );
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_whole');
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (customer_id)',
            name, name || '_whole'
        );
        FOR part IN 0..15 LOOP
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                name || '_' || lpad(part::text, 2, '0'), name, part
            );
        END LOOP;
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, name || '_whole');
        EXECUTE format('DROP TABLE %I', name || '_whole');
        FOREACH line IN ARRAY later LOOP
            EXECUTE line;
        END LOOP;
    END LOOP;
END
$$;
