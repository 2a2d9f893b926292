//! `GET /api/v1/segments`: the store by segment and score.

use actix_web::web::{Data, Json};

use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::scoring::{self, Segments};

pub async fn show(key: ApiKey, app: Data<App>) -> Result<Json<Segments>, Problem> {
    read(&app, &key, |conn, store| {
        let run = scoring::store::shown(conn, store.id)?;
        Ok(Json(Segments::of(run.as_ref(), &store.currency)))
    })
    .await
}
