//! Watches the live rules: one that bounces, floods or falls silent is paused. Complaints are about the store, and so
//! are bounces of which no rule alone draws enough to tell: then all its marketing mail is paused. An operator lifts
//! the pause. The judgement is pure; the counts come from the ledger, by an index that holds them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::customers::suppression::SuppressionReason;
use crate::db::schema::suppressions;
use crate::db::{Conn, Db, DbError};
use crate::ledger::{Outcome, Reason};
use crate::primitives::{Delay, RuleId, Timestamp};
use crate::rules::{self, Class, PauseReason, StoredRule};
use crate::stores::{self, Store};

const DAY: Delay = Delay::days(1);
/// What is usual is learnt from so many days.
const USUAL: Delay = Delay::days(28);
/// So long without a word from anybody is silence.
const SILENT: Delay = Delay::days(3);
const WEEK: Delay = Delay::days(7);

/// What a rule did lately, beside what it usually does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Doings {
    /// Messages of the last day that left, and that the mail server refused for good.
    pub sent: i64,
    pub refused: i64,
    /// Who entered in the last day.
    pub entered: i64,
    /// Decisions of the last three days.
    pub decisions: i64,
    /// Who entered on each of the 28 days before the last, and decisions on each of the 28 before the last three;
    /// days without any are left out.
    pub usually_entered: Vec<i64>,
    pub usual_decisions: Vec<i64>,
    /// For how many days its trigger has been live.
    pub live_days: i64,
}

/// Why the rule should be paused, if it should.
pub fn judge(doings: &Doings) -> Option<PauseReason> {
    let tried = doings.sent + doings.refused;
    // Beyond 5 % the large providers begin to refuse everything.
    if doings.refused >= 5 && tried >= 50 && doings.refused * 20 > tried {
        return Some(PauseReason::Bounces);
    }
    // Ten times the busiest day there was is no busy day: the trigger, or the feed, went wrong.
    let busiest = doings.usually_entered.iter().max().copied().unwrap_or(0);
    let is_settled = doings.live_days >= 7 && doings.usually_entered.len() >= 5;
    if is_settled && doings.entered >= 200 && doings.entered > busiest * 10 {
        return Some(PauseReason::Flood);
    }
    // Where five and more came on most days, three days without any are no chance.
    let days = doings.usual_decisions.len() as i64;
    let is_usual = days >= 14 && doings.usual_decisions.iter().sum::<i64>() >= 5 * days;
    if is_usual && doings.decisions == 0 && doings.live_days >= 28 {
        return Some(PauseReason::Silence);
    }
    None
}

/// Whether too many of those whom the store wrote to in a week complained: beyond 0.3 % mail goes to the spam folder.
fn too_many_complaints(complaints: i64, sent: i64) -> bool {
    complaints >= 3 && complaints * 1_000 > sent * 3
}

/// What was paused, and why; its text says how to lift it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    Rule { key: String, reason: PauseReason },
    Sending(PauseReason),
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule { key, reason } => write!(
                f,
                "rule {key} is paused: {reason}. When that is mended: homing rules resume {key}"
            ),
            Self::Sending(reason) => write!(
                f,
                "all marketing mail of the store is paused: {reason}. When that is mended: homing rules resume --sending"
            ),
        }
    }
}

/// Pauses the rules of `store` that should be, or all its marketing mail; returns what was paused now.
///
/// # Errors
/// The database fails.
pub fn watch(db: &Db, store: &Store, now: Timestamp) -> Result<Vec<Stopped>, DbError> {
    let (rules, sending) =
        db.read_here(|conn| -> Result<_, DbError> { Ok(judge_all(conn, store, now)?) })?;
    if rules.is_empty() && sending.is_none() {
        return Ok(Vec::new());
    }
    db.write_here(|conn| -> Result<_, DbError> {
        rules::store::lock(conn)?;
        let mut stopped = Vec::new();
        for (rule, reason) in rules {
            if rules::store::pause(conn, rule.id, reason, now)? {
                stopped.push(Stopped::Rule { key: rule.rule.key, reason });
            }
        }
        if let Some(reason) = sending
            && stores::store::pause(conn, store.id, reason, now)?
        {
            stopped.push(Stopped::Sending(reason));
        }
        Ok(stopped)
    })
}

/// The rules to pause, and why the store's marketing mail is to be, if it is.
type Judged = (Vec<(StoredRule, PauseReason)>, Option<PauseReason>);

fn judge_all(conn: &mut Conn, store: &Store, now: Timestamp) -> QueryResult<Judged> {
    // Those who complained before an operator lifted the pause have been heard.
    let since = |at: Timestamp| store.resumed_at.map_or(at, |resumed| resumed.max(at));
    let mut sent_of_week = 0;
    let mut rules = Vec::new();
    let mut others = Doings::default();
    for rule in rules::store::live(conn, store.id)? {
        let week = counts(conn, rule.id, since(now.minus(WEEK)), now)?;
        sent_of_week += sum(&week, |c| c.is(Outcome::Sent, None));
        let own = doings(conn, &rule, now)?;
        match judge(&own) {
            Some(reason) => rules.push((rule, reason)),
            None if rule.rule.class == Class::Marketing => {
                let live_since = rule.live_since.unwrap_or(now);
                let day = counts(conn, rule.id, since(now.minus(DAY).max(live_since)), now)?;
                others.sent += sum(&day, |c| c.is(Outcome::Sent, None));
                others.refused += sum(&day, refused);
            }
            None => {}
        }
    }
    let complaints = suppressions::table
        .filter(suppressions::store_id.eq(store.id))
        .filter(suppressions::reason.eq(SuppressionReason::Complaint))
        .filter(suppressions::created_at.gt(since(now.minus(WEEK))));
    let complaints: i64 = diesel::QueryDsl::count(complaints).get_result(conn)?;
    let sending = if too_many_complaints(complaints, sent_of_week) {
        Some(PauseReason::Complaints)
    } else {
        judge(&others)
    };
    Ok((rules, sending))
}

