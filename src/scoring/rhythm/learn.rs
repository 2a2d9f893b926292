//! The shop's part, its categories' and its products', by expectation and maximisation. Pure.
//!
//! Time is linear in purchases: what shops differ in (the spreads) settles on a sample of customers, then a few passes
//! over all give each product its own.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::pair::{ORDINALS, Pair, Person, Sight};
use super::{Gaps, Part, Purchase, Rhythm, Spread, counts, share_of_days, sort};

/// Passes over the sample end when neither the usual ln(days) nor the log odds of a next purchase move by more.
const STILL: f64 = 0.001;
/// Or after so many: "later" and "never" look alike for long, and part slowly.
const SAMPLE_PASSES: usize = 200;
/// Passes over everybody, from there: each product's and person's own part settles fast.
const PASSES: usize = 4;
/// About as many pairs settle the spreads.
const SAMPLE: usize = 150_000;
/// Parts of the customers that are summed apart: a constant, so that sums do not depend on the machine.
const PARTS: usize = 8;

/// A product bought fewer times goes by its category: too few to be worth a row.
const LEAST_PURCHASES: u64 = 4;

/// Where a shop without data starts: gaps of two months that vary by a factor of two, one product in five bought again.
const START: Spread = Spread {
    within: 0.8,
    pair: 0.3,
    person: 0.4,
    product: 0.3,
    category: 0.2,
    again_person: 0.5,
    again_product: 0.5,
};
const START_MEAN: f64 = 4.1;
const START_AGAIN: [f64; ORDINALS] = [-1.4, -0.4, 0.2, 0.6];
/// In observations: so much is believed in these.
const BELIEF: f64 = 5.0;

/// Spread of the exponent on quantity from shop to shop, about 0, and from product to product, about the shop's.
const LASTS_SHOP: f64 = 0.3;
const LASTS_PRODUCT: f64 = 0.2;

/// Who bought: the pairs from here to the next's start.
struct People {
    pairs: Vec<Pair>,
    /// Index of each pair's product.
    products: Vec<u32>,
    /// End of each person's pairs.
    ends: Vec<usize>,
    /// How much each person's pairs are worth as evidence on the person.
    shares: Vec<f64>,
}

/// A product as counted, before any model.
#[derive(Clone, Copy, Default)]
struct Counted {
    category: Option<i64>,
    purchases: u64,
    quantity: f64,
    squares: f64,
    products: f64,
}

pub fn learn(purchases: &[Purchase], as_of: i32) -> Rhythm {
    let mut rows: Vec<Purchase> =
        purchases.iter().filter(|row| counts(row, as_of)).copied().collect();
    sort(&mut rows);
    let (ids, mut counted) = count_products(&rows);
    let people = People::of(&rows, as_of, &ids, &counted);
    drop(rows);
    for (pair, product) in people.pairs.iter().zip(&people.products) {
        let (squares, products) = pair.quantity_effect();
        counted[*product as usize].squares += squares;
        counted[*product as usize].products += products;
    }

    let gaps = Gaps {
        closed: people.pairs.iter().map(Pair::closed).sum(),
        open: people.pairs.len() as u64,
    };
    let sum: f64 = people.pairs.iter().map(Pair::sum).sum();
    let mean = (sum + BELIEF * START_MEAN) / (gaps.closed as f64 + BELIEF);
    let mut state = State::new(counted, mean, people.ends.len());
    let every = people.pairs.len().div_ceil(SAMPLE);
    if every > 1 {
        let sample = people.sample(every);
        let apart = vec![Person::default(); sample.ends.len()];
        let everybody = std::mem::replace(&mut state.people, apart);
        state.settle_all(&sample);
        state.people = everybody;
        for _ in 0..PASSES {
            let sum = state.look(&people);
            state.settle_parts(&sum);
        }
    } else {
        state.settle_all(&people);
    }
    state.finish(&ids, gaps)
}

