//! A fresh, migrated database per test: a copy of one that was migrated once per test process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use homing::config::Config;
use homing::db::{Db, DbError};
use homing::primitives::{Clock, Timestamp};
use homing::secret::Secret;
use tempfile::TempDir;

/// One test's database, folder and time. All are gone when it is dropped.
pub struct TestDb {
    pub db: Db,
    /// As `HOMING_DATABASE_URL` takes it.
    pub url: String,
    /// The test's `now`: a Monday noon in Shanghai, four in the morning UTC.
    pub now: Timestamp,
    /// Empty, for mails, imports and what else the test writes.
    pub folder: TempDir,
    _dropped_last: Option<PostgresDatabase>,
    /// Of a test that has a PostgreSQL server for itself.
    own: Option<Mutex<OwnServer>>,
}

pub const SECRET: &str = "a secret for tests only";

impl TestDb {
    pub fn clock(&self) -> Clock {
        Clock::Fixed(self.now)
    }

    pub fn secret(&self) -> Secret {
        Secret::new(SECRET)
    }

    /// The settings of a process on this database; mail goes to the folder `mail`.
    pub fn config(&self) -> Config {
        Config::load(|name| match name {
            "HOMING_DATABASE_URL" => Some(self.url.clone()),
            "HOMING_SECRET" => Some(SECRET.to_owned()),
            "HOMING_PUBLIC_URL" => Some("https://shop.example".to_owned()),
            "HOMING_SMTP_URL" => {
                Some(format!("file:{}", self.folder.path().join("mail").display()))
            }
            _ => None,
        })
        .expect("settings of the test")
    }

    fn open(url: String, folder: TempDir, database: Option<PostgresDatabase>) -> Self {
        let db = Db::open(url.parse().expect("a database address")).expect("the test's database");
        let now = "2026-06-01T04:00:00Z".parse().expect("an instant");
        Self { db, url, now, folder, _dropped_last: database, own: None }
    }

    fn on_sqlite() -> Self {
        let folder = new_folder();
        let file = folder.path().join("homing.db");
        std::fs::write(&file, migrated_file()).expect("a copy of the migrated database");
        Self::open(format!("sqlite:{}", file.display()), folder, None)
    }

    /// A server of its own, on which a commit outlives its crash.
    fn on_own_postgres() -> Result<Self, String> {
        let (url, own) = OwnServer::start("durable")?;
        let test = Self::open(url.replace("{}", "postgres"), new_folder(), None);
        test.db.migrate().expect("the migrations run");
        Ok(Self { own: Some(Mutex::new(own)), ..test })
    }

    /// Kills the server and starts it again, where the test has one for itself.
    pub fn crash_postgres(&self) {
        let own = self.own.as_ref().expect("a server for this test alone");
        own.lock().unwrap_or_else(std::sync::PoisonError::into_inner).crash();
    }

    /// The error says why there is no PostgreSQL here.
    fn on_postgres() -> Result<Self, String> {
        let server = Server::shared()?;
        let database = server.copy_of_template();
        Ok(Self::open(server.url(&database.0), new_folder(), Some(database)))
    }
}

/// Runs `test` on a fresh SQLite database.
pub fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(TestDb) -> F) {
    actix_web::rt::System::new().block_on(test(TestDb::on_sqlite()));
}

/// Runs `test` on a fresh PostgreSQL database, or says that it is skipped.
pub fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(TestDb) -> F) {
    match TestDb::on_postgres() {
        Ok(db) => actix_web::rt::System::new().block_on(test(db)),
        Err(why) => super::skipped("a test on PostgreSQL", &why),
    }
}

/// Runs `test` with a PostgreSQL server of its own, which it may crash.
pub fn on_own_postgres<F: Future<Output = ()>>(test: impl FnOnce(TestDb) -> F) {
    match TestDb::on_own_postgres() {
        Ok(db) => actix_web::rt::System::new().block_on(test(db)),
        Err(why) => super::skipped("a test on a PostgreSQL server of its own", &why),
    }
}

