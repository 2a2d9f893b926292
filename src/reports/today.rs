//! The day so far, beside the same weekday a week before; what moved it; what went out and what is due.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};
use jiff::civil::Date;

use super::capped_count;
use super::credit;
use crate::db::Conn;
use crate::db::schema::{scoring_runs, visits};
use crate::primitives::{Delay, Timestamp, Zone};
use crate::stores::Store;

/// What a span of time came to. Money in the store's currency, minor units.
///
/// GMV counts every order placed, whether paid yet or not, before refunds; drafts, tests and cancelled ones are left out.
/// An order in another currency counts as an order and enters no sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    pub gmv: i64,
    pub orders: i64,
    pub buyers: i64,
    pub visitors: i64,
}

impl Totals {
    /// Buyers per visitor. `None` where more people bought than were seen: the tracking does not cover the shop.
    pub fn conversion(&self) -> Option<f64> {
        (self.visitors > 0 && self.buyers <= self.visitors)
            .then(|| self.buyers as f64 / self.visitors as f64)
    }

    /// What one buyer spent: with this, GMV is exactly visitors × conversion × order value.
    pub fn order_value(&self) -> Option<f64> {
        (self.buyers > 0).then(|| self.gmv as f64 / self.buyers as f64)
    }

    pub fn visitor_value(&self) -> Option<f64> {
        (self.visitors > 0).then(|| self.gmv as f64 / self.visitors as f64)
    }
}

#[derive(QueryableByName)]
struct OrderTotals {
    #[diesel(sql_type = BigInt)]
    gmv: i64,
    #[diesel(sql_type = BigInt)]
    orders: i64,
    #[diesel(sql_type = BigInt)]
    buyers: i64,
}

/// Totals of `[from, until)`.
pub fn totals(
    conn: &mut Conn,
    store: &Store,
    from: Timestamp,
    until: Timestamp,
) -> QueryResult<Totals> {
    let orders: OrderTotals = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(CASE WHEN currency = $1 THEN total ELSE 0 END), 0) AS BIGINT) AS gmv, \
         COUNT(*) AS orders, COUNT(DISTINCT customer_id) AS buyers FROM orders \
         WHERE store_id = $2 AND placed_at >= $3 AND placed_at < $4 AND status IN ('open', 'paid', 'refunded')",
    )
    .bind::<Text, _>(store.currency.as_str())
    .bind::<BigInt, _>(store.id)
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(until)
    .get_result(conn)?;
    Ok(Totals {
        gmv: orders.gmv,
        orders: orders.orders,
        buyers: orders.buyers,
        visitors: visitors(conn, store, from, until)?,
    })
}

/// How many people began a visit in `[from, until)`.
fn visitors(conn: &mut Conn, store: &Store, from: Timestamp, until: Timestamp) -> QueryResult<i64> {
    let begun = visits::table
        .filter(visits::store_id.eq(store.id))
        .filter(visits::started_at.ge(from).and(visits::started_at.lt(until)));
    match conn {
        Conn::Postgres(pg) => {
            let people = diesel::dsl::count(visits::customer_id).aggregate_distinct();
            begun.select(people).get_result(pg)
        }
        // SQLite tells alike ones apart in a tree on which it spends five times what it takes to hand them out.
        Conn::Sqlite(sqlite) => {
            let mut people: Vec<i64> = begun.select(visits::customer_id).load(sqlite)?;
            people.sort_unstable();
            people.dedup();
            Ok(people.len() as i64)
        }
    }
}

/// A day in a zone: its bounds, and the instant of it that is as late as `now` is in its own day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub date: Date,
    pub start: Timestamp,
    pub end: Timestamp,
    /// The same time of day as now; on a day when that is skipped, right after the gap.
    pub until: Timestamp,
}

impl Day {
    pub fn at(date: Date, now: Timestamp, zone: &Zone) -> Self {
        let start = zone.start_of(date);
        let end = date.tomorrow().map_or(Timestamp::MAX, |next| zone.start_of(next));
        let time = zone.tz().to_datetime(now.to_jiff()).time();
        let until = zone
            .tz()
            .to_ambiguous_zoned(date.to_datetime(time))
            .compatible()
            .map_or(end, |zoned| Timestamp::from(zoned.timestamp()));
        Self { date, start, end, until: until.max(start).min(end) }
    }
}

