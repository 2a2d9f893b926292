//! `GET /api/v1/reports/rules/{key}/shadow`: what a rule decided in shadow beside the backtest of the same days.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path};

use super::page::shown;
use super::{App, Problem, read};
use crate::backtest::BacktestError;
use crate::http::auth::ApiKey;
use crate::http::shadow::{self, Compared, NoComparison};
use crate::rules;

pub async fn show(
    key: ApiKey,
    app: Data<App>,
    rule: Path<String>,
) -> Result<Json<Compared>, Problem> {
    let (name, now) = (rule.into_inner(), app.clock.now());
    let asked = shown(&name);
    let (rule, store) = read(&app, &key, move |conn, store| {
        let found = rules::store::find_by_key(conn, store.id, &name)?;
        let detail = format!("there is no rule `{asked}`");
        let found = found.ok_or_else(|| Problem::unknown("/problems/unknown-rule", detail))?;
        Ok((found.id, store.clone()))
    })
    .await?;
    match shadow::compare(&app, store, rule, now).await {
        Ok(compared) => Ok(Json(compared)),
        Err(error @ (NoComparison::Never | NoComparison::NotYet)) => {
            Err(Problem::new(StatusCode::CONFLICT, "/problems/no-shadow", error))
        }
        Err(NoComparison::Backtest(BacktestError::Db(error))) => Err(error.into()),
        Err(NoComparison::Backtest(error)) => Err(Problem::internal(&error)),
    }
}
