-- Each table in one piece again, with the keys, checks and indexes that it has.
DO $$
DECLARE
    name  TEXT;
    line  TEXT;
    later TEXT[];
BEGIN
    FOREACH name IN ARRAY ARRAY['facts', 'visits', 'decisions', 'messages'] LOOP
        later := ARRAY(
            SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', name, c.conname, pg_get_constraintdef(c.oid))
            FROM pg_constraint c
            WHERE c.conrelid = name::regclass AND c.contype IN ('p', 'u', 'f')
            ORDER BY array_position('{p,u,f}', c.contype::text), c.conname
        ) || ARRAY(
            SELECT replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
            FROM pg_index i
            WHERE i.indrelid = name::regclass
              AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = i.indrelid AND c.conindid = i.indexrelid)
            ORDER BY 1
        );
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_in_parts');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, name || '_in_parts');
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, name || '_in_parts');
        EXECUTE format('DROP TABLE %I', name || '_in_parts');
        FOREACH line IN ARRAY later LOOP
            EXECUTE line;
        END LOOP;
    END LOOP;
END
$$;
