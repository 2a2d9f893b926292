//! The shop's clock: how much of a year's ordering falls into each part of it. Pure.
//!
//! Before Christmas a day counts for more. Models know no calendar, so they are given the time that has passed by this
//! clock: a silence of two slack weeks is short, and a horizon across the high season long. Where more than a year is
//! known, the clock is read off the repeat orders: how many came in each week, against how many were to come by how
//! long the customers had been silent and how often they had ordered (a table of rates, fitted together with the weeks by
//! turns). Through those ratios goes a wave of a year's length. First orders say nothing: they follow campaigns.

use serde::{Deserialize, Serialize};

use super::super::models::History;
use super::history::{Customer, DAYS_A_UNIT, Day, Known};
use super::linear::solve;

const YEAR: f64 = 365.25;

/// A year and a month: with less, a season cannot be told from a trend.
const LEAST_SPAN: Day = 395;

const LEAST_REPEAT_ORDERS: f64 = 300.0;

/// Waves a year: the year itself, its half, third and quarter.
const WAVES: usize = 4;
const TERMS: usize = 2 + 2 * WAVES;

/// A coefficient of a wave is expected to be about so large: e^0.5 is a half more.
const SPREAD: f64 = 0.5;

/// What the wave must explain, in units of the noise, before half of it is believed.
const NOISE: f64 = 2.0 * (2 * WAVES) as f64;

/// Points of the clock in a year.
const POINTS: usize = 73;

/// Days silent, and orders made, by which repeat orders are foreseen.
const SILENT: [Day; 7] = [3, 7, 14, 30, 60, 120, 240];
const ORDERS: [usize; 4] = [2, 3, 5, 9];
const CELLS: usize = (SILENT.len() + 1) * (ORDERS.len() + 1);

/// Even, until a season was seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Clock {
    /// Days of the clock from the beginning of a year to each of its points, [`POINTS`] + 1 of them; empty: even.
    year: Vec<f64>,
}

impl Clock {
    pub fn is_even(&self) -> bool {
        self.year.is_empty()
    }

    /// Days of the clock at a time, from any fixed one. Never falls; a year is as long as any.
    pub fn at(&self, day: f64) -> f64 {
        if self.is_even() {
            return day;
        }
        let years = (day / YEAR).floor();
        let place = (day / YEAR - years) * POINTS as f64;
        let before = (place as usize).min(POINTS - 1);
        let (low, high) = (self.year[before], self.year[before + 1]);
        years * YEAR + low + (place - before as f64) * (high - low)
    }

    /// From the end of `day` over the next `days`, in the models' unit.
    pub fn ahead(&self, day: Day, days: f64) -> f64 {
        let day = f64::from(day);
        (self.at(day + days) - self.at(day)) / DAYS_A_UNIT
    }

    fn between(&self, from: Day, to: Day) -> f64 {
        (self.at(f64::from(to)) - self.at(f64::from(from))) / DAYS_A_UNIT
    }

    /// (x, t_x, T) by this clock.
    pub fn history(&self, known: &Known) -> History {
        let age = self.between(known.first_day, known.as_of);
        let t_x = self.between(known.first_day, known.last_day);
        History { x: known.order_days - 1, t_x, age: age.max(t_x) }
    }

    /// What is known of a customer, with the gaps by this clock.
    pub fn known(&self, customer: &Customer<'_>, as_of: Day) -> Option<Known> {
        let mut known = customer.known(as_of)?;
        if !self.is_even() {
            let own = &customer.purchases[..known.order_days as usize];
            let gaps = own.windows(2).map(|pair| self.between(pair[0].day, pair[1].day));
            known.ln_gaps = gaps.map(|gap| gap.max(1e-9).ln()).sum();
        }
        Some(known)
    }

