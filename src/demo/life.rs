//! One customer's life with the shop: when their habit brings them, and how far each visit goes.

use super::catalogue::{self, Item};
use super::chance::Chance;
use super::people::{Habit, Person};
use super::season::{Occasion, Season};
use super::tell::Teller;
use crate::journal::NewFact;
use crate::primitives::{Delay, Timestamp};

/// How far a visit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    Page,
    Product,
    Cart,
    Checkout,
    Order,
}

/// Things and how many of each; none twice.
pub type Basket = Vec<(&'static Item, i64)>;

pub struct Visit {
    pub day: usize,
    pub at: Timestamp,
    pub depth: Depth,
    /// What is looked at, and goes into the cart if it comes to that.
    pub basket: Basket,
    /// An order in the marketplace's own shop comes without a visit to ours.
    pub elsewhere: bool,
}

pub struct Life<'a> {
    season: &'a Season,
    chance: Chance,
    number: usize,
    habit: Habit,
    person: Option<Person>,
    taste: Vec<&'static Item>,
    shelf: Vec<(f64, &'static Item)>,
    visits: Vec<Visit>,
}

impl<'a> Life<'a> {
    /// The `number`th known customer.
    pub fn known(season: &'a Season, mut chance: Chance, number: usize) -> Self {
        let habit = *chance.weighted(super::people::HABITS);
        let person = Some(Person::draw(&mut chance, number));
        Self::of(season, chance, number, habit, person)
    }

    /// Somebody who never says who they are.
    pub fn guest(season: &'a Season, chance: Chance, number: usize) -> Self {
        Self::of(season, chance, number, Habit::Guest, None)
    }

    fn of(
        season: &'a Season,
        mut chance: Chance,
        number: usize,
        habit: Habit,
        person: Option<Person>,
    ) -> Self {
        let weigh = |item: &'static Item| (item.appeal, item);
        let teas: Vec<_> = catalogue::teas().map(weigh).collect();
        let taste = (0..chance.whole(1, 3)).map(|_| *chance.weighted(&teas)).collect();
        let shelf = catalogue::ITEMS.iter().map(weigh).collect();
        Self { season, chance, number, habit, person, taste, shelf, visits: Vec::new() }
    }

    /// All facts until `now`, oldest first. Order ids are this life's own until the shop numbers them.
    pub fn facts(mut self, now: Timestamp) -> Vec<NewFact> {
        let arrival = self.arrival();
        match self.habit {
            Habit::Guest => {
                let visits = *self.chance.weighted(&[(0.8, 1), (0.15, 2), (0.05, 4)]);
                self.browses(arrival, 1, visits);
            }
            Habit::Browser => self.browses(arrival, 1, 6),
            Habit::Gifts => self.buys_gifts(arrival),
            Habit::Sales => self.buys_in_sales(arrival),
            _ => self.buys_by_rhythm(arrival),
        }
        self.visits.sort_by_key(|visit| visit.at);
        let teller = Teller::new(self.season, self.chance, self.number, self.habit, self.person);
        let mut facts = teller.tell(&self.visits);
        facts.retain(|fact| fact.occurred_at <= now);
        facts.sort_by_key(|fact| fact.occurred_at);
        facts
    }

    /// Most guests are of the last weeks: a shop forgets those who never came back.
    fn arrival(&mut self) -> usize {
        if self.habit == Habit::Guest && self.chance.happens(0.85) {
            let days_ago = self.chance.whole(0, 34) as usize;
            return self.season.len() - 1 - days_ago;
        }
        let share = self.chance.fraction();
        self.season.drawn(share)
    }

    fn browses(&mut self, arrival: usize, least: i64, most: i64) {
        let mut day = arrival;
        for _ in 0..self.chance.whole(least, most) {
            self.looks_around(day);
            let gap = self.chance.gamma(1.2, 12.0);
            match self.season.after(day, gap) {
                Some(next) => day = next,
                None => return,
            }
        }
    }

    /// Orders a gap of their own rhythm apart, until one day they do not come back.
    fn buys_by_rhythm(&mut self, arrival: usize) {
        let usual = f64::from(self.taste[0].lasts);
        // The shape of the gaps (the higher, the more punctual), their mean, and the chance to stay after an order.
        let (shape, mean, stays) = match self.habit {
            Habit::Subscriber => (45.0, self.chance.around(usual.clamp(21.0, 60.0), 0.1), 0.965),
            Habit::Regular => {
                (6.0, self.chance.around((usual * 1.2).clamp(16.0, 75.0), 0.25), 0.92)
            }
            Habit::Trade => (8.0, self.chance.around(15.0, 0.2), 0.975),
            Habit::Occasional => (1.8, self.chance.around(75.0, 0.4), 0.78),
            _ => (1.0, 1.0, 0.0),
        };
        for _ in 0..self.chance.whole(0, 2) {
            let before = self.chance.whole(1, 9) as usize;
            self.looks_around(arrival.saturating_sub(before));
        }
        let mut day = arrival;
        loop {
            self.orders(day);
            if !self.chance.happens(stays) {
                break;
            }
            let gap = self.chance.gamma(shape, mean);
            let Some(next) = self.season.after(day, gap) else {
                // Still a customer, whose next order lies after today.
                self.looks_between(day, self.season.len());
                return;
            };
            self.looks_between(day, next);
            day = next;
        }
        // Some who have left look in once more.
        if self.chance.happens(0.2) {
            let gap = self.chance.gamma(2.0, 45.0);
            if let Some(later) = self.season.after(day, gap) {
                self.looks_around(later);
            }
        }
    }

    fn buys_gifts(&mut self, arrival: usize) {
        let season = self.season;
        self.looks_around(arrival);
        for occasion in [Occasion::SpringFestival, Occasion::MidAutumn] {
            let keeps = self.chance.between(0.5, 0.95);
            for day in season.days_of(occasion).filter(|day| *day > arrival) {
                if self.chance.happens(keeps) {
                    let ahead = self.chance.whole(5, 19) as usize;
                    let all: Vec<&'static Item> = catalogue::gifts().collect();
                    let basket = vec![(*self.chance.pick(&all), self.chance.whole(1, 4))];
                    let day = day.saturating_sub(ahead).max(arrival);
                    self.visit(day, Depth::Order, basket);
                }
            }
        }
    }

    fn buys_in_sales(&mut self, arrival: usize) {
        let season = self.season;
        self.looks_around(arrival);
        for occasion in [Occasion::MidYear, Occasion::SinglesDay] {
            for day in season.days_of(occasion).filter(|day| *day > arrival) {
                if self.chance.happens(0.8) {
                    let early = self.chance.whole(0, 2) as usize;
                    let basket = self.basket(2, 5);
                    self.visit(day.saturating_sub(early).max(arrival), Depth::Order, basket);
                }
            }
        }
    }

    fn looks_between(&mut self, day: usize, next: usize) {
        for _ in 0..self.chance.whole(0, 2) {
            if next > day + 2 && self.chance.happens(0.6) {
                let at = self.chance.whole(day as i64 + 1, next as i64 - 1) as usize;
                self.looks_around(at);
            }
        }
    }

    /// A visit without an order; a few leave a cart or a checkout behind.
    fn looks_around(&mut self, day: usize) {
        let depths: &[(f64, Depth)] = if self.habit == Habit::Guest {
            &[(0.66, Depth::Page), (0.29, Depth::Product), (0.05, Depth::Cart)]
        } else {
            &[
                (0.26, Depth::Page),
                (0.55, Depth::Product),
                (0.14, Depth::Cart),
                (0.05, Depth::Checkout),
            ]
        };
        let depth = *self.chance.weighted(depths);
        let mut basket = self.basket(1, 2);
        if self.chance.happens(0.4) {
            basket[0] = (*self.chance.weighted(&self.shelf), 1);
        }
        self.visit(day, depth, basket);
    }

    fn orders(&mut self, day: usize) {
        let basket = match self.habit {
            Habit::Trade => self.basket(3, 6).into_iter().map(|(item, n)| (item, n * 2)).collect(),
            Habit::Subscriber => vec![(self.taste[0], 1)],
            _ => self.basket(1, 2),
        };
        self.visit(day, Depth::Order, basket);
    }

    fn basket(&mut self, least: i64, most: i64) -> Basket {
        let mut basket: Basket = Vec::new();
        for _ in 0..self.chance.whole(least, most) {
            let item = if self.chance.happens(0.8) {
                *self.chance.pick(&self.taste)
            } else {
                *self.chance.weighted(&self.shelf)
            };
            match basket.iter_mut().find(|(there, _)| there.id == item.id) {
                Some((_, quantity)) => *quantity += 1,
                None => basket.push((item, 1)),
            }
        }
        basket
    }

    fn visit(&mut self, day: usize, depth: Depth, basket: Basket) {
        let hour = *self.chance.weighted(HOURS);
        let second = hour * 3_600 + self.chance.whole(0, 3_599);
        let at = self.season.start_of(day).plus(Delay::seconds(second));
        let elsewhere = depth == Depth::Order
            && self.habit != Habit::Trade
            && !self.visits.is_empty()
            && self.chance.happens(0.18);
        self.visits.push(Visit { day, at, depth, basket, elsewhere });
    }
}

/// The hour of the day in the store's zone, by how many come in it.
#[rustfmt::skip]
const HOURS: &[(f64, i64)] = &[
    (1.4, 0), (0.7, 1), (0.4, 2), (0.2, 3), (0.2, 4), (0.4, 5), (1.2, 6), (3.0, 7), (5.0, 8), (6.4, 9), (7.2, 10),
    (6.6, 11), (6.4, 12), (5.6, 13), (5.0, 14), (5.0, 15), (5.0, 16), (4.8, 17), (5.0, 18), (6.4, 19), (8.6, 20),
    (9.2, 21), (6.2, 22), (3.2, 23),
];
