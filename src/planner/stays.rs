//! Who is beyond the line that an `at_risk` rule draws, and since when.
//!
//! Each rule may draw its own line, so that its moment is no column of `scores`: a row per rule and customer holds it,
//! brought up to date, a page of customers at a time, once for every scoring. A rule that just went live, or whose line
//! moved, finds those who are beyond it already: they did not enter today, and fell due before it was live.
//!
//! An estimate trembles at a line, above all when it is learnt anew each week. Nobody is at risk anew for that: who is
//! back on the safe side still stays for [`GRACE`], and the stay goes on if they return within it without having
//! ordered. Only an order, or a longer time on the safe side, ends a stay for good. (A second line some way above the
//! first would do as much for P(alive), but not for a segment, and how far above would be one more thing to explain.)

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use crate::db::schema::{at_risk_watches, scoring_runs};
use crate::db::{Conn, Db, DbError};
use crate::each_backend;
use crate::primitives::{Currency, CustomerId, Delay, StoreId, Timestamp};
use crate::rules::{StoredRule, TriggerKind};
use crate::scoring::VisitorSegment;
use crate::stores::Store;

/// Longer than the week after which predictions are learnt anew, so that two learnings can agree.
pub const GRACE: Delay = Delay::days(14);

/// Customers per transaction.
const PAGE: i64 = 20_000;

/// Brings the stays of `rules` up to the newest scoring. Reads one row for each `at_risk` rule where nothing is new, and
/// nothing where there is no such rule.
///
/// # Errors
/// The database fails.
pub fn follow(db: &Db, store: &Store, rules: &[StoredRule]) -> Result<(), DbError> {
    for rule in rules {
        let Some(line) = Line::of(rule, &store.currency) else { continue };
        let live_since = rule.live_since.unwrap_or(Timestamp::MAX);
        let (watch, newest) = db.read_here(|conn| -> Result<_, DbError> {
            Ok((watch(conn, rule)?, newest_run(conn, store.id)?))
        })?;
        let (run, as_of) = newest.unwrap_or((0, Timestamp::MIN));
        let entered = match watch {
            Some((since, seen)) if since == live_since && seen >= run => continue,
            Some((since, _)) if since == live_since => Entered::At(as_of),
            _ => Entered::Before,
        };
        // The pages together cover all ids: who has a stay and no score any more stands between two of them.
        let mut after = CustomerId(0);
        loop {
            let next = db.write_here(|conn| -> Result<_, DbError> {
                let next = page_end(conn, after)?;
                let upto = next.unwrap_or(CustomerId(i64::MAX));
                let who = Who::Between(after, upto);
                line.bring(conn, who, entered, as_of)?;
                Ok(next)
            })?;
            match next {
                Some(last) => after = last,
                None => break,
            }
        }
        db.write_here(|conn| -> Result<_, DbError> {
            Ok(set_watch(conn, rule, live_since, run)?)
        })?;
    }
    Ok(())
}

