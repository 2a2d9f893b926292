//! What the outbox does in a second: messages planned, and mails delivered, intent and result durable for each.
//!
//! `cargo bench --bench outbox -- [--what enqueue|deliver|ready|sign|backlog] [--backend sqlite|postgres] [--mails N] [--kb 4|20]
//! [--at-once N] [--dkim KEY_FILE] [--runs N]` prints a line of JSON for each run. Deliveries go the whole way that
//! `serve` goes, from the claim to the settled row, into Postfix's smtp-sink on the same cores. The database is in a
//! folder for temporary files: set `TMPDIR` to measure another disk. `benches/peers.sh` puts others beside it.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};
use homing::config::SmtpUrl;
use homing::customers::{ConsentTold, Traits};
use homing::db::{Db, DbError};
use homing::identity::Identifiers;
use homing::journal::{Body, Context, Journal, NewFact, ProductRef, Source};
use homing::ledger::Instants;
use homing::mail::dkim::Signer;
use homing::mail::{Composer, Delivery, ReadyMail, Transport};
use homing::metrics::Metrics;
use homing::outbox;
use homing::outbox::worker::{self, Clocks, PostOffice};
use homing::planner;
use homing::primitives::{Clock, Delay, StoreId, Timestamp};
use homing::rules::{self, ShopDocument};
use homing::secret::Secret;
use homing::stores::{self, Dkim, Store};
use support::{Sink, cpu_of};
use tokio_util::sync::CancellationToken;

const SETTINGS: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "UTC"
currency = "EUR"
locale = "en"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[sending]
quiet_hours = ""
cap = "2 per 7d"
min_gap = "16h"
rate = "10000/s"
DKIM

[[rule]]
key = "browse"
status = "live"
trigger = { kind = "visited_without_buying", after = "1h", min_product_views = 1 }
[[rule.step]]
template = "browse-reminder"
[[rule.step]]
wait = "3d"
template = "browse-reminder"
"#;

struct Asked {
    what: String,
    backend: String,
    mails: usize,
    kb: usize,
    at_once: usize,
    dkim: Option<String>,
    runs: usize,
}

impl Asked {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let given = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str, usual: usize| {
            given(name).map_or(usual, |text| text.parse().expect("a number"))
        };
        Self {
            what: given("--what").unwrap_or_else(|| "deliver".to_owned()),
            backend: given("--backend").unwrap_or_else(|| "sqlite".to_owned()),
            mails: number("--mails", 10_000),
            kb: number("--kb", 4),
            at_once: number("--at-once", 1),
            dkim: given("--dkim"),
            runs: number("--runs", 1),
        }
    }

    fn told(&self, seconds: f64, cpu: f64, more: &str) {
        let Self { what, backend, mails, kb, .. } = self;
        let signed = self.dkim.is_some();
        println!(
            "{{\"engine\":\"homing\",\"what\":\"{what}\",\"backend\":\"{backend}\",\"kb\":{kb},\"signed\":{signed},\
             \"mails\":{mails},\"mails_s\":{:.0},\"cpu_us\":{:.0}{more}}}",
            *mails as f64 / seconds,
            cpu / *mails as f64 * 1e6,
        );
    }
}

fn main() {
    let asked = Asked::read();
    for _ in 0..asked.runs {
        match asked.what.as_str() {
            "enqueue" => enqueue(&asked),
            "deliver" => deliver(&asked),
            "ready" => ready(&asked),
            "sign" => sign(&asked),
            "backlog" => backlog(&asked),
            other => panic!("--what {other}: it is one of enqueue, deliver, ready, sign, backlog"),
        }
    }
}

/// A database on the disk, durable, and what keeps it.
struct House {
    db: Db,
    folder: tempfile::TempDir,
    _server: Option<Server>,
}

