//! A condition as SQL: the same question asked of a whole store at once. Pure: it writes the words, others run them.
//!
//! It must agree with `Condition::holds` on every customer, which a test holds it to on both databases. Numbers are
//! compared as the columns keep them, minor units and microseconds, so that an index can serve; the bounds are those
//! at which the float that a document's number is compared with changes its answer.

use std::fmt::Write;

use super::{Behaviour, Comparison, Condition, Did, Field, Of, Op, Operand, TraitAsked, folded};
use crate::primitives::{Delay, StoreId, Timestamp};

/// Which database's words to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    Whole(i64),
    Number(f64),
    Text(String),
}

/// Of which store the question is asked, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub store: StoreId,
    /// Of the store's currency's minor unit.
    pub decimals: u32,
    pub now: Timestamp,
    pub dialect: Dialect,
}

/// `FROM … WHERE …`: the store's customers, `r.customer_id`, who fit; without those merged into others or erased.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub from: String,
    pub params: Vec<Param>,
}

impl Query {
    /// Everybody in the store for `None`.
    pub fn of(audience: Option<&Condition>, asked: &Asked) -> Self {
        let mut writer = Writer::new(asked);
        let mut said = String::new();
        if let Some(condition) = audience {
            said = writer.condition(condition);
        }
        let mut from = "FROM rollups r".to_owned();
        if writer.customers {
            from.push_str(" JOIN customers c ON c.id = r.customer_id");
        }
        if writer.scores {
            from.push_str(" LEFT JOIN scores s ON s.customer_id = r.customer_id");
        }
        from.push_str(" WHERE r.store_id = $1");
        // Their rows are known to an index of their own, so that nobody else's profile is read.
        from.push_str(if writer.customers {
            " AND c.merged_into IS NULL AND c.erased_at IS NULL"
        } else {
            " AND r.customer_id NOT IN (SELECT gone.id FROM customers gone WHERE gone.store_id = $1 \
             AND (gone.merged_into IS NOT NULL OR gone.erased_at IS NOT NULL))"
        });
        if !said.is_empty() {
            let _ = write!(from, " AND {said}");
        }
        Self { from, params: writer.params }
    }

    /// Adds a parameter and gives its place in the text, which must come after what stands there already.
    pub fn bind(&mut self, param: Param) -> String {
        self.params.push(param);
        format!("${}", self.params.len())
    }
}

struct Writer<'a> {
    asked: &'a Asked,
    params: Vec<Param>,
    customers: bool,
    scores: bool,
}

/// Where a field's value stands, and in what form.
enum Column {
    /// A whole number that stands for `value / scale`.
    Scaled(String, f64),
    /// An instant; the value is how many days ago it is, or until it is.
    DaysSince(String),
    DaysUntil(String),
    Double(String),
    Text(String),
    /// One of our own words: compared as it is.
    Word(String),
    Tags(String),
    Flag(String),
}

impl<'a> Writer<'a> {
    fn new(asked: &'a Asked) -> Self {
        let params = vec![Param::Whole(asked.store.0)];
        Self { asked, params, customers: false, scores: false }
    }

    fn bind(&mut self, param: Param) -> String {
        self.params.push(param);
        format!("${}", self.params.len())
    }

    fn whole(&mut self, n: i64) -> String {
        self.bind(Param::Whole(n))
    }

    fn text(&mut self, text: &str) -> String {
        self.bind(Param::Text(text.to_owned()))
    }

