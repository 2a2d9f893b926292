//! A store with rules, people who do things in it, and a post office that keeps what it sends.

use std::sync::Arc;

use diesel::prelude::*;
use homing::customers::{ConsentTold, Traits};
use homing::db::{DbError, schema};
use homing::identity::Identifiers;
use homing::journal::{
    Appended, Body, CartChange, Context, Journal, NewFact, OrderStated, OrderStatus, ProductRef,
    Source,
};
use homing::ledger::{self, Instants};
use homing::mail::{Composer, Memory, Transport};
use homing::metrics::Metrics;
use homing::outbox::worker::{self, Clocks, PostOffice};
use homing::outbox::{self, Tally};
use homing::planner::{self, Positions};
use homing::primitives::{Clock, CustomerId, Delay, StoreId, Timestamp};
use homing::rules::{self, ShopDocument};
use homing::stores::{self, Store};
use tokio_util::sync::CancellationToken;

use super::TestDb;

const HEAD: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
locale = "en"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"
"#;

/// A shop at its test's `now`, which tests move on by hand.
pub struct Shop<'t> {
    pub test: &'t TestDb,
    pub memory: Memory,
    pub office: Arc<PostOffice>,
    pub stop: CancellationToken,
}

impl<'t> Shop<'t> {
    /// Opens with `[sending]` and rules as given; everything goes live a year before the test's now.
    pub fn open(test: &'t TestDb, settings: &str) -> Self {
        let (transport, memory) = Transport::in_memory();
        let office = PostOffice {
            db: test.db.clone(),
            composer: Composer::load(None).expect("the built-in templates"),
            transport: Some(transport),
            secret: test.secret(),
            public_url: "https://shop.example".into(),
            metrics: Metrics::default(),
        };
        let shop = Self { test, memory, office: Arc::new(office), stop: CancellationToken::new() };
        shop.apply(settings, test.now.minus(Delay::days(365)));
        shop
    }

    pub fn apply(&self, settings: &str, at: Timestamp) {
        let templates: Vec<String> = self.office.composer.names().map(str::to_owned).collect();
        let document = ShopDocument::parse("shop.toml", &format!("{HEAD}{settings}"), &templates)
            .unwrap_or_else(|e| panic!("{e}"));
        let apply =
            |conn: &mut _| rules::apply(conn, "default", &document, at).map_err(DbError::from);
        self.test.db.write_here(apply).expect("settings apply");
    }

    pub fn store(&self) -> Store {
        let find = |conn: &mut _| stores::store::find(conn, StoreId(1)).map_err(DbError::from);
        self.test.db.read_here(find).expect("the store")
    }

    /// Tells facts that arrive at `received_at`.
    pub fn tell_at(&self, received_at: Timestamp, facts: Vec<NewFact>) -> Vec<Appended> {
        let clock = Clock::Fixed(received_at);
        let (journal, writer) = Journal::start(self.test.db.clone(), self.test.secret(), clock);
        // On a thread of its own: a task may not block.
        std::thread::scope(|scope| {
            let told = scope.spawn(|| {
                let appended = journal.append_blocking(StoreId(1), facts);
                drop(journal);
                writer.finish();
                appended.expect("facts are stored")
            });
            told.join().expect("facts are told")
        })
    }

    /// Tells facts as they happen.
    pub fn tell(&self, facts: Vec<NewFact>) {
        for fact in facts {
            self.tell_at(fact.occurred_at, vec![fact]);
        }
    }

    pub fn plan(&self, now: Timestamp) -> Tally {
        self.plan_from(now, None)
    }

    pub fn plan_from(&self, now: Timestamp, positions: Option<&mut Positions>) -> Tally {
        let db = &self.test.db;
        planner::pass(db, &self.store(), &self.test.secret(), Instants::at(now), positions)
            .expect("a pass")
    }

    pub async fn send(&self, now: Timestamp) -> Tally {
        let clocks = Clocks { business: Clock::Fixed(now), machine: Clock::Fixed(now) };
        worker::deliver_due(&self.office, &Arc::new(self.store()), clocks, &self.stop)
            .await
            .expect("sending")
    }

    /// Plans and sends, as `homing tick --at` does.
    pub async fn tick(&self, now: Timestamp) -> Tally {
        let mut tally = self.plan(now);
        tally.add(self.send(now).await);
        tally
    }

    pub fn customer(&self, external_id: &str) -> CustomerId {
        let find = |conn: &mut homing::db::Conn| {
            homing::identity::store::find_customer(conn, StoreId(1), &format!("ext:{external_id}"))
                .map_err(DbError::from)
        };
        self.test.db.read_here(find).unwrap().expect("the customer")
    }

    /// A customer's ledger, oldest first: `rule step outcome/reason`.
    pub fn ledger(&self, external_id: &str) -> Vec<String> {
        let customer = self.customer(external_id);
        let read = |conn: &mut _| {
            ledger::store::of_customer(conn, customer, None, 100).map_err(DbError::from)
        };
        let lines = self.test.db.read_here(read).expect("the ledger");
        let words = |d: &ledger::Decision| {
            let step = d.step.map_or_else(String::new, |step| format!(" {step}"));
            let reason = d.reason.map_or_else(String::new, |reason| format!("/{reason}"));
            format!("{}{step} {}{reason}", d.rule, d.outcome)
        };
        lines.iter().rev().map(words).collect()
    }

