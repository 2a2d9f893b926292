//! What tracking events cost: to read them, and to take them in over HTTP, answered after the commit.
//!
//! `cargo bench --bench tracking`. Reading is of one core. Ingest is the whole program on an SQLite file in a folder for
//! temporary files, its clients beside it on the same cores; set `TMPDIR` to measure another disk.

use std::ffi::CString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix_web::web;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homing::config::Config;
use homing::db::{Db, DbError};
use homing::http::pages::Pages;
use homing::http::{App, server};
use homing::intake::tracking_api::{Arrival, Call, Envelope, unpack};
use homing::journal::Journal;
use homing::keys::{self, KeyHash, Scope, Trust, store::NewKey};
use homing::primitives::{Clock, Delay, KeyId, StoreId, Timestamp};
use homing::secret::Secret;
use serde_json::{Value, json};

/// Time goes on from event to event, as it does: facts that come in out of order cost a customer's whole history.
fn at(n: usize) -> String {
    let begun = "2026-06-01T00:00:00Z".parse::<Timestamp>().expect("an instant");
    begun.plus(Delay::seconds(n as i64 / 20)).to_string()
}

/// As analytics-next sends it: about 700 bytes, most of them context.
fn viewed(n: usize) -> Value {
    json!({
        "type": "track", "event": "Product Viewed", "messageId": format!("ajs-next-1795315836007-{n}"),
        "anonymousId": format!("84df3b37-132f-481a-9d66-{:012}", n % 10_000), "userId": format!("u-{}", n % 10_000),
        "timestamp": at(n),
        "properties": { "product_id": format!("p-{}", n % 300), "name": "Oolong, spring picking", "price": 19.99, "currency": "CNY" },
        "context": {
            "page": { "path": "/tea", "referrer": "https://www.google.com/", "search": "?utm_source=weibo&utm_campaign=618",
                      "title": "Oolong", "url": "https://shop.example/tea?utm_source=weibo&utm_campaign=618" },
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            "locale": "zh-CN", "timezone": "Asia/Shanghai", "campaign": { "source": "weibo", "name": "618" },
            "library": { "name": "analytics.js", "version": "npm:next-1.84.3" },
        },
    })
}

fn ordered(n: usize) -> Value {
    let product = |n: usize| json!({ "product_id": format!("p-{n}"), "name": "Oolong", "price": "19.99", "quantity": 2 });
    json!({
        "type": "track", "event": "Order Completed", "messageId": n.to_string(), "userId": format!("u-{n}"),
        "timestamp": at(n), "context": { "library": { "name": "analytics-python" } },
        "properties": { "order_id": format!("A-{n}"), "total": 119.94, "currency": "CNY", "products": [product(1), product(2), product(3)] },
    })
}

fn batch(event: fn(usize) -> Value) -> String {
    json!({ "sentAt": "2026-06-01T12:00:00Z", "batch": (0..100).map(event).collect::<Vec<_>>() })
        .to_string()
}

fn read(criterion: &mut Criterion) {
    let key = Secret::new("a secret for benches only").identify_key(StoreId(1));
    let currency = "CNY".parse().expect("a currency");
    let arrival = Arrival {
        received_at: "2026-06-01T12:00:01Z".parse().expect("an instant"),
        trust: Trust::Server,
        currency: &currency,
        identify_key: &key,
        user_agent: None,
        nonce: 1,
    };
    let mut group = criterion.benchmark_group("read a batch of 100 events");
    group.throughput(Throughput::Elements(100));
    for (name, text) in
        [("product views", batch(viewed)), ("orders of three lines", batch(ordered))]
    {
        let bytes = text.len() / 100;
        group.bench_function(format!("{name}, {bytes} bytes each"), |b| {
            b.iter(|| {
                let text = unpack(text.clone().into_bytes(), false).expect("text");
                let outcome = Envelope::open(&text, Call::Batch).expect("a batch").read(&arrival);
                assert_eq!(outcome.facts.len(), 100);
                outcome
            });
        });
    }
}