    /// Reads the clock off the orders up to `as_of`, if they go back far enough.
    pub fn learn(customers: &[Customer<'_>], first_day: Day, as_of: Day) -> Self {
        if as_of - first_day < LEAST_SPAN {
            return Self::default();
        }
        let weeks = Weeks::count(customers, first_day, as_of);
        if weeks.orders.iter().sum::<f64>() < LEAST_REPEAT_ORDERS {
            return Self::default();
        }
        let rates = weeks.fit();
        Self::of_wave(&wave(&weeks, &rates, first_day))
    }

    /// A clock that runs with e to the power of the wave.
    fn of_wave(wave: &[f64; 2 * WAVES]) -> Self {
        if wave.iter().all(|c| c.abs() < 1e-3) {
            return Self::default();
        }
        const FINE: usize = 10;
        let steps = POINTS * FINE;
        let speed = |i: usize| {
            let phase = (i as f64 + 0.5) / steps as f64;
            waves(phase).iter().zip(wave).map(|(w, c)| w * c).sum::<f64>().exp()
        };
        let mut sum = 0.0;
        let mut year = vec![0.0];
        for point in 0..POINTS {
            sum += (point * FINE..(point + 1) * FINE).map(speed).sum::<f64>();
            year.push(sum);
        }
        year.iter_mut().for_each(|at| *at *= YEAR / sum);
        Self { year }
    }
}

/// Sines and cosines at a part of the year.
fn waves(phase: f64) -> [f64; 2 * WAVES] {
    std::array::from_fn(|i| {
        let angle = std::f64::consts::TAU * phase * (i / 2 + 1) as f64;
        if i % 2 == 0 { angle.sin() } else { angle.cos() }
    })
}

/// Repeat orders and the days on which one could have come, by week and cell.
struct Weeks {
    orders: Vec<f64>,
    by_cell: [f64; CELLS],
    days: Vec<[f64; CELLS]>,
}

impl Weeks {
    fn count(customers: &[Customer<'_>], first_day: Day, as_of: Day) -> Self {
        let n = ((as_of - first_day) / 7 + 1) as usize;
        let mut weeks =
            Self { orders: vec![0.0; n], by_cell: [0.0; CELLS], days: vec![[0.0; CELLS]; n] };
        let week = |day: Day| ((day - first_day) / 7) as usize;
        for Customer { purchases, .. } in customers {
            for (i, purchase) in purchases.iter().enumerate() {
                if purchase.day >= as_of {
                    break;
                }
                let next = purchases.get(i + 1).map(|next| next.day).filter(|day| *day <= as_of);
                let row = ORDERS.partition_point(|orders| *orders <= i + 1);
                let cell = |day: Day| {
                    let silent = SILENT.partition_point(|most| *most < day - purchase.day);
                    row * (SILENT.len() + 1) + silent
                };
                let end = next.unwrap_or(as_of);
                let mut day = purchase.day + 1;
                while day <= end {
                    // As far as both the week and the cell go on.
                    let week_end = first_day + (week(day) as Day + 1) * 7 - 1;
                    let silent = SILENT.iter().find(|most| day - purchase.day <= **most);
                    let cell_end = silent.map_or(Day::MAX, |most| purchase.day + most);
                    let last = end.min(week_end).min(cell_end);
                    weeks.days[week(day)][cell(day)] += f64::from(last - day + 1);
                    day = last + 1;
                }
                if let Some(next) = next {
                    weeks.orders[week(next)] += 1.0;
                    weeks.by_cell[cell(next)] += 1.0;
                }
            }
        }
        weeks
    }

    /// Orders a day in each cell, in an even year: rates and weeks are fitted by turns, each given the other.
    fn fit(&self) -> [f64; CELLS] {
        let mut speed = vec![1.0; self.days.len()];
        let mut rates = [0.0; CELLS];
        for _ in 0..20 {
            for (cell, rate) in rates.iter_mut().enumerate() {
                let days: f64 = self.days.iter().zip(&speed).map(|(d, s)| d[cell] * s).sum();
                *rate = if days > 0.0 { self.by_cell[cell] / days } else { 0.0 };
            }
            for ((speed, orders), expected) in
                speed.iter_mut().zip(&self.orders).zip(self.expected(&rates))
            {
                *speed = (orders + 1.0) / (expected + 1.0);
            }
        }
        rates
    }

    /// Orders in each week of an even year.
    fn expected<'a>(&'a self, rates: &'a [f64; CELLS]) -> impl Iterator<Item = f64> + 'a {
        self.days.iter().map(move |days| days.iter().zip(rates).map(|(d, r)| d * r).sum())
    }
}

/// The year's wave in ln(orders / expected), shrunk by how far it stands out of the noise. A trend is fitted beside it
/// and left out.
fn wave(weeks: &Weeks, rates: &[f64; CELLS], first_day: Day) -> [f64; 2 * WAVES] {
    let rows: Vec<([f64; TERMS], f64, f64)> = weeks
        .expected(rates)
        .zip(&weeks.orders)
        .enumerate()
        .filter(|(_, (expected, _))| *expected > 0.0)
        .map(|(week, (expected, orders))| {
            let middle = f64::from(first_day) + week as f64 * 7.0 + 4.0;
            let mut terms = [1.0; TERMS];
            terms[1] = (week as f64 - weeks.orders.len() as f64 / 2.0) * 7.0 / YEAR;
            terms[2..].copy_from_slice(&waves((middle / YEAR).rem_euclid(1.0)));
            (terms, ((orders + 0.5) / (expected + 0.5)).ln(), expected)
        })
        .collect();
    let fitted = |noise: f64, only: usize| -> ([f64; TERMS], f64) {
        let mut bend = [[0.0; TERMS]; TERMS];
        let mut slope = [0.0; TERMS];
        for (i, row) in bend.iter_mut().enumerate() {
            row[i] = match i {
                0 => 1e-9,
                i if i < only => SPREAD.powi(-2),
                _ => 1e12,
            };
        }
        for (terms, ratio, weight) in &rows {
            for i in 0..TERMS {
                slope[i] += weight / noise * terms[i] * ratio;
                for j in 0..=i {
                    bend[i][j] += weight / noise * terms[i] * terms[j];
                }
            }
        }
        let at = solve(bend, slope);
        let left = rows.iter().map(|(terms, ratio, weight)| {
            let said: f64 = terms.iter().zip(&at).map(|(t, c)| t * c).sum();
            weight * (ratio - said).powi(2)
        });
        (at, left.sum())
    };
    let spare = (rows.len() as f64 - TERMS as f64).max(1.0);
    let noise = (fitted(1.0, TERMS).1 / spare).max(1.0);
    let (with, left) = fitted(noise, TERMS);
    let explained = (fitted(noise, 2).1 - left) / noise;
    let belief = (1.0 - NOISE / explained.max(f64::MIN_POSITIVE)).max(0.0);
    std::array::from_fn(|i| belief * with[2 + i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::predict::history::{OrderLog, Purchase, scatter};

    /// Customers who order every 40 days or so, with `swing` more in one half of the year than in the other.
    fn shop(swing: f64, days: Day) -> OrderLog {
        let mut seed = 7_u64;
        let mut roll = || {
            seed += 1;
            (scatter(seed) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut all = vec![];
        for key in 0..400 {
            let mut day = (roll() * 200.0) as Day;
            while day < days {
                all.push((key, Purchase { day, amount: 1.0 }));
                loop {
                    day += 1;
                    let phase = std::f64::consts::TAU * f64::from(day) / YEAR;
                    if roll() < (1.0 + swing * phase.sin()) / 40.0 {
                        break;
                    }
                }
            }
        }
        OrderLog::new(all)
    }

    #[test]
    fn a_season_is_found_and_a_shop_without_one_keeps_an_even_clock() {
        let learn = |log: &OrderLog, as_of| {
            let customers: Vec<_> = log.all().collect();
            Clock::learn(&customers, 0, as_of)
        };
        let seasonal = shop(0.8, 700);
        let clock = learn(&seasonal, 690);
        let high = clock.ahead(60, 60.0);
        let low = clock.ahead(243, 60.0);
        assert!((3.0..9.0).contains(&(high / low)), "{high} against {low}");
        assert!((clock.ahead(123, YEAR) - YEAR / DAYS_A_UNIT).abs() < 1e-9);
        let days: Vec<f64> = (0..2_000).map(|day| clock.at(f64::from(day))).collect();
        assert!(days.is_sorted());
        assert!(learn(&seasonal, 300).is_even(), "less than a year");
        let even = learn(&shop(0.0, 700), 690);
        let quarters = [0, 91, 182, 273].map(|day| even.ahead(day, 91.0) / 13.0);
        assert!(quarters.iter().all(|q| (0.9..1.1).contains(q)), "{quarters:?}");
    }
}
