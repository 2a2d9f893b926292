//! Which of a customer's products are bought again, and when. Pure.

use super::{Purchase, Rhythm, VAGUE, YEAR};
use crate::primitives::{Timestamp, Zone};
use crate::scoring::predict::history::key_of;

/// Less likely than this to be bought again within a year: no rhythm to count from.
const LIKELY: f64 = 0.5;

/// Of one customer at most, the soonest: a mail shows no more.
const MOST: usize = 4;

const DAY_MICROS: f64 = 86_400_000_000.0;

/// One product in one counting order of a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Bought {
    pub product_id: String,
    pub category: Option<String>,
    pub at: Timestamp,
    pub quantity: f64,
}

/// When a customer is expected to buy a product again, as it stood at their last order.
#[derive(Debug, Clone, PartialEq)]
pub struct Repurchase {
    pub product_id: String,
    /// The last purchase of it.
    pub bought_at: Timestamp,
    /// Usual from that purchase to the next, by its quantity.
    pub gap_days: f64,
    /// If it comes within a year: by these in one of five cases, in half of them, in four of five.
    pub expected_from: Timestamp,
    pub expected_at: Timestamp,
    pub expected_until: Timestamp,
    /// Of its coming within a year.
    pub probability: f64,
}

impl Bought {
    /// What the rhythm sees of it: a name becomes a number that is the same wherever it is asked.
    pub fn purchase(&self, customer: i64, zone: &Zone) -> Purchase {
        Purchase {
            customer,
            product: product_key(&self.product_id),
            category: self.category.as_deref().map(product_key),
            day: self.at.day_number(zone),
            quantity: self.quantity,
        }
    }
}

pub fn product_key(name: &str) -> i64 {
    key_of(name) as i64
}

/// The products that this customer buys again, soonest first. `bought` are all that they ever bought, in any order;
/// their last order may have been of other things.
///
/// It is told as it stood at the end of the day of the last order, and so it stays while they are silent: a rule can
/// count from it. What would usually have been due by that day and was left out of that order is not expected any more:
/// they had it before their eyes.
pub fn repurchases(
    rhythm: &Rhythm,
    bought: &[Bought],
    last_order_at: Timestamp,
    zone: &Zone,
) -> Vec<Repurchase> {
    let purchases: Vec<Purchase> = bought.iter().map(|one| one.purchase(0, zone)).collect();
    let last_day = last_order_at.day_number(zone);
    let customer = rhythm.customer(&purchases, last_day);
    let mut newest: Vec<&Bought> = bought.iter().collect();
    newest.sort_by(|a, b| a.product_id.cmp(&b.product_id).then(a.at.cmp(&b.at)));
    let mut found: Vec<Repurchase> = newest
        .chunk_by(|a, b| a.product_id == b.product_id)
        .filter_map(|same| {
            let last = same.last()?;
            let forecast = customer.forecast(product_key(&last.product_id))?;
            let probability = forecast.p_within(YEAR);
            let gap_days = forecast.usual_gap();
            let left_out = f64::from(last.at.day_number(zone)) + gap_days < f64::from(last_day);
            if probability < LIKELY || forecast.spread() > VAGUE || left_out {
                return None;
            }
            let after = |share| {
                let gap = forecast.gap_at(share, YEAR);
                Timestamp(last.at.0.saturating_add((gap * DAY_MICROS) as i64)).min(Timestamp::MAX)
            };
            Some(Repurchase {
                product_id: last.product_id.clone(),
                bought_at: last.at,
                gap_days,
                expected_from: after(0.2),
                expected_at: after(0.5),
                expected_until: after(0.8),
                probability,
            })
        })
        .collect();
    found.sort_by(|a, b| {
        a.expected_at.cmp(&b.expected_at).then_with(|| a.product_id.cmp(&b.product_id))
    });
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn bought(product: &str, day: i64, quantity: f64) -> Bought {
        let at = Timestamp(day * DAY + DAY / 2);
        Bought { product_id: product.to_owned(), category: None, at, quantity }
    }

    /// Coffee every twenty days or so, two bags lasting twice as long; a grinder once in a life.
    fn shop() -> Rhythm {
        let zone = Zone::utc();
        let mut rows = Vec::new();
        for who in 0..150_i64 {
            let mut day = who % 30;
            rows.push(bought("grinder", day, 1.0).purchase(who, &zone));
            for n in 0..14 {
                let bags = if (who + n) % 3 == 0 { 2.0 } else { 1.0 };
                rows.push(bought("coffee", day, bags).purchase(who, &zone));
                day += (17 + (who + 2 * n) % 7) * bags as i64;
            }
        }
        Rhythm::learn(&rows, 500)
    }

    #[test]
    fn what_runs_out_is_expected_and_what_lasts_is_not() {
        let (rhythm, zone) = (shop(), Zone::utc());
        let own =
            [bought("coffee", 400, 1.0), bought("grinder", 400, 1.0), bought("coffee", 420, 1.0)];
        let found = repurchases(&rhythm, &own, own[2].at, &zone);
        let [coffee] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((coffee.product_id.as_str(), coffee.bought_at), ("coffee", own[2].at));
        let days = |at: Timestamp| (at.0 - coffee.bought_at.0) as f64 / DAY as f64;
        assert!((17.0..25.0).contains(&days(coffee.expected_at)), "{coffee:?}");
        assert!(
            coffee.expected_from < coffee.expected_at && coffee.expected_at < coffee.expected_until
        );
        assert!(coffee.probability > 0.8);

        let two = [bought("coffee", 400, 1.0), bought("coffee", 420, 2.0)];
        let more = repurchases(&rhythm, &two, two[1].at, &zone);
        assert!(days(more[0].expected_at) > 1.6 * days(coffee.expected_at), "{more:?}");
    }

    #[test]
    fn what_was_due_and_left_out_of_the_last_order_is_not_asked_about() {
        let (rhythm, zone) = (shop(), Zone::utc());
        let left_out = [bought("coffee", 400, 1.0), bought("grinder", 440, 1.0)];
        assert_eq!(repurchases(&rhythm, &left_out, left_out[1].at, &zone), []);
        let in_time = [bought("coffee", 400, 1.0), bought("grinder", 405, 1.0)];
        let found = repurchases(&rhythm, &in_time, in_time[1].at, &zone);
        assert!(found[0].expected_at > in_time[1].at, "{found:?}");
        assert_eq!(repurchases(&rhythm, &[], in_time[1].at, &zone), []);
    }
}
