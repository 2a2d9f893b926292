//! SQL put together by hand that a connection prepares once and keeps.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Double, HasSqlType, Text};

/// A statement whose text is one of few, whatever is bound to it; its rows are of the type `Row` in SQL.
///
/// `diesel::sql_query` cannot know that: it is prepared anew at every call and its columns are looked up by name, which
/// costs a short query more than what it asks for. Never put a value into the text: each would be a statement of its own.
#[derive(Debug, Clone)]
pub struct Prepared<Row> {
    parts: Vec<Part>,
    row: PhantomData<Row>,
}

#[derive(Debug, Clone)]
enum Part {
    Sql(Cow<'static, str>),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl<Row> Prepared<Row> {
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { parts: vec![Part::Sql(sql.into())], row: PhantomData }
    }

    pub fn sql(self, sql: impl Into<Cow<'static, str>>) -> Self {
        self.with(Part::Sql(sql.into()))
    }

    pub fn integer(self, value: i64) -> Self {
        self.with(Part::Integer(value))
    }

    pub fn float(self, value: f64) -> Self {
        self.with(Part::Float(value))
    }

    pub fn text(self, value: impl Into<String>) -> Self {
        self.with(Part::Text(value.into()))
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
    i64: ToSql<BigInt, DB>,
    f64: ToSql<Double, DB>,
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for part in &self.parts {
            match part {
                Part::Sql(sql) => out.push_sql(sql),
                Part::Integer(value) => out.push_bind_param::<BigInt, _>(value)?,
                Part::Float(value) => out.push_bind_param::<Double, _>(value)?,
                Part::Text(value) => out.push_bind_param::<Text, _>(value)?,
            }
        }
        Ok(())
    }
}

impl<Row, C> RunQueryDsl<C> for Prepared<Row> {}