/// Ends when its standard input is closed.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl House {
    fn open(backend: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (url, server) = match backend {
            "sqlite" => (format!("sqlite:{}", folder.path().join("bench.db").display()), None),
            "postgres" => {
                let mut keeper = Command::new("sh");
                keeper
                    .args(["-c", include_str!("../tests/it/support/postgres.sh")])
                    .env(
                        "POSTGRES_SETTINGS",
                        "-c fsync=on -c full_page_writes=on -c synchronous_commit=on -c autovacuum=on -c shared_buffers=512MB -c max_wal_size=4GB",
                    )
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped());
                let mut keeper = keeper.spawn().expect("a shell");
                let mut line = String::new();
                let output = keeper.stdout.take().expect("a piped output");
                BufReader::new(output).read_line(&mut line).expect("a line");
                let socket =
                    line.trim().strip_prefix("ready ").expect("PostgreSQL is installed").to_owned();
                (format!("postgres://postgres@/postgres?host={socket}"), Some(Server(keeper)))
            }
            other => panic!("--backend {other}: it is sqlite or postgres"),
        };
        let db = Db::open(url.parse().expect("an address")).expect("a database");
        db.migrate().expect("the schema");
        Self { db, folder, _server: server }
    }

    /// A store, and as many people who looked at a product at noon and wait for mail.
    fn with_people(asked: &Asked, people: usize, now: Timestamp) -> Self {
        let house = Self::open(&asked.backend);
        let dkim = asked.dkim.as_ref().map_or_else(String::new, |key_file| {
            format!("dkim = {{ domain = \"lakeside.example\", selector = \"s\", key_file = \"{key_file}\" }}")
        });
        let text = SETTINGS.replace("DKIM", &dkim);
        let document = ShopDocument::parse("shop.toml", &text, &["browse-reminder".to_owned()])
            .unwrap_or_else(|e| panic!("{e}"));
        let live = now.minus(Delay::days(30));
        house
            .db
            .write_here(|conn| {
                rules::apply(conn, "default", &document, live).map_err(DbError::from)
            })
            .expect("settings");
        let (journal, writer) = Journal::start(house.db.clone(), secret(), Clock::Fixed(now));
        for part in (0..people).collect::<Vec<_>>().chunks(1_000) {
            let facts = part.iter().flat_map(|n| facts_of(*n, now)).collect();
            journal.append_blocking(StoreId(1), facts).expect("facts");
        }
        drop(journal);
        writer.finish();
        house
    }

    fn store(&self) -> Store {
        let find = |conn: &mut _| stores::store::find(conn, StoreId(1)).map_err(DbError::from);
        self.db.read_here(find).expect("the store")
    }
}

fn secret() -> Secret {
    Secret::new("a secret for benches only")
}

fn facts_of(n: usize, now: Timestamp) -> [NewFact; 2] {
    let consent = Some(ConsentTold { granted: true, at: Some(now), channel: None });
    let name = Some(format!("Ann Number {n}"));
    let traits = Box::new(Traits { consent, name, ..Traits::default() });
    let product = ProductRef {
        id: format!("p-{}", n % 300),
        name: Some(format!("Oolong, spring picking {}", n % 300)),
        url: Some(format!("https://shop.example/p/{}", n % 300)),
        price: Some(1_999),
        ..ProductRef::default()
    };
    let fact = |which: &str, body| NewFact {
        source: Source::Tracking,
        source_key: format!("{which}-{n}"),
        occurred_at: now,
        live: true,
        identifiers: Identifiers {
            external_id: Some(format!("c-{n}")),
            email: Some(format!("c{n}@customers.example").parse().expect("an address")),
            ..Identifiers::default()
        },
        body,
        context: Context::default(),
    };
    let currency = Some("EUR".parse().expect("a currency"));
    [fact("i", Body::Identified { traits }), fact("v", Body::ProductViewed { product, currency })]
}

/// A template whose mail has about as many bytes as asked for, in the folder.
fn write_templates(folder: &Path, kb: usize) {
    let words = "The oolong of this spring has come down from the mountains, and some of it is left for you. ";
    // Each part holds its share; headers, links and their tracking take about 1.6 kB.
    let filler = words.repeat(kb.saturating_mul(1_000).saturating_sub(1_600) / words.len() / 2);
    let parts = [
        ("subject", "{{ first_name or \"Hello\" }}, still thinking it over?".to_owned()),
        (
            "txt",
            format!(
                "Hello {{{{ first_name }}}},\n{{% for product in products %}}{{{{ product.name }}}} {{{{ product.url }}}}\n{{% endfor %}}\n{filler}\n\
                 {{{{ store.postal_address }}}}\n{{{{ unsubscribe_url }}}}\n"
            ),
        ),
        (
            "html",
            format!(
                "<html><body><p>Hello {{{{ first_name }}}},</p>{{% for product in products %}}<p><a href=\"{{{{ product.url }}}}\">\
                 {{{{ product.name }}}}</a></p>{{% endfor %}}\n<p>{filler}</p>\n<p>{{{{ store.postal_address }}}}</p>\
                 <p><a href=\"{{{{ unsubscribe_url }}}}\">unsubscribe</a></p></body></html>\n"
            ),
        ),
    ];
    for (part, text) in parts {
        let file = folder.join(format!("browse-reminder.en.{part}"));
        std::fs::File::create(file)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("a template");
    }
}