/// As [`follow`], for those alone whose rollup changed in (`since`, `until`] and who were scored anew at `now`. The
/// watch stays where it is: of the others nothing is new.
///
/// # Errors
/// The database fails.
pub fn follow_changed(
    db: &Db,
    store: &Store,
    rules: &[StoredRule],
    since: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    for rule in rules {
        let Some(line) = Line::of(rule, &store.currency) else { continue };
        db.write_here(|conn| -> Result<_, DbError> {
            // Where it was never brought up to date, the next pass does all of it.
            if watch(conn, rule)?.map(|(live_since, _)| live_since) == rule.live_since {
                let who = Who::Changed(store.id, since, until);
                line.bring(conn, who, Entered::At(now), now)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Which customers a statement looks at.
#[derive(Clone, Copy)]
enum Who {
    /// After the first, up to and including the second.
    Between(CustomerId, CustomerId),
    /// Of the store: whose rollup changed after the first instant, up to the second.
    Changed(StoreId, Timestamp, Timestamp),
}

impl Who {
    fn are(self, column: &str) -> String {
        match self {
            Self::Between(after, upto) => format!("{column} > {after} AND {column} <= {upto}"),
            Self::Changed(store, since, until) => format!(
                "{column} IN (SELECT r.customer_id FROM rollups r WHERE r.store_id = {} \
                 AND r.changed_at > {} AND r.changed_at <= {})",
                store.0, since.0, until.0
            ),
        }
    }
}

/// Since when those stay whom a statement finds beyond the line for the first time.
#[derive(Clone, Copy)]
enum Entered {
    /// Since this scoring: the one before had them on the safe side.
    At(Timestamp),
    /// The rule is new here: since they came on the at-risk list, or at the earliest since their last order.
    Before,
}

impl Entered {
    /// An expression over the score row `s`. Whoever is scored as a buyer for the first time was found at risk, by an
    /// import, and did not become it now: they count from their last order (design: late news causes no late mail).
    fn sql(self) -> String {
        let at = match self {
            Self::At(at) => at.0.to_string(),
            Self::Before => "s.at_risk_since".to_owned(),
        };
        let of_visitors: Vec<String> =
            VisitorSegment::ALL.iter().map(|segment| format!("'{segment}'")).collect();
        format!(
            "CASE WHEN EXISTS (SELECT 1 FROM segment_history h WHERE h.customer_id = s.customer_id \
             AND h.since < {at} AND h.segment NOT IN ({})) THEN {at} ELSE COALESCE(s.last_order_at, 0) END",
            of_visitors.join(", ")
        )
    }
}

/// The line of one rule. All that its statements are made of are numbers of our own: no binds are needed.
struct Line {
    rule: i64,
    /// What holds of the score row `s` beyond the line.
    beyond: String,
}

impl Line {
    /// `None` for a rule with another trigger.
    ///
    /// A rule without a chance of its own goes by the at-risk list; a value narrows whichever it is down.
    fn of(rule: &StoredRule, currency: &Currency) -> Option<Self> {
        let TriggerKind::AtRisk { p_alive_below, value_above } = &rule.rule.trigger.kind else {
            return None;
        };
        let mut beyond = match p_alive_below {
            Some(p) => format!("s.p_alive < {p}"),
            None => "s.risk_rank IS NOT NULL".to_owned(),
        };
        if let Some(value) = value_above {
            let minor = (value * 10_f64.powi(currency.decimals() as i32)).round() as i64;
            beyond += &format!(" AND s.value_at_risk > {minor}");
        }
        // The plus keeps SQLite from an index by store, all of which it would read for every page.
        let beyond = format!("+s.store_id = {} AND {beyond}", rule.store.0);
        Some(Self { rule: rule.id.0, beyond })
    }

    fn bring(
        &self,
        conn: &mut Conn,
        who: Who,
        entered: Entered,
        now: Timestamp,
    ) -> QueryResult<()> {
        let Self { rule, beyond } = self;
        let of_rule = format!("rule_id = {rule} AND {}", who.are("customer_id"));
        let score = "SELECT 1 FROM scores s WHERE s.customer_id = at_risk_stays.customer_id";
        let over = now.minus(GRACE).0;
        let statements = [
            format!(
                "UPDATE at_risk_stays SET left_at = {} WHERE {of_rule} AND left_at IS NULL \
                 AND NOT EXISTS ({score} AND {beyond})",
                now.0
            ),
            format!(
                "DELETE FROM at_risk_stays WHERE {of_rule} AND left_at IS NOT NULL \
                 AND (left_at <= {over} OR EXISTS ({score} AND s.last_order_at > at_risk_stays.since))"
            ),
            format!(
                "UPDATE at_risk_stays SET left_at = NULL WHERE {of_rule} AND left_at IS NOT NULL \
                 AND EXISTS ({score} AND {beyond})"
            ),
            format!(
                "INSERT INTO at_risk_stays (customer_id, rule_id, since) \
                 SELECT s.customer_id, {rule}, {} FROM scores s WHERE {} AND {beyond} \
                 AND NOT EXISTS (SELECT 1 FROM at_risk_stays y WHERE y.customer_id = s.customer_id AND y.rule_id = {rule}) \
                 ON CONFLICT DO NOTHING",
                entered.sql(),
                who.are("s.customer_id"),
            ),
        ];
        for statement in statements {
            diesel::sql_query(statement).execute(conn)?;
        }
        Ok(())
    }
}

/// Which trigger the rule's stays are of, by when it went live, and up to which run they were brought.
fn watch(conn: &mut Conn, rule: &StoredRule) -> QueryResult<Option<(Timestamp, i64)>> {
    at_risk_watches::table
        .find(rule.id)
        .select((at_risk_watches::live_since, at_risk_watches::run))
        .first(conn)
        .optional()
}

fn set_watch(
    conn: &mut Conn,
    rule: &StoredRule,
    live_since: Timestamp,
    run: i64,
) -> QueryResult<()> {
    let row = (
        at_risk_watches::rule_id.eq(rule.id),
        at_risk_watches::live_since.eq(live_since),
        at_risk_watches::run.eq(run),
    );
    let change = (at_risk_watches::live_since.eq(live_since), at_risk_watches::run.eq(run));
    each_backend!(conn, c => diesel::insert_into(at_risk_watches::table)
        .values(row)
        .on_conflict(at_risk_watches::rule_id)
        .do_update()
        .set(change)
        .execute(c))?;
    Ok(())
}

/// The newest live run that finished, and its time: what `scores` are of.
fn newest_run(conn: &mut Conn, store: StoreId) -> QueryResult<Option<(i64, Timestamp)>> {
    scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .filter(scoring_runs::historic.eq(false))
        .order(scoring_runs::id.desc())
        .select((scoring_runs::id, scoring_runs::as_of))
        .first(conn)
        .optional()
}

#[derive(QueryableByName)]
struct Page {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<CustomerId>,
    #[diesel(sql_type = BigInt)]
    length: i64,
}

/// The last of the next [`PAGE`] customers with a score; `None` where that many are not left.
fn page_end(conn: &mut Conn, after: CustomerId) -> QueryResult<Option<CustomerId>> {
    let page: Page = diesel::sql_query(
        "SELECT MAX(p.customer_id) AS last, COUNT(*) AS length FROM (SELECT customer_id FROM scores \
         WHERE customer_id > $1 ORDER BY customer_id LIMIT $2) AS p",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(PAGE)
    .get_result(conn)?;
    Ok(page.last.filter(|_| page.length == PAGE))
}