/// Products by ascending id: how often bought, how many at once, and their category (the least, if rows disagree).
fn count_products(rows: &[Purchase]) -> (Vec<i64>, Vec<Counted>) {
    let mut by_id: std::collections::HashMap<i64, Counted> = std::collections::HashMap::new();
    for row in rows {
        let counted = by_id.entry(row.product).or_default();
        counted.purchases += 1;
        counted.quantity += row.quantity.ln();
        counted.category = match (counted.category, row.category) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    let mut products: Vec<(i64, Counted)> = by_id.into_iter().collect();
    products.sort_unstable_by_key(|(id, _)| *id);
    for (_, counted) in &mut products {
        counted.quantity /= counted.purchases as f64;
    }
    products.into_iter().unzip()
}

impl People {
    fn of(rows: &[Purchase], as_of: i32, ids: &[i64], counted: &[Counted]) -> Self {
        let by_person: Vec<&[Purchase]> = rows.chunk_by(|a, b| a.customer == b.customer).collect();
        let pairs: Vec<Vec<(Pair, u32)>> = by_person
            .par_chunks(by_person.len().div_ceil(64).max(1))
            .map(|people| {
                people
                    .iter()
                    .flat_map(|rows| rows.chunk_by(|a, b| a.product == b.product))
                    .map(|rows| {
                        let index =
                            ids.binary_search(&rows[0].product).expect("every product was counted");
                        (Pair::of(rows, as_of, counted[index].quantity), index as u32)
                    })
                    .collect()
            })
            .collect();
        let (pairs, products) = pairs.into_iter().flatten().unzip();
        let mut end = 0;
        let ends = by_person
            .iter()
            .map(|rows| {
                end += rows.chunk_by(|a, b| a.product == b.product).count();
                end
            })
            .collect();
        let shares = by_person
            .par_iter()
            .map_init(Vec::new, |days, rows| share_of_days(rows, days))
            .collect();
        Self { pairs, products, ends, shares }
    }

    /// Every so-many-th person: sorted by id, so whoever wrote the rows has no say.
    fn sample(&self, every: usize) -> Self {
        let shares = self.shares.iter().step_by(every).copied().collect();
        let mut sample = Self { pairs: Vec::new(), products: Vec::new(), ends: Vec::new(), shares };
        for person in (0..self.ends.len()).step_by(every) {
            let range = self.range(person);
            sample.pairs.extend_from_slice(&self.pairs[range.clone()]);
            sample.products.extend_from_slice(&self.products[range]);
            sample.ends.push(sample.pairs.len());
        }
        sample
    }

    fn range(&self, person: usize) -> std::ops::Range<usize> {
        let start = if person == 0 { 0 } else { self.ends[person - 1] };
        start..self.ends[person]
    }
}

/// All that moves from pass to pass.
struct State {
    spread: Spread,
    again: [f64; ORDINALS],
    shop: Part,
    categories: BTreeMap<i64, Part>,
    products: Vec<Part>,
    people: Vec<Person>,
    counted: Vec<Counted>,
}

/// What a pass saw.
struct Sum {
    products: Vec<Sight>,
    returns: [f64; ORDINALS],
    returns_info: [f64; ORDINALS],
    gaps: f64,
    within: f64,
    own: Mean,
    person: Mean,
    again_person: Mean,
}

/// A mean that starts from a belief.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    n: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1.0;
    }

    fn join(&mut self, other: Self) {
        self.sum += other.sum;
        self.n += other.n;
    }

    /// As a standard deviation, the values being variances.
    fn sd(self, start: f64) -> f64 {
        ((self.sum + BELIEF * start * start) / (self.n + BELIEF)).sqrt().clamp(0.03, 3.0)
    }
}