    pub fn counts(&self) -> outbox::store::Counts {
        let read = |conn: &mut _| outbox::store::counts(conn, StoreId(1)).map_err(DbError::from);
        let counts = self.test.db.read_here(read).expect("counts");
        let settled = counts.sent + counts.failed + counts.cancelled + counts.in_doubt;
        assert_eq!(counts.planned, counts.scheduled + counts.sending + settled, "{counts:?}");
        counts
    }

    /// Messages as `step status held_for-or-cancelled_for`, with the time they are scheduled for.
    pub fn messages(&self, external_id: &str) -> Vec<(String, Timestamp)> {
        use schema::messages::dsl::*;
        type Row = (i32, String, Option<String>, Option<String>, Timestamp);
        let customer = self.customer(external_id);
        let read = |conn: &mut homing::db::Conn| -> Result<Vec<Row>, DbError> {
            Ok(messages
                .filter(customer_id.eq(customer))
                .order((enrolment_id, step))
                .select((step, status, held_for, cancelled_for, scheduled_at))
                .load(conn)?)
        };
        let rows = self.test.db.read_here(read).expect("messages");
        rows.into_iter()
            .map(|(n, state, held, cancelled, at)| {
                let why = held.or(cancelled).map_or_else(String::new, |why| format!(" {why}"));
                (format!("{n} {state}{why}"), at)
            })
            .collect()
    }
}

/// One rule in TOML, live: its trigger's inside, and more lines of its own.
pub fn rule(key: &str, trigger: &str, more: &str) -> String {
    format!(
        "\n[[rule]]\nkey = \"{key}\"\nstatus = \"live\"\ntrigger = {{ {trigger} }}\n{more}\n[[rule.step]]\ntemplate = \"browse-reminder\"\n"
    )
}

/// A further step for the rule above it.
pub fn step(wait: &str) -> String {
    format!("\n[[rule.step]]\nwait = \"{wait}\"\ntemplate = \"browse-reminder\"\n")
}

/// Nothing holds mail up but what a test asks for.
pub const NO_GUARDRAILS: &str = "[sending]\nquiet_hours = \"\"\ncap = \"\"\nmin_gap = \"\"\n";

pub fn who(external_id: &str) -> Identifiers {
    Identifiers {
        external_id: Some(external_id.to_owned()),
        email: Some(format!("{external_id}@mail.example").parse().unwrap()),
        ..Identifiers::default()
    }
}

pub fn fact(external_id: &str, at: Timestamp, body: Body) -> NewFact {
    NewFact {
        source: Source::Tracking,
        source_key: homing::secret::random_token(),
        occurred_at: at,
        live: true,
        identifiers: who(external_id),
        body,
        context: Context::default(),
    }
}

pub fn hours(n: i64) -> Delay {
    Delay::hours(n)
}

pub fn consents(external_id: &str, at: Timestamp, granted: bool) -> NewFact {
    let consent = Some(ConsentTold { granted, at: Some(at), channel: Some("trait".into()) });
    let traits = Box::new(Traits { consent, ..Traits::default() });
    fact(external_id, at, Body::Identified { traits })
}

pub fn views(external_id: &str, at: Timestamp, product: &str) -> NewFact {
    let product = named(product);
    fact(external_id, at, Body::ProductViewed { product, currency: Some("CNY".parse().unwrap()) })
}

pub fn puts_in_basket(external_id: &str, at: Timestamp, product: &str) -> NewFact {
    let products = vec![named(product)];
    let currency = Some("CNY".parse().unwrap());
    let change = CartChange::Added;
    fact(external_id, at, Body::CartChanged { cart_id: None, change, products, currency })
}

pub fn orders(external_id: &str, at: Timestamp, order_id: &str) -> NewFact {
    let stated = OrderStated {
        order_id: order_id.to_owned(),
        status: OrderStatus::Paid,
        placed_at: Some(at),
        total: 9_800,
        currency: "CNY".parse().unwrap(),
        refunded: None,
        coupon: None,
        channel: None,
        lines: vec![named("longjing")],
    };
    fact(external_id, at, Body::OrderStated(stated))
}

/// The same order with other things in it: product and quantity.
pub fn of(mut order: NewFact, things: &[(&str, f64)]) -> NewFact {
    if let Body::OrderStated(stated) = &mut order.body {
        let line =
            |(id, quantity): &(&str, f64)| ProductRef { quantity: Some(*quantity), ..named(id) };
        stated.lines = things.iter().map(line).collect();
    }
    order
}

fn named(id: &str) -> ProductRef {
    ProductRef {
        id: id.to_owned(),
        name: Some(format!("Tea {id}")),
        price: Some(9_800),
        quantity: Some(1.0),
        ..ProductRef::default()
    }
}
