//! Traits as SQL: values of any type in one JSON document, each compared as its own type alone.

use super::super::{Op, Operand, TraitAsked};
use super::comparison::{sign, truth};
use super::{Dialect, Param, Writer};

impl Writer<'_> {
    /// A trait's name holds nothing that either path language could trip over: the reader saw to that.
    pub(super) fn asked_trait(&mut self, TraitAsked { name, op, operand }: &TraitAsked) -> String {
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
}
