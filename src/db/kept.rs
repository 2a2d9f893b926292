//! Statements that each connection prepares once and keeps.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Double, HasSqlType, Nullable, Text};

use super::Conn;
use crate::primitives::{CustomerId, Timestamp};

/// A query whose text comes again and again. diesel keeps by itself only what it can tell by its type: no list, no update,
/// and no SQL of our own. To read such a statement and plan it costs more than to run it, most of all on PostgreSQL
/// over a table in parts.
///
/// Each text is kept for as long as its connection lives, so texts must be few: lists are brought to [`few_lengths`],
/// rows to [`few_sizes`], and what differs from call to call is bound.
#[derive(Debug, Clone, Copy)]
pub struct Kept<Q>(Q);

pub fn kept<Q>(query: Q) -> Kept<Q> {
    Kept(query)
}

impl<Q, DB> QueryFragment<DB> for Kept<Q>
where
    DB: Backend,
    Q: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Kept<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Kept<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C: diesel::connection::Connection> RunQueryDsl<C> for Kept<Q> {}

/// Lets PostgreSQL plan each kept statement of this transaction once for all its values, and by indexes. Left to itself
/// it plans a look at sixteen parts of a table anew each time, which takes longer than the look; and what it planned
/// while the tables were small it would keep when they are large.
pub fn plan_once(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Postgres(pg) => pg.batch_execute(
            "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL jit = off",
        ),
        Conn::Sqlite(_) => Ok(()),
    }
}

/// The list brought to a length that is a power of two: its last entry stands there again until then, which changes
/// nothing where it is asked what is among them.
pub fn few_lengths<T: Clone>(list: &[T]) -> Vec<T> {
    let mut longer = list.to_vec();
    if let Some(last) = list.last() {
        longer.resize(list.len().next_power_of_two(), last.clone());
    }
    longer
}

/// Rows to be written, in parts whose sizes are powers of two, at most `most`, which is one.
pub fn few_sizes<T>(rows: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let largest = rest.len().checked_ilog2()?;
        let (part, others) = rest.split_at((1 << largest).min(most));
        rest = others;
        Some(part)
    })
}

/// `$3, $4, $5`: so many parameters from the third on.
pub fn parameters(from: usize, n: usize) -> String {
    (from..from + n).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// A statement whose text is one of few, whatever is bound to it; its rows are of the type `Row` in SQL.
///
/// SQL of our own for the few queries that are asked all the time: the columns of a [`kept`] `diesel::sql_query` are looked
/// up by name in every row, these are read by place. Never put a value into the text: each would be a statement of its own.
#[derive(Debug, Clone)]
pub struct Prepared<Row> {
    parts: Vec<Part>,
    row: PhantomData<Row>,
}

#[derive(Debug, Clone)]
enum Part {
    Sql(Cow<'static, str>),
    Value(Value),
}

/// What is bound.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Integer(Option<i64>),
    Float(Option<f64>),
    Text(Cow<'static, str>),
}

macro_rules! value_of {
    ($($of:ty: |$value:ident| $integer:expr),*) => {$(
        impl From<$of> for Value {
            fn from($value: $of) -> Self {
                Self::Integer(Some($integer))
            }
        }
        impl From<Option<$of>> for Value {
            fn from(value: Option<$of>) -> Self {
                Self::Integer(value.map(|$value| $integer))
            }
        }
    )*};
}

value_of!(
    i64: |n| n, i32: |n| n.into(), i16: |n| n.into(), Timestamp: |at| at.0, CustomerId: |id| id.0
);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(Some(value))
    }
}

impl From<Option<f64>> for Value {
    fn from(value: Option<f64>) -> Self {
        Self::Float(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(value.into())
    }
}

impl<Row> Prepared<Row> {
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { parts: vec![Part::Sql(sql.into())], row: PhantomData }
    }

    pub fn sql(self, sql: impl Into<Cow<'static, str>>) -> Self {
        self.with(Part::Sql(sql.into()))
    }

    pub fn value(self, value: impl Into<Value>) -> Self {
        self.with(Part::Value(value.into()))
    }

    pub fn text(self, value: impl Into<Cow<'static, str>>) -> Self {
        self.with(Part::Value(Value::Text(value.into())))
    }

    fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }
}

impl<Row> Query for Prepared<Row> {
    type SqlType = Row;
}

// Known again by its text.
impl<Row> QueryId for Prepared<Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row, DB> QueryFragment<DB> for Prepared<Row>
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Double> + HasSqlType<Text>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
    Option<f64>: ToSql<Nullable<Double>, DB>,
    Cow<'static, str>: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for part in &self.parts {
            match part {
                Part::Sql(sql) => out.push_sql(sql),
                Part::Value(Value::Integer(value)) => {
                    out.push_bind_param::<Nullable<BigInt>, _>(value)?
                }
                Part::Value(Value::Float(value)) => {
                    out.push_bind_param::<Nullable<Double>, _>(value)?
                }
                Part::Value(Value::Text(value)) => out.push_bind_param::<Text, _>(value)?,
            }
        }
        Ok(())
    }
}

impl<Row, C> RunQueryDsl<C> for Prepared<Row> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_rows_come_in_few_lengths() {
        assert_eq!(few_lengths(&[1, 2, 3, 4, 5]), [1, 2, 3, 4, 5, 5, 5, 5]);
        assert_eq!(few_lengths::<i32>(&[]), [0; 0]);
        let rows: Vec<usize> = (0..300).collect();
        let sizes = |n: usize| few_sizes(&rows[..n], 128).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(300), [128, 128, 32, 8, 4]);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(parameters(3, 2), "$3, $4");
    }
}