fn office(house: &House, sink: &Sink, kb: usize) -> PostOffice {
    write_templates(house.folder.path(), kb);
    let url = SmtpUrl(sink.url());
    PostOffice {
        db: house.db.clone(),
        composer: Composer::load(Some(house.folder.path())).expect("templates"),
        transport: Some(Transport::from_url(&url).expect("a way out")),
        secret: secret(),
        public_url: "https://shop.example".to_owned(),
        metrics: Metrics::default(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio")
}

fn sink() -> Sink {
    Sink::start().expect("smtp-sink (Debian: apt-get install postfix)")
}

/// The whole way, from the claim to the settled row.
fn deliver(asked: &Asked) {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("an instant");
    let house = House::with_people(asked, asked.mails, now);
    let due = now.plus(Delay::hours(1));
    let begun = Instant::now();
    let planned = planner::pass(&house.db, &house.store(), &secret(), Instants::at(due), None);
    let planned = planned.expect("a pass").enrolled as f64 / begun.elapsed().as_secs_f64();
    let sink = sink();
    let office = Arc::new(office(&house, &sink, asked.kb));
    let clocks = Clocks { business: Clock::Fixed(due), machine: Clock::System };
    let store = Arc::new(house.store());
    let (begun, cpu, sink_cpu) = (Instant::now(), cpu_of("self"), sink.cpu());
    let tally = runtime().block_on(async {
        worker::deliver_due(&office, &store, clocks, &CancellationToken::new()).await
    });
    let seconds = begun.elapsed().as_secs_f64();
    let tally = tally.expect("a delivery");
    assert_eq!(tally.sent as usize, asked.mails, "{tally:?}");
    let more = format!(
        ",\"sink_cpu_us\":{:.0},\"planned_s\":{planned:.0}",
        (sink.cpu() - sink_cpu) / asked.mails as f64 * 1e6
    );
    asked.told(seconds, cpu_of("self") - cpu, &more);
}

/// Mails that were composed before, from one connection or many: the transport alone.
fn ready(asked: &Asked) {
    let sink = sink();
    let url = SmtpUrl(sink.url());
    let transport = Transport::from_url(&url).expect("a way out");
    let line = "The oolong of this spring has come down from the mountains, a little of it.\r\n";
    let bytes = format!("Subject: Tea\r\n\r\n{}", line.repeat(asked.kb * 1_024 / line.len()));
    let mail = ReadyMail {
        envelope_from: "hello@lakeside.example".parse().expect("an address"),
        envelope_to: "ann@customers.example".parse().expect("an address"),
        message_id: "<1@lakeside.example>".to_owned(),
        subject: "Tea".to_owned(),
        bytes: bytes.into_bytes(),
    };
    let runtime = runtime();
    let (begun, cpu) = (Instant::now(), cpu_of("self"));
    runtime.block_on(async {
        let sent = stream::iter(0..asked.mails).map(|_| async {
            let delivery = transport.hand_over(&mail).await;
            assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
        });
        sent.buffer_unordered(asked.at_once).collect::<()>().await;
    });
    let more = format!(",\"at_once\":{}", asked.at_once);
    asked.told(begun.elapsed().as_secs_f64(), cpu_of("self") - cpu, &more);
}

/// DKIM signatures on one core.
fn sign(asked: &Asked) {
    let key_file = asked.dkim.clone().expect("--dkim KEY_FILE");
    let domain: stores::DomainName = "lakeside.example".parse().expect("a domain");
    let signer = Signer::open(&Dkim { selector: domain.clone(), domain, key_file });
    let signer = signer.unwrap_or_else(|e| panic!("{e}"));
    let head =
        "From: a@lakeside.example\r\nTo: b@customers.example\r\nSubject: Tea\r\nDate: x\r\n\r\n";
    let mail = format!("{head}{}", "The oolong of this spring.\r\n".repeat(asked.kb * 1_024 / 28));
    let (begun, cpu) = (Instant::now(), cpu_of("self"));
    for _ in 0..asked.mails {
        signer.sign(mail.as_bytes(), Timestamp(0)).expect("a signature");
    }
    asked.told(begun.elapsed().as_secs_f64(), cpu_of("self") - cpu, "");
}

/// What the planner does to fill the outbox, from the look for who is due: enrolments of two messages each, their lines in
/// the ledger, and the messages, each transaction on the disk before the next.
fn enqueue(asked: &Asked) {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("an instant");
    let house = House::with_people(asked, asked.mails / 2, now);
    let (store, due) = (house.store(), now.plus(Delay::hours(1)));
    let (begun, cpu) = (Instant::now(), cpu_of("self"));
    let planned = planner::pass(&house.db, &store, &secret(), Instants::at(due), None);
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(planned.expect("a pass").enrolled as usize, asked.mails / 2);
    asked.told(seconds, cpu_of("self") - cpu, "");
}

/// What a claim of 32 costs where so many messages are due: it must not depend on that.
fn backlog(asked: &Asked) {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("an instant");
    let house = House::with_people(asked, 1, now);
    let (at, useful) = (now.minus(Delay::hours(3)).0, now.plus(Delay::days(3)).0);
    let rows = format!(
        "(WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= {}) SELECT i FROM n) AS n",
        asked.mails
    );
    let fill = |conn: &mut homing::db::Conn| -> Result<(), DbError> {
        for table in [
            "customers (id, store_id, identified, external_id, email, email_key, tags, traits, consent, created_at) \
             SELECT i, 1, TRUE, 'old-' || i, 'old' || i || '@mail.example', 'old' || i || '@mail.example', '[]', '{}', 'granted', THEN",
            "rollups (customer_id, store_id, changed_at, position_at, position_key, last_seen_at, visits_count, page_views, product_views, \
             carts_count, checkouts_count, visit_product_views, orders_count, order_days, spent, foreign_orders, state) \
             SELECT i, 1, THEN, THEN, 'k', THEN, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, '{}'",
            "enrolments (customer_id, id, store_id, rule_id, rule_version, episode, episode_until, due_at, useful_until, status, stops_after, created_at) \
             SELECT i, i, 1, (SELECT min(id) FROM rules), 1, THEN, THEN, THEN, USEFUL, 'active', THEN, THEN",
            "messages (customer_id, id, store_id, rule_id, rule_version, enrolment_id, step, class, status, scheduled_at, useful_until, planned_for, attempts) \
             SELECT i, i, 1, (SELECT min(id) FROM rules), 1, i, 1, 'marketing', 'scheduled', THEN + i, USEFUL, THEN + i, 0",
        ] {
            let sql = table.replace("THEN", &at.to_string()).replace("USEFUL", &useful.to_string());
            diesel::connection::SimpleConnection::batch_execute(
                conn,
                &format!("INSERT INTO {sql} FROM {rows}"),
            )?;
        }
        diesel::connection::SimpleConnection::batch_execute(conn, "ANALYZE")?;
        Ok(())
    };
    house.db.write_here(fill).expect("a backlog");
    let store = house.store();
    let mut took: Vec<f64> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            let claimed = house.db.write_here(|conn| -> Result<_, DbError> {
                let desk = outbox::claim::Desk { store: &store, at: Instants::at(now) };
                Ok(outbox::claim::claim_due(conn, &desk, 32, "bench")?)
            });
            let seconds = begun.elapsed().as_secs_f64();
            assert_eq!(claimed.expect("a claim").claims.len(), 32);
            seconds * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "{{\"engine\":\"homing\",\"what\":\"backlog\",\"backend\":\"{}\",\"due\":{},\"claim_of_32_us_p50\":{:.0},\"p99\":{:.0}}}",
        asked.backend, asked.mails, took[150], took[297]
    );
}
