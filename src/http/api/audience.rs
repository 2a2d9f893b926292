//! `POST /api/v1/audience/count`: how many customers an audience holds now.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::rules::Condition;
use crate::situation::audience;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// As a rule's `audience`; null: everybody.
    audience: Value,
    #[serde(default)]
    explain: bool,
}

#[derive(Serialize)]
pub struct Counted {
    customers: i64,
    /// What was understood.
    audience: Option<String>,
    /// How the database goes about it, in its own words; only where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<String>>,
}

pub async fn count(key: ApiKey, app: Data<App>, ask: Json<Ask>) -> Result<Json<Counted>, Problem> {
    let Ask { audience, explain } = ask.into_inner();
    let condition: Option<Condition> = serde_json::from_value(audience)
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    let now = app.clock.now();
    read(&app, &key, move |conn, store| {
        let asked = condition.as_ref();
        let plan = match explain {
            true => Some(audience::explain(conn, store, asked, now)?),
            false => None,
        };
        let customers = audience::count(conn, store, asked, now)?;
        Ok(Json(Counted { customers, audience: asked.map(ToString::to_string), plan }))
    })
    .await
}
