//! Scores as they stood on each day of a replay. Pure.
//!
//! The fifths are learnt for each day from what was known of the store's people at its beginning, or of a fair part
//! of them; forecasts are made by what the store has learnt last, from each customer's history as of the day.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::customers::Rollup;
use crate::primitives::{Currency, CustomerId, RuleId, Timestamp, Zone};
use crate::rules::{StoredRule, TriggerKind};
use crate::scoring::assess::{Assessment, History, Measure, Person, Scored};
use crate::scoring::forecast::Forecaster;
use crate::scoring::learning::Learning;
use crate::scoring::predict::{Day, Known};
use crate::situation::store::folded::ScoreThen;

/// What rules ask of scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// Whether they ask for scores at all.
    pub scores: bool,
    /// Whether a trigger waits for a segment: then every day on which it changes matters.
    pub segments: bool,
    /// Whether anything learnt is asked for, which costs more.
    pub forecasts: bool,
    /// The lines that `at_risk` rules draw.
    pub lines: Vec<Line>,
}

/// Beyond which a rule takes somebody for being at risk.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub rule: RuleId,
    p_alive_below: Option<f64>,
    /// Minor units of the store's currency.
    value_above: Option<i64>,
}

impl Line {
    fn is_passed(&self, scored: &Scored) -> bool {
        let told = scored.forecast.as_ref();
        let is_beyond = match self.p_alive_below {
            Some(line) => told.is_some_and(|told| told.p_alive < line),
            None => scored.risk_rank.is_some(),
        };
        let is_worth = |least: i64| told.is_some_and(|told| told.value_at_risk > least);
        is_beyond && self.value_above.is_none_or(is_worth)
    }
}

impl Asked {
    pub fn by(rules: &[StoredRule], currency: &Currency) -> Self {
        let mut asked = Self::default();
        for rule in rules {
            match rule.rule.trigger.kind {
                TriggerKind::SegmentEntered { .. } => (asked.scores, asked.segments) = (true, true),
                TriggerKind::RepurchaseDue { after: None } => {
                    (asked.scores, asked.forecasts) = (true, true);
                }
                TriggerKind::AtRisk { p_alive_below, value_above } => {
                    (asked.scores, asked.forecasts) = (true, true);
                    let minor = |value: f64| value * 10_f64.powi(currency.decimals() as i32);
                    let value_above = value_above.map(|value| minor(value).round() as i64);
                    asked.lines.push(Line { rule: rule.id, p_alive_below, value_above });
                }
                _ => {}
            }
            for field in rule.rule.conditions().flat_map(|asked| asked.fields()) {
                asked.scores |= field.is_of_scores();
                asked.forecasts |= field.is_forecast();
            }
        }
        asked
    }
}

/// A customer as each day's beginning knew them, where that changed: sorted by day.
pub type Course = Vec<(Day, Person)>;

/// A store's scores on the days of a replay.
pub struct Scores {
    zone: Zone,
    first_day: Day,
    /// One a day.
    measures: Vec<Measure>,
    learning: Option<Learning>,
    asked: Asked,
    nobody: HashMap<CustomerId, Known>,
}

impl Scores {
    /// Measures the store at the beginning of each day of [`first_day`, `last_day`].
    pub fn learn(
        zone: Zone,
        first_day: Day,
        last_day: Day,
        courses: &[Course],
        learning: Option<Learning>,
        asked: Asked,
    ) -> Self {
        let measures = (first_day..=last_day.max(first_day)).into_par_iter().map(|day| {
            let people: Vec<Person> = courses
                .iter()
                .filter_map(|course| {
                    let known = course.partition_point(|(from, _)| *from <= day);
                    Some(course[known.checked_sub(1)?].1)
                })
                .collect();
            Assessment::of(&people, start_of(day, &zone), &zone).measure
        });
        let measures = measures.collect();
        Self { first_day, measures, learning, asked, nobody: HashMap::new(), zone }
    }

    /// The score of a customer, by the measure of the day that `now` lies in.
    pub fn of(&self, id: CustomerId, rollup: &Rollup, now: Timestamp) -> Option<Scored> {
        let person = Person::of(id, rollup, &self.zone)?;
        let day = now.day_number(&self.zone);
        let assessment = self.assessment(day);
        let scored = match self.learning.as_ref().filter(|_| self.asked.forecasts) {
            Some(learning) => {
                let forecaster = Forecaster::new(learning, day, &self.nobody);
                assessment.with(forecaster).score(&person)
            }
            None => assessment.score(&person),
        };
        Some(scored)
    }

    /// The first midnight after `now` and before `until` on which the segment is another, where a rule waits for one.
    pub fn next_change(
        &self,
        id: CustomerId,
        rollup: &Rollup,
        score: Option<&ScoreThen>,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        if !self.asked.segments && self.asked.lines.is_empty() {
            return None;
        }
        let person = Person::of(id, rollup, &self.zone)?;
        let (first, last) = (now.day_number(&self.zone) + 1, until.day_number(&self.zone));
        let segment = score.map(|then| then.scored.segment);
        let moves = |day: &Day| Some(self.assessment(*day).score(&person).segment) != segment;
        let segments = (first..=last).filter(|_| self.asked.segments);
        let moved = segments.clone().find(moves);
        let passed = score.map(|then| self.passed(&then.scored));
        let last = moved.unwrap_or(last);
        let passes = |day: &Day| {
            let then = self.of(id, rollup, start_of(*day, &self.zone));
            then.map(|scored| self.passed(&scored)) != passed
        };
        // A forecast costs more than a segment, and moves slowly: weeks are looked at first, then the days of one.
        let lined = !self.asked.lines.is_empty() && matches!(person.history, History::Buyer(_));
        let mut weeks =
            (first..=last).step_by(7).chain([last]).filter(|day| lined && *day >= first);
        let crossed =
            weeks.find(passes).and_then(|week| ((week - 6).max(first)..=week).find(passes));
        let next = [moved, crossed].into_iter().flatten().min();
        next.map(|day| start_of(day, &self.zone))
    }

    /// Beyond whose lines somebody is.
    pub fn passed(&self, scored: &Scored) -> Vec<RuleId> {
        let lines = self.asked.lines.iter();
        lines.filter(|line| line.is_passed(scored)).map(|line| line.rule).collect()
    }

    fn assessment(&self, day: Day) -> Assessment<'_> {
        let place = (day - self.first_day).clamp(0, self.measures.len() as Day - 1);
        let measure = self.measures[place as usize].clone();
        Assessment::by(measure, start_of(day, &self.zone), &self.zone)
    }
}

/// Midnight at the beginning of a day counted from 1970.
pub(super) fn start_of(day: Day, zone: &Zone) -> Timestamp {
    let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
    zone.start_of(date)
}
