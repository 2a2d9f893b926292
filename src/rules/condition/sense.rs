//! Can a condition hold of anybody? What contradicts itself is found as far as it shows without knowing a customer. Pure.

use std::collections::BTreeSet;

use super::{Behaviour, Comparison, Condition, Op, Operand, folded};

impl Condition {
    /// Two parts that are asked for at once and exclude each other, in words; `None` where none show.
    pub fn contradiction(&self) -> Option<String> {
        match self {
            Self::All(_) => {
                let mut parts = Vec::new();
                self.conjuncts(&mut parts);
                let own = parts.iter().find_map(|part| part.contradiction());
                own.or_else(|| {
                    let pairs = parts
                        .iter()
                        .enumerate()
                        .flat_map(|(n, a)| parts[n + 1..].iter().map(move |b| (*a, *b)));
                    let (a, b) = { pairs }.find(|(a, b)| exclude(a, b))?;
                    Some(format!("{a}, and {b}"))
                })
            }
            Self::Any(parts) => {
                let all: Option<Vec<String>> = parts.iter().map(Self::contradiction).collect();
                all?.into_iter().next()
            }
            _ => None,
        }
    }

    /// The rules without whose mail it holds of nobody.
    pub fn rules_demanded(&self) -> BTreeSet<&str> {
        let mut parts = Vec::new();
        self.conjuncts(&mut parts);
        let demanded = parts.into_iter().filter_map(|part| match part {
            Self::Received(received) => Some(received.rule.as_str()),
            _ => None,
        });
        demanded.collect()
    }

    /// What must all hold.
    fn conjuncts<'c>(&'c self, into: &mut Vec<&'c Self>) {
        match self {
            Self::All(parts) => parts.iter().for_each(|part| part.conjuncts(into)),
            other => into.push(other),
        }
    }
}

fn exclude(a: &Condition, b: &Condition) -> bool {
    match (a, b) {
        (Condition::Is(a), Condition::Is(b)) if a.field == b.field => compared(a, b),
        (Condition::Did(a), Condition::Did(b)) => rules_out(a, b) || rules_out(b, a),
        (Condition::Not(a), b) | (b, Condition::Not(a)) => **a == *b,
        _ => false,
    }
}

/// Of one field.
fn compared(a: &Comparison, b: &Comparison) -> bool {
    match (&a.operand, &b.operand) {
        (Operand::Number(x), Operand::Number(y)) => {
            let (above, below) = (bounds(a.op, *x), bounds(b.op, *y));
            is_empty(above, below) || is_empty(below, above)
        }
        (Operand::Text(x), Operand::Text(y)) => match (a.op, b.op) {
            (Op::Eq, Op::Eq) => folded(x) != folded(y),
            (Op::Eq, Op::Ne) | (Op::Ne, Op::Eq) => folded(x) == folded(y),
            _ => false,
        },
        (Operand::Flag(x), Operand::Flag(y)) => a.op == Op::Eq && b.op == Op::Eq && x != y,
        _ => false,
    }
}

/// The least and the greatest value that it allows, each with whether it is allowed itself.
type Bounds = ((f64, bool), (f64, bool));

fn bounds(op: Op, n: f64) -> Bounds {
    let (lowest, highest) = ((f64::NEG_INFINITY, false), (f64::INFINITY, false));
    match op {
        Op::Eq => ((n, true), (n, true)),
        Op::Gt => ((n, false), highest),
        Op::Gte => ((n, true), highest),
        Op::Lt => (lowest, (n, false)),
        Op::Lte => (lowest, (n, true)),
        _ => (lowest, highest),
    }
}

/// Whether nothing lies above the least of `a` and below the greatest of `b`.
fn is_empty(a: Bounds, b: Bounds) -> bool {
    let ((least, has_least), (greatest, has_greatest)) = (a.0, b.1);
    least > greatest || (least == greatest && !(has_least && has_greatest))
}

/// Whether `never` leaves no room for `did`.
fn rules_out(never: &Behaviour, did: &Behaviour) -> bool {
    let same_thing = never.what == did.what && (never.of.is_none() || never.of == did.of);
    let whole_time = match (never.within, did.within) {
        (None, _) => true,
        (Some(never), Some(did)) => never >= did,
        (Some(_), None) => false,
    };
    never.never && !did.never && same_thing && whole_time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Condition {
        serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    #[test]
    fn what_excludes_itself_is_found() {
        for json in [
            r#"{"all":[{"field":"spent","op":"gt","value":100},{"field":"spent","op":"lte","value":100}]}"#,
            r#"{"all":[{"field":"orders_count","op":"eq","value":0},{"all":[{"field":"orders_count","op":"eq","value":2}]}]}"#,
            r#"{"all":[{"field":"country","op":"eq","value":"CN"},{"field":"country","op":"eq","value":"DE"}]}"#,
            r#"{"all":[{"did":"bought","within":"30d"},{"never":"bought","within":"60d"}]}"#,
            r#"{"all":[{"tag":"vip"},{"not":{"tag":"vip"}}]}"#,
            r#"{"any":[{"all":[{"did":"bought"},{"never":"bought"}]}]}"#,
        ] {
            assert!(read(json).contradiction().is_some(), "{json}");
        }
        for json in [
            r#"{"all":[{"field":"spent","op":"gte","value":100},{"field":"spent","op":"lte","value":100}]}"#,
            r#"{"all":[{"field":"spent","op":"gt","value":100},{"field":"orders_count","op":"lt","value":100}]}"#,
            r#"{"all":[{"did":"bought"},{"never":"bought","within":"60d"}]}"#,
            r#"{"all":[{"did":"bought"},{"never":"bought","product":"pot"}]}"#,
            r#"{"any":[{"did":"bought"},{"never":"bought"}]}"#,
        ] {
            assert_eq!(read(json).contradiction(), None, "{json}");
        }
    }

    #[test]
    fn a_rule_is_demanded_where_nothing_else_would_do() {
        let all = read(
            r#"{"all":[{"received":"a"},{"all":[{"received":"b"}]},{"any":[{"received":"c"},{"tag":"x"}]}]}"#,
        );
        assert_eq!(all.rules_demanded().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
