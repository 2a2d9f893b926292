//! The audience language: who a rule is for, asked of what is known about one customer. Pure.
//!
//! Every condition that exists is well typed: what cannot be asked is refused when it is read, not when a
//! customer is due. What is not known of a customer answers no comparison, not even `ne`; only `is_set` sees it.

mod behaviour;
mod sense;
pub mod sql;
mod subject;
mod text;
mod traits;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::json;

use crate::primitives::Timestamp;
use crate::scoring::{Segment, VisitorSegment};
use crate::text_enum;

pub use behaviour::{Behaviour, Deed, Did, Needs, Of, Received};
use subject::Known;
pub use subject::Subject;
pub use traits::{TraitAsked, is_name as is_trait_name};

/// `all` / `any` / `not`, nested, over what is known of a customer and what they did.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Is(Comparison),
    /// What the shop itself told of them, by its own name.
    Trait(TraitAsked),
    Did(Behaviour),
    /// A rule's mail reached them.
    Received(Received),
}

/// One field compared with one value that fits it: only reading makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    field: Field,
    op: Op,
    operand: Operand,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Number(f64),
    Text(String),
    Flag(bool),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

text_enum! {
    /// What can be asked about a customer.
    pub enum Field {
        OrdersCount = "orders_count",
        OrderDays = "order_days",
        /// Net of refunds, in major units of the store's currency.
        Spent = "spent",
        AverageOrderValue = "average_order_value",
        /// Of the last day with an order, net of refunds.
        LastOrderValue = "last_order_value",
        DaysSinceFirstOrder = "days_since_first_order",
        DaysSinceLastOrder = "days_since_last_order",
        DaysSinceFirstVisit = "days_since_first_visit",
        DaysSinceLastVisit = "days_since_last_visit",
        VisitsCount = "visits_count",
        PageViews = "page_views",
        ProductViews = "product_views",
        CartsCount = "carts_count",
        CheckoutsCount = "checkouts_count",
        /// What lies in the open basket.
        CartValue = "cart_value",
        Segment = "segment",
        DaysInSegment = "days_in_segment",
        /// Of those on the at-risk list alone.
        DaysAtRisk = "days_at_risk",
        R = "r",
        F = "f",
        M = "m",
        PAlive = "p_alive",
        POrder30d = "p_order_30d",
        POrder90d = "p_order_90d",
        ExpectedOrders30d = "expected_orders_30d",
        ExpectedOrders90d = "expected_orders_90d",
        ExpectedOrders365d = "expected_orders_365d",
        /// What the orders of one day are expected to come to.
        OrderValue = "order_value",
        ValueAtRisk = "value_at_risk",
        UsualGapDays = "usual_gap_days",
        /// Negative once it is overdue.
        DaysUntilNextOrder = "days_until_next_order",
        /// Of the first visit, and of the last; unknown where it came from nowhere in particular.
        FirstChannel = "first_channel",
        LastChannel = "last_channel",
        FirstCampaign = "first_campaign",
        LastCampaign = "last_campaign",
        Country = "country",
        City = "city",
        Locale = "locale",
        Timezone = "timezone",
        Tags = "tags",
        HasEmail = "has_email",
        HasPhone = "has_phone",
        /// Has an id of the shop, not only a browser's or an address.
        Identified = "identified",
        Consent = "consent",
    }
}

text_enum! {
    pub enum Op {
        Eq = "eq",
        Ne = "ne",
        Lt = "lt",
        Lte = "lte",
        Gt = "gt",
        Gte = "gte",
        In = "in",
        NotIn = "not_in",
        /// A tag among the tags; a part of a text.
        Contains = "contains",
        IsSet = "is_set",
    }
}

/// The segments that a rule can name: of buyers, then of visitors.
pub const SEGMENTS: [&str; Segment::ALL.len() + VisitorSegment::ALL.len()] = {
    let mut names = [""; Segment::ALL.len() + VisitorSegment::ALL.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = match n.checked_sub(Segment::ALL.len()) {
            None => Segment::ALL[n].as_str(),
            Some(visitor) => VisitorSegment::ALL[visitor].as_str(),
        };
        n += 1;
    }
    names
};

