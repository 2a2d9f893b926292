//! What a message is about: gathers the words and products that its template speaks of.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;

use super::claim::Claim;
use crate::customers::{Basket, State};
use crate::db::schema::{customers, enrolments, order_lines, orders, rollups};
use crate::db::{Conn, few_lengths, kept};
use crate::links::UnsubscribeToken;
use crate::mail::message_id_for;
use crate::mail::{CustomerWords, Headers, MailContext, ProductWords, StoreWords};
use crate::primitives::{Currency, CustomerId, Delay, EnrolmentId, Money, StoreId, Timestamp};
use crate::products::{self, Product, ProductRef};
use crate::rules::TriggerKind;
use crate::scoring::rhythm;
use crate::secret::Secret;
use crate::stores::{Sender, Store};

/// More are no longer telling.
const PRODUCTS: usize = 4;

/// What runs out within this is spoken of together: one parcel, one mail.
const SOON: Delay = Delay::days(7);

/// All that the composer needs for one message.
#[derive(Debug)]
pub struct Wording {
    pub template: String,
    /// The customer's locale, then the store's.
    pub locales: Vec<String>,
    pub context: MailContext,
    pub headers: Headers,
}

/// Why a message cannot be put into words.
#[derive(Debug, thiserror::Error)]
pub enum WordingError {
    #[error("the store has no sender address: apply settings with `from`")]
    NoSender,
    #[error("step {0} is not in the rule any more")]
    NoStep(i32),
    #[error("the customer is gone")]
    NoCustomer,
}

/// What mails are made with, beside what is stored.
#[derive(Clone, Copy)]
pub struct Desk<'d> {
    pub store: &'d Store,
    pub secret: &'d Secret,
    pub public_url: &'d str,
    pub now: Timestamp,
}

/// What is known of the claims' customers: a query for all of them, not for each.
struct Known {
    /// Name and locale.
    people: HashMap<CustomerId, (Option<String>, Option<String>)>,
    states: HashMap<CustomerId, State>,
    episodes: HashMap<EnrolmentId, (Timestamp, Timestamp, Option<String>)>,
    running_out: HashMap<CustomerId, Vec<rhythm::store::Expected>>,
}

/// Reads it all now, so that the mail speaks of the basket as it is, not as it was when it was planned. In the order
/// of `claims`.
pub fn gather(
    conn: &mut Conn,
    desk: &Desk,
    claims: &[Claim],
) -> QueryResult<Vec<Result<Wording, WordingError>>> {
    let from = desk.store.mail_from.as_deref().and_then(|raw| raw.parse::<Sender>().ok());
    let Some(from) = from else {
        return Ok(claims.iter().map(|_| Err(WordingError::NoSender)).collect());
    };
    let known = known(conn, claims)?;
    let mut about = Vec::with_capacity(claims.len());
    for claim in claims {
        about.push(self::about(conn, &known, claim, desk.now)?);
    }
    let ids: BTreeSet<&String> =
        about.iter().flatten().map(|p| &p.id).filter(|id| !id.is_empty()).collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let catalogue = find_products(conn, desk.store.id, &ids)?;
    let words = claims.iter().zip(about).map(|(claim, about)| {
        let person = known.people.get(&claim.message.customer_id).cloned();
        let person = person.ok_or(WordingError::NoCustomer)?;
        put_into_words(desk, &from, claim, person, describe(&catalogue, &about))
    });
    Ok(words.collect())
}

fn put_into_words(
    desk: &Desk,
    from: &Sender,
    claim: &Claim,
    (name, locale): (Option<String>, Option<String>),
    products: Vec<ProductWords>,
) -> Result<Wording, WordingError> {
    let Desk { store, secret, public_url, now } = *desk;
    let (message, rule) = (&claim.message, &claim.rule.rule);
    let step =
        rule.steps.get(message.step as usize - 1).ok_or(WordingError::NoStep(message.step))?;
    let wording = step.wording(claim.variant.as_deref(), claim.by_other_exit);
    let token =
        UnsubscribeToken { store: store.id, customer: message.customer_id, message: message.id };
    let unsubscribe_url = token.url(public_url, secret);
    let shop_url = products.iter().find_map(|product| origin(product.url.as_deref()?));
    let context = MailContext {
        store: StoreWords {
            name: store.name.clone(),
            postal_address: store.postal_address.clone().unwrap_or_default(),
            url: shop_url,
        },
        customer: CustomerWords { name: name.clone() },
        products,
        coupon: wording.coupon,
        subject: wording.subject,
        unsubscribe_url: Some(unsubscribe_url.clone()),
        preferences_url: Some(unsubscribe_url),
    };
    let headers = Headers {
        message_id: message_id_for(secret, store.id, message.id, from.address()),
        reply_to: store.reply_to.as_deref().and_then(|raw| raw.parse().ok()),
        from: from.clone(),
        to: claim.address.clone(),
        to_name: name,
        now,
        class: message.class,
        campaign: rule.key.clone(),
        store_key: store.key.clone(),
    };
    let locales = locale.into_iter().chain([store.locale.clone()]).collect();
    Ok(Wording { template: wording.template, locales, context, headers })
}

