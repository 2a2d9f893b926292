//! Whether somebody on the way to the database could listen in.

use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};

use super::Finding::{self, Broken, Doubtful, Well};
use super::chain;
use crate::config::Config;
use crate::db::{Conn, DatabaseUrl, Db, DbError};

/// What the server says of our connection to it; where a pooler stands in between, of the pooler's.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Line {
    #[diesel(sql_type = Bool)]
    encrypted: bool,
    /// `TLSv1.3`
    #[diesel(sql_type = Nullable<Text>)]
    version: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    cipher: Option<String>,
}

/// `None` on SQLite, to which there is no way.
pub(super) fn finding(config: &Config, db: &Db) -> Option<Finding> {
    match db.read_here(|conn| line(conn).map_err(DbError::from)) {
        Ok(line) => Some(judge(&line?, &config.database)),
        Err(error) => {
            let mend = "let this user read pg_stat_ssl, as every user may by default".to_owned();
            Some(Broken { what: chain(&error), mend })
        }
    }
}

fn line(conn: &mut Conn) -> QueryResult<Option<Line>> {
    match conn {
        Conn::Sqlite(_) => Ok(None),
        Conn::Postgres(pg) => diesel::sql_query(
            "SELECT ssl AS encrypted, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )
        .get_result(pg)
        .optional(),
    }
}

fn judge(line: &Line, url: &DatabaseUrl) -> Finding {
    let Line { encrypted, version, cipher } = line;
    if *encrypted {
        let by = [version, cipher].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        let verified = match url.verifies_server() {
            true => "and the server has proven who it is",
            false => "though sslmode=verify-full alone has the server prove who it is",
        };
        return Well(format!("the connection is encrypted ({}), {verified}", by.join(", ")));
    }
    if url.is_on_this_machine() {
        return Well("the connection is not encrypted, and does not leave this machine".to_owned());
    }
    Doubtful {
        what: "the connection is not encrypted: whoever is on the way reads customers and passwords".to_owned(),
        mend: "sslmode=verify-full in HOMING_DATABASE_URL, with a program built for it: docs/postgres.md"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &Line, url: &str) -> (&'static str, String) {
        match judge(line, &url.parse().unwrap()) {
            Well(what) => ("well", what),
            Doubtful { what, .. } => ("doubtful", what),
            Broken { what, .. } => ("broken", what),
        }
    }

    #[test]
    fn only_a_plain_line_over_a_network_is_doubtful() {
        let plain = Line { encrypted: false, version: None, cipher: None };
        for here in [
            "postgres://postgres@/shop?host=/run/postgresql",
            "postgres://homing:secret@localhost/shop",
            "postgres://127.0.0.1:5433/shop?sslmode=disable",
            "postgres://[::1]:5433/shop",
            "postgres:///shop",
        ] {
            assert_eq!(told(&plain, here).0, "well", "{here}");
        }
        for away in [
            "postgres://db.example/shop",
            "postgres://homing:se@cret@10.0.0.7:5432/shop",
            "postgres://localhost/shop?host=db.example",
            "postgres://localhost,db.example/shop",
            "postgres://localhost/shop?hostaddr=10.0.0.7",
        ] {
            let (word, what) = told(&plain, away);
            assert_eq!((word, what.contains("not encrypted")), ("doubtful", true), "{away}");
        }
        let (version, cipher) =
            (Some("TLSv1.3".to_owned()), Some("TLS_AES_256_GCM_SHA384".to_owned()));
        let encrypted = Line { encrypted: true, version, cipher };
        let (word, what) = told(&encrypted, "postgres://db.example/shop");
        assert_eq!(word, "well");
        assert!(
            what.contains("(TLSv1.3, TLS_AES_256_GCM_SHA384)") && what.contains("verify-full"),
            "{what}"
        );
    }
}
