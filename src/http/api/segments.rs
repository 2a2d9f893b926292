//! `GET /api/v1/segments` and `/api/v1/segments/movements?from=&to=`: the store by segment and score, and who moved.

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;

use super::page::shown;
use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::primitives::{Delay, Timestamp};
use crate::reports::movements::{self, Movements};
use crate::scoring::{self, Segments};
use crate::stores::Store;

/// How far back movements are told where it is not said.
const SPAN: Delay = Delay::days(28);

pub async fn show(key: ApiKey, app: Data<App>) -> Result<Json<Segments>, Problem> {
    read(&app, &key, |conn, store| {
        let run = scoring::store::shown(conn, store.id)?;
        Ok(Json(Segments::of(run.as_ref(), &store.currency)))
    })
    .await
}

#[derive(Deserialize)]
pub struct Ask {
    /// An instant, or a day, which means its end in the store's zone.
    from: Option<String>,
    to: Option<String>,
}

pub async fn movements(
    key: ApiKey,
    app: Data<App>,
    ask: Query<Ask>,
) -> Result<Json<Movements>, Problem> {
    let now = app.clock.now();
    read(&app, &key, move |conn, store| {
        let to = ask.to.as_deref().map_or(Ok(now), |raw| instant("to", raw, store))?;
        let from =
            ask.from.as_deref().map_or(Ok(to.minus(SPAN)), |raw| instant("from", raw, store))?;
        if from >= to {
            return Err(Problem::bad_request(format!(
                "from: {from} is not before {to}, where `to` ends"
            )));
        }
        Ok(Json(movements::movements(conn, store, from, to)?))
    })
    .await
}

fn instant(name: &str, raw: &str, store: &Store) -> Result<Timestamp, Problem> {
    Timestamp::parse_or_end_of_day(raw, &store.timezone)
        .ok()
        .filter(|at| (Timestamp::MIN..=Timestamp::MAX).contains(at))
        .ok_or_else(|| {
            Problem::bad_request(format!(
                "{name}: `{}` is no time: write a day such as 2026-05-31, or an instant such as 2026-05-31T12:00:00Z",
                shown(raw)
            ))
        })
}