/// The spans that can be looked at: so many days, today so far included.
pub const PERIODS: [i64; 4] = [1, 7, 30, 90];

/// Whole days, but for the last, which ends at its `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: Day,
    pub last: Day,
}

impl Span {
    fn ending(last: Date, days: i64, now: Timestamp, zone: &Zone) -> Self {
        let first = last.saturating_sub(jiff::Span::new().days(days - 1));
        Self { first: Day::at(first, now, zone), last: Day::at(last, now, zone) }
    }

    pub fn start(&self) -> Timestamp {
        self.first.start
    }

    pub fn until(&self) -> Timestamp {
        self.last.until
    }
}

/// The last `days` days, and what they are held against: a single day against the same weekday a week before, for
/// weekdays differ; several against as many right before them. Both end at the same time of day.
pub fn spans(now: Timestamp, zone: &Zone, days: i64) -> (Span, Span) {
    let today = now.day_in(zone);
    let back = if days == 1 { 7 } else { days };
    let before = today.saturating_sub(jiff::Span::new().days(back));
    (Span::ending(today, days, now, zone), Span::ending(before, days, now, zone))
}

/// Each factor's part of the change of GMV; the parts add up to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    pub visitors: i64,
    pub conversion: i64,
    pub order_value: i64,
}

/// Splits the change of GMV = visitors × conversion × order value between its factors.
///
/// The logarithmic mean Divisia split (Ang 2005, LMDI-I): part = L(new, old) · ln(factor new / factor old) with
/// L(a, b) = (a − b) / ln(a / b). It leaves no remainder and favours no order of the factors. `None` where a
/// factor is zero or unknown on either day: no split is meaningful then.
///
/// ```
/// use homing::reports::today::{Totals, moved};
/// let before = Totals { gmv: 3_564_100, orders: 199, buyers: 199, visitors: 7_905 };
/// let now = Totals { gmv: 3_616_200, orders: 194, buyers: 194, visitors: 8_412 };
/// let parts = moved(now, before).unwrap();
/// assert_eq!(parts.visitors + parts.conversion + parts.order_value, 3_616_200 - 3_564_100);
/// assert!(parts.visitors > 0 && parts.conversion < 0 && parts.order_value > 0);
/// ```
pub fn moved(now: Totals, before: Totals) -> Option<Moved> {
    let (new, old) = (now.gmv as f64, before.gmv as f64);
    if new <= 0.0 || old <= 0.0 {
        return None;
    }
    let mean = if now.gmv == before.gmv { new } else { (new - old) / (new / old).ln() };
    let part = |new: f64, old: f64| (mean * (new / old).ln()).round() as i64;
    let visitors = part(now.visitors as f64, before.visitors as f64);
    let conversion = part(now.conversion()?, before.conversion()?);
    // What rounding leaves goes to the last part, so that the column adds up to the cent.
    Some(Moved { visitors, conversion, order_value: now.gmv - before.gmv - visitors - conversion })
}

