//! What tracking events cost: to read them, and to take them in over HTTP, answered after the commit.
//!
//! `cargo bench --bench tracking`. Reading is of one core. Ingest is the whole program on an SQLite file in a folder for
//! temporary files, its clients beside it on the same cores; set `TMPDIR` to measure another disk.

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
use homing::primitives::{Clock, KeyId, StoreId};
use homing::secret::Secret;
use serde_json::{Value, json};

/// As analytics-next sends it: about 700 bytes, most of them context.
fn viewed(n: usize) -> Value {
    json!({
        "type": "track", "event": "Product Viewed", "messageId": format!("ajs-next-1795315836007-{n}"),
        "anonymousId": format!("84df3b37-132f-481a-9d66-{:012}", n % 10_000), "userId": format!("u-{}", n % 10_000),
        "timestamp": "2026-06-01T11:59:58.004Z",
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
        "timestamp": "2026-06-01T11:59:58.004Z", "context": { "library": { "name": "analytics-python" } },
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

/// Printed as rates, since criterion times one thing at a time; each the median of three runs on a fresh database.
fn ingest(_: &mut Criterion) {
    struct Case {
        connections: usize,
        events_a_request: usize,
        events: usize,
        of: &'static str,
        kind: fn(usize) -> Value,
    }
    let case = |connections, events_a_request, events, of, kind| Case {
        connections,
        events_a_request,
        events,
        of,
        kind,
    };
    let cases = [
        case(1, 1, 5_000, "product view", viewed as fn(usize) -> Value),
        case(64, 1, 40_000, "product view", viewed),
        case(8, 100, 100_000, "product views", viewed),
        case(4, 1_000, 100_000, "product views", viewed),
        case(8, 100, 50_000, "orders", ordered),
    ];
    for Case { connections, events_a_request, events, of, kind } in cases {
        let mut rates: Vec<f64> = (0..3)
            .map(|_| {
                let house = House::open();
                let requests = house.requests(events_a_request, events, kind);
                events as f64 / house.post(connections, &requests)
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "ingest, {connections} connections, {events_a_request} {of} a request: {:.0} events/s ({:.0}-{:.0})",
            rates[1], rates[0], rates[2]
        );
    }
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

    /// Made before the clock starts: a client's own work is not what is measured.
    fn requests(&self, each: usize, events: usize, kind: fn(usize) -> Value) -> Vec<String> {
        (0..events)
            .step_by(each)
            .map(|first| {
                let batch: Vec<Value> = (first..first + each).map(kind).collect();
                let body = json!({ "writeKey": self.key, "batch": batch }).to_string();
                let length = body.len();
                format!(
                    "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            })
            .collect()
    }

    /// The seconds until all requests are answered, each with 200.
    fn post(&self, connections: usize, requests: &[String]) -> f64 {
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(self.address).expect("a connection");
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