/// Printed as rates, since criterion times one thing at a time. Each case runs in turn with the limit it is held
/// against, so that both meet the same machine: medians of five, and the median of their ratios.
fn ingest(_: &mut Criterion) {
    struct Case {
        connections: usize,
        events_a_request: usize,
        events: usize,
        of: &'static str,
        kind: fn(usize) -> Value,
        limit: (&'static str, fn() -> f64),
    }
    const IN_BULK: (&str, fn() -> f64) =
        ("bare SQLite, 1,000 rows a commit", || bare_sqlite(50_000, 1_000));
    const ALONE: (&str, fn() -> f64) = ("bare SQLite, a row a commit", || bare_sqlite(3_000, 1));
    const HANDLER: (&str, fn() -> f64) =
        ("a handler that only reads JSON", || bare_handler(64, 40_000));
    let case = |connections, events_a_request, events, of, kind, limit| Case {
        connections,
        events_a_request,
        events,
        of,
        kind,
        limit,
    };
    let cases = [
        case(1, 1, 3_000, "product view", viewed as fn(usize) -> Value, ALONE),
        case(64, 1, 20_000, "product view", viewed, HANDLER),
        case(8, 100, 50_000, "product views", viewed, IN_BULK),
        case(4, 1_000, 50_000, "product views", viewed, IN_BULK),
        case(8, 100, 30_000, "orders", ordered, IN_BULK),
    ];
    for Case { connections, events_a_request, events, of, kind, limit: (limit, reach) } in cases {
        let runs: Vec<(f64, f64)> = (0..5)
            .map(|_| {
                let house = House::open();
                let requests = house.requests(events_a_request, events, kind);
                (events as f64 / post(house.address, connections, &requests), reach())
            })
            .collect();
        let ours = median(runs.iter().map(|(ours, _)| *ours));
        let reached = median(runs.iter().map(|(_, limit)| *limit));
        let ratio = median(runs.iter().map(|(ours, limit)| ours / limit));
        println!(
            "ingest, {connections} connections, {events_a_request} {of} a request: {ours:.0} events/s, \
             {:.0} % of {limit} ({reached:.0}/s)",
            ratio * 100.0
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rows a second that SQLite itself takes, durably: 200 bytes and one index by customer and time, through its C
/// interface, prepared once.
fn bare_sqlite(rows: usize, a_commit: usize) -> f64 {
    use libsqlite3_sys as ffi;
    let folder = tempfile::tempdir().expect("a folder");
    let path =
        CString::new(folder.path().join("limit.db").to_str().expect("text")).expect("a path");
    let payload = CString::new("x".repeat(150)).expect("text");
    let mut conn = std::ptr::null_mut();
    let mut insert = std::ptr::null_mut();
    // SAFETY: the handles are used by this thread alone, between their opening and their closing below; all text ends
    // in NUL and outlives the calls that it is passed to (the bound payload lives to the end).
    unsafe {
        assert_eq!(ffi::sqlite3_open(path.as_ptr(), &mut conn), ffi::SQLITE_OK);
        let run = |sql: &std::ffi::CStr| {
            let none = std::ptr::null_mut();
            let done = ffi::sqlite3_exec(conn, sql.as_ptr(), None, none, std::ptr::null_mut());
            assert_eq!(done, ffi::SQLITE_OK, "{sql:?}");
        };
        run(c"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
        run(c"CREATE TABLE events (id INTEGER PRIMARY KEY, customer INTEGER, at INTEGER, kind TEXT, payload TEXT)");
        run(c"CREATE INDEX events_by_customer ON events (customer, at)");
        let sql =
            c"INSERT INTO events (customer, at, kind, payload) VALUES (?, ?, 'product_viewed', ?)";
        let none = std::ptr::null_mut();
        assert_eq!(
            ffi::sqlite3_prepare_v2(conn, sql.as_ptr(), -1, &mut insert, none),
            ffi::SQLITE_OK
        );
        ffi::sqlite3_bind_text(insert, 3, payload.as_ptr(), -1, None);
        let begun = Instant::now();
        for commit in 0..rows / a_commit {
            run(c"BEGIN");
            for row in commit * a_commit..(commit + 1) * a_commit {
                ffi::sqlite3_bind_int64(insert, 1, (row * 7919 % 10_000) as i64);
                ffi::sqlite3_bind_int64(insert, 2, row as i64);
                assert_eq!(ffi::sqlite3_step(insert), ffi::SQLITE_DONE);
                ffi::sqlite3_reset(insert);
            }
            run(c"COMMIT");
        }
        let rate = rows as f64 / begun.elapsed().as_secs_f64();
        ffi::sqlite3_finalize(insert);
        ffi::sqlite3_close(conn);
        rate
    }
}

/// Requests a second that a handler answers which only reads their JSON.
fn bare_handler(connections: usize, requests: usize) -> f64 {
    use actix_web::{App, HttpResponse, HttpServer};
    async fn answer(body: web::Bytes) -> HttpResponse {
        let read: Result<Value, _> = serde_json::from_slice(&body);
        HttpResponse::Ok().json(json!({ "success": read.is_ok() }))
    }
    let (told, server) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let routes = || App::new().route("/v1/batch", web::post().to(answer));
            let server = HttpServer::new(routes).workers(2).bind("127.0.0.1:0").expect("a port");
            let address = server.addrs()[0];
            let server = server.run();
            told.send((address, server.handle())).expect("somebody waits");
            server.await
        })
    });
    let (address, handle) = server.recv().expect("an address");
    let requests = requests_of("key", 1, requests, viewed);
    let rate = requests.len() as f64 / post(address, connections, &requests);
    drop(handle.stop(false));
    rate
}

/// A server in this process, on a fresh database.
struct House {
    address: SocketAddr,
    key: String,
    _folder: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("bench.db").display());
        let config = Config::load(|name| match name {
            "HOMING_DATABASE_URL" => Some(url.clone()),
            "HOMING_LISTEN" => Some("127.0.0.1:0".to_owned()),
            _ => None,
        })
        .expect("settings");
        let db = Db::open(config.database.clone()).expect("a database");
        db.migrate().expect("a schema");
        let key = keys::new_key(Scope::Ingest);
        let new = NewKey {
            id: KeyId(1),
            store: StoreId(1),
            hash: KeyHash::of(&key),
            scope: Scope::Ingest,
            trust: Trust::Server,
            name: "bench".to_owned(),
            created_at: Clock::System.now(),
        };
        db.write_here(|conn| keys::store::insert(conn, &new).map_err(DbError::from))
            .expect("a key");
        let secret = Secret::new("a secret for benches only");
        let (told, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let console = Pages::new(&config, &secret).expect("the console's pages");
                let (journal, _writer) = Journal::start(db.clone(), secret.clone(), Clock::System);
                let app = App::new(db, journal, Arc::new(config), secret, Clock::System);
                let (server, address) =
                    server::start(web::Data::new(app), web::Data::new(console)).expect("a server");
                told.send(address).expect("somebody waits");
                server.await
            })
        });
        Self { address: address.recv().expect("an address"), key, _folder: folder }
    }

    fn requests(&self, each: usize, events: usize, kind: fn(usize) -> Value) -> Vec<String> {
        requests_of(&self.key, each, events, kind)
    }
}

