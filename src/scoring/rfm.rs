//! RFM of those who bought: recency, frequency and money as fifths of the store, and the segment they make. Pure.
//!
//! As of the end of a day D in the store's zone: days = whole days from the last order day to D, fewer being
//! better; order days = distinct days with a counting order; spent = their total net of refunds, in minor
//! units. Each is scored by [`Fifths`]. Ties are never split, so a score may have nobody, one-time buyers all
//! get F = 1 wherever they are a fifth or more, and a shuffled file gives the same scores.

use super::fifths::Fifths;
use crate::text_enum;

/// The three scores of a customer, 1 to 5 each. For visitors, `m` is the depth of intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Rfm {
    pub r: u8,
    pub f: u8,
    pub m: u8,
}

impl Rfm {
    /// The mean of F and M, half up: how much the store has of the customer.
    pub fn fm(self) -> u8 {
        (self.f + self.m).div_ceil(2)
    }
}

/// What earns which score in this store today: from all its customers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scale<M> {
    /// Days are negated: fewer are better.
    r: Fifths<i32>,
    f: Fifths<i32>,
    m: Fifths<M>,
}

impl<M: Ord + Copy + Send + Sync> Scale<M> {
    /// From three columns, a row per customer. The dimensions are independent: each has a thread of its own.
    pub fn of(days_since: &[i32], frequency: &[i32], money: &[M]) -> Self {
        let recency = || Fifths::of(days_since.iter().map(|days| -days).collect());
        let (r, (f, m)) = rayon::join(recency, || {
            rayon::join(|| Fifths::of(frequency.to_vec()), || Fifths::of(money.to_vec()))
        });
        Self { r, f, m }
    }

    pub fn score(&self, days_since: i32, frequency: i32, money: M) -> Rfm {
        Rfm { r: self.r.score(-days_since), f: self.f.score(frequency), m: self.m.score(money) }
    }
}

text_enum! {
    /// The eleven segments of buyers. Every cell of R × FM is in exactly one.
    pub enum Segment {
        Champions = "champions",
        LoyalCustomers = "loyal_customers",
        PotentialLoyalists = "potential_loyalists",
        NewCustomers = "new_customers",
        Promising = "promising",
        NeedAttention = "need_attention",
        AboutToSleep = "about_to_sleep",
        CantLoseThem = "cant_lose_them",
        AtRisk = "at_risk",
        Hibernating = "hibernating",
        Lost = "lost",
    }
}

impl Segment {
    /// The widely copied map on R and the mean of F and M, with `lost` for the lowest cell.
    pub fn of(rfm: Rfm) -> Self {
        match (rfm.r, rfm.fm()) {
            (5, 4..) => Self::Champions,
            (3.., 4..) => Self::LoyalCustomers,
            (4.., 2..) => Self::PotentialLoyalists,
            (5, _) => Self::NewCustomers,
            (4, _) => Self::Promising,
            (3, 3) => Self::NeedAttention,
            (3, _) => Self::AboutToSleep,
            (_, 5) => Self::CantLoseThem,
            (_, 3..) => Self::AtRisk,
            (1, 1) => Self::Lost,
            _ => Self::Hibernating,
        }
    }

    /// Whose members slip away and are worth an effort: they make the at-risk list.
    pub fn is_slipping(self) -> bool {
        matches!(self, Self::AtRisk | Self::CantLoseThem | Self::AboutToSleep | Self::NeedAttention)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_the_published_one() {
        use Segment::*;
        let rows = [
            (5, [NewCustomers, PotentialLoyalists, PotentialLoyalists, Champions, Champions]),
            (
                4,
                [Promising, PotentialLoyalists, PotentialLoyalists, LoyalCustomers, LoyalCustomers],
            ),
            (3, [AboutToSleep, AboutToSleep, NeedAttention, LoyalCustomers, LoyalCustomers]),
            (2, [Hibernating, Hibernating, AtRisk, AtRisk, CantLoseThem]),
            (1, [Lost, Hibernating, AtRisk, AtRisk, CantLoseThem]),
        ];
        for (r, row) in rows {
            for (fm, segment) in (1..=5).zip(row) {
                assert_eq!(Segment::of(Rfm { r, f: fm, m: fm }), segment, "{r}{fm}");
            }
        }
    }

    #[test]
    fn the_mean_of_f_and_m_rounds_half_up() {
        for (f, m, fm) in [(1, 1, 1), (1, 2, 2), (2, 1, 2), (4, 5, 5), (5, 5, 5), (1, 5, 3)] {
            assert_eq!(Rfm { r: 1, f, m }.fm(), fm);
        }
    }
}
