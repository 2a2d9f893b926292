//! One customer and one product: what their gaps, closed and open, say about when and whether. Pure.

use super::{Part, Purchase, Spread, chance, normal};

/// After the 1st purchase, the 2nd, the 3rd or 4th, any later one.
pub const ORDINALS: usize = 4;

/// How many purchases at the product's usual quantity a pair's own usual quantity starts from.
const USUAL: f64 = 1.0;

/// What is kept of all purchases of one product by one customer: sums, so that ten million fit into memory.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub product: i64,
    /// Closed gaps.
    n: f32,
    /// Sums over them: y = ln(days), x = ln(quantity at its start), measured from what is usual for the pair.
    y: f32,
    yy: f32,
    x: f32,
    xx: f32,
    xy: f32,
    /// Of the open gap.
    open_x: f32,
    open_y: f32,
    usual: f32,
}

/// The part of a person: how much slower than others (in ln days), how much likelier to come back (in log odds).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Person {
    pub pace: f64,
    pub again: f64,
    pub doubt: f64,
}

/// What one pair says, given all else.
pub struct Seen {
    /// Precision of its mean, and that times the mean, as evidence on product and person.
    pub precision: f64,
    pub pull: f64,
    /// Weighted gaps, their squares about pair's own mean, and the pair's own part squared.
    pub gaps: f64,
    pub within: f64,
    pub own: f64,
    pub closed: bool,
    /// Purchases after which there was, or may be, a next; less the chance given; and that chance's variance.
    pub returns: [f64; ORDINALS],
    pub returns_info: [f64; ORDINALS],
    pub open_mean: f64,
    pub open_sd: f64,
    pub open_again: f64,
}

/// What all pairs of one person or one product say together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sight {
    pub precision: f64,
    pub pull: f64,
    pub returns: f64,
    pub returns_info: f64,
}