    /// True, false, or, for what is not known, null, which leaves out as false does.
    fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::All(parts) => self.joined(parts, " AND "),
            Condition::Any(parts) => self.joined(parts, " OR "),
            // What is not known is not so: its opposite holds.
            Condition::Not(part) => format!("NOT COALESCE({}, FALSE)", self.condition(part)),
            Condition::Is(comparison) => self.comparison(comparison),
            Condition::Trait(asked) => self.asked_trait(asked),
            Condition::Did(behaviour) => self.behaviour(behaviour),
            Condition::Received(received) => {
                let rule = self.text(&received.rule);
                let at = "CASE m.status WHEN 'sent' THEN m.sent_at ELSE m.claimed_at END";
                let time = self.time(at, received.within);
                format!(
                    "EXISTS (SELECT 1 FROM messages m WHERE m.customer_id = r.customer_id \
                     AND m.rule_id = (SELECT id FROM rules WHERE store_id = $1 AND key = {rule}) \
                     AND m.status IN ('sent', 'in_doubt') AND {time})"
                )
            }
        }
    }

    fn joined(&mut self, parts: &[Condition], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.condition(part)).collect();
        format!("({})", parts.join(word))
    }

    fn column(&mut self, field: Field) -> Column {
        let money = 10_f64.powi(self.asked.decimals as i32);
        match field {
            Field::Country
            | Field::City
            | Field::Locale
            | Field::Timezone
            | Field::Tags
            | Field::HasEmail
            | Field::HasPhone
            | Field::Identified
            | Field::Consent => self.customers = true,
            Field::Segment
            | Field::DaysInSegment
            | Field::DaysAtRisk
            | Field::R
            | Field::F
            | Field::M
            | Field::PAlive
            | Field::POrder30d
            | Field::POrder90d
            | Field::ExpectedOrders30d
            | Field::ExpectedOrders90d
            | Field::ExpectedOrders365d
            | Field::OrderValue
            | Field::ValueAtRisk
            | Field::UsualGapDays
            | Field::DaysUntilNextOrder => self.scores = true,
            _ => {}
        }
        let count = |name: &str| Column::Scaled(format!("r.{name}"), 1.0);
        let visit = |column: &str, order: &str| {
            Column::Text(format!(
                "(SELECT v.{column} FROM visits v WHERE v.customer_id = r.customer_id ORDER BY v.started_at {order} LIMIT 1)"
            ))
        };
        let double = |name: &str| Column::Double(format!("s.{name}"));
        match field {
            Field::OrdersCount => count("orders_count"),
            Field::OrderDays => count("order_days"),
            Field::VisitsCount => count("visits_count"),
            Field::PageViews => count("page_views"),
            Field::ProductViews => count("product_views"),
            Field::CartsCount => count("carts_count"),
            Field::CheckoutsCount => count("checkouts_count"),
            Field::Spent => Column::Scaled("r.spent".into(), money),
            Field::CartValue => Column::Scaled("r.cart_value".into(), money),
            Field::LastOrderValue => Column::Scaled(
                "CASE WHEN r.last_order_at IS NOT NULL THEN r.last_order_value END".into(),
                money,
            ),
            Field::AverageOrderValue => Column::Double(format!(
                "CASE WHEN r.orders_count > r.foreign_orders THEN \
                 CAST(r.spent AS DOUBLE PRECISION) / {money:?} / (r.orders_count - r.foreign_orders) END"
            )),
            Field::DaysSinceFirstOrder => Column::DaysSince("r.first_order_at".into()),
            Field::DaysSinceLastOrder => Column::DaysSince("r.last_order_at".into()),
            Field::DaysSinceFirstVisit => Column::DaysSince("r.first_seen_at".into()),
            Field::DaysSinceLastVisit => Column::DaysSince("r.last_seen_at".into()),
            Field::Segment => Column::Word("s.segment".into()),
            Field::DaysInSegment => Column::DaysSince("s.segment_since".into()),
            Field::DaysAtRisk => Column::DaysSince("s.at_risk_since".into()),
            Field::R => Column::Scaled("s.r".into(), 1.0),
            Field::F => Column::Scaled("s.f".into(), 1.0),
            Field::M => Column::Scaled("s.m".into(), 1.0),
            Field::PAlive => double("p_alive"),
            Field::POrder30d => double("p_order_30d"),
            Field::POrder90d => double("p_order_90d"),
            Field::ExpectedOrders30d => double("expected_orders_30d"),
            Field::ExpectedOrders90d => double("expected_orders_90d"),
            Field::ExpectedOrders365d => double("expected_orders_365d"),
            Field::UsualGapDays => double("usual_gap_days"),
            Field::OrderValue => Column::Scaled("s.order_value".into(), money),
            Field::ValueAtRisk => Column::Scaled("s.value_at_risk".into(), money),
            Field::DaysUntilNextOrder => Column::DaysUntil("s.next_order_expected_at".into()),
            Field::FirstChannel => visit("channel", ""),
            Field::LastChannel => visit("channel", "DESC"),
            Field::FirstCampaign => visit("campaign", ""),
            Field::LastCampaign => visit("campaign", "DESC"),
            Field::Country => Column::Text("c.country".into()),
            Field::City => Column::Text("c.city".into()),
            Field::Locale => Column::Text("c.locale".into()),
            Field::Timezone => Column::Text("c.timezone".into()),
            Field::Tags => Column::Tags("c.tags".into()),
            Field::HasEmail => Column::Flag("c.email IS NOT NULL".into()),
            Field::HasPhone => Column::Flag("c.phone IS NOT NULL".into()),
            Field::Identified => Column::Flag("c.identified".into()),
            Field::Consent => Column::Word("c.consent".into()),
        }
    }

    fn comparison(&mut self, Comparison { field, op, operand }: &Comparison) -> String {
        let column = self.column(*field);
        if let (Op::IsSet, Operand::Flag(wanted)) = (op, operand) {
            let not = if *wanted { " NOT" } else { "" };
            return match column {
                Column::Tags(tags) => format!("({tags} <> '[]') = {}", truth(*wanted)),
                Column::Scaled(at, _)
                | Column::DaysSince(at)
                | Column::DaysUntil(at)
                | Column::Double(at)
                | Column::Text(at)
                | Column::Word(at)
                | Column::Flag(at) => format!("({at}) IS{not} NULL"),
            };
        }
        match (column, operand) {
            (Column::Scaled(at, scale), Operand::Number(value)) => {
                let bounds = Bounds::of(*value, scale);
                self.in_bounds(&at, *op, bounds.reached, bounds.passed)
            }
            (Column::Scaled(at, _), Operand::Numbers(values)) => {
                let list: Vec<String> = values.iter().map(|n| self.whole(*n as i64)).collect();
                let not = if *op == Op::NotIn { " NOT" } else { "" };
                format!("{at}{not} IN ({})", list.join(", "))
            }
            (Column::DaysSince(at), Operand::Number(value)) => {
                // The later the instant, the fewer the days: `now - at < d` is `at > now - d`.
                let (now, bounds) = (self.asked.now.0, Bounds::of(*value, 86_400e6));
                let late = |d: i64| now.saturating_sub(d).saturating_add(1);
                self.in_bounds(&at, mirrored(*op), late(bounds.passed), late(bounds.reached))
            }
            (Column::DaysUntil(at), Operand::Number(value)) => {
                let (now, bounds) = (self.asked.now.0, Bounds::of(*value, 86_400e6));
                let (reached, passed) =
                    (now.saturating_add(bounds.reached), now.saturating_add(bounds.passed));
                self.in_bounds(&at, *op, reached, passed)
            }
            (Column::Double(at), Operand::Number(value)) => {
                let value = self.bind(Param::Number(*value));
                format!("({at}) {} {value}", sign(*op))
            }
            (Column::Word(at), Operand::Text(word)) => {
                let word = self.text(word);
                format!("{at} {} {word}", sign(*op))
            }
            (Column::Word(at), Operand::Texts(words)) => {
                let list: Vec<String> = words.iter().map(|word| self.text(word)).collect();
                let not = if *op == Op::NotIn { " NOT" } else { "" };
                format!("{at}{not} IN ({})", list.join(", "))
            }
            (Column::Text(at), operand) => self.on_text(&at, *op, operand),
            (Column::Tags(at), Operand::Text(tag)) => self.among(&at, tag),
            (Column::Flag(at), Operand::Flag(flag)) => {
                format!("({at}) = {}", truth((*op == Op::Eq) == *flag))
            }
            _ => "FALSE".to_owned(),
        }
    }

    /// Of a whole number in a column: `reached` is the least that is the value or more, `passed` the least that is more.
    fn in_bounds(&mut self, at: &str, op: Op, reached: i64, passed: i64) -> String {
        match op {
            Op::Lt => format!("({at}) < {}", self.whole(reached)),
            Op::Lte => format!("({at}) < {}", self.whole(passed)),
            Op::Gt => format!("({at}) >= {}", self.whole(passed)),
            Op::Gte => format!("({at}) >= {}", self.whole(reached)),
            Op::Eq => {
                format!("(({at}) >= {} AND ({at}) < {})", self.whole(reached), self.whole(passed))
            }
            _ => format!("(({at}) < {} OR ({at}) >= {})", self.whole(reached), self.whole(passed)),
        }
    }

    fn on_text(&mut self, at: &str, op: Op, operand: &Operand) -> String {
        let at = self.folded(at);
        match (op, operand) {
            (Op::Contains, Operand::Text(value)) => {
                let value = self.text(&folded(value));
                match self.asked.dialect {
                    Dialect::Sqlite => format!("instr({at}, {value}) > 0"),
                    Dialect::Postgres => format!("strpos({at}, {value}) > 0"),
                }
            }
            (_, Operand::Text(value)) => {
                let value = self.text(&folded(value));
                format!("{at} {} {value}", sign(op))
            }
            (_, Operand::Texts(values)) => {
                let list: Vec<String> = values.iter().map(|v| self.text(&folded(v))).collect();
                let not = if op == Op::NotIn { " NOT" } else { "" };
                format!("{at}{not} IN ({})", list.join(", "))
            }
            _ => "FALSE".to_owned(),
        }
    }

    /// As `folded` folds a text: SQLite's `lower` knows A to Z alone, PostgreSQL's is told to.
    fn folded(&self, at: &str) -> String {
        match self.asked.dialect {
            Dialect::Sqlite => format!("replace(lower({at}), '_', '-')"),
            Dialect::Postgres => format!("replace(lower({at} COLLATE \"C\"), '_', '-')"),
        }
    }

    /// Whether a JSON list of texts holds one.
    fn among(&mut self, list: &str, value: &str) -> String {
        let value = self.text(&folded(value));
        match self.asked.dialect {
            Dialect::Sqlite => {
                let item = self.folded("item.value");
                format!(
                    "EXISTS (SELECT 1 FROM json_each({list}) item WHERE item.type = 'text' AND {item} = {value})"
                )
            }
            Dialect::Postgres => {
                let item = self.folded("(item #>> '{}')");
                format!(
                    "EXISTS (SELECT 1 FROM jsonb_array_elements({list}::jsonb) item \
                     WHERE jsonb_typeof(item) = 'string' AND {item} = {value})"
                )
            }
        }
    }

    /// A trait's name holds nothing that either path language could trip over: the reader saw to that.
    fn asked_trait(&mut self, TraitAsked { name, op, operand }: &TraitAsked) -> String {
        self.customers = true;
        let (kind, value, numbers) = match self.asked.dialect {
            Dialect::Sqlite => (
                format!("json_type(c.traits, '$.\"{name}\"')"),
                format!("json_extract(c.traits, '$.\"{name}\"')"),
                "IN ('integer', 'real')",
            ),
            Dialect::Postgres => (
                format!("jsonb_typeof(c.traits::jsonb -> '{name}')"),
                format!("(c.traits::jsonb ->> '{name}')"),
                "= 'number'",
            ),
        };
        let (text, truths) = match self.asked.dialect {
            Dialect::Sqlite => ("text", "IN ('true', 'false')"),
            Dialect::Postgres => ("string", "= 'boolean'"),
        };
        let number = format!("CAST({value} AS DOUBLE PRECISION)");
        let guarded = |is: &str, said: String| format!("CASE WHEN {kind} {is} THEN {said} END");
        match (op, operand) {
            (Op::IsSet, Operand::Flag(wanted)) => {
                format!("(COALESCE({kind}, 'null') <> 'null') = {}", truth(*wanted))
            }
            (_, Operand::Flag(flag)) => {
                let told = match self.asked.dialect {
                    Dialect::Sqlite => format!("{kind} = 'true'"),
                    Dialect::Postgres => format!("{value} = 'true'"),
                };
                guarded(truths, format!("({told}) = {}", truth((*op == Op::Eq) == *flag)))
            }
            (_, Operand::Number(n)) => {
                let n = self.bind(Param::Number(*n));
                guarded(numbers, format!("{number} {} {n}", sign(*op)))
            }
            (_, Operand::Numbers(all)) => {
                let list: Vec<String> = all.iter().map(|n| self.bind(Param::Number(*n))).collect();
                let not = if *op == Op::NotIn { " NOT" } else { "" };
                guarded(numbers, format!("{number}{not} IN ({})", list.join(", ")))
            }
            (Op::Contains, Operand::Text(item)) => {
                let part = self.on_text(&value, *op, operand);
                let list = match self.asked.dialect {
                    Dialect::Sqlite => value,
                    Dialect::Postgres => format!("(c.traits::jsonb -> '{name}')"),
                };
                let among = self.among(&list, item);
                format!(
                    "CASE WHEN {kind} = '{text}' THEN {part} WHEN {kind} = 'array' THEN {among} END"
                )
            }
            (_, texts) => {
                let said = self.on_text(&value, *op, texts);
                guarded(&format!("= '{text}'"), said)
            }
        }
    }

    fn behaviour(&mut self, behaviour: &Behaviour) -> String {
        let Behaviour { never, what, of, at_least, within } = behaviour;
        let deeds = match what {
            Did::Visited => {
                let time = self.time("v.started_at", *within);
                format!("visits v WHERE v.customer_id = r.customer_id AND {time}")
            }
            Did::Bought | Did::Ordered => {
                let placed = match what {
                    Did::Bought => "o.counts = TRUE",
                    _ => "o.status NOT IN ('draft', 'test')",
                };
                let time = self.time("o.placed_at", *within);
                let with = of.as_ref().map_or(String::new(), |of| {
                    let product = self.product("l.product_id", of);
                    format!(
                        " AND EXISTS (SELECT 1 FROM order_lines l WHERE l.customer_id = o.customer_id \
                         AND l.order_id = o.order_id AND {product})"
                    )
                });
                format!(
                    "orders o WHERE o.customer_id = r.customer_id AND {placed} AND {time}{with}"
                )
            }
            Did::Viewed | Did::Carted | Did::CheckedOut => {
                let (kind, products) = match what {
                    Did::Viewed => ("product_viewed", "product"),
                    Did::Carted => ("cart_changed", "products"),
                    _ => ("checkout_started", "products"),
                };
                let time = self.time("f.occurred_at", *within);
                let mut said = format!(
                    "facts f WHERE f.customer_id = r.customer_id AND f.kind = '{kind}' AND {time}"
                );
                let _ = write!(said, " AND {} IS NULL", self.told("context", "bot"));
                if *what == Did::Carted {
                    let _ = write!(said, " AND {} <> 'removed'", self.told("body", "change"));
                }
                if let Some(of) = of {
                    let with = self.with_product(products, of);
                    let _ = write!(said, " AND {with}");
                }
                said
            }
        };
        let holds = if *at_least == 1 {
            format!("EXISTS (SELECT 1 FROM {deeds})")
        } else {
            let n = self.whole(i64::from(*at_least));
            format!("(SELECT COUNT(*) FROM {deeds}) >= {n}")
        };
        if *never { format!("NOT {holds}") } else { holds }
    }

    /// A text of a fact's payload.
    fn told(&self, part: &str, key: &str) -> String {
        match self.asked.dialect {
            Dialect::Sqlite => format!("json_extract(f.payload, '$.{part}.{key}')"),
            Dialect::Postgres => format!("(f.payload::jsonb -> '{part}' ->> '{key}')"),
        }
    }

    /// Whether the fact's product, or one of its products, is the one.
    fn with_product(&mut self, key: &str, of: &Of) -> String {
        match (self.asked.dialect, key) {
            (_, "product") => {
                let id = match self.asked.dialect {
                    Dialect::Sqlite => "json_extract(f.payload, '$.body.product.id')",
                    Dialect::Postgres => "(f.payload::jsonb -> 'body' -> 'product' ->> 'id')",
                };
                self.product(id, of)
            }
            (Dialect::Sqlite, _) => {
                let product = self.product("json_extract(item.value, '$.id')", of);
                format!(
                    "EXISTS (SELECT 1 FROM json_each(f.payload, '$.body.products') item WHERE {product})"
                )
            }
            (Dialect::Postgres, _) => {
                let product = self.product("(item ->> 'id')", of);
                format!(
                    "EXISTS (SELECT 1 FROM jsonb_array_elements(\
                     COALESCE(f.payload::jsonb -> 'body' -> 'products', '[]'::jsonb)) item WHERE {product})"
                )
            }
        }
    }

    fn product(&mut self, at: &str, of: &Of) -> String {
        match of {
            Of::Product(id) => format!("{at} = {}", self.text(id)),
            Of::Category(name) => {
                let category = self.folded("p.category");
                let name = self.text(&folded(name));
                format!(
                    "{at} IN (SELECT p.product_id FROM products p WHERE p.store_id = $1 AND {category} = {name})"
                )
            }
        }
    }

    /// Not later than now, and not longer ago than `within`.
    fn time(&mut self, at: &str, within: Option<Delay>) -> String {
        let now = self.whole(self.asked.now.0);
        match within {
            None => format!("{at} <= {now}"),
            Some(within) => {
                let since = self.whole(self.asked.now.minus(within).0);
                format!("{at} <= {now} AND {at} > {since}")
            }
        }
    }
}

