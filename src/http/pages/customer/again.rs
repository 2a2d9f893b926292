//! What a customer is expected to buy again, and when.

use serde::Serialize;

use super::Loaded;
use crate::http::pages::format::Format;

#[derive(Debug, Default, Serialize)]
pub struct AgainRow {
    pub product: String,
    pub rhythm: String,
    pub when: String,
    /// From when until when, for the pointer.
    pub window: String,
}

pub fn rows(format: &Format, loaded: &Loaded) -> Vec<AgainRow> {
    let row = |one: &crate::reports::rhythm::Repurchase| AgainRow {
        product: one.name.clone().unwrap_or_else(|| one.product_id.clone()),
        rhythm: format.text(
            "again.rhythm",
            &[
                ("days", &format.number(one.usual_gap_days.round() as i64)),
                ("p", &format.percent(one.probability, 0)),
                ("last", &format.day(one.last_bought_at)),
            ],
        ),
        when: format.day(one.expected_at),
        window: format.text(
            "again.window",
            &[("from", &format.day(one.expected_from)), ("until", &format.day(one.expected_until))],
        ),
    };
    loaded.again.iter().map(row).collect()
}