impl Pair {
    /// `rows` are of one pair, sorted by day; at least one. `product_quantity` is the product's mean ln(quantity).
    pub fn of(rows: &[Purchase], as_of: i32, product_quantity: f64) -> Self {
        // Of one day is one purchase.
        let days = || {
            rows.chunk_by(|a, b| a.day == b.day)
                .map(|rows| (rows[0].day, rows.iter().map(|row| row.quantity).sum::<f64>().ln()))
        };
        let (mut sum, mut count) = (USUAL * product_quantity, USUAL);
        for (_, quantity) in days() {
            sum += quantity;
            count += 1.0;
        }
        let usual = sum / count;
        let (mut n, mut y, mut yy, mut x, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        let mut last: Option<(i32, f64)> = None;
        for (day, quantity) in days() {
            if let Some((before, lasting)) = last {
                let gap = (f64::from(day) - f64::from(before)).ln();
                let more = lasting - usual;
                n += 1.0;
                y += gap;
                yy += gap * gap;
                x += more;
                xx += more * more;
                xy += more * gap;
            }
            last = Some((day, quantity));
        }
        let (day, quantity) = last.expect("a pair has a purchase");
        Self {
            product: rows[0].product,
            n: n as f32,
            y: y as f32,
            yy: yy as f32,
            x: x as f32,
            xx: xx as f32,
            xy: xy as f32,
            open_x: (quantity - usual) as f32,
            // A gap of d whole days lies between d - ½ and d + ½: silence to the end of a day has ruled out that day.
            open_y: ((f64::from(as_of) - f64::from(day) + 0.5).ln()) as f32,
            usual: usual as f32,
        }
    }

    pub fn closed(&self) -> u64 {
        self.n as u64
    }

    pub fn sum(&self) -> f64 {
        f64::from(self.y)
    }

    pub fn silent_days(&self) -> f64 {
        f64::from(self.open_y).exp()
    }

    /// The open gap begins anew with this quantity.
    pub fn bought_again(&self, quantity: f64) -> Self {
        let more = if quantity > 0.0 && quantity.is_finite() {
            quantity.ln() as f32 - self.usual
        } else {
            0.0
        };
        Self { open_x: more, open_y: 0.5_f32.ln(), ..*self }
    }

    /// Within the pair: sums of squares of ln(quantity), and of products with ln(days). A pair's level is left out,
    /// since who buys much at once differs from others in more than that.
    pub fn quantity_effect(&self) -> (f64, f64) {
        if self.n < 2.0 {
            return (0.0, 0.0);
        }
        let [n, y, x, xx, xy] = [self.n, self.y, self.x, self.xx, self.xy].map(f64::from);
        ((xx - x * x / n).max(0.0), xy - x * y / n)
    }

    /// The expectation step: an open gap counts as a closed one as far as it will ever close, at the length that is
    /// then to be expected (Aitkin 1981, Technometrics 23(2); the cured after Farewell 1982, Biometrics 38(4)).
    pub fn see(
        &self,
        part: &Part,
        person: Person,
        spread: &Spread,
        again: &[f64; ORDINALS],
    ) -> Seen {
        let [n, y, yy, x, xx, xy, open_x, open_y] =
            [self.n, self.y, self.yy, self.x, self.xx, self.xy, self.open_x, self.open_y]
                .map(f64::from);
        let (within, own) = (spread.within.powi(2), spread.pair.powi(2));
        let mean = part.mean + person.pace;
        let lasts = part.lasts;
        // As if each purchase had been of the usual quantity, and measured from what product and person say.
        let sum = y - lasts * x - n * mean;
        let squares = yy - 2.0 * lasts * xy + lasts * lasts * xx - 2.0 * mean * (y - lasts * x)
            + n * mean * mean;
        let held = n + within / own;
        let apart = sum / held;
        let open_mean = mean + apart + lasts * open_x;
        let open_sd = (within + within / held).sqrt();
        let z = (open_y - open_mean) / open_sd;
        let silent = normal::tail(z);
        let ordinal = |k: usize| match k {
            0 | 1 => k,
            2 | 3 => 2,
            _ => 3,
        };
        let odds = |k: usize| chance(again[k] + part.again + person.again);
        let k = ordinal(self.n as usize);
        let open_again = odds(k);
        let weight =
            open_again * silent / (1.0 - open_again + open_again * silent).max(f64::MIN_POSITIVE);
        let hazard = normal::hazard(z, silent);
        let longer = apart + open_sd * hazard;
        let variance =
            (within + within / held) * (1.0 + z * hazard - hazard * hazard).clamp(0.0, 1.0);

        let gaps = n + weight;
        let sum = sum + weight * longer;
        let squares = squares + weight * (longer * longer + variance);
        let shared = gaps * own + within;
        let held = gaps + within / own;
        let (apart, doubt) = (sum / held, within / held);

        let (mut returns, mut returns_info) = ([0.0; ORDINALS], [0.0; ORDINALS]);
        let passed =
            [n.min(1.0), (n - 1.0).clamp(0.0, 1.0), (n - 2.0).clamp(0.0, 2.0), (n - 4.0).max(0.0)];
        for (i, times) in passed.into_iter().enumerate().filter(|(_, times)| *times > 0.0) {
            let p = odds(i);
            returns[i] += times * (1.0 - p);
            returns_info[i] += times * p * (1.0 - p);
        }
        returns[k] += weight - open_again;
        returns_info[k] += open_again * (1.0 - open_again);
        Seen {
            precision: gaps / shared,
            pull: (sum + gaps * mean) / shared,
            gaps,
            within: (squares - 2.0 * apart * sum + gaps * (apart * apart + doubt)).max(0.0),
            own: apart * apart + doubt,
            closed: n > 0.0,
            returns,
            returns_info,
            open_mean,
            open_sd,
            open_again,
        }
    }
}

impl Sight {
    /// `without` is what else the mean is made of.
    pub fn add(&mut self, seen: &Seen, without: f64) {
        self.precision += seen.precision;
        self.pull += seen.pull - seen.precision * without;
        self.returns += seen.returns.iter().sum::<f64>();
        self.returns_info += seen.returns_info.iter().sum::<f64>();
    }

    /// The same evidence, worth only a share: what is bought in one basket comes back in one basket, and tells of
    /// one decision.
    pub fn worth(self, share: f64) -> Self {
        Self {
            precision: share * self.precision,
            pull: share * self.pull,
            returns: share * self.returns,
            returns_info: share * self.returns_info,
        }
    }

    pub fn join(&mut self, other: &Self) {
        self.precision += other.precision;
        self.pull += other.pull;
        self.returns += other.returns;
        self.returns_info += other.returns_info;
    }

    /// A Newton step on log odds held to 0 by a prior; half-hearted where it is large.
    pub fn again(&self, now: f64, sd: f64) -> f64 {
        let prior = 1.0 / (sd * sd);
        let step = (self.returns - prior * now) / (self.returns_info + prior);
        now + step.clamp(-1.0, 1.0)
    }
}

impl Person {
    pub fn after(&self, sight: &Sight, spread: &Spread) -> Self {
        let precision = sight.precision + spread.person.powi(-2);
        Self {
            pace: sight.pull / precision,
            again: sight.again(self.again, spread.again_person),
            doubt: 1.0 / precision,
        }
    }
}