#[derive(QueryableByName)]
struct HourSum {
    #[diesel(sql_type = BigInt)]
    hour: i64,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// GMV of each hour since `day` began, 24 of them; on a day of 25 hours the last holds two.
pub fn gmv_by_hour(conn: &mut Conn, store: &Store, day: Day) -> QueryResult<[i64; 24]> {
    let start = day.start.0;
    let rows: Vec<HourSum> = diesel::sql_query(format!(
        "SELECT (placed_at - {start}) / 3600000000 AS hour, CAST(SUM(total) AS BIGINT) AS n FROM orders \
         WHERE store_id = $1 AND placed_at >= $2 AND placed_at < $3 AND currency = $4 \
         AND status IN ('open', 'paid', 'refunded') GROUP BY 1",
    ))
    .bind::<BigInt, _>(store.id)
    .bind::<BigInt, _>(day.start)
    .bind::<BigInt, _>(day.end)
    .bind::<Text, _>(store.currency.as_str())
    .load(conn)?;
    Ok(by_hour(rows))
}

/// GMV of each day of the span; of its last day, as far as the span goes.
pub fn gmv_by_day(conn: &mut Conn, store: &Store, span: Span) -> QueryResult<Vec<i64>> {
    // Clocks differ from UTC by whole quarters of an hour: quarters add up to days, whatever the clocks do.
    const QUARTER: i64 = 900_000_000;
    let rows: Vec<HourSum> = diesel::sql_query(format!(
        "SELECT placed_at / {QUARTER} AS hour, CAST(SUM(total) AS BIGINT) AS n FROM orders \
         WHERE store_id = $1 AND placed_at >= $2 AND placed_at < $3 AND currency = $4 \
         AND status IN ('open', 'paid', 'refunded') GROUP BY 1",
    ))
    .bind::<BigInt, _>(store.id)
    .bind::<BigInt, _>(span.start())
    .bind::<BigInt, _>(span.until())
    .bind::<Text, _>(store.currency.as_str())
    .load(conn)?;
    let number = |at: Timestamp| at.day_number(&store.timezone);
    let first = number(span.first.start);
    let mut days = vec![0; (number(span.last.start) - first + 1) as usize];
    for row in rows {
        let day = number(Timestamp(row.hour * QUARTER)) - first;
        let day = usize::try_from(day).unwrap_or(0).min(days.len() - 1);
        days[day] += row.n;
    }
    Ok(days)
}

fn by_hour(rows: Vec<HourSum>) -> [i64; 24] {
    let mut hours = [0; 24];
    for row in rows {
        hours[row.hour.clamp(0, 23) as usize] += row.n;
    }
    hours
}

/// Messages of one day by the hour they are, or were, scheduled for.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub sent: [i64; 24],
    pub to_go: [i64; 24],
    /// Rule key, name's place in the list, and how many are still to go.
    pub by_rule: Vec<(i64, i64)>,
}

#[derive(QueryableByName)]
struct RuleCount {
    #[diesel(sql_type = BigInt)]
    rule_id: i64,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub fn due(conn: &mut Conn, store: &Store, day: Day) -> QueryResult<Due> {
    let (start, end, id) = (day.start.0, day.end.0, store.id.0);
    let mut by_status = |statuses: &str| -> QueryResult<[i64; 24]> {
        diesel::sql_query(format!(
            "SELECT (scheduled_at - {start}) / 3600000000 AS hour, COUNT(*) AS n FROM messages \
             WHERE store_id = {id} AND status IN ({statuses}) AND NOT shadow AND scheduled_at >= {start} AND scheduled_at < {end} GROUP BY 1",
        ))
        .load(conn)
        .map(by_hour)
    };
    let sent = by_status("'sent', 'in_doubt', 'failed'")?;
    let to_go = by_status("'scheduled', 'sending'")?;
    let by_rule: Vec<RuleCount> = diesel::sql_query(format!(
        "SELECT rule_id, COUNT(*) AS n FROM messages WHERE store_id = {id} AND status IN ('scheduled', 'sending') AND NOT shadow \
         AND scheduled_at >= {start} AND scheduled_at < {end} GROUP BY rule_id ORDER BY n DESC, rule_id LIMIT 8",
    ))
    .load(conn)?;
    Ok(Due { sent, to_go, by_rule: by_rule.into_iter().map(|row| (row.rule_id, row.n)).collect() })
}

/// What one rule sent in a span, and what its recipients ordered within a week of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WentOut {
    pub sent: i64,
    /// Messages that an order followed; two messages before one order share it, so each order counts once.
    pub orders: i64,
    pub credited: i64,
}

#[derive(QueryableByName)]
struct SentRow {
    #[diesel(sql_type = BigInt)]
    rule_id: i64,
    #[diesel(sql_type = BigInt)]
    sent: i64,
}

/// By rule id, for messages sent since `since`.
///
/// Orders since then are credited as `credit` says.
pub fn went_out(
    conn: &mut Conn,
    store: &Store,
    since: Timestamp,
) -> QueryResult<HashMap<i64, WentOut>> {
    let (id, since) = (store.id.0, since.0);
    // A message is sent soon after its scheduled time: the index on that bounds the rows, sent_at decides.
    let recent = since - Delay::days(1).micros();
    let sent: Vec<SentRow> = diesel::sql_query(format!(
        "SELECT rule_id, COUNT(*) AS sent FROM messages WHERE rule_id IN (SELECT id FROM rules WHERE store_id = {id}) \
         AND status = 'sent' AND scheduled_at >= {recent} AND sent_at >= {since} GROUP BY rule_id",
    ))
    .load(conn)?;
    let credits = credit::by_rule(
        conn,
        store,
        credit::Span { from: Timestamp(since), until: Timestamp::MAX },
    )?;
    let mut rules: HashMap<i64, WentOut> = HashMap::new();
    for row in sent {
        rules.entry(row.rule_id).or_default().sent = row.sent;
    }
    for row in credits {
        let rule = rules.entry(row.rule_id.0).or_default();
        (rule.orders, rule.credited) = (row.orders, row.revenue);
    }
    Ok(rules)
}

