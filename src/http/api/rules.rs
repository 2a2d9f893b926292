//! `GET /api/v1/rules` and `/api/v1/rules/{key}`: what operators want done, as shop.toml says it.

use actix_web::web::{Data, Json, Path};
use serde::Serialize;

use super::page::{Page, shown};
use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::primitives::Timestamp;
use crate::rules::{self, Rule, StoredRule};

#[derive(Serialize)]
pub struct Item {
    #[serde(flatten)]
    rule: Rule,
    version: i32,
    /// Of the trigger as it stands: what fell due before is left alone.
    live_since: Option<Timestamp>,
}

impl Item {
    /// The status in force, which may have changed since the definition was written.
    fn of(stored: StoredRule) -> Self {
        let rule = Rule { status: stored.status, ..stored.rule };
        Self { rule, version: stored.version, live_since: stored.live_since }
    }
}

pub async fn list(key: ApiKey, app: Data<App>) -> Result<Json<Page<Item>>, Problem> {
    read(&app, &key, |conn, store| {
        let items = rules::store::all(conn, store.id)?.into_iter().map(Item::of).collect();
        // A store has tens of rules: one page holds them.
        Ok(Json(Page { items, next_cursor: None }))
    })
    .await
}

pub async fn show(key: ApiKey, app: Data<App>, rule: Path<String>) -> Result<Json<Item>, Problem> {
    let rule = rule.into_inner();
    let name = shown(&rule);
    let found = read(&app, &key, move |conn, store| {
        Ok(rules::store::find_by_key(conn, store.id, &rule)?.map(Item::of))
    });
    found.await?.map(Json).ok_or_else(|| {
        Problem::unknown("/problems/unknown-rule", format!("there is no rule `{name}`"))
    })
}
