//! `GET /api/v1/reports/…`: what the store's figures say of itself.

use actix_web::web::{Data, Json};

use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::reports::calibration::{self, Calibration};

/// How good the predictions are. A store that was never scored has no report yet.
pub async fn calibration(key: ApiKey, app: Data<App>) -> Result<Json<Calibration>, Problem> {
    read(&app, &key, |conn, store| {
        let report = calibration::calibration(conn, store.id)?;
        report.map(Json).ok_or_else(Problem::not_scored_yet)
    })
    .await
}
