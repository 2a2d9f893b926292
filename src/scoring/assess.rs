//! From what is known of a store's people to a score row for each. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::forecast::{Forecast, Forecaster};
use super::predict::history::scatter;
use super::rfm::{Rfm, Scale, Segment};
use super::visitor::{Intent, VisitorSegment};
use super::{Kind, gap};
use crate::customers::Rollup;
use crate::primitives::{CustomerId, Timestamp, Zone};

/// One who is scored. Who neither ordered nor visited is nobody here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Person {
    pub id: CustomerId,
    pub history: History,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum History {
    Buyer(Buyer),
    Visitor(Visitor),
}

/// The purchase history: only counting orders, money net of refunds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buyer {
    pub orders_count: i32,
    pub order_days: i32,
    pub spent: i64,
    /// Days since 1970 in the store's zone.
    pub first_order_day: i32,
    pub last_order_at: Timestamp,
    pub last_order_day: i32,
    pub median_gap_days: Option<f64>,
    /// Sum of ln(days) over the gaps between order days.
    pub log_gap_sum: f64,
    /// Of the last order day.
    pub last_order_value: i64,
    pub visits: i32,
    pub last_visit_day: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visitor {
    pub visits: i32,
    pub last_seen_at: Timestamp,
    pub intent: Intent,
}

impl Person {
    /// Whose rollup this is; `None` for who neither ordered nor visited.
    pub fn of(id: CustomerId, rollup: &Rollup, zone: &Zone) -> Option<Self> {
        let history = match (rollup.last_order_at, rollup.last_order_day, rollup.last_seen_at) {
            (Some(last_order_at), Some(last_order_day), _) if rollup.orders_count > 0 => {
                History::Buyer(Buyer {
                    orders_count: rollup.orders_count,
                    order_days: rollup.order_days,
                    spent: rollup.spent,
                    first_order_day: rollup
                        .first_order_at
                        .map_or(last_order_day, |first| first.day_number(zone)),
                    last_order_at,
                    last_order_day,
                    median_gap_days: rollup.median_gap_days,
                    log_gap_sum: rollup.log_gap_sum,
                    last_order_value: rollup.last_order_value,
                    visits: rollup.visits_count,
                    last_visit_day: rollup.last_seen_at.map(|seen| seen.day_number(zone)),
                })
            }
            (_, _, Some(last_seen_at)) if rollup.visits_count > 0 => History::Visitor(Visitor {
                visits: rollup.visits_count,
                last_seen_at,
                intent: Intent::of(
                    rollup.product_views,
                    rollup.carts_count,
                    rollup.checkouts_count,
                ),
            }),
            _ => return None,
        };
        Some(Self { id, history })
    }
}

impl Person {
    /// A lot drawn by the history alone. Two with the same history draw the same.
    pub fn lot(&self) -> u64 {
        let drawn_by = match &self.history {
            History::Buyer(buyer) => [
                buyer.first_order_day as u64,
                buyer.last_order_at.0 as u64,
                buyer.order_days as u64,
                buyer.spent as u64,
                buyer.log_gap_sum.to_bits(),
            ],
            History::Visitor(visitor) => {
                [u64::MAX, visitor.last_seen_at.0 as u64, visitor.visits as u64, 0, 0]
            }
        };
        drawn_by.into_iter().fold(0, |lot, value| scatter(lot ^ value))
    }
}

/// A fair part of some people, at most `most` of them, by their lots: the same people whatever ids they got, since ids are
/// made by chance. Each has a key of its own, by which learning can part them further.
pub fn fair_part(
    lots: impl IntoIterator<Item = (u64, CustomerId)>,
    most: usize,
) -> Vec<(u64, CustomerId)> {
    let mut drawn: Vec<(u64, CustomerId)> = lots.into_iter().collect();
    drawn.sort_unstable();
    drawn.truncate(most);
    let mut rank = 0;
    (0..drawn.len())
        .map(|n| {
            let (lot, id) = drawn[n];
            // Among those with one history it is nothing who comes first.
            rank = if n > 0 && drawn[n - 1].0 == lot { rank + 1 } else { 0 };
            (scatter(lot.wrapping_add(rank)), id)
        })
        .collect()
}

