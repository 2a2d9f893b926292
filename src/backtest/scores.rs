//! Scores as they stood on each day of a replay. Pure.
//!
//! The fifths are learnt for each day from what was known of the store's people at its beginning, or of a fair part
//! of them; forecasts are made by what the store has learnt last, from each customer's history as of the day.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::customers::Rollup;
use crate::primitives::{CustomerId, Timestamp, Zone};
use crate::rules::{StoredRule, TriggerKind};
use crate::scoring::assess::{Assessment, Measure, Person, Scored};
use crate::scoring::forecast::Forecaster;
use crate::scoring::learning::Learning;
use crate::scoring::predict::{Day, Known};
use crate::situation::store::folded::ScoreThen;

/// What rules ask of scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether they ask for scores at all.
    pub scores: bool,
    /// Whether a trigger waits for a segment: then every day on which it changes matters.
    pub segments: bool,
    /// Whether anything learnt is asked for, which costs more.
    pub forecasts: bool,
}

impl Asked {
    pub fn by(rules: &[StoredRule]) -> Self {
        let mut asked = Self::default();
        for rule in rules {
            match rule.rule.trigger.kind {
                TriggerKind::SegmentEntered { .. } => (asked.scores, asked.segments) = (true, true),
                TriggerKind::RepurchaseDue { after: None } => {
                    (asked.scores, asked.forecasts) = (true, true);
                }
                _ => {}
            }
            for field in rule.rule.audience.iter().flat_map(|audience| audience.fields()) {
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
        if !self.asked.segments {
            return None;
        }
        let person = Person::of(id, rollup, &self.zone)?;
        let segment = score.map(|then| then.scored.segment);
        let (first, last) = (now.day_number(&self.zone) + 1, until.day_number(&self.zone));
        let moves = |day: &Day| Some(self.assessment(*day).score(&person).segment) != segment;
        (first..=last).find(moves).map(|day| start_of(day, &self.zone))
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