const CONSENTS: [&str; 3] = ["none", "granted", "withdrawn"];

/// No number that a rule can ask for is larger.
pub const LARGE: f64 = 1e12;

/// Deeper than any audience that a person can still read; and no stack ever grows past it.
pub const MAX_DEPTH: usize = 16;
const MAX_LIST: usize = 1_000;

/// What values a field has.
enum Kind {
    Whole { min: f64, max: f64 },
    Number { min: f64, max: f64 },
    Text,
    OneOf(&'static [&'static str]),
    Tags,
    Flag,
}

impl Field {
    fn kind(self) -> Kind {
        match self {
            Self::OrdersCount
            | Self::OrderDays
            | Self::VisitsCount
            | Self::PageViews
            | Self::ProductViews
            | Self::CartsCount
            | Self::CheckoutsCount => Kind::Whole { min: 0.0, max: LARGE },
            Self::R | Self::F | Self::M => Kind::Whole { min: 1.0, max: 5.0 },
            Self::PAlive | Self::POrder30d | Self::POrder90d => Kind::Number { min: 0.0, max: 1.0 },
            Self::DaysUntilNextOrder => Kind::Number { min: -LARGE, max: LARGE },
            Self::Spent
            | Self::AverageOrderValue
            | Self::LastOrderValue
            | Self::OrderValue
            | Self::UsualGapDays
            | Self::DaysInSegment
            | Self::DaysAtRisk
            | Self::DaysSinceFirstVisit
            | Self::ExpectedOrders30d
            | Self::ExpectedOrders365d
            | Self::CartValue
            | Self::ValueAtRisk
            | Self::DaysSinceFirstOrder
            | Self::DaysSinceLastOrder
            | Self::DaysSinceLastVisit
            | Self::ExpectedOrders90d => Kind::Number { min: 0.0, max: LARGE },
            Self::Country
            | Self::City
            | Self::Locale
            | Self::Timezone
            | Self::FirstChannel
            | Self::LastChannel
            | Self::FirstCampaign
            | Self::LastCampaign => Kind::Text,
            Self::Segment => Kind::OneOf(&SEGMENTS),
            Self::Consent => Kind::OneOf(&CONSENTS),
            Self::Tags => Kind::Tags,
            Self::HasEmail | Self::HasPhone | Self::Identified => Kind::Flag,
        }
    }

    /// Whether it comes of scoring, and changes with the days.
    pub fn is_of_scores(self) -> bool {
        let own = [Self::Segment, Self::DaysInSegment, Self::R, Self::F, Self::M];
        own.contains(&self) || self == Self::UsualGapDays || self.is_forecast()
    }

    /// Whether it is foretold by what the store has learnt.
    pub fn is_forecast(self) -> bool {
        matches!(
            self,
            Self::PAlive
                | Self::POrder30d
                | Self::POrder90d
                | Self::ExpectedOrders30d
                | Self::ExpectedOrders90d
                | Self::ExpectedOrders365d
                | Self::OrderValue
                | Self::ValueAtRisk
                | Self::DaysUntilNextOrder
                | Self::DaysAtRisk
        )
    }

    /// The comparisons that make sense for it.
    pub fn ops(self) -> &'static [Op] {
        use Op::{Contains, Eq, Gt, Gte, In, IsSet, Lt, Lte, Ne, NotIn};
        match self.kind() {
            Kind::Whole { .. } => &[Eq, Ne, Lt, Lte, Gt, Gte, In, NotIn, IsSet],
            Kind::Number { .. } => &[Eq, Ne, Lt, Lte, Gt, Gte, IsSet],
            Kind::Text => &[Eq, Ne, In, NotIn, Contains, IsSet],
            Kind::OneOf(_) => &[Eq, Ne, In, NotIn, IsSet],
            Kind::Tags => &[Contains, IsSet],
            Kind::Flag => &[Eq, Ne],
        }
    }
}

