//! A canary for `doctor`: in a store of its own, made for the occasion, somebody walks each kind of trigger from the
//! fact to the door. It tries this program on this machine; nobody is written to, and no other database is touched.

use std::collections::BTreeSet;

use diesel::prelude::*;

use crate::customers::{ConsentTold, Traits};
use crate::db::schema::scores;
use crate::db::{Conn, DatabaseUrl, Db, DbError};
use crate::identity::{self, Identifiers};
use crate::journal::{
    Body, CartChange, Context, Journal, NewFact, OrderStated, OrderStatus, ProductRef, Source,
};
use crate::ledger::Instants;
use crate::outbox::claim::{Desk, claim_due};
use crate::planner;
use crate::primitives::{Clock, CustomerId, Delay, Timestamp};
use crate::rules::{self, ShopDocument};
use crate::scoring;
use crate::secret::Secret;
use crate::stores;

const HEAD: &str = r#"
[store]
name = "Canary"
timezone = "UTC"
currency = "EUR"
from = "Canary <canary@shop.example>"
postal_address = "1 Cage Lane"
[sending]
quiet_hours = ""
cap = ""
min_gap = ""
"#;

/// Each kind, and the rest of its trigger; a rule and a customer are named for each.
const TRIGGERS: [(&str, &str); 11] = [
    ("visited_without_buying", "after = \"1h\""),
    ("cart_abandoned", "after = \"1h\""),
    ("checkout_abandoned", "after = \"1h\""),
    ("first_order", "after = \"1h\""),
    ("order", "after = \"1h\""),
    ("repurchase_due", "after = \"20d\""),
    ("win_back", "after = \"30d\""),
    ("segment_entered", "segment = \"SEGMENT\""),
    ("at_risk", ""),
    ("date", "field = \"birthday\""),
    ("schedule", "cron = \"0 * * * *\""),
];

/// How long after the facts it looks: late enough for each kind.
const LOOKS: [Delay; 4] =
    [Delay::hours(2), Delay::hours(26), Delay::hours(20 * 24 + 1), Delay::hours(30 * 24 + 1)];

/// Walks them all. Answers with the kinds that did not reach the door.
///
/// # Errors
/// The canary's own store could not be made, or fails.
pub fn walk(now: Timestamp) -> Result<Vec<&'static str>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let db = Db::open(DatabaseUrl::sqlite(&folder.path().join("canary.db")))?;
    db.migrate()?;
    let secret = Secret::new("a canary has no secrets");
    apply(&db, "champions", now)?;
    let (journal, writer) = Journal::start(db.clone(), secret.clone(), Clock::Fixed(now));
    let store =
        db.read_here(|conn| Ok::<_, DbError>(stores::store::find_by_key(conn, "default")?))?;
    let store = store.ok_or("the canary's store is not there")?;
    let facts = TRIGGERS.iter().flat_map(|(kind, _)| facts(kind, now)).collect();
    let told = journal.append_blocking(store.id, facts);
    drop(journal);
    writer.finish();
    told?;
    let scored_at = now.plus(Delay::seconds(60));
    scoring::score_store(&db, &store, scored_at)?;
    let entered = db.write_here(|conn| Ok::<_, DbError>(risk(conn, store.id)?))?;
    apply(&db, &entered, now)?;

    let store = db.read_here(|conn| Ok::<_, DbError>(stores::store::find(conn, store.id)?))?;
    let mut arrived = BTreeSet::new();
    for look in LOOKS {
        let at = Instants::at(now.plus(look));
        planner::pass(&db, &store, &secret, at, None)?;
        arrived.extend(db.write_here(|conn| -> Result<_, DbError> {
            let claimed = claim_due(conn, &Desk { store: &store, at }, 1_000, "canary")?;
            let left = claimed.claims.iter();
            Ok(left.map(|claim| claim.rule.rule.trigger.kind.name()).collect::<Vec<_>>())
        })?);
    }
    Ok(TRIGGERS.iter().map(|(kind, _)| *kind).filter(|kind| !arrived.contains(kind)).collect())
}

