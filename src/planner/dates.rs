//! Rules that count from a day of the year: whose birthday or anniversary falls due, found by an index.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use jiff::civil::Date;

use super::episode::window;
use super::store::Reach;
use crate::customers::DayTold;
use crate::db::Conn;
use crate::primitives::{CustomerId, Delay, Timestamp, Zone};
use crate::rules::{DayOffset, FIRST_ORDER, StoredRule};
use crate::stores::Store;

/// No zone is further ahead of UTC, or further behind.
const EAST: Delay = Delay::hours(14);
const WEST: Delay = Delay::hours(12);
/// Every zone's midnight falls on a multiple of this.
const QUARTER: i64 = 900_000_000;

#[derive(QueryableByName)]
struct Candidate {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
    #[diesel(sql_type = Nullable<Text>)]
    timezone: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    first_order_at: Option<Timestamp>,
}

/// Customers whose day, moved by `offset`, begins in their own zone within the rule's window and has no enrolment yet.
///
/// Days begin on quarter hours: between two of them nothing is asked of the database for what fell due. What it
/// returns is asked again, under lock.
pub fn due(
    conn: &mut Conn,
    store: &Store,
    rule: &StoredRule,
    (field, offset): (&str, DayOffset),
    now: Timestamp,
    reach: Reach,
) -> QueryResult<Vec<CustomerId>> {
    let live_since = rule.live_since.unwrap_or(now);
    let live_since = rule.rule.include_past.map_or(live_since, |past| live_since.minus(past));
    let mut after = now.minus(window(rule)).max(live_since);
    let changed = match reach {
        Reach::DueSince(since) => {
            after = after.max(since);
            None
        }
        Reach::ChangedSince(at) => Some(at),
        Reach::Window => None,
    };
    let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
    let mut due = Vec::new();
    for day in days_beginning(after, now) {
        let Ok(told) = day.checked_sub(offset.span()) else { continue };
        let found = if field == FIRST_ORDER {
            of_first_orders(conn, rule, day, told, changed)?
        } else {
            of_profiles(conn, rule, field, day, told, changed)?
        };
        for candidate in found {
            let zone = match candidate.timezone {
                Some(name) => zones.entry(name).or_insert_with_key(|name| {
                    name.parse().unwrap_or_else(|_| store.timezone.clone())
                }),
                None => &store.timezone,
            };
            let begins = zone.start_of(day);
            let is_its_day = candidate
                .first_order_at
                .is_none_or(|at| DayTold::from(at.day_in(zone)).in_year(told.year()) == Some(told));
            if begins > after && begins <= now && is_its_day {
                due.push(candidate.customer_id);
            }
        }
    }
    Ok(due)
}

/// The days that begin somewhere on earth after `after` and not after `until`.
fn days_beginning(after: Timestamp, until: Timestamp) -> Vec<Date> {
    if after >= until {
        return Vec::new();
    }
    let utc = Zone::utc();
    let first = after.minus(WEST).day_in(&utc);
    let last = until.plus(EAST).day_in(&utc);
    let begins_somewhere = |day: &Date| {
        let midnight = utc.start_of(*day);
        let from = Timestamp(after.0 + 1).max(midnight.minus(EAST));
        let to = until.min(midnight.plus(WEST));
        // The first quarter hour from there on.
        (from.0 + QUARTER - 1).div_euclid(QUARTER) * QUARTER <= to.0
    };
    first
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= last)
        .filter(begins_somewhere)
        .collect()
}

/// The episode is the day, whatever the zone: a customer who moves to another has no second birthday.
pub fn episode_of(day: Date) -> Timestamp {
    Zone::utc().start_of(day)
}

/// A changed profile is looked at from its change, not from the days of everybody else.
fn from(changed: Option<Timestamp>, table: &str) -> String {
    match changed {
        None => table.to_owned(),
        Some(_) => format!("rollups q CROSS JOIN {table}"),
    }
}

const NOT_YET: &str = "NOT EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = c.id AND e.rule_id = $2 AND e.episode = $3)";