fn new_folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// An SQLite file with the whole schema, made once.
fn migrated_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = new_folder();
        let url = homing::db::DatabaseUrl::sqlite(&folder.path().join("first.db"));
        let db = Db::open(url).expect("a database");
        db.migrate().expect("the migrations run");
        // A copy made by the database is complete in one file, without a write-ahead log.
        let copy = folder.path().join("migrated.db");
        let vacuum = format!("VACUUM INTO '{}'", copy.display());
        db.read_here(|conn| conn.batch_execute(&vacuum).map_err(DbError::from)).expect("a copy");
        std::fs::read(copy).expect("the copy")
    })
}

/// Dropped after the pools of its test, and takes the database with it.
struct PostgresDatabase(String);

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let Ok(server) = Server::shared() else { return };
        let mut admin = server.admin();
        // Pools close their connections in the background; cutting those off would be loud.
        let open =
            format!("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = '{}'", self.0);
        for _ in 0..20 {
            match diesel::sql_query(&open).get_result::<Count>(&mut *admin) {
                Ok(Count { n: 1.. }) => std::thread::sleep(std::time::Duration::from_millis(5)),
                _ => break,
            }
        }
        let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0));
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

/// The PostgreSQL server of this test process: the one given by `HOMING_TEST_POSTGRES_URL`, or one of its own.
struct Server {
    /// With `{}` where the database's name belongs.
    url: String,
    admin: Mutex<PgConnection>,
    template: String,
    _own: Option<OwnServer>,
}

/// Ends when its standard input is closed, which the kernel does however this process ends.
struct OwnServer {
    _keeper: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn shared() -> Result<&'static Self, String> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        SERVER.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    fn start() -> Result<Self, String> {
        let (url, own) = match std::env::var("HOMING_TEST_POSTGRES_URL") {
            Ok(given) => (with_database_left_open(&given), None),
            Err(_) => {
                let (url, own) = OwnServer::start("fast")?;
                (url, Some(own))
            }
        };
        let mut admin =
            PgConnection::establish(&url.replace("{}", "postgres")).map_err(|e| e.to_string())?;
        let template = format!("homing_test_{}", std::process::id());
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)"))
            .and_then(|()| admin.batch_execute(&format!("CREATE DATABASE {template}")))
            .map_err(|e| e.to_string())?;
        let db = Db::open(url.replace("{}", &template).parse().expect("a PostgreSQL address"))
            .map_err(|e| e.to_string())?;
        db.migrate().expect("the migrations run");
        Ok(Self { url, admin: Mutex::new(admin), template, _own: own })
    }

    fn url(&self, database: &str) -> String {
        self.url.replace("{}", database)
    }

    fn admin(&self) -> MutexGuard<'_, PgConnection> {
        self.admin.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn copy_of_template(&self) -> PostgresDatabase {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{}_{}", self.template, NEXT.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name} TEMPLATE {}", self.template);
        self.admin().batch_execute(&create).expect("a copy of the migrated database");
        PostgresDatabase(name)
    }
}

/// `postgres://host/any?options` with `{}` for the database.
fn with_database_left_open(url: &str) -> String {
    let (address, options) =
        url.split_once('?').map_or((url, String::new()), |(a, o)| (a, format!("?{o}")));
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    format!("{}/{{}}{options}", &address[..end])
}

impl OwnServer {
    /// `durable`: commits outlive a crash of the server.
    fn start(how: &str) -> Result<(String, Self), String> {
        let mut keeper = Command::new("sh");
        // A group of its own: Ctrl-C at the tests must not end the keeper before it has cleaned up.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        let mut keeper = keeper
            .args(["-c", include_str!("postgres.sh"), "postgres.sh", how])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let stdin = keeper.stdin.take().expect("a piped input");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("a piped output");
        let mut answers = BufReader::new(output);
        answers.read_line(&mut line).map_err(|e| e.to_string())?;
        match line.trim().strip_prefix("ready ") {
            Some(socket_folder) => {
                let url = format!("postgres://postgres@/{{}}?host={socket_folder}");
                Ok((url, Self { _keeper: keeper, orders: stdin, answers }))
            }
            None => Err(line.trim().to_owned()),
        }
    }

    fn crash(&mut self) {
        writeln!(self.orders, "crash").expect("the keeper listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the keeper answers");
        assert!(line.starts_with("ready "), "{line}");
    }
}