fn truth(flag: bool) -> &'static str {
    if flag { "TRUE" } else { "FALSE" }
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::Ne => "<>",
        Op::Lt => "<",
        Op::Lte => "<=",
        Op::Gt => ">",
        Op::Gte => ">=",
        _ => "=",
    }
}

fn mirrored(op: Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::Lte => Op::Gte,
        Op::Gt => Op::Lt,
        Op::Gte => Op::Lte,
        same => same,
    }
}

/// Among whole numbers `n` that stand for `n / scale`: the least that is `value` or more, and the least that is more.
struct Bounds {
    reached: i64,
    passed: i64,
}

impl Bounds {
    fn of(value: f64, scale: f64) -> Self {
        let least = |is_there: &dyn Fn(f64) -> bool| {
            // The division rounds: the bound lies within a few steps of the product.
            let product = (value * scale).floor();
            if product.abs() >= 4e18 {
                return if product > 0.0 { i64::MAX } else { i64::MIN };
            }
            let guess = product as i64 - 4;
            (guess..guess + 10).find(|n| is_there(*n as f64 / scale)).unwrap_or(guess + 10)
        };
        Self { reached: least(&|n| n >= value), passed: least(&|n| n > value) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(dialect: Dialect) -> Asked {
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        Asked { store: StoreId(1), decimals: 2, now, dialect }
    }

    #[test]
    fn a_question_of_totals_reads_the_rollups_alone() {
        let condition: Condition = serde_json::from_str(
            r#"{"all":[{"field":"orders_count","op":"gte","value":2},{"field":"spent","op":"lt","value":19.99}]}"#,
        )
        .unwrap();
        let query = Query::of(Some(&condition), &asked(Dialect::Sqlite));
        assert!(
            query.from.starts_with("FROM rollups r WHERE r.store_id = $1 AND"),
            "{}",
            query.from
        );
        assert!(
            query.from.ends_with("((r.orders_count) >= $2 AND (r.spent) < $3)"),
            "{}",
            query.from
        );
        assert_eq!(query.params, [Param::Whole(1), Param::Whole(2), Param::Whole(1999)]);
    }

    proptest! {
        #[test]
        fn bounds_are_where_the_comparison_changes(value in 0..10_000_000_i64, scale in prop::sample::select(vec![1.0, 10.0, 100.0, 1000.0, 86_400e6])) {
            let value = value as f64 / 1e3;
            let Bounds { reached, passed } = Bounds::of(value, scale);
            prop_assert!(reached as f64 / scale >= value && ((reached - 1) as f64 / scale) < value);
            prop_assert!(passed as f64 / scale > value && (passed - 1) as f64 / scale <= value);
        }

        #[test]
        fn parameters_appear_in_their_order(condition in crate::rules::samples::any_condition()) {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let query = Query::of(Some(&condition), &asked(dialect));
                // SQLite numbers parameters as they first appear.
                let mut next = 1;
                for (at, _) in query.from.match_indices('$') {
                    let digits: String = query.from[at + 1..].chars().take_while(char::is_ascii_digit).collect();
                    // A path into a document begins so too.
                    let Ok(n) = digits.parse::<usize>() else { continue };
                    prop_assert!(n <= next, "{}", query.from);
                    next = next.max(n + 1);
                }
                prop_assert_eq!(next - 1, query.params.len());
            }
        }
    }
}