fn refused(count: &Count) -> bool {
    count.is(Outcome::Failed, Some(Reason::RefusedByServer))
}

fn doings(conn: &mut Conn, rule: &StoredRule, now: Timestamp) -> QueryResult<Doings> {
    let live_since = rule.live_since.unwrap_or(now);
    // What was before the rule went live, or an operator lifted its pause, is settled.
    let after = |at: Timestamp| at.max(live_since);
    let day = counts(conn, rule.id, after(now.minus(DAY)), now)?;
    let lately = counts(conn, rule.id, now.minus(SILENT), now)?;
    let mut doings = Doings {
        sent: sum(&day, |c| c.is(Outcome::Sent, None)),
        refused: sum(&day, refused),
        entered: sum(&day, |c| c.is(Outcome::Enrolled, None)),
        decisions: sum(&lately, |_| true),
        live_days: now.days_since(live_since).max(0.0) as i64,
        ..Doings::default()
    };
    // What is usual is asked only where it can matter: it costs a month of the ledger.
    if doings.entered >= 200 {
        let outcome = "AND outcome = 'enrolled'";
        doings.usually_entered = by_day(conn, rule.id, now.minus(DAY), outcome)?;
    }
    if doings.decisions == 0 {
        doings.usual_decisions = by_day(conn, rule.id, now.minus(SILENT), "")?;
    }
    Ok(doings)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

impl Count {
    fn is(&self, outcome: Outcome, reason: Option<Reason>) -> bool {
        let same_reason =
            reason.is_none_or(|reason| self.reason.as_deref() == Some(reason.as_str()));
        self.outcome == outcome.as_str() && same_reason
    }
}

fn sum(counts: &[Count], wanted: impl Fn(&Count) -> bool) -> i64 {
    counts.iter().filter(|count| wanted(count)).map(|count| count.n).sum()
}

/// Decisions of a rule in (from, to], by outcome and reason.
fn counts(
    conn: &mut Conn,
    rule: RuleId,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<Count>> {
    diesel::sql_query(
        "SELECT outcome, reason, COUNT(*) AS n FROM decisions WHERE rule_id = $1 AND at > $2 AND at <= $3 \
         GROUP BY outcome, reason",
    )
    .bind::<BigInt, _>(rule)
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(to)
    .load(conn)
}

/// How many decisions of `which` kind a rule made on each of the 28 days before `until`; days without any are left
/// out.
fn by_day(conn: &mut Conn, rule: RuleId, until: Timestamp, which: &str) -> QueryResult<Vec<i64>> {
    #[derive(QueryableByName)]
    struct OfDay {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let (from, until) = (until.minus(USUAL).0, until.0);
    let days: Vec<OfDay> = diesel::sql_query(format!(
        "SELECT COUNT(*) AS n FROM decisions WHERE rule_id = $1 AND at > {from} AND at <= {until} {which} \
         GROUP BY (at - {from}) / 86400000000"
    ))
    .bind::<BigInt, _>(rule)
    .load(conn)?;
    Ok(days.into_iter().map(|day| day.n).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled() -> Doings {
        Doings { live_days: 60, ..Doings::default() }
    }

    #[test]
    fn refusals_beyond_five_per_cent_pause_once_there_are_enough_to_tell() {
        let doings = |sent, refused| Doings { sent, refused, ..settled() };
        assert_eq!(judge(&doings(94, 6)), Some(PauseReason::Bounces));
        assert_eq!(judge(&doings(95, 5)), None, "five per cent");
        assert_eq!(judge(&doings(10, 9)), None, "too few to tell");
    }

    #[test]
    fn ten_times_the_busiest_day_is_a_flood() {
        let usually = vec![20, 31, 8, 12, 25];
        let doings = |entered| Doings { entered, usually_entered: usually.clone(), ..settled() };
        assert_eq!(judge(&doings(311)), Some(PauseReason::Flood));
        assert_eq!(judge(&doings(310)), None);
        let new = Doings { live_days: 2, ..doings(5_000) };
        assert_eq!(judge(&new), None, "nobody knows yet what is usual");
    }

    #[test]
    fn three_days_without_a_word_are_silence_where_there_were_many() {
        let doings = |usual: Vec<i64>| Doings { usual_decisions: usual, ..settled() };
        assert_eq!(judge(&doings(vec![6; 20])), Some(PauseReason::Silence));
        assert_eq!(judge(&doings(vec![3; 20])), None, "too few");
        assert_eq!(judge(&doings(vec![60; 6])), None, "a campaign now and then");
        assert_eq!(judge(&Doings { decisions: 1, ..doings(vec![6; 20]) }), None);
    }

    #[test]
    fn complaints_are_told_from_their_share() {
        assert!(too_many_complaints(4, 1_000));
        assert!(!too_many_complaints(3, 1_000), "0.3 %");
        assert!(!too_many_complaints(2, 10), "too few to tell");
    }
}