fn apply(db: &Db, segment: &str, now: Timestamp) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = HEAD.to_owned();
    for (kind, rest) in TRIGGERS {
        let comma = if rest.is_empty() { "" } else { ", " };
        let rest = rest.replace("SEGMENT", segment);
        text += &format!(
            "[[rule]]\nkey = \"{kind}\"\nstatus = \"live\"\nstop_on = []\n\
             trigger = {{ kind = \"{kind}\"{comma}{rest} }}\naudience = {{ tag = \"{kind}\" }}\n\
             [[rule.step]]\ntemplate = \"browse-reminder\"\n"
        );
    }
    let document = ShopDocument::parse("canary.toml", &text, &["browse-reminder".to_owned()])?;
    let long_ago = now.minus(Delay::days(1_000));
    db.write_here(|conn| {
        rules::apply(conn, "default", &document, long_ago).map_err(DbError::from).map(|_| ())
    })?;
    Ok(())
}

/// What somebody does who is to walk this kind, at `now`.
fn facts(kind: &str, now: Timestamp) -> Vec<NewFact> {
    let tea = || ProductRef { id: "tea".into(), price: Some(1_000), ..ProductRef::default() };
    let birthday = now.plus(Delay::days(1)).to_string();
    let told = Traits {
        tags: Some(vec![kind.to_owned()]),
        consent: Some(ConsentTold { granted: true, at: Some(now), channel: None }),
        other: match kind {
            "date" => [("birthday".to_owned(), birthday.into())].into_iter().collect(),
            _ => serde_json::Map::new(),
        },
        ..Traits::default()
    };
    let currency = "EUR".parse().ok();
    let cart = || Body::CartChanged {
        cart_id: None,
        change: CartChange::Added,
        products: vec![tea()],
        currency: currency.clone(),
    };
    let does = match kind {
        "visited_without_buying" => {
            vec![Body::ProductViewed { product: tea(), currency: currency.clone() }]
        }
        "cart_abandoned" => vec![cart()],
        "checkout_abandoned" => vec![
            cart(),
            Body::CheckoutStarted {
                cart_id: None,
                checkout_id: None,
                value: None,
                products: vec![tea()],
                currency: currency.clone(),
            },
        ],
        "date" | "schedule" => Vec::new(),
        _ => currency
            .clone()
            .map(|currency| {
                Body::OrderStated(OrderStated {
                    order_id: format!("order of {kind}"),
                    status: OrderStatus::Paid,
                    placed_at: Some(now),
                    total: 1_000,
                    currency,
                    refunded: None,
                    coupon: None,
                    channel: None,
                    lines: vec![tea()],
                })
            })
            .into_iter()
            .collect(),
    };
    let bodies = [Body::Identified { traits: Box::new(told) }].into_iter().chain(does);
    bodies
        .enumerate()
        .map(|(n, body)| NewFact {
            source: Source::Tracking,
            source_key: format!("{kind} {n}"),
            occurred_at: Timestamp(now.0 + n as i64),
            live: true,
            identifiers: Identifiers {
                external_id: Some(kind.to_owned()),
                email: format!("{kind}@shop.example").parse().ok(),
                ..Identifiers::default()
            },
            body,
            context: Context::default(),
        })
        .collect()
}

/// Puts one on the at-risk list, as a scoring of a shop with a past would, and tells which segment another entered.
fn risk(conn: &mut Conn, store: crate::primitives::StoreId) -> QueryResult<String> {
    let who = |conn: &mut Conn, kind: &str| -> QueryResult<CustomerId> {
        identity::store::find_customer(conn, store, &format!("ext:{kind}"))?.ok_or(diesel::NotFound)
    };
    let slipping = who(conn, "at_risk")?;
    diesel::update(scores::table.filter(scores::customer_id.eq(slipping)))
        .set(scores::risk_rank.eq(1.0))
        .execute(conn)?;
    let entered = who(conn, "segment_entered")?;
    scores::table.filter(scores::customer_id.eq(entered)).select(scores::segment).first(conn)
}
