//! A rule's days in shadow beside what the backtest says of the same days: for its page and for the API.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::Serialize;

use super::{App, backtests};
use crate::backtest::{BacktestError, Contest, Fate, Report, Window};
use crate::primitives::{CustomerId, RuleId, Timestamp};
use crate::reports::shadow::{self, Decided, OfOne, Shadowed};
use crate::rules;
use crate::stores::Store;

/// One figure by both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Both {
    /// What the rule decided live.
    pub shadow: u64,
    pub backtest: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    pub rule: String,
    /// It still is in shadow.
    pub in_shadow: bool,
    pub from: Date,
    /// No longer compared.
    pub to: Date,
    /// Entered the rule, held out included.
    pub entered: Both,
    pub would_send: Both,
    pub per_day: Vec<Day>,
    /// Every outcome with its reason, the most frequent first.
    pub outcomes: Vec<Kind>,
    pub note: String,
    /// In whom the two differ.
    #[serde(skip)]
    pub apart: Vec<Apart>,
}

/// One outcome of one customer, where shadow and backtest count it differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    pub customer: CustomerId,
    pub outcome: String,
    pub reason: Option<String>,
    pub n: Both,
}

impl Compared {
    /// The customers in whom the figure of these outcomes differs, each with theirs by both. `reason`: `None` takes
    /// every one.
    pub fn apart_in(
        &self,
        outcomes: &[&str],
        reason: Option<Option<&str>>,
    ) -> Vec<(CustomerId, Both)> {
        let mut people: BTreeMap<CustomerId, Both> = BTreeMap::new();
        let is_of = |one: &&Apart| {
            outcomes.contains(&one.outcome.as_str())
                && reason.is_none_or(|reason| one.reason.as_deref() == reason)
        };
        for one in self.apart.iter().filter(is_of) {
            let both = people.entry(one.customer).or_default();
            both.shadow += one.n.shadow;
            both.backtest += one.n.backtest;
        }
        people.retain(|_, both| both.shadow != both.backtest);
        people.into_iter().rev().collect()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Day {
    pub date: Date,
    pub entered: Both,
    pub sends: Both,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// `sent`: would have been.
    pub outcome: String,
    pub reason: Option<String>,
    #[serde(flatten)]
    pub n: Both,
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum NoComparison {
    #[error(
        "the rule never was in shadow: set its status to shadow, and come back in a day or two"
    )]
    Never,
    #[error(
        "the rule has not been in shadow for a whole day, midnight to midnight in the store's zone"
    )]
    NotYet,
    #[error(transparent)]
    Backtest(#[from] BacktestError),
}

/// What the two differ by for reasons that are known.
pub const NOTE: &str = "The backtest begins at the first midnight: who entered before it is unknown to it. \
    It takes facts as they were known at each moment, the settings and the other rules as they are now, \
    and leaves the daily budget and the feed's heartbeat out.";

pub async fn compare(
    app: &App,
    store: Store,
    rule: RuleId,
    now: Timestamp,
) -> Result<Compared, NoComparison> {
    let asked = store.clone();
    let found = app.db.read(move |conn| -> Result<_, BacktestError> {
        let Some(run) = shadow::last(conn, &asked, rule, now)? else { return Ok(None) };
        let decided = shadow::decided(conn, &asked, rule, run.from, run.to)?;
        let of_each = shadow::decided_of_each(conn, &asked, rule, run.from, run.to)?;
        Ok(Some((run, decided, of_each, rules::store::live(conn, asked.id)?)))
    });
    let (run, decided, of_each, live) = found.await?.ok_or(NoComparison::Never)?;
    if run.from >= run.to {
        return Err(NoComparison::NotYet);
    }
    let window = Window { from: run.from, to: run.to };
    let contest = Contest::new(store, run.rule.clone(), live).naming_people();
    let report = backtests::run(app, contest, window).await?;
    Ok(Compared { apart: apart(of_each, &report.people), ..side_by_side(&run, &decided, &report) })
}

fn apart(decided: Vec<OfOne>, replayed: &[Fate]) -> Vec<Apart> {
    let mut all: BTreeMap<(CustomerId, String, Option<String>), Both> = BTreeMap::new();
    for one in decided {
        all.entry((one.customer, one.outcome, one.reason)).or_default().shadow += one.n;
    }
    for fate in replayed {
        let reason = fate.reason.map(|reason| reason.as_str().to_owned());
        let kind = (fate.customer, fate.outcome.as_str().to_owned(), reason);
        all.entry(kind).or_default().backtest += fate.n;
    }
    let differ = all.into_iter().filter(|(_, both)| both.shadow != both.backtest);
    differ.map(|((customer, outcome, reason), n)| Apart { customer, outcome, reason, n }).collect()
}

fn side_by_side(run: &Shadowed, decided: &Decided, report: &Report) -> Compared {
    let mut kinds: BTreeMap<(String, Option<String>), Both> = BTreeMap::new();
    for (kind, n) in &decided.outcomes {
        kinds.entry(kind.clone()).or_default().shadow += n;
    }
    for count in &report.outcomes {
        let reason = count.reason.map(|reason| reason.as_str().to_owned());
        kinds.entry((count.outcome.as_str().to_owned(), reason)).or_default().backtest += count.n;
    }
    let sum = |wanted: &[&str]| {
        let of = kinds.iter().filter(|((outcome, _), _)| wanted.contains(&outcome.as_str()));
        of.fold(Both::default(), |sum, (_, n)| Both {
            shadow: sum.shadow + n.shadow,
            backtest: sum.backtest + n.backtest,
        })
    };
    let (entered, would_send) = (sum(&["enrolled", "held_out"]), sum(&["sent"]));
    let mut outcomes: Vec<Kind> =
        kinds.into_iter().map(|((outcome, reason), n)| Kind { outcome, reason, n }).collect();
    outcomes.sort_by_key(|kind| std::cmp::Reverse(kind.n.shadow.max(kind.n.backtest)));
    let dates: BTreeSet<Date> = report.per_day.iter().map(|day| day.date).collect();
    let per_day = dates.into_iter().filter_map(|date| {
        let there = report.per_day.iter().find(|day| day.date == date)?;
        let [entered, sends] = decided.days.get(&date).copied().unwrap_or_default();
        Some(Day {
            date,
            entered: Both { shadow: entered, backtest: there.enrolled },
            sends: Both { shadow: sends, backtest: there.sends },
        })
    });
    Compared {
        rule: run.rule.key.clone(),
        in_shadow: run.ended.is_none(),
        from: run.from,
        to: run.to,
        entered,
        would_send,
        per_day: per_day.collect(),
        outcomes,
        note: NOTE.to_owned(),
        apart: Vec::new(),
    }
}