fn known(conn: &mut Conn, claims: &[Claim]) -> QueryResult<Known> {
    let ids: Vec<CustomerId> = claims.iter().map(|claim| claim.message.customer_id).collect();
    let enrolled: Vec<EnrolmentId> =
        claims.iter().map(|claim| claim.message.enrolment_id).collect();
    let (ids, enrolled) = (few_lengths(&ids), few_lengths(&enrolled));
    let people = customers::table.filter(customers::id.eq_any(&ids)).select((
        customers::id,
        customers::name,
        customers::locale,
    ));
    let people: Vec<(CustomerId, Option<String>, Option<String>)> = kept(people).load(conn)?;
    let states = rollups::table
        .filter(rollups::customer_id.eq_any(&ids))
        .select((rollups::customer_id, rollups::state));
    let states: Vec<(CustomerId, String)> = kept(states).load(conn)?;
    let episodes = enrolments::table
        .filter(enrolments::customer_id.eq_any(&ids))
        .filter(enrolments::id.eq_any(&enrolled))
        .select((
            enrolments::id,
            enrolments::episode,
            enrolments::episode_until,
            enrolments::order_id,
        ));
    let episodes: Vec<(EnrolmentId, Timestamp, Timestamp, Option<String>)> =
        kept(episodes).load(conn)?;
    let by_rhythm: Vec<CustomerId> = claims
        .iter()
        .filter(|claim| {
            matches!(claim.rule.rule.trigger.kind, TriggerKind::RepurchaseDue { after: None })
        })
        .map(|claim| claim.message.customer_id)
        .collect();
    let mut running_out: HashMap<CustomerId, Vec<rhythm::store::Expected>> = HashMap::new();
    for product in rhythm::store::expected(conn, &by_rhythm)? {
        running_out.entry(product.customer_id).or_default().push(product);
    }
    let state = |raw: String| serde_json::from_str(&raw).unwrap_or_default();
    Ok(Known {
        people: people.into_iter().map(|(id, name, locale)| (id, (name, locale))).collect(),
        states: states.into_iter().map(|(id, raw)| (id, state(raw))).collect(),
        episodes: episodes
            .into_iter()
            .map(|(id, from, until, order)| (id, (from, until, order)))
            .collect(),
        running_out,
    })
}

/// What the trigger was about: the basket, what was viewed, what was bought.
fn about(
    conn: &mut Conn,
    known: &Known,
    claim: &Claim,
    now: Timestamp,
) -> QueryResult<Vec<ProductRef>> {
    let customer = claim.message.customer_id;
    let episode = known.episodes.get(&claim.message.enrolment_id).cloned();
    let (from, until, order_id) = episode.unwrap_or((Timestamp::MIN, Timestamp::MAX, None));
    let nothing = State::default();
    let state = known.states.get(&customer).unwrap_or(&nothing);
    Ok(match claim.rule.rule.trigger.kind {
        TriggerKind::CartAbandoned { .. } | TriggerKind::CheckoutAbandoned { .. } => {
            in_basket(&state.baskets, from, until)
        }
        TriggerKind::VisitedWithoutBuying { .. } => viewed(state, from),
        TriggerKind::RepurchaseDue { after: None } => {
            let expected = known.running_out.get(&customer).map_or(&[][..], Vec::as_slice);
            let due = running_out(expected, from, now);
            if due.is_empty() { bought(conn, customer, order_id)? } else { due }
        }
        _ => {
            let bought = bought(conn, customer, order_id)?;
            if bought.is_empty() { viewed(state, Timestamp::MIN) } else { bought }
        }
    })
}

fn in_basket(baskets: &[Basket], from: Timestamp, until: Timestamp) -> Vec<ProductRef> {
    let of_episode = |b: &&Basket| b.started_at <= until && from <= b.updated_at;
    let basket = baskets.iter().filter(of_episode).max_by_key(|basket| basket.updated_at);
    let Some(basket) = basket else { return Vec::new() };
    let currency = basket.currency.clone();
    basket
        .products
        .iter()
        .map(|product| match &currency {
            Some(_) => product.clone(),
            None => ProductRef { price: None, ..product.clone() },
        })
        .collect()
}

/// Newest first; what the episode's visit saw, or whatever was seen last where it saw no product.
fn viewed(state: &State, since: Timestamp) -> Vec<ProductRef> {
    let seen = |since| {
        state
            .viewed
            .iter()
            .filter(move |viewed| viewed.at >= since)
            .map(|viewed| ProductRef { id: viewed.product_id.clone(), ..ProductRef::default() })
    };
    let of_visit: Vec<ProductRef> = seen(since).collect();
    if of_visit.is_empty() { seen(Timestamp::MIN).collect() } else { of_visit }
}