fn of_profiles(
    conn: &mut Conn,
    rule: &StoredRule,
    field: &str,
    day: Date,
    told: Date,
    changed: Option<Timestamp>,
) -> QueryResult<Vec<Candidate>> {
    let month_day = DayTold::from(told).month_day();
    // In common years the 28th is the day of those of the 29th, too.
    let leap = if month_day == 228 && !told.in_leap_year() { 229 } else { month_day };
    let of_changed = match changed {
        None => "CAST($7 AS BIGINT) IS NULL",
        Some(_) => "q.store_id = $1 AND q.changed_at >= $7 AND d.customer_id = q.customer_id",
    };
    let sql = format!(
        "SELECT c.id AS customer_id, c.timezone, CAST(NULL AS BIGINT) AS first_order_at FROM {} \
         JOIN customers c ON c.id = d.customer_id WHERE d.store_id = $1 AND {NOT_YET} \
         AND d.field = $4 AND d.month_day IN ($5, $6) AND {of_changed}",
        from(changed, "customer_days d")
    );
    diesel::sql_query(sql)
        .bind::<BigInt, _>(rule.store)
        .bind::<BigInt, _>(rule.id)
        .bind::<BigInt, _>(episode_of(day))
        .bind::<Text, _>(field)
        .bind::<SmallInt, _>(month_day)
        .bind::<SmallInt, _>(leap)
        .bind::<Nullable<BigInt>, _>(changed)
        .load(conn)
}

/// By the index over first orders, a range for each year that there were any.
fn of_first_orders(
    conn: &mut Conn,
    rule: &StoredRule,
    day: Date,
    told: Date,
    changed: Option<Timestamp>,
) -> QueryResult<Vec<Candidate>> {
    #[derive(QueryableByName)]
    struct Earliest {
        #[diesel(sql_type = Nullable<BigInt>)]
        at: Option<Timestamp>,
    }
    let earliest: Earliest = diesel::sql_query(
        "SELECT MIN(first_order_at) AS at FROM rollups WHERE store_id = $1 AND first_order_at IS NOT NULL",
    )
    .bind::<BigInt, _>(rule.store)
    .get_result(conn)?;
    let Some(earliest) = earliest.at else { return Ok(Vec::new()) };
    let utc = Zone::utc();
    let of_changed = match changed {
        None => "CAST($6 AS BIGINT) IS NULL",
        Some(_) => "q.changed_at >= $6 AND q.customer_id = r.customer_id",
    };
    let sql = format!(
        "SELECT c.id AS customer_id, c.timezone, r.first_order_at FROM {} JOIN customers c ON c.id = r.customer_id \
         WHERE r.store_id = $1 AND {NOT_YET} AND r.first_order_at >= $4 AND r.first_order_at < $5 AND {of_changed}",
        from(changed, "rollups r")
    );
    let mut found = Vec::new();
    for year in earliest.minus(EAST).day_in(&utc).year()..told.year() {
        // The day before, too: a 29th of February is kept on the 28th.
        let Some(then) = DayTold::from(told).in_year(year) else { continue };
        let next = if told.month() == 2 { Delay::days(2) } else { Delay::days(1) };
        let begins = utc.start_of(then);
        let of_year: Vec<Candidate> = diesel::sql_query(&sql)
            .bind::<BigInt, _>(rule.store)
            .bind::<BigInt, _>(rule.id)
            .bind::<BigInt, _>(episode_of(day))
            .bind::<BigInt, _>(begins.minus(EAST))
            .bind::<BigInt, _>(begins.plus(next).plus(WEST))
            .bind::<Nullable<BigInt>, _>(changed)
            .load(conn)?;
        found.extend(of_year);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn between_quarter_hours_no_day_begins() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let days = |after, until| {
            let days = days_beginning(at(after), at(until));
            days.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(days("2026-06-01T12:00:01Z", "2026-06-01T12:14:59Z"), [""; 0]);
        assert_eq!(
            days("2026-06-01T11:59:58Z", "2026-06-01T12:00:03Z"),
            ["2026-06-01", "2026-06-02"]
        );
        assert_eq!(
            days("2026-06-01T09:59:58Z", "2026-06-01T10:00:03Z"),
            ["2026-06-01", "2026-06-02"]
        );
        assert_eq!(days("2026-06-01T00:00:00Z", "2026-06-01T00:00:00Z"), [""; 0]);
    }

    proptest! {
        #[test]
        fn every_zones_midnight_is_among_them(
            zone in prop::sample::select(vec![
                "Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati",
                "Pacific/Chatham", "Pacific/Pago_Pago", "Africa/Cairo", "America/Asuncion", "UTC",
            ]),
            at in 1_700_000_000_i64..1_900_000_000, span in 1..400_000_i64,
        ) {
            let zone: Zone = zone.parse().unwrap();
            let (after, until) = (Timestamp(at * 1_000_000), Timestamp((at + span) * 1_000_000));
            let days = days_beginning(after, until);
            let mut day = after.day_in(&zone);
            while zone.start_of(day) <= until {
                let begins = zone.start_of(day);
                prop_assert!(begins <= after || days.contains(&day), "{day} of {days:?}");
                day = day.tomorrow().unwrap();
            }
        }
    }
}
