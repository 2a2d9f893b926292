//! `GET /api/v1/at-risk?limit=&cursor=&segment=&min_value=`: the worklist.

use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};

use super::page::{cursor, limit, shown};
use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::primitives::{Currency, Money, Timestamp};
use crate::scoring::why_now::Language;
use crate::scoring::worklist::{WorklistQuery, worklist};
use crate::scoring::{Segment, WorklistItem};

#[derive(Deserialize)]
pub struct Ask {
    limit: Option<String>,
    cursor: Option<String>,
    /// One of the eleven segments of buyers.
    segment: Option<String>,
    /// A plain decimal in the store's currency: of the value at risk, and of the net spend until that is known.
    min_value: Option<String>,
}

#[derive(Serialize)]
pub struct Answer {
    /// The scoring that the times relate to; null before the first.
    as_of: Option<Timestamp>,
    historic: bool,
    items: Vec<WorklistItem>,
    next_cursor: Option<String>,
}

pub async fn list(key: ApiKey, app: Data<App>, ask: Query<Ask>) -> Result<Json<Answer>, Problem> {
    let segment = ask.segment.as_deref().map(|raw| {
        raw.parse::<Segment>()
            .map(|segment| segment.to_string())
            .map_err(|_| unknown_segment("segment", raw))
    });
    let min_value = ask.min_value.as_deref().map(|raw| minor_units(raw, &key.currency));
    let query = WorklistQuery {
        segment: segment.transpose()?,
        min_value: min_value.transpose()?,
        after: cursor(ask.cursor.as_deref())?,
        limit: limit(ask.limit.as_deref())?,
        language: Language::English,
    };
    read(&app, &key, move |conn, store| {
        let query = WorklistQuery { language: Language::of_locale(&store.locale), ..query };
        let list = worklist(conn, store, &query)?;
        let next_cursor = list.next.map(|place| place.to_string());
        Ok(Json(Answer {
            as_of: list.as_of,
            historic: list.historic,
            items: list.items,
            next_cursor,
        }))
    })
    .await
}

/// The names that would have done, since nobody knows them by heart.
pub fn unknown_segment(parameter: &str, raw: &str) -> Problem {
    let known = Segment::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ");
    Problem::bad_request(format!("{parameter}: `{}` is not one of: {known}", shown(raw)))
}

fn minor_units(raw: &str, currency: &Currency) -> Result<i64, Problem> {
    Money::parse(raw, currency)
        .map(|money| money.minor)
        .map_err(|error| Problem::bad_request(format!("min_value: {error}")))
}