/// What a run found out about one person; how it is stored, but for when the segment was entered.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    pub customer_id: CustomerId,
    pub kind: Kind,
    pub rfm: Rfm,
    /// A [`Segment`] or a [`VisitorSegment`], by kind.
    pub segment: &'static str,
    pub frequency: i32,
    pub spent: i64,
    pub orders_count: i32,
    pub last_order_at: Option<Timestamp>,
    pub usual_gap_days: Option<f64>,
    /// Of buyers, once something was learnt.
    pub forecast: Option<Forecast>,
    /// Of visitors, once enough first orders were seen: the chance of one within 30 days.
    pub p_first_order_30d: Option<f64>,
    /// The place on the at-risk list, highest first; `None`: not on it.
    pub risk_rank: Option<f64>,
}

/// A store's scales and its rhythm: kept with a run, so that one person can be scored anew without all the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    buyers: Scale<i64>,
    visitors: Scale<Intent>,
    pub store_gap_days: Option<f64>,
}

/// The store at one instant: its measure, by which each person is scored.
pub struct Assessment<'a> {
    as_of: Timestamp,
    today: i32,
    zone: &'a Zone,
    pub measure: Measure,
    forecaster: Option<Forecaster<'a>>,
}

/// A buyer less likely than this to be a customer still is on the at-risk list, whatever the segment.
const LIKELY_GONE: f64 = 0.5;

impl<'a> Assessment<'a> {
    pub fn of(people: &[Person], as_of: Timestamp, zone: &'a Zone) -> Self {
        let today = as_of.day_number(zone);
        let (mut days, mut order_days, mut spent) = (vec![], vec![], vec![]);
        let (mut visitor_days, mut visits, mut intents) = (vec![], vec![], vec![]);
        let mut own_medians = vec![];
        for person in people {
            match &person.history {
                History::Buyer(buyer) => {
                    days.push(days_between(buyer.last_order_day, today));
                    order_days.push(buyer.order_days);
                    spent.push(buyer.spent);
                    own_medians.extend(buyer.median_gap_days);
                }
                History::Visitor(visitor) => {
                    visitor_days.push(days_between(visitor.last_seen_at.day_number(zone), today));
                    visits.push(visitor.visits);
                    intents.push(visitor.intent);
                }
            }
        }
        let measure = Measure {
            buyers: Scale::of(&days, &order_days, &spent),
            visitors: Scale::of(&visitor_days, &visits, &intents),
            store_gap_days: gap::store_gap_days(own_medians),
        };
        Self::by(measure, as_of, zone)
    }

    /// By a measure that was taken before.
    pub fn by(measure: Measure, as_of: Timestamp, zone: &'a Zone) -> Self {
        Self { as_of, today: as_of.day_number(zone), zone, measure, forecaster: None }
    }

    /// Forecasts each buyer as well.
    pub fn with(self, forecaster: Forecaster<'a>) -> Self {
        Self { forecaster: Some(forecaster), ..self }
    }

    pub fn score(&self, person: &Person) -> Scored {
        match &person.history {
            History::Buyer(buyer) => self.score_buyer(person.id, buyer),
            History::Visitor(visitor) => self.score_visitor(person.id, visitor),
        }
    }

    fn score_buyer(&self, customer_id: CustomerId, buyer: &Buyer) -> Scored {
        let days = days_between(buyer.last_order_day, self.today);
        let rfm = self.measure.buyers.score(days, buyer.order_days, buyer.spent);
        let segment = Segment::of(rfm);
        let usual_gap_days = gap::usual_gap_days(
            buyer.median_gap_days,
            buyer.order_days,
            self.measure.store_gap_days,
        );
        let forecast = self.forecaster.as_ref().map(|by| by.forecast(customer_id, buyer));
        let is_listed =
            segment.is_slipping() || forecast.is_some_and(|told| told.p_alive < LIKELY_GONE);
        let rank = || match forecast {
            Some(told) => told.value_at_risk as f64,
            None => {
                let days = self.as_of.days_since(buyer.last_order_at);
                gap::risk_rank(buyer.spent, gap::overdue(days, usual_gap_days))
            }
        };
        Scored {
            customer_id,
            kind: Kind::Buyer,
            rfm,
            segment: segment.as_str(),
            frequency: buyer.order_days,
            spent: buyer.spent,
            orders_count: buyer.orders_count,
            last_order_at: Some(buyer.last_order_at),
            usual_gap_days,
            forecast,
            p_first_order_30d: None,
            risk_rank: is_listed.then(rank),
        }
    }

