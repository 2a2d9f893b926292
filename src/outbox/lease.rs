//! Leases: a message that may leave belongs to one worker, until it is settled or the worker dies.

use std::collections::HashMap;
use std::fmt::Write;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::MessageStatus;
use super::claim::{Claim, Desk};
use crate::db::schema::messages;
use crate::db::{Conn, few_lengths, kept, parameters};
use crate::each_backend;
use crate::primitives::{CustomerId, Delay, MessageId, StoreId, Timestamp};

/// Dead without a word for so long, by the machine's clock.
pub const LEASE: Delay = Delay::seconds(15);

/// Among the scheduled ones again: the attempt did not take place.
macro_rules! scheduled_again {
    () => {
        (
            messages::status.eq(MessageStatus::Scheduled),
            messages::attempts.eq(messages::attempts - 1),
            messages::lease_until.eq(None::<Timestamp>),
            messages::lease_owner.eq(None::<String>),
        )
    };
}

/// What was judged fit to leave, not leased yet: all of it is, by one statement.
#[derive(Default)]
pub struct Leases(Vec<Claim>);

#[derive(QueryableByName)]
struct Leased {
    #[diesel(sql_type = BigInt)]
    id: MessageId,
    #[diesel(sql_type = Nullable<Text>)]
    variant: Option<String>,
}

impl Leases {
    pub fn add(&mut self, claim: Claim) {
        self.0.push(claim);
    }

    pub fn has_any_of(&self, customer: CustomerId) -> bool {
        self.0.iter().any(|claim| claim.message.customer_id == customer)
    }

    /// Leases them to `owner`, and returns those that were.
    pub fn write(&mut self, conn: &mut Conn, desk: &Desk, owner: &str) -> QueryResult<Vec<Claim>> {
        let mut claims = std::mem::take(&mut self.0);
        if claims.is_empty() {
            return Ok(claims);
        }
        let rows: Vec<&Claim> = few_lengths(&claims.iter().collect::<Vec<_>>());
        let sql = format!(
            "UPDATE messages SET status = 'sending', held_for = NULL, attempts = attempts + 1, claimed_at = $1, \
             lease_until = $2, lease_owner = $3, address = v.column3, exit = v.column4 FROM ({}) AS v \
             WHERE messages.customer_id = v.column1 AND messages.id = v.column2 AND messages.status = 'scheduled' \
             AND messages.customer_id IN ({}) RETURNING id, variant",
            values(rows.len(), 4, 3),
            // Twice, since PostgreSQL would read the table's parts from end to end for the join.
            parameters(4 + 4 * rows.len(), rows.len())
        );
        let leased: Vec<Leased> = each_backend!(conn, c => {
            let mut query = diesel::sql_query(sql)
                .into_boxed()
                .bind::<BigInt, _>(desk.at.now)
                .bind::<BigInt, _>(desk.at.machine.plus(LEASE))
                .bind::<Text, _>(owner);
            for claim in &rows {
                query = query
                    .bind::<BigInt, _>(claim.message.customer_id)
                    .bind::<BigInt, _>(claim.message.id)
                    .bind::<Text, _>(&claim.address)
                    .bind::<Nullable<Text>, _>(claim.by_other_exit.then_some("else"));
            }
            for claim in &rows {
                query = query.bind::<BigInt, _>(claim.message.customer_id);
            }
            kept(query).load(c)
        })?;
        let mut variants: HashMap<MessageId, Option<String>> =
            leased.into_iter().map(|row| (row.id, row.variant)).collect();
        // Only what is leased may leave.
        claims.retain_mut(|claim| match variants.remove(&claim.message.id) {
            Some(variant) => {
                claim.variant = variant;
                true
            }
            None => false,
        });
        Ok(claims)
    }
}

/// `VALUES ($4, $5), ($6, $7)`: so many rows of so many parameters, after `bound` others. Both databases call their
/// columns `column1` and so on.
pub fn values(rows: usize, columns: usize, bound: usize) -> String {
    let mut text = String::with_capacity(8 + rows * columns * 6);
    text.push_str("VALUES ");
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let separator = if column == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}${}", bound + row * columns + column + 1);
        }
        text.push(')');
    }
    text
}

/// Takes back one claim that was not handed over: it knocks again as any other. Returns whether `owner` still held it.
pub fn take_back(conn: &mut Conn, claim: &Claim, owner: &str) -> QueryResult<usize> {
    let row = messages::table
        .filter(messages::customer_id.eq(claim.message.customer_id))
        .filter(messages::id.eq(claim.message.id))
        .filter(messages::status.eq(MessageStatus::Sending))
        .filter(messages::attempts.eq(claim.message.attempts))
        .filter(messages::lease_owner.eq(owner));
    diesel::update(row).set(scheduled_again!()).execute(conn)
}

/// Takes back what `owner` holds and never began to hand over: the answer to its claim was lost, so that it does not
/// even know. Nothing of `owner` may be in the air. Returns how many.
pub fn give_back(conn: &mut Conn, store: StoreId, owner: &str) -> QueryResult<usize> {
    let held = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::status.eq(MessageStatus::Sending))
        .filter(messages::lease_owner.eq(owner));
    diesel::update(held).set(scheduled_again!()).execute(conn)
}

/// Prolongs all leases of `owner` in `store`, by the machine's clock.
pub fn renew(
    conn: &mut Conn,
    store: StoreId,
    owner: &str,
    machine: Timestamp,
) -> QueryResult<usize> {
    let held = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::status.eq(MessageStatus::Sending))
        .filter(messages::lease_owner.eq(owner));
    diesel::update(held).set(messages::lease_until.eq(machine.plus(LEASE))).execute(conn)
}