/// What they buy again and that runs out about now, soonest first; where nothing does, what is next to. `expected` is
/// sorted by when.
fn running_out(
    expected: &[rhythm::store::Expected],
    ordered_at: Timestamp,
    now: Timestamp,
) -> Vec<ProductRef> {
    let expected = expected.iter().filter(|product| product.ordered_at == ordered_at);
    let soon = now.plus(SOON);
    let due = expected.clone().filter(|product| product.expected_at <= soon).count();
    let product = |one: &rhythm::store::Expected| ProductRef {
        id: one.product_id.clone(),
        name: one.name.clone(),
        ..ProductRef::default()
    };
    expected.take(due.max(1)).map(product).collect()
}

/// The lines of that order, or of the last one that counts.
fn bought(
    conn: &mut Conn,
    customer: CustomerId,
    order_id: Option<String>,
) -> QueryResult<Vec<ProductRef>> {
    let order_id = match order_id {
        Some(id) => Some(id),
        None => orders::table
            .filter(orders::customer_id.eq(customer))
            .filter(orders::counts.eq(true))
            .order((orders::placed_at.desc(), orders::order_id))
            .select(orders::order_id)
            .first(conn)
            .optional()?,
    };
    let Some(order_id) = order_id else { return Ok(Vec::new()) };
    let lines: Vec<(Option<String>, Option<String>, f64)> = order_lines::table
        .filter(order_lines::customer_id.eq(customer))
        .filter(order_lines::order_id.eq(order_id))
        .order(order_lines::line)
        .select((order_lines::product_id, order_lines::name, order_lines::quantity))
        .load(conn)?;
    Ok(lines
        .into_iter()
        .filter(|(_, _, quantity)| *quantity > 0.0)
        .map(|(id, name, _)| ProductRef {
            id: id.unwrap_or_default(),
            name,
            ..ProductRef::default()
        })
        .collect())
}

/// Joins what is spoken of with the catalogue. A product without a name cannot be spoken of.
fn describe(catalogue: &HashMap<String, Product>, about: &[ProductRef]) -> Vec<ProductWords> {
    let mut named: Vec<ProductWords> = Vec::new();
    for product in about {
        let entry = catalogue.get(&product.id);
        let Some(name) = entry.and_then(|e| e.name.clone()).or_else(|| product.name.clone()) else {
            continue;
        };
        if named.iter().any(|known| known.name == name) {
            continue;
        }
        let price = entry.and_then(|e| e.price.zip(e.currency.clone()));
        named.push(ProductWords {
            name,
            price: price.map(|(minor, currency)| price_words(minor, &currency)),
            image_url: entry
                .and_then(|e| e.image_url.clone())
                .or_else(|| product.image_url.clone()),
            url: entry.and_then(|e| e.url.clone()).or_else(|| product.url.clone()),
            quantity: product.quantity.filter(|n| *n != 1.0).map(|n| n.to_string()),
        });
        if named.len() == PRODUCTS {
            break;
        }
    }
    named
}

fn find_products(
    conn: &mut Conn,
    store: StoreId,
    ids: &[String],
) -> QueryResult<HashMap<String, Product>> {
    let found = products::find(conn, store, ids)?;
    Ok(found.into_iter().map(|product| (product.product_id.clone(), product)).collect())
}

/// `¥268.00` where the sign is known to all, `268.00 CHF` where it is not.
fn price_words(minor: i64, currency: &Currency) -> String {
    let sign = match currency.as_str() {
        "CNY" | "JPY" => "¥",
        "USD" => "$",
        "EUR" => "€",
        "GBP" => "£",
        "KRW" => "₩",
        "INR" => "₹",
        _ => "",
    };
    let money = Money::new(minor, currency.clone());
    if sign.is_empty() { money.to_string() } else { format!("{sign}{}", money.amount()) }
}

/// `https://shop.example` of a page of that shop.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_read_as_people_write_them() {
        let words = |minor, code: &str| price_words(minor, &code.parse().unwrap());
        assert_eq!(words(26_800, "CNY"), "¥268.00");
        assert_eq!(words(1_200, "JPY"), "¥1200");
        assert_eq!(words(1_250, "CHF"), "12.50 CHF");
    }

    #[test]
    fn a_shop_is_found_in_the_address_of_its_product() {
        assert_eq!(origin("https://a.example/p/1?x=2").as_deref(), Some("https://a.example"));
        assert_eq!(origin("javascript:alert(1)"), None);
        assert_eq!(origin("https:///p"), None);
    }

    #[test]
    fn a_visit_speaks_of_what_it_saw() {
        let seen =
            |id: &str, at| crate::customers::Viewed { product_id: id.into(), at: Timestamp(at) };
        let state = State { viewed: vec![seen("new", 9), seen("old", 1)], ..State::default() };
        let ids =
            |since| viewed(&state, Timestamp(since)).into_iter().map(|p| p.id).collect::<Vec<_>>();
        assert_eq!(ids(5), ["new"]);
        assert_eq!(ids(10), ["new", "old"], "a visit without products speaks of the last ones");
    }
}
