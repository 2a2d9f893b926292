//! Which rule an order is credited to. Credit is shared out, never counted twice, and says nothing about cause.
//!
//! An order goes to the mail whose link a person followed last in the seven days before it; where nobody followed any,
//! to the last mail sent in those days. It is worth what is left of it after refunds; one wholly refunded, or
//! cancelled, is worth no credit at all.

use std::collections::{BTreeMap, BTreeSet};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::rows::order::Order;
use crate::db::Conn;
use crate::db::schema::{mail_events, messages, orders};
use crate::primitives::{CustomerId, Delay, MessageId, RuleId, Timestamp};
use crate::stores::Store;

/// How long before an order a click or a mail may lie.
pub const WITHIN: Delay = Delay::days(7);

/// From an instant up to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What a rule is credited with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    pub rule_id: RuleId,
    pub orders: i64,
    /// Of these, after a click.
    pub clicked: i64,
    /// Net of refunds, in minor units of the store's currency; orders in another enter no sum.
    pub revenue: i64,
    /// What refunds took back of it.
    pub refunded: i64,
}

/// One order with the mail that it is credited to.
#[derive(Debug, Clone, PartialEq)]
pub struct CreditedOrder {
    pub order: Order,
    pub message_id: MessageId,
    pub rule_id: RuleId,
    /// By a click on it, else by its having been sent.
    pub clicked: bool,
}

/// By rule, for orders placed within `span`.
pub fn by_rule(conn: &mut Conn, store: &Store, span: Span) -> QueryResult<Vec<Credit>> {
    let mut rules: BTreeMap<RuleId, Credit> = BTreeMap::new();
    let mut from = span.from;
    let until = end(conn, store, span)?;
    while from < until {
        let slice = Span { from, until: from.plus(SLICE).min(until) };
        for CreditedOrder { order, rule_id, clicked, .. } in credited(conn, store, slice)? {
            let none = Credit { rule_id, orders: 0, clicked: 0, revenue: 0, refunded: 0 };
            let credit = rules.entry(rule_id).or_insert(none);
            credit.orders += 1;
            credit.clicked += i64::from(clicked);
            if order.currency == store.currency {
                credit.revenue += order.total - order.refunded;
                credit.refunded += order.refunded;
            }
        }
        from = slice.until;
    }
    Ok(rules.into_values().collect())
}

/// The orders credited to `rule`, or to any, newest first, after `after`: (placed_at, order id) of the page before.
pub fn orders(
    conn: &mut Conn,
    store: &Store,
    rule: Option<RuleId>,
    span: Span,
    after: Option<&(Timestamp, String)>,
    limit: i64,
) -> QueryResult<Vec<CreditedOrder>> {
    let limit = usize::try_from(limit).unwrap_or(0);
    let mut until = end(conn, store, span)?;
    if let Some((at, _)) = after {
        until = until.min(Timestamp(at.0 + 1));
    }
    let is_further = |order: &Order| {
        after.is_none_or(|(at, id)| {
            order.placed_at < *at || (order.placed_at == *at && order.order_id > *id)
        })
    };
    let is_asked = |found: &CreditedOrder| {
        rule.is_none_or(|rule| found.rule_id == rule) && is_further(&found.order)
    };
    let mut found: Vec<CreditedOrder> = Vec::new();
    // A page is mostly filled by the last days: how far back is looked grows as it does not.
    let mut length = Delay::days(1);
    while until > span.from && found.len() < limit {
        let slice = Span { from: until.minus(length).max(span.from), until };
        let mut orders = credited(conn, store, slice)?;
        orders.retain(is_asked);
        orders.sort_by(|CreditedOrder { order: a, .. }, CreditedOrder { order: b, .. }| {
            (b.placed_at, &a.order_id).cmp(&(a.placed_at, &b.order_id))
        });
        found.extend(orders);
        until = slice.from;
        length = Delay::seconds((length.as_seconds() * 2).min(SLICE.as_seconds()));
    }
    found.truncate(limit);
    Ok(found)
}

/// So much of a span is looked at at once: a store's mails and orders of some weeks fit into memory.
const SLICE: Delay = Delay::days(30);