impl State {
    fn new(counted: Vec<Counted>, mean: f64, people: usize) -> Self {
        let n: u64 = counted.iter().map(|product| product.purchases).sum();
        let sum: f64 =
            counted.iter().map(|product| product.quantity * product.purchases as f64).sum();
        let quantity = if n > 0 { sum / n as f64 } else { 0.0 };
        let shop = Part { mean, doubt: 0.1, again: 0.0, lasts: 0.0, quantity };
        let products =
            counted.iter().map(|product| Part { quantity: product.quantity, ..shop }).collect();
        let categories = counted
            .iter()
            .filter_map(|product| product.category)
            .map(|category| (category, shop))
            .collect();
        let people = vec![Person::default(); people];
        Self { spread: START, again: START_AGAIN, shop, categories, products, people, counted }
    }

    fn settle_all(&mut self, people: &People) {
        for _ in 0..SAMPLE_PASSES {
            let (mean, again) = (self.shop.mean, self.again);
            let sum = self.look(people);
            self.settle(&sum);
            let moved = self.again.iter().zip(again).map(|(now, before)| (now - before).abs());
            if moved.fold((self.shop.mean - mean).abs(), f64::max) < STILL {
                break;
            }
        }
    }

    /// The expectation step over everybody; each person's part is settled on the way.
    fn look(&mut self, people: &People) -> Sum {
        let size = self.people.len().div_ceil(PARTS).max(1);
        let mut persons = std::mem::take(&mut self.people);
        let state = &*self;
        let sums: Vec<Sum> = persons
            .par_chunks_mut(size)
            .enumerate()
            .map(|(part, persons)| state.look_at(people, part * size, persons))
            .collect();
        self.people = persons;
        let mut all = Sum::new(self.products.len());
        sums.iter().for_each(|sum| all.join(sum));
        all
    }

    fn look_at(&self, people: &People, from: usize, persons: &mut [Person]) -> Sum {
        let mut sum = Sum::new(self.products.len());
        for (i, person) in persons.iter_mut().enumerate() {
            let mut sight = Sight::default();
            for at in people.range(from + i) {
                let product = people.products[at] as usize;
                let part = &self.products[product];
                let seen = people.pairs[at].see(part, *person, &self.spread, &self.again);
                sight.add(&seen, part.mean);
                sum.products[product].add(&seen, person.pace);
                for k in 0..ORDINALS {
                    sum.returns[k] += seen.returns[k];
                    sum.returns_info[k] += seen.returns_info[k];
                }
                sum.gaps += seen.gaps;
                sum.within += seen.within;
                // A pair without a closed gap tells nothing of how pairs differ.
                if seen.closed {
                    sum.own.add(seen.own);
                }
            }
            let sight = sight.worth(people.shares[from + i]);
            *person = person.after(&sight, &self.spread);
            if sight.precision > 0.5 * self.spread.person.powi(-2) {
                sum.person.add(person.pace.powi(2) + person.doubt);
            }
            let doubt = 1.0 / (sight.returns_info + self.spread.again_person.powi(-2));
            sum.again_person.add(person.again.powi(2) + doubt);
        }
        sum
    }

    /// The maximisation step.
    fn settle(&mut self, sum: &Sum) {
        let seen = sum.returns.iter().zip(&sum.returns_info);
        for ((again, start), (returns, info)) in self.again.iter_mut().zip(START_AGAIN).zip(seen) {
            // One observation's worth of belief in the start; no leaps.
            let step = (returns - (*again - start)) / (info + 1.0);
            *again += step.clamp(-0.5, 0.5);
        }
        let [category, product, again_product] = self.settle_parts(sum);
        self.spread = Spread {
            within: Mean { sum: sum.within, n: sum.gaps }.sd(START.within).max(0.1),
            pair: sum.own.sd(START.pair),
            person: sum.person.sd(START.person),
            product: product.sd(START.product),
            category: category.sd(START.category),
            again_person: sum.again_person.sd(START.again_person),
            again_product: again_product.sd(START.again_product),
        };
    }

