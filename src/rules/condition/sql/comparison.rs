//! A field compared with a value, and texts compared as `folded` folds them.

use super::super::{Comparison, Op, Operand, folded};
use super::column::Column;
use super::{Dialect, Param, Writer};

impl Writer<'_> {
    pub(super) fn comparison(&mut self, Comparison { field, op, operand }: &Comparison) -> String {
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

    pub(super) fn on_text(&mut self, at: &str, op: Op, operand: &Operand) -> String {
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
    pub(super) fn folded(&self, at: &str) -> String {
        match self.asked.dialect {
            Dialect::Sqlite => format!("replace(lower({at}), '_', '-')"),
            Dialect::Postgres => format!("replace(lower({at} COLLATE \"C\"), '_', '-')"),
        }
    }

    /// Whether a JSON list of texts holds one.
    pub(super) fn among(&mut self, list: &str, value: &str) -> String {
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
}

pub(super) fn truth(flag: bool) -> &'static str {
    if flag { "TRUE" } else { "FALSE" }
}

pub(super) fn sign(op: Op) -> &'static str {
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

    proptest! {
        #[test]
        fn bounds_are_where_the_comparison_changes(value in 0..10_000_000_i64, scale in prop::sample::select(vec![1.0, 10.0, 100.0, 1000.0, 86_400e6])) {
            let value = value as f64 / 1e3;
            let Bounds { reached, passed } = Bounds::of(value, scale);
            prop_assert!(reached as f64 / scale >= value && ((reached - 1) as f64 / scale) < value);
            prop_assert!(passed as f64 / scale > value && (passed - 1) as f64 / scale <= value);
        }
    }
}