/// Where the span ends, or the store's orders do.
fn end(conn: &mut Conn, store: &Store, span: Span) -> QueryResult<Timestamp> {
    let last: Option<Timestamp> = orders::table
        .filter(orders::store_id.eq(store.id))
        .order(orders::placed_at.desc())
        .select(orders::placed_at)
        .first(conn)
        .optional()?;
    Ok(last.map_or(span.from, |last| Timestamp(last.0 + 1).min(span.until)))
}

/// What an order can be credited to: whose, when, its own id, the mail, the mail's rule. Sorted, the last one before an
/// order is found by search.
type Cause = (CustomerId, Timestamp, i64, MessageId, RuleId);

/// The orders placed within `slice` that some mail is credited with.
///
/// Who bought, what was sent and what was clicked are each read along an index that holds all that is asked, and put
/// together here: asking each of a hundred thousand buyers for their mails takes the databases ten times as long. Only
/// the orders that something came before are visited.
fn credited(conn: &mut Conn, store: &Store, slice: Span) -> QueryResult<Vec<CreditedOrder>> {
    let bought: Vec<(CustomerId, Timestamp)> = orders::table
        .filter(orders::store_id.eq(store.id))
        .filter(orders::placed_at.ge(slice.from).and(orders::placed_at.lt(slice.until)))
        .select((orders::customer_id, orders::placed_at))
        .load(conn)?;
    if bought.is_empty() {
        return Ok(Vec::new());
    }
    let since = slice.from.minus(WITHIN);
    // Words and no values: an index over some of the rows is chosen by what the statement says.
    let mut sent: Vec<Cause> = messages::table
        .filter(messages::store_id.eq(store.id).and(sql::<Bool>("status = 'sent'")))
        .filter(messages::sent_at.ge(since).and(messages::sent_at.lt(slice.until)))
        .select((
            messages::customer_id,
            messages::sent_at.assume_not_null(),
            messages::id,
            messages::id,
            messages::rule_id,
        ))
        .load(conn)?;
    sent.sort_unstable();
    let mut clicked: Vec<Cause> = mail_events::table
        .filter(mail_events::store_id.eq(store.id))
        .filter(mail_events::at.ge(since).and(mail_events::at.lt(slice.until)))
        .filter(sql::<Bool>("kind = 'click' AND verdict = 'human'"))
        .select((
            mail_events::customer_id,
            mail_events::at,
            mail_events::id,
            mail_events::message_id,
            mail_events::rule_id,
        ))
        .load(conn)?;
    clicked.sort_unstable();
    let cause = |(customer, at): (CustomerId, Timestamp)| match last(&clicked, customer, at) {
        Some(click) => Some((click, true)),
        None => last(&sent, customer, at).map(|send| (send, false)),
    };
    let buyers: BTreeSet<CustomerId> = bought
        .into_iter()
        .filter(|order| cause(*order).is_some())
        .map(|(customer, _)| customer)
        .collect();
    let buyers: Vec<CustomerId> = buyers.into_iter().collect();
    let mut found = Vec::new();
    for some in buyers.chunks(500) {
        let placed: Vec<Order> = Order::query()
            .filter(orders::customer_id.eq_any(some).and(orders::counts.eq(true)))
            .load(conn)?;
        found.extend(placed.into_iter().filter_map(|order| {
            let is_in_slice = (slice.from..slice.until).contains(&order.placed_at);
            let cause = cause((order.customer_id, order.placed_at)).filter(|_| is_in_slice);
            let ((.., message_id, rule_id), clicked) = cause?;
            Some(CreditedOrder { order, message_id, rule_id, clicked })
        }));
    }
    Ok(found)
}

/// The last of the customer's not after `at`, unless it lies too far back.
fn last(causes: &[Cause], customer: CustomerId, at: Timestamp) -> Option<Cause> {
    let after = causes.partition_point(|(of, when, ..)| (*of, *when) <= (customer, at));
    let cause = *causes.get(after.checked_sub(1)?)?;
    (cause.0 == customer && cause.1 >= at.minus(WITHIN)).then_some(cause)
}
