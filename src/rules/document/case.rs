//! Reads `[[rule.test]]`: a made-up customer, what happened to them, a time, and what the rule should decide then.

use jiff::civil::DateTime;

use super::ShopDocument;
use super::node::{Fields, Node, Problems, Value, shorten};
use crate::customers::{ConsentTold, Traits};
use crate::journal::{Body, CartChange, OrderStated, OrderStatus, ProductRef};
use crate::primitives::{Currency, EmailAddress, Money, Timestamp, Zone};
use crate::rules::condition;
use crate::rules::{MadeUp, RuleTest};

/// Words of other rooms that a test may use: what can become of a customer, and why.
#[derive(Debug, Clone, Copy)]
pub struct Words<'w> {
    pub outcomes: &'w [&'w str],
    pub reasons: &'w [&'w str],
}

const KINDS: [(&str, &[&str]); 8] = [
    ("page_viewed", &[]),
    ("product_viewed", &["product", "price"]),
    ("cart_changed", &["change", "product", "price", "quantity"]),
    ("checkout_started", &["product", "price", "quantity"]),
    ("order_stated", &["order_id", "status", "total", "product", "quantity"]),
    ("order_refunded", &["order_id", "amount"]),
    ("consent_changed", &["granted"]),
    ("tracked", &["event"]),
];

const CUSTOMER: [&str; 22] = [
    "external_id",
    "email",
    "consent",
    "suppressed",
    "name",
    "phone",
    "locale",
    "timezone",
    "country",
    "city",
    "tags",
    "segment",
    "segment_since",
    "r",
    "f",
    "m",
    "p_alive",
    "expected_orders_90d",
    "value_at_risk",
    "expected_at",
    "at_risk_since",
    "traits",
];

/// The tests of all rules, in the order of the text.
pub fn read_tests(
    root: &Node,
    text: &str,
    document: &ShopDocument,
    words: Words,
    problems: &mut Problems,
) -> Vec<RuleTest> {
    let list = |node: &'_ Node, key: &str| -> Vec<usize> {
        let Value::Table(entries) = &node.value else { return Vec::new() };
        entries.iter().enumerate().filter(|(_, e)| e.key == key).map(|(n, _)| n).collect()
    };
    let mut tests = Vec::new();
    for rule in nodes_of(root, "rule") {
        let Some(key) = text_of(rule, "key") else { continue };
        for entry in list(rule, "test") {
            let Value::Table(entries) = &rule.value else { continue };
            let node = &entries[entry].node;
            let Value::List(nodes) = &node.value else {
                problems.add(node.at, "a test begins with [[rule.test]], in two pairs of brackets");
                continue;
            };
            for node in nodes {
                let line = text[..node.at.min(text.len())].matches('\n').count() + 1;
                let reader = Reader { document, words, rule: key };
                tests.extend(reader.read(node, line, problems));
            }
        }
    }
    tests
}

fn nodes_of<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    let Value::Table(entries) = &node.value else { return &[] };
    match entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node.value) {
        Some(Value::List(nodes)) => nodes,
        _ => &[],
    }
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let Value::Table(entries) = &node.value else { return None };
    match &entries.iter().find(|entry| entry.key == key)?.node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

struct Reader<'r> {
    document: &'r ShopDocument,
    words: Words<'r>,
    rule: &'r str,
}