/// How many came onto the at-risk list since `since`, by segments entered; at most `CAP` + 1.
///
/// `None` in a look into the past, and while the first run is not older: everyone entered a segment then.
pub fn newly_at_risk(conn: &mut Conn, store: &Store, since: Timestamp) -> QueryResult<Option<i64>> {
    let (id, since) = (store.id.0, since.0);
    let first: Option<Timestamp> = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store.id).and(scoring_runs::historic.eq(false)))
        .order(scoring_runs::id)
        .select(scoring_runs::ran_at)
        .first(conn)
        .optional()?;
    let shown = super::shown(conn, store)?;
    if first.is_none_or(|ran_at| ran_at.0 >= since) || shown.is_none_or(|shown| shown.historic) {
        return Ok(None);
    }
    let segments = super::at_risk::SEGMENTS.map(|s| format!("'{s}'")).join(", ");
    capped_count(
        conn,
        &format!(
            "FROM scores WHERE store_id = {id} AND segment IN ({segments}) AND segment_since >= {since}"
        ),
    )
    .map(Some)
}

/// Whether the store has anything to show at all: an order, or a visit.
pub fn anything(conn: &mut Conn, store: &Store) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Any {
        #[diesel(sql_type = Integer)]
        n: i32,
    }
    let id = store.id.0;
    let any: Any = diesel::sql_query(format!(
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM orders WHERE store_id = {id}) \
         OR EXISTS (SELECT 1 FROM visits WHERE store_id = {id}) THEN 1 ELSE 0 END AS INTEGER) AS n",
    ))
    .get_result(conn)?;
    Ok(any.n == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up_to_the_change_whatever_the_numbers() {
        for (now, before) in
            [((8_412, 194, 36_162), (7_905, 199, 35_641)), ((3, 1, 7), (1_000, 999, 1))]
        {
            let day = |(visitors, buyers, gmv)| Totals { gmv, orders: buyers, buyers, visitors };
            let parts = moved(day(now), day(before)).unwrap();
            assert_eq!(parts.visitors + parts.conversion + parts.order_value, now.2 - before.2);
        }
    }

    #[test]
    fn a_day_without_sales_or_with_unseen_buyers_is_not_split() {
        let day = |visitors, buyers, gmv| Totals { gmv, orders: buyers, buyers, visitors };
        assert_eq!(moved(day(10, 1, 5), day(10, 0, 0)), None);
        assert_eq!(moved(day(10, 11, 5), day(10, 1, 5)), None);
        assert_eq!(day(10, 11, 5).conversion(), None);
        assert_eq!(day(0, 0, 0).visitor_value(), None);
    }

    #[test]
    fn last_week_is_cut_at_the_same_time_of_day_over_daylight_saving() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let now: Timestamp = "2026-03-31T08:42:00Z".parse().unwrap(); // 10:42 in summer time
        let (today, before) = spans(now, &berlin, 1);
        assert_eq!(today.until(), now);
        assert_eq!(before.until().to_string(), "2026-03-24T09:42:00Z", "10:42 in winter time");
        assert_eq!(before.start().to_string(), "2026-03-23T23:00:00Z");
    }

    #[test]
    fn several_days_are_held_against_as_many_right_before_them() {
        let shanghai: Zone = "Asia/Shanghai".parse().unwrap();
        let now: Timestamp = "2026-11-24T02:42:00Z".parse().unwrap();
        for days in [7, 30, 90] {
            let (span, before) = spans(now, &shanghai, days);
            assert_eq!(span.until(), now);
            assert_eq!(before.last.end, span.start(), "{days} days");
            assert_eq!(span.start().0 - before.start().0, days * 86_400_000_000);
            assert_eq!(span.until().0 - before.until().0, days * 86_400_000_000);
        }
        assert_eq!(spans(now, &shanghai, 7).0.start().to_string(), "2026-11-17T16:00:00Z");
    }
}
