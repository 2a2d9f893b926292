//! New rows by the thousand, in the fastest way that each database has.

/// Rows that one statement of SQLite takes. Preparing a statement costs more than running it: of this shape there is
/// one per table, prepared once per connection, and another for single rows.
pub const TOGETHER: usize = 64;

/// Inserts rows that are certainly not there yet: `insert_new!(conn, table, rows)`.
///
/// By COPY on PostgreSQL, which plans nothing, and by statements of one shape on SQLite. Rows own what they hold: a
/// statement is known again by the type of its rows.
#[macro_export]
macro_rules! insert_new {
    ($conn:expr, $table:expr, $rows:expr) => {{
        use diesel::ExecuteCopyFromDsl as _;
        let rows: &[_] = &$rows;
        match &mut *$conn {
            $crate::db::Conn::Postgres(pg) if rows.len() >= $crate::db::bulk::TOGETHER => {
                diesel::copy_from($table).from_insertable(rows).execute(pg).map(|_| ())
            }
            $crate::db::Conn::Postgres(pg) => {
                diesel::RunQueryDsl::execute(diesel::insert_into($table).values(rows), pg)
                    .map(|_| ())
            }
            $crate::db::Conn::Sqlite(sqlite) => {
                let (together, rest) = rows.as_chunks::<{ $crate::db::bulk::TOGETHER }>();
                let together = together.iter().try_for_each(|rows| {
                    diesel::RunQueryDsl::execute(diesel::insert_into($table).values(rows), sqlite)
                        .map(|_| ())
                });
                together.and_then(|()| {
                    rest.iter().try_for_each(|row| {
                        diesel::RunQueryDsl::execute(
                            diesel::insert_into($table).values(row),
                            sqlite,
                        )
                        .map(|_| ())
                    })
                })
            }
        }
    }};
}