    /// Shop, categories and products, each held to the one above by the spread between them; what they vary by.
    fn settle_parts(&mut self, sum: &Sum) -> [Mean; 3] {
        let (mut shop, mut categories) = (Mean::default(), BTreeMap::<i64, Mean>::new());
        let between = self.spread.product.powi(2);
        for (counted, sight) in
            self.counted.iter().zip(&sum.products).filter(|(_, s)| s.precision > 1e-9)
        {
            let precision = 1.0 / (1.0 / sight.precision + between);
            let mean = Mean { sum: precision * sight.pull / sight.precision, n: precision };
            match counted.category {
                Some(category) => categories.entry(category).or_default().join(mean),
                None => shop.join(mean),
            }
        }
        let above = self.spread.category.powi(2);
        for mean in categories.values() {
            let precision = 1.0 / (1.0 / mean.n + above);
            shop.join(Mean { sum: precision * mean.sum / mean.n, n: precision });
        }
        let precision = shop.n + BELIEF;
        self.shop.mean = (shop.sum + BELIEF * START_MEAN) / precision;
        self.shop.doubt = 1.0 / precision;

        let (xx, xy) =
            self.counted.iter().fold((0.0, 0.0), |(xx, xy), p| (xx + p.squares, xy + p.products));
        let within = self.spread.within.powi(2);
        self.shop.lasts = (xy / (xx + within / LASTS_SHOP.powi(2))).clamp(0.0, 1.0);

        let [mut varies, mut product_varies, mut again_varies] = [Mean::default(); 3];
        for (id, category) in &mut self.categories {
            let seen = categories.get(id).copied().unwrap_or_default();
            let precision = seen.n + above.recip();
            category.mean = (seen.sum + self.shop.mean / above) / precision;
            category.doubt = 1.0 / precision;
            category.lasts = self.shop.lasts;
            varies.add((category.mean - self.shop.mean).powi(2) + category.doubt);
        }
        for ((part, counted), sight) in
            self.products.iter_mut().zip(&self.counted).zip(&sum.products)
        {
            let above =
                counted.category.map_or(self.shop.mean, |category| self.categories[&category].mean);
            let precision = sight.precision + between.recip();
            part.mean = (sight.pull + above / between) / precision;
            part.doubt = 1.0 / precision;
            part.again = sight.again(part.again, self.spread.again_product);
            let held = within / LASTS_PRODUCT.powi(2);
            part.lasts = ((counted.products + held * self.shop.lasts) / (counted.squares + held))
                .clamp(0.0, 1.0);
            // Of what was hardly ever bought again nothing is learnt on how products differ.
            if sight.precision > 0.5 / between {
                product_varies.add((part.mean - above).powi(2) + part.doubt);
            }
            let doubt = 1.0 / (sight.returns_info + self.spread.again_product.powi(-2));
            again_varies.add(part.again.powi(2) + doubt);
        }
        [varies, product_varies, again_varies]
    }

    fn finish(self, ids: &[i64], gaps: Gaps) -> Rhythm {
        let products = ids
            .iter()
            .zip(self.products)
            .zip(&self.counted)
            .filter(|(_, counted)| counted.purchases >= LEAST_PURCHASES)
            .map(|((id, part), _)| (*id, part))
            .collect();
        Rhythm {
            gaps,
            spread: self.spread,
            shop: self.shop,
            again: self.again,
            categories: self.categories,
            products,
        }
    }
}

impl Sum {
    fn new(products: usize) -> Self {
        let none = Mean::default();
        Self {
            products: vec![Sight::default(); products],
            returns: [0.0; ORDINALS],
            returns_info: [0.0; ORDINALS],
            gaps: 0.0,
            within: 0.0,
            own: none,
            person: none,
            again_person: none,
        }
    }

    fn join(&mut self, other: &Self) {
        self.products.iter_mut().zip(&other.products).for_each(|(sum, sight)| sum.join(sight));
        for k in 0..ORDINALS {
            self.returns[k] += other.returns[k];
            self.returns_info[k] += other.returns_info[k];
        }
        self.gaps += other.gaps;
        self.within += other.within;
        self.own.join(other.own);
        self.person.join(other.person);
        self.again_person.join(other.again_person);
    }
}