/// Made before the clock starts: a client's own work is not what is measured.
fn requests_of(key: &str, each: usize, events: usize, kind: fn(usize) -> Value) -> Vec<String> {
    (0..events)
        .step_by(each)
        .map(|first| {
            let batch: Vec<Value> = (first..first + each).map(kind).collect();
            let body = json!({ "writeKey": key, "batch": batch }).to_string();
            let length = body.len();
            format!("POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
        })
        .collect()
}

/// The seconds until all requests are answered, each with 200.
fn post(address: SocketAddr, connections: usize, requests: &[String]) -> f64 {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let mut answer = BufReader::new(stream.try_clone().expect("its other half"));
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    stream.write_all(request.as_bytes()).expect("a request is taken");
                    assert!(is_200(&mut answer), "stored");
                }
            });
        }
    });
    begun.elapsed().as_secs_f64()
}

fn is_200(answer: &mut BufReader<TcpStream>) -> bool {
    let (mut line, mut ok, mut length) = (String::new(), false, 0);
    while answer.read_line(&mut line).expect("an answer") > 2 {
        ok |= line.starts_with("HTTP/1.1 200");
        if let Some(told) = line.strip_prefix("content-length: ") {
            length = told.trim().parse().expect("a length");
        }
        line.clear();
    }
    answer.read_exact(&mut vec![0; length]).expect("a body");
    ok
}

criterion_group!(benches, read, ingest);
criterion_main!(benches);