impl Condition {
    /// Whether it holds for this customer at `now`.
    pub fn holds(&self, subject: &Subject, now: Timestamp) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(subject, now)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(subject, now)),
            Self::Not(part) => !part.holds(subject, now),
            Self::Is(comparison) => comparison.holds(subject, now),
            Self::Trait(asked) => asked.holds(&subject.traits),
            Self::Did(behaviour) => behaviour.holds(&subject.deeds, now),
            Self::Received(received) => received.holds(&subject.received, now),
        }
    }

    /// The fields it asks about.
    pub fn fields(&self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        self.visit(&mut |leaf| {
            if let Self::Is(comparison) = leaf {
                fields.insert(comparison.field);
            }
        });
        fields
    }

    /// What it saw, for the ledger: each field it asks about with its value, `null` where unknown.
    pub fn facts(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> serde_json::Map<String, serde_json::Value> {
        let value = |field| match subject.value(field, now) {
            None => serde_json::Value::Null,
            // Three digits are enough to explain, and more would only look exact.
            Some(Known::Number(n)) => text::json_number((n * 1e3).round() / 1e3),
            Some(Known::Text(text)) => json!(text),
            Some(Known::Tags(tags)) => json!(tags),
            Some(Known::Flag(flag)) => json!(flag),
        };
        let mut facts: serde_json::Map<String, serde_json::Value> =
            self.fields().into_iter().map(|field| (field.to_string(), value(field))).collect();
        self.visit(&mut |leaf| match leaf {
            Self::Trait(asked) => {
                let told = subject.traits.get(asked.name()).cloned();
                facts.insert(asked.name().to_owned(), told.unwrap_or(serde_json::Value::Null));
            }
            Self::Did(behaviour) => {
                let times = behaviour.times(&subject.deeds, now);
                facts.insert(behaviour.subject(), json!(times));
            }
            Self::Received(received) => {
                let last = received.last(&subject.received, now);
                facts.insert(received.to_string(), json!(last));
            }
            _ => {}
        });
        facts
    }

    /// Whether it holds for those alone who never ordered, as far as its own words say so.
    pub fn wants_no_orders(&self) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(Self::wants_no_orders),
            Self::Any(parts) => parts.iter().all(Self::wants_no_orders),
            Self::Is(Comparison { field: Field::OrdersCount, op, operand: Operand::Number(n) }) => {
                matches!(op, Op::Eq | Op::Lte) && *n == 0.0 || *op == Op::Lt && *n <= 1.0
            }
            Self::Did(behaviour) => behaviour.is_never_of(Did::Bought),
            Self::Not(_) | Self::Is(_) | Self::Trait(_) | Self::Received(_) => false,
        }
    }

    /// The rules whose mail it asks about.
    pub fn rules_received(&self) -> BTreeSet<&str> {
        let mut rules = BTreeSet::new();
        self.visit(&mut |leaf| {
            if let Self::Received(received) = leaf {
                rules.insert(received.rule.as_str());
            }
        });
        rules
    }

    /// Shows every condition that is not made of others.
    pub fn visit<'c>(&'c self, f: &mut impl FnMut(&'c Self)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(f)),
            Self::Not(part) => part.visit(f),
            leaf => f(leaf),
        }
    }
}

impl Comparison {
    pub fn field(&self) -> Field {
        self.field
    }

    /// A field that is yes or no.
    pub fn flag(field: Field, is: bool) -> Self {
        Self { field, op: Op::Eq, operand: Operand::Flag(is) }
    }

    /// A field that is one of our own words.
    pub fn word(field: Field, is: &str) -> Self {
        Self { field, op: Op::Eq, operand: Operand::Text(is.to_owned()) }
    }

    fn holds(&self, subject: &Subject, now: Timestamp) -> bool {
        compare(subject.value(self.field, now), self.op, &self.operand)
    }
}