    fn score_visitor(&self, customer_id: CustomerId, visitor: &Visitor) -> Scored {
        let days = days_between(visitor.last_seen_at.day_number(self.zone), self.today);
        let rfm = self.measure.visitors.score(days, visitor.visits, visitor.intent);
        Scored {
            customer_id,
            kind: Kind::Visitor,
            rfm,
            segment: VisitorSegment::of(rfm).as_str(),
            frequency: visitor.visits,
            spent: 0,
            orders_count: 0,
            last_order_at: None,
            usual_gap_days: None,
            forecast: None,
            p_first_order_30d: None,
            risk_rank: None,
        }
    }
}

/// Whole days; a clock that runs ahead makes nobody come back before he left.
fn days_between(day: i32, today: i32) -> i32 {
    (today - day).max(0)
}

/// How many customers, and what they spent net, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub customers: u64,
    pub revenue: i64,
}

impl Tally {
    fn add(&mut self, scored: &Scored) {
        self.customers += 1;
        self.revenue = self.revenue.saturating_add(scored.spent);
    }
}

/// The counts of a run, kept beside it: what the segments page and `homing segments` show costs one row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// All eleven segments of buyers, the empty ones too.
    pub segments: BTreeMap<Segment, Tally>,
    /// Buyers with score 1 to 5.
    pub r: [u64; 5],
    pub f: [u64; 5],
    pub m: [u64; 5],
    /// Buyers by R (first index) and FM, both from 1.
    pub cells: [[Tally; 5]; 5],
    /// Those on the at-risk list.
    pub at_risk: Tally,
    /// People who visited and never bought: counted apart, never among the buyers.
    pub visitors: BTreeMap<VisitorSegment, u64>,
}

impl Summary {
    /// Nobody yet.
    pub fn empty() -> Self {
        Self {
            segments: Segment::ALL.iter().map(|segment| (*segment, Tally::default())).collect(),
            visitors: VisitorSegment::ALL.iter().map(|segment| (*segment, 0)).collect(),
            ..Self::default()
        }
    }

    pub fn add(&mut self, scored: &Scored) {
        let rfm = scored.rfm;
        if scored.kind == Kind::Visitor {
            *self.visitors.entry(VisitorSegment::of(rfm)).or_default() += 1;
            return;
        }
        self.segments.entry(Segment::of(rfm)).or_default().add(scored);
        self.cells[usize::from(rfm.r - 1)][usize::from(rfm.fm() - 1)].add(scored);
        for (counts, score) in [(&mut self.r, rfm.r), (&mut self.f, rfm.f), (&mut self.m, rfm.m)] {
            counts[usize::from(score - 1)] += 1;
        }
        if scored.risk_rank.is_some() {
            self.at_risk.add(scored);
        }
    }

    /// Scored buyers.
    pub fn buyers(&self) -> u64 {
        self.r.iter().sum()
    }

