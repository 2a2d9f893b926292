//! A condition as SQL: the same question asked of a whole store at once. Pure: it writes the words, others run them.
//!
//! It must agree with `Condition::holds` on every customer, which a test holds it to on both databases. Numbers are
//! compared as the columns keep them, minor units and microseconds, so that an index can serve; the bounds are those
//! at which the float that a document's number is compared with changes its answer.

mod column;
mod comparison;
mod deeds;
mod traits;

use std::fmt::Write;

use super::Condition;
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
            Condition::Received(received) => self.received(received),
        }
    }

    fn joined(&mut self, parts: &[Condition], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.condition(part)).collect();
        format!("({})", parts.join(word))
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