fn compare(known: Option<Known<'_>>, op: Op, operand: &Operand) -> bool {
    if let (Op::IsSet, Operand::Flag(wanted)) = (op, operand) {
        return known.is_some() == *wanted;
    }
    match (known, operand) {
        (Some(Known::Number(n)), Operand::Number(value)) => match op {
            Op::Eq => n == *value,
            Op::Ne => n != *value,
            Op::Lt => n < *value,
            Op::Lte => n <= *value,
            Op::Gt => n > *value,
            Op::Gte => n >= *value,
            _ => false,
        },
        (Some(Known::Number(n)), Operand::Numbers(values)) => values.contains(&n) == (op == Op::In),
        (Some(Known::Text(text)), Operand::Text(value)) => {
            let (text, value) = (folded(text), folded(value));
            match op {
                Op::Eq => text == value,
                Op::Ne => text != value,
                Op::Contains => text.contains(&value),
                _ => false,
            }
        }
        (Some(Known::Text(text)), Operand::Texts(values)) => {
            let text = folded(text);
            values.iter().any(|value| folded(value) == text) == (op == Op::In)
        }
        (Some(Known::Tags(tags)), Operand::Text(value)) => {
            let value = folded(value);
            tags.iter().any(|tag| folded(tag) == value)
        }
        (Some(Known::Flag(flag)), Operand::Flag(value)) => (flag == *value) == (op == Op::Eq),
        _ => false,
    }
}

/// Texts are compared without the case of A to Z, and `zh_CN` is `zh-CN`: shops and browsers spell them as they
/// like. Of other letters the databases do not agree what their case is, so that it counts.
fn folded(text: &str) -> String {
    text.to_ascii_lowercase().replace('_', "-")
}

/// In words: `orders_count = 0 and segment is one of at_risk, lost`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (n, part) in parts.iter().enumerate() {
                if n > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Self::All(_) | Self::Any(_) if parts.len() > 1 => write!(f, "({part})")?,
                    _ => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::All(parts) => joined(f, parts, "and"),
            Self::Any(parts) => joined(f, parts, "or"),
            Self::Not(part) => write!(f, "not ({part})"),
            Self::Is(comparison) => {
                write_comparison(f, comparison.field.as_str(), comparison.op, &comparison.operand)
            }
            Self::Trait(asked) => asked.fmt(f),
            Self::Did(behaviour) => behaviour.fmt(f),
            Self::Received(received) => received.fmt(f),
        }
    }
}