impl Reader<'_> {
    fn zone(&self) -> &Zone {
        &self.document.store.timezone
    }

    fn currency(&self) -> &Currency {
        &self.document.store.currency
    }

    fn read(&self, node: &Node, line: usize, problems: &mut Problems) -> Option<RuleTest> {
        let place = format!("[[rule.test]] of \"{}\"", shorten(self.rule));
        let allowed = ["name", "at", "customer", "facts", "expect"];
        let fields = Fields::open(node, &place, &allowed, &[], problems)?;
        let name = fields.line("name", 200, problems);
        fields.require("at", problems);
        let at = self.time("at", &fields, problems);
        let customer = match fields.get("customer") {
            None => Some(MadeUp::default()),
            Some(node) => self.customer(node, &place, problems),
        };
        let nodes = fields.get("facts").map(|_| fields.list("facts", problems));
        let facts: Vec<Option<(Timestamp, Body)>> = nodes
            .flatten()
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(n, node)| self.fact(node, n, &place, problems))
            .collect();
        let expect = fields.require("expect", problems)?;
        let place = format!("`expect` in {place}");
        let expect = Fields::open(expect, place, &["outcome", "reason"], &[], problems)?;
        expect.require("outcome", problems);
        let outcome = one_of("outcome", &expect, self.words.outcomes, problems);
        let reason = one_of("reason", &expect, self.words.reasons, problems);
        Some(RuleTest {
            rule: self.rule.to_owned(),
            line,
            name,
            at: at?,
            customer: customer?,
            facts: facts.into_iter().collect::<Option<_>>()?,
            outcome: outcome?,
            reason,
        })
    }

    /// An instant, a date, or a time of day in the store's zone.
    fn time(&self, key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Timestamp> {
        let node = fields.get(key)?;
        let (Value::Text(text) | Value::Other(text)) = &node.value else {
            fields.refuse(key, node, "a time such as \"2026-06-01T09:00:00Z\"", problems);
            return None;
        };
        let raw = text.trim();
        let local = || raw.parse::<DateTime>().ok();
        let here = |local: DateTime| self.zone().tz().to_timestamp(local).ok().map(Into::into);
        let at = Timestamp::parse_or_start_of_day(raw, self.zone()).ok();
        let at = at.or_else(|| local().and_then(here));
        if at.is_none() {
            let wanted = "a time such as \"2026-06-01T09:00:00Z\", or \"2026-06-01T09:00\" in the store's zone";
            fields.refuse(key, node, wanted, problems);
        }
        at
    }

    fn customer(&self, node: &Node, place: &str, problems: &mut Problems) -> Option<MadeUp> {
        let place = format!("`customer` in {place}");
        let fields = Fields::open(node, place, &CUSTOMER, &[], problems)?;
        let mut made_up = MadeUp::default();
        if let Some(email) = fields.parsed_or_none::<EmailAddress>("email", problems) {
            made_up.email = email;
        }
        let consents = ["granted", "withdrawn", "none"];
        if let Some(consent) = one_of("consent", &fields, &consents, problems) {
            made_up.consent = match consent.as_str() {
                "granted" => Some(true),
                "withdrawn" => Some(false),
                _ => None,
            };
        }
        made_up.suppressed = flag("suppressed", &fields, problems).unwrap_or(false);
        let line = |key: &str, problems: &mut Problems| fields.line(key, 200, problems);
        made_up.external_id = line("external_id", problems).unwrap_or(made_up.external_id);
        let tags = fields.get("tags").and_then(|_| fields.list("tags", problems));
        made_up.traits = Traits {
            name: line("name", problems),
            phone: line("phone", problems),
            locale: line("locale", problems),
            timezone: fields.parsed::<Zone>("timezone", problems).map(|z| z.name().to_owned()),
            country: line("country", problems),
            city: line("city", problems),
            tags: tags.map(|tags| {
                let text = |node: &Node| match &node.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                };
                tags.iter().filter_map(text).collect()
            }),
            other: fields
                .get("traits")
                .map(|node| traits(node, &fields, problems))
                .unwrap_or_default(),
            ..Traits::default()
        };
        made_up.segment = one_of("segment", &fields, &condition::SEGMENTS, problems)
            .and_then(|word| condition::SEGMENTS.into_iter().find(|segment| *segment == word));
        made_up.segment_since = self.time("segment_since", &fields, problems);
        let fifth = |key: &str, problems: &mut Problems| fields.whole(key, 1, 5, problems);
        made_up.r = fifth("r", problems).map(|n| n as u8);
        made_up.f = fifth("f", problems).map(|n| n as u8);
        made_up.m = fifth("m", problems).map(|n| n as u8);
        made_up.p_alive = fields.number("p_alive", 0.0, 1.0, problems);
        made_up.expected_orders_90d = fields.number("expected_orders_90d", 0.0, 1e6, problems);
        made_up.value_at_risk = self.money("value_at_risk", &fields, problems);
        made_up.expected_at = self.time("expected_at", &fields, problems);
        made_up.at_risk_since = self.time("at_risk_since", &fields, problems);
        Some(made_up)
    }

    fn fact(
        &self,
        node: &Node,
        n: usize,
        place: &str,
        problems: &mut Problems,
    ) -> Option<(Timestamp, Body)> {
        let place = format!("fact {} of {place}", n + 1);
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let kind = text_of(node, "kind").unwrap_or_default();
        let Some((kind, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            let said = shorten(kind);
            let known = kinds.join(", ");
            problems.add(node.at, format!("unknown kind `{said}` in {place}; allowed: {known}"));
            return None;
        };
        let allowed: Vec<&str> = [&["kind", "at"], *own].concat();
        let fields = Fields::open(node, format!("{place} ({kind})"), &allowed, &[], problems)?;
        fields.require("at", problems);
        let at = self.time("at", &fields, problems);
        let body = self.body(kind, &fields, problems);
        Some((at?, body?))
    }

    fn body(&self, kind: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Body> {
        let currency = Some(self.currency().clone());
        let product = |problems: &mut Problems| ProductRef {
            id: fields.line("product", 200, problems).unwrap_or_else(|| "made-up".to_owned()),
            price: self.money("price", fields, problems),
            quantity: fields
                .get("quantity")
                .and_then(|_| fields.number("quantity", 0.0, 1e6, problems)),
            ..ProductRef::default()
        };
        let order_id = |problems: &mut Problems| {
            fields.line("order_id", 200, problems).unwrap_or_else(|| "made-up".to_owned())
        };
        Some(match kind {
            "page_viewed" => Body::PageViewed { title: None, referrer: None },
            "product_viewed" => Body::ProductViewed { product: product(problems), currency },
            "cart_changed" => {
                let change = fields.parsed("change", problems).unwrap_or(CartChange::Added);
                let products = vec![product(problems)];
                Body::CartChanged { cart_id: None, change, products, currency }
            }
            "checkout_started" => Body::CheckoutStarted {
                cart_id: None,
                checkout_id: None,
                value: None,
                products: vec![product(problems)],
                currency,
            },
            "order_stated" => Body::OrderStated(OrderStated {
                order_id: order_id(problems),
                status: fields.parsed("status", problems).unwrap_or(OrderStatus::Paid),
                placed_at: None,
                total: self.money("total", fields, problems).unwrap_or(1_000),
                currency: self.currency().clone(),
                refunded: None,
                coupon: None,
                channel: None,
                lines: vec![product(problems)],
            }),
            "order_refunded" => Body::OrderRefunded {
                order_id: order_id(problems),
                amount: self.money("amount", fields, problems),
            },
            "consent_changed" => {
                let granted = flag("granted", fields, problems);
                if granted.is_none() {
                    fields.require("granted", problems);
                }
                Body::ConsentChanged(ConsentTold { granted: granted?, at: None, channel: None })
            }
            _ => Body::Tracked {
                event: fields.line("event", 200, problems).unwrap_or_else(|| "made-up".to_owned()),
                properties: serde_json::Map::new(),
            },
        })
    }

    /// `"12.40"` or `12.40`, in minor units of the store's currency.
    fn money(&self, key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<i64> {
        let node = fields.get(key)?;
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            _ => node.number().map(|n| n.to_string()).unwrap_or_default(),
        };
        match Money::parse(&text, self.currency()) {
            Ok(money) => Some(money.minor),
            Err(_) => {
                fields.refuse(key, node, "an amount such as \"12.40\"", problems);
                None
            }
        }
    }
}

/// Whatever else a shop would tell of somebody: `{ birthday = "1990-05-01" }`.
fn traits(
    node: &Node,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> serde_json::Map<String, serde_json::Value> {
    let Value::Table(entries) = &node.value else {
        fields.refuse("traits", node, "a table such as { birthday = \"1990-05-01\" }", problems);
        return serde_json::Map::new();
    };
    let told = entries.iter().filter_map(|entry| {
        let value = match &entry.node.value {
            Value::Text(text) => text.clone().into(),
            Value::Integer(n) => (*n).into(),
            Value::Float(n) => (*n).into(),
            Value::Flag(flag) => (*flag).into(),
            _ => {
                let what = "a text, a number, true or false";
                fields.refuse(&entry.key, &entry.node, what, problems);
                return None;
            }
        };
        Some((entry.key.clone(), value))
    });
    told.collect()
}

fn one_of(
    key: &str,
    fields: &Fields<'_>,
    allowed: &[&str],
    problems: &mut Problems,
) -> Option<String> {
    let node = fields.get(key)?;
    match &node.value {
        Value::Text(text) if allowed.contains(&text.as_str()) => Some(text.clone()),
        _ => {
            fields.refuse(key, node, &format!("one of: {}", allowed.join(", ")), problems);
            None
        }
    }
}

fn flag(key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<bool> {
    let node = fields.get(key)?;
    match node.value {
        Value::Flag(flag) => Some(flag),
        _ => {
            fields.refuse(key, node, "true or false", problems);
            None
        }
    }
}