    pub fn visitors(&self) -> u64 {
        self.visitors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn buyer(
        id: i64,
        order_days: i32,
        spent: i64,
        last_order_day: i32,
        gap: Option<f64>,
    ) -> Person {
        let last_order_at = Timestamp(i64::from(last_order_day) * DAY + DAY / 2);
        let history = Buyer {
            orders_count: order_days,
            order_days,
            spent,
            first_order_day: last_order_day - (order_days - 1) * gap.unwrap_or(0.0) as i32,
            last_order_at,
            last_order_day,
            median_gap_days: gap,
            log_gap_sum: f64::from(order_days - 1) * gap.unwrap_or(1.0).ln(),
            last_order_value: spent / i64::from(order_days),
            visits: 0,
            last_visit_day: None,
        };
        Person { id: CustomerId(id), history: History::Buyer(history) }
    }

    fn visitor(id: i64, visits: i32, intent: Intent, day: i64) -> Person {
        let history = Visitor { visits, last_seen_at: Timestamp(day * DAY), intent };
        Person { id: CustomerId(id), history: History::Visitor(history) }
    }

    #[test]
    fn the_list_holds_slipping_buyers_by_spend_and_lateness() {
        let zone = Zone::utc();
        // Ten buyers, evenly spread: the longer ago the last order, the more they had spent.
        let people: Vec<Person> = (1..=10)
            .map(|n| buyer(n, 2 + n as i32, n * 1_000, 100 - n as i32 * 9, Some(10.0)))
            .collect();
        let as_of = Timestamp(100 * DAY + DAY / 2);
        let assessment = Assessment::of(&people, as_of, &zone);
        assert_eq!(assessment.measure.store_gap_days, Some(10.0));
        let scored: Vec<Scored> = people.iter().map(|person| assessment.score(person)).collect();
        let last = &scored[9];
        assert_eq!((last.rfm, last.segment), (Rfm { r: 1, f: 5, m: 5 }, "cant_lose_them"));
        // 90 days of silence at a rhythm of 10: eight gaps too late.
        assert!((last.risk_rank.unwrap() - 80_000.0).abs() < 1e-6, "{:?}", last.risk_rank);
        for one in &scored {
            let slipping = one.segment.parse::<Segment>().unwrap().is_slipping();
            assert_eq!(one.risk_rank.is_some(), slipping, "{one:?}");
        }
    }

    #[test]
    fn visitors_are_measured_among_themselves_and_counted_apart() {
        let zone = Zone::utc();
        let mut people = vec![buyer(1, 1, 500, 99, None)];
        people.extend((2..=6).map(|n| visitor(n, n as i32, Intent::of(n as i32, 0, 0), 90 + n)));
        let assessment = Assessment::of(&people, Timestamp(100 * DAY), &zone);
        let mut summary = Summary::empty();
        for person in &people {
            summary.add(&assessment.score(person));
        }
        assert_eq!((summary.buyers(), summary.visitors()), (1, 5));
        assert_eq!(summary.segments[&Segment::NeedAttention], Tally { customers: 1, revenue: 500 });
        assert_eq!(summary.segments.len(), 11);
        assert_eq!(summary.visitors[&VisitorSegment::HotProspects], 2);
        assert_eq!(summary.cells[2][2].customers, 1);
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }

    #[test]
    fn the_same_people_are_drawn_whatever_their_ids() {
        let shop = |shift: i64| -> Vec<Person> {
            (1..=200)
                .map(|n| buyer(n * 7919 % 211 + shift, 1 + n as i32 % 3, n % 50 * 100, 90, None))
                .collect()
        };
        let part = |people: &[Person]| -> Vec<(u64, i64)> {
            let spent = |id: CustomerId| {
                people.iter().find_map(|person| match &person.history {
                    History::Buyer(buyer) if person.id == id => Some(buyer.spent),
                    _ => None,
                })
            };
            let lots = people.iter().map(|person| (person.lot(), person.id));
            fair_part(lots, 60).into_iter().map(|(key, id)| (key, spent(id).unwrap())).collect()
        };
        let (one, other) = (part(&shop(0)), part(&shop(5_000)));
        assert_eq!((one.len(), &one), (60, &other));
        let keys: std::collections::BTreeSet<u64> = one.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys.len(), 60, "two with one history are two");
    }

    #[test]
    fn an_order_of_tomorrow_counts_as_today_s() {
        let zone = Zone::utc();
        let people = [buyer(1, 1, 500, 101, None), buyer(2, 1, 400, 99, None)];
        let assessment = Assessment::of(&people, Timestamp(100 * DAY), &zone);
        assert_eq!(assessment.score(&people[0]).rfm, Rfm { r: 3, f: 3, m: 3 });
    }
}