fn write_comparison(
    f: &mut fmt::Formatter<'_>,
    field: &str,
    op: Op,
    operand: &Operand,
) -> fmt::Result {
    let op = match (op, operand) {
        (Op::IsSet, Operand::Flag(true)) => return write!(f, "{field} is known"),
        (Op::IsSet, _) => return write!(f, "{field} is not known"),
        (Op::Eq, _) => "=",
        (Op::Ne, _) => "≠",
        (Op::Lt, _) => "<",
        (Op::Lte, _) => "≤",
        (Op::Gt, _) => ">",
        (Op::Gte, _) => "≥",
        (Op::In, _) => "is one of",
        (Op::NotIn, _) => "is none of",
        (Op::Contains, _) => "contains",
    };
    write!(f, "{field} {op} ")?;
    let list = |all: Vec<String>| all.join(", ");
    match operand {
        Operand::Number(n) => write!(f, "{n}"),
        Operand::Text(text) => f.write_str(text),
        Operand::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
        Operand::Numbers(all) => f.write_str(&list(all.iter().map(f64::to_string).collect())),
        Operand::Texts(all) => f.write_str(&list(all.clone())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::any_condition;
    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn days_ago(days: i64) -> Option<Timestamp> {
        Some(Timestamp(now().0 - days * 86_400_000_000))
    }

    /// A buyer of whom most is known, but no prediction.
    fn ann() -> Subject {
        Subject {
            orders_count: Some(4),
            foreign_orders: Some(1),
            order_days: Some(3),
            spent: Some(59_97),
            first_order_at: days_ago(100),
            last_order_at: days_ago(20),
            visits_count: Some(9),
            cart_value: Some(19_99),
            segment: Some("at_risk".into()),
            r: Some(2),
            city: Some("Hangzhou".into()),
            locale: Some("zh_CN".into()),
            tags: vec!["VIP".into(), "tea".into()],
            has_email: true,
            consent: Some("granted".into()),
            ..Subject::unknown(&"CNY".parse().unwrap())
        }
    }

    fn read(json: serde_json::Value) -> Condition {
        serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    fn asked(field: &str, op: &str, value: serde_json::Value) -> bool {
        read(json!({ "field": field, "op": op, "value": value })).holds(&ann(), now())
    }

    #[test]
    fn comparisons_mean_what_they_say() {
        for (field, op, value) in [
            ("orders_count", "eq", json!(4)),
            ("orders_count", "ne", json!(0)),
            ("orders_count", "in", json!([1, 4])),
            ("orders_count", "not_in", json!([1, 2])),
            ("spent", "eq", json!(59.97)),
            ("spent", "gte", json!(59.97)),
            ("spent", "lt", json!(60)),
            ("average_order_value", "eq", json!(19.99)),
            ("cart_value", "lte", json!(19.99)),
            ("days_since_last_order", "eq", json!(20)),
            ("days_since_first_order", "gt", json!(99.5)),
            ("segment", "in", json!(["at_risk", "lost"])),
            ("segment", "not_in", json!(["champions"])),
            ("city", "eq", json!("hangzhou")),
            ("city", "contains", json!("ZHOU")),
            ("locale", "eq", json!("zh-CN")),
            ("tags", "contains", json!("vip")),
            ("has_email", "eq", json!(true)),
            ("has_email", "ne", json!(false)),
            ("consent", "eq", json!("granted")),
        ] {
            assert!(asked(field, op, value.clone()), "{field} {op} {value}");
        }
        for (field, op, value) in [
            ("orders_count", "gt", json!(4)),
            ("spent", "gt", json!(59.97)),
            ("average_order_value", "gt", json!(19.99)),
            ("segment", "eq", json!("lost")),
            ("tags", "contains", json!("vi")),
            ("tags", "contains", json!("coffee")),
            ("has_email", "eq", json!(false)),
        ] {
            assert!(!asked(field, op, value.clone()), "{field} {op} {value}");
        }
    }

    #[test]
    fn what_is_unknown_answers_nothing_but_is_set() {
        for (op, value) in [("lt", json!(0.5)), ("gte", json!(0)), ("ne", json!(0.3))] {
            assert!(!asked("p_alive", op, value));
        }
        assert!(!asked("country", "not_in", json!(["CN"])));
        assert!(!asked("p_alive", "is_set", json!(true)));
        assert!(asked("p_alive", "is_set", json!(false)));
        assert!(asked("tags", "is_set", json!(true)));
        let ordered = read(json!({ "field": "days_since_last_order", "op": "is_set" }));
        assert!(ordered.holds(&ann(), now()));
        let nobody = Subject::unknown(&"CNY".parse().unwrap());
        assert!(!read(json!({ "field": "tags", "op": "is_set" })).holds(&nobody, now()));
        assert!(
            !read(json!({ "field": "average_order_value", "op": "gte", "value": 0 }))
                .holds(&nobody, now())
        );
    }

    #[test]
    fn nesting_follows_logic() {
        let yes = json!({ "field": "orders_count", "op": "eq", "value": 4 });
        let no = json!({ "field": "orders_count", "op": "eq", "value": 0 });
        let holds = |json| read(json).holds(&ann(), now());
        assert!(holds(json!({ "all": [yes, { "not": no }] })));
        assert!(!holds(json!({ "all": [yes, no] })));
        assert!(holds(json!({ "any": [no, yes] })));
        assert!(!holds(json!({ "not": { "any": [no, yes] } })));
    }

    #[test]
    fn money_is_asked_in_the_decimals_of_its_currency() {
        for (code, minor) in [("JPY", 1_500), ("CNY", 150_000), ("KWD", 1_500_000)] {
            let subject =
                Subject { spent: Some(minor), ..Subject::unknown(&code.parse().unwrap()) };
            assert!(
                read(json!({ "field": "spent", "op": "eq", "value": 1500 })).holds(&subject, now())
            );
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (json, said) in [
            (
                json!({ "field": "spend", "op": "gt", "value": 1 }),
                "`spend` is not one of: orders_count",
            ),
            (
                json!({ "field": "spent", "op": "above", "value": 1 }),
                "`above` is not one of: eq, ne",
            ),
            (json!({ "field": "spent", "op": "in", "value": [1] }), "allowed: eq, ne, lt"),
            (
                json!({ "field": "spent", "op": "gt", "value": "100" }),
                "compared with `100`, but must be a number of at least 0",
            ),
            (json!({ "field": "spent", "op": "gt", "value": -1 }), "number of at least 0"),
            (json!({ "field": "spent", "op": "gt" }), "has no `value`"),
            (json!({ "field": "spent", "op": "gt", "value": null }), "compared with `null`"),
            (json!({ "field": "orders_count", "op": "eq", "value": 1.5 }), "a whole number"),
            (json!({ "field": "r", "op": "eq", "value": 6 }), "a whole number from 1 to 5"),
            (json!({ "field": "segment", "op": "eq", "value": "vip" }), "one of: champions"),
            (
                json!({ "field": "segment", "op": "in", "value": "lost" }),
                "compared with a list here",
            ),
            (json!({ "field": "segment", "op": "in", "value": [] }), "1 to 1000 values"),
            (json!({ "field": "segment", "op": "in", "value": ["lost", 3] }), "compared with `3`"),
            (json!({ "field": "city", "op": "eq", "value": " " }), "one line of text"),
            (json!({ "field": "city", "op": "is_set", "value": 1 }), "true or false"),
            (json!({ "field": "has_email", "op": "eq", "value": "yes" }), "true or false"),
            (json!({ "all": [], "any": [] }), "unknown key `any`"),
            (json!({ "not": [] }), "must be a table, not a list"),
            (json!({}), "is empty"),
            (json!("x"), "must be a table"),
        ] {
            let error =
                serde_json::from_value::<Condition>(json.clone()).expect_err("refused").to_string();
            assert!(error.contains(said), "{json}\n{error}\n{said}");
        }
    }

    #[test]
    fn the_ledger_gets_the_facts_that_were_asked() {
        let condition = read(json!({ "any": [
            { "field": "p_alive", "op": "lt", "value": 0.5 },
            { "field": "spent", "op": "gte", "value": 50 },
            { "field": "spent", "op": "lt", "value": 99 },
        ] }));
        let facts = serde_json::Value::Object(condition.facts(&ann(), now()));
        assert_eq!(facts, json!({ "spent": 59.97, "p_alive": null }));
        assert_eq!(condition.to_string(), "p_alive < 0.5 or spent ≥ 50 or spent < 99");
    }

    proptest! {
        #[test]
        fn a_condition_reads_back_as_it_is_stored(condition in any_condition()) {
            let json = serde_json::to_string(&condition).unwrap();
            prop_assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), condition);
        }

        #[test]
        fn not_is_the_opposite_and_all_is_no_more_than_any(condition in any_condition(), other in any_condition()) {
            let asked = |condition: &Condition| condition.holds(&ann(), now());
            prop_assert_ne!(asked(&condition), asked(&Condition::Not(Box::new(condition.clone()))));
            let both = vec![condition, other];
            prop_assert!(!asked(&Condition::All(both.clone())) || asked(&Condition::Any(both)));
        }

        #[test]
        fn of_nobody_known_no_comparison_holds(condition in any_condition()) {
            let nobody = Subject::unknown(&"CNY".parse().unwrap());
            if let Condition::Is(comparison) = &condition
                && comparison.op != Op::IsSet && comparison.field.ops() != Field::HasEmail.ops()
            {
                prop_assert!(!condition.holds(&nobody, now()));
            }
        }
    }
}
