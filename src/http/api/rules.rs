//! `/api/v1/rules` and `/api/v1/rules/{key}`: what operators want done, as shop.toml says it, and the same by JSON.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Json, Path};
use serde::Serialize;
use serde_json::Value;

use super::page::{Page, shown};
use super::templates::Names;
use super::{App, Problem, read};
use crate::backtest::case::with_words;
use crate::db::{Conn, DbError};
use crate::http::auth::ApiKey;
use crate::ledger::Instants;
use crate::planner::moves::{self, Moved};
use crate::primitives::{StoreId, Timestamp, Zone};
use crate::rules::{
    self, Pause, Rule, RuleStatus, ShopDocument, StoredRule, TriggerKind, ValueChange,
};
use crate::stores;

#[derive(Serialize)]
pub struct Item {
    #[serde(flatten)]
    rule: Rule,
    version: i32,
    /// Of the trigger as it stands: what fell due before is left alone.
    live_since: Option<Timestamp>,
    /// Of a schedule, the next five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next_runs: Vec<Timestamp>,
    /// Set where the program paused the rule by itself.
    pause: Option<Pause>,
}

impl Item {
    /// The status in force, which may have changed since the definition was written.
    fn of(stored: StoredRule, zone: &Zone, now: Timestamp) -> Self {
        let next_runs = match &stored.rule.trigger.kind {
            TriggerKind::Schedule { cron } => cron.upcoming(now, zone, 5),
            _ => Vec::new(),
        };
        let rule = Rule { status: stored.status, ..stored.rule };
        let (version, live_since, pause) = (stored.version, stored.live_since, stored.pause);
        Self { rule, version, live_since, next_runs, pause }
    }
}

pub async fn list(key: ApiKey, app: Data<App>) -> Result<Json<Page<Item>>, Problem> {
    let now = app.clock.now();
    read(&app, &key, move |conn, store| {
        let all = rules::store::all(conn, store.id)?.into_iter();
        let items = all.map(|stored| Item::of(stored, &store.timezone, now)).collect();
        // A store has tens of rules: one page holds them.
        Ok(Json(Page { items, next_cursor: None }))
    })
    .await
}

pub async fn show(key: ApiKey, app: Data<App>, rule: Path<String>) -> Result<Json<Item>, Problem> {
    let rule = rule.into_inner();
    let name = shown(&rule);
    let now = app.clock.now();
    let found = read(&app, &key, move |conn, store| {
        let found = rules::store::find_by_key(conn, store.id, &rule)?;
        Ok(found.map(|stored| Item::of(stored, &store.timezone, now)))
    });
    found.await?.map(Json).ok_or_else(|| {
        Problem::unknown("/problems/unknown-rule", format!("there is no rule `{name}`"))
    })
}

/// Makes the rule in the body the one in force: a new version of it, or a new rule. 201 where it is new; nothing
/// happens where it is as it was. What GET answers may be put back as it is.
pub async fn put(
    key: ApiKey,
    app: Data<App>,
    names: Data<Names>,
    path: Path<String>,
    body: Json<Value>,
) -> Result<HttpResponse, Problem> {
    let name = path.into_inner();
    let templates = names.known(&app).await?;
    let rule = Rule::from_json(&name, &body, &templates).map_err(Problem::bad_request)?;
    let (store, now) = (key.store, app.clock.now());
    let (is_new, item) = app
        .db
        .write(move |conn| -> Result<_, Problem> {
            rules::store::lock(conn)?;
            check_tests(conn, store, &rule, &templates)?;
            let is_new = rules::store::find_by_key(conn, store, &rule.key)?.is_none();
            rules::store::put(conn, store, &rule, now)?;
            let stored = rules::store::find_by_key(conn, store, &rule.key)?;
            let zone = stores::store::find(conn, store)?.timezone;
            Ok((is_new, stored.map(|stored| Item::of(stored, &zone, now))))
        })
        .await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(item))
}

/// Tests are read by the store's zone and currency: a wrong one is refused before it is kept.
fn check_tests(
    conn: &mut Conn,
    store: StoreId,
    rule: &Rule,
    templates: &[String],
) -> Result<(), Problem> {
    let Some(document) = rules::export_of(conn, store)?.filter(|_| !rule.tests.is_empty()) else {
        return Ok(());
    };
    let text = ShopDocument { rules: vec![rule.clone()], ..document }.print();
    let read = with_words(|words| ShopDocument::parse_with_tests("tests", &text, templates, words));
    read.map(|_| ()).map_err(|errors| {
        let said: Vec<String> = errors.problems.into_iter().map(|one| one.message).collect();
        Problem::bad_request(said.join("; "))
    })
}

/// Takes the rule out of the settings, as leaving it out of shop.toml does. Its ledger stays; nothing more of it goes
/// out.
pub async fn retire(
    key: ApiKey,
    app: Data<App>,
    path: Path<String>,
) -> Result<Json<Item>, Problem> {
    let (name, store, now) = (path.into_inner(), key.store, app.clock.now());
    let asked = shown(&name);
    let retired = app
        .db
        .write(move |conn| -> Result<_, Problem> {
            rules::store::lock(conn)?;
            let Some(stored) = rules::store::find_by_key(conn, store, &name)? else {
                return Ok(None);
            };
            if !rules::store::is_retired(conn, stored.id)? {
                rules::store::retire(conn, stored.id, now)?;
            }
            let zone = stores::store::find(conn, store)?.timezone;
            let found = rules::store::find_by_key(conn, store, &name)?;
            Ok(found.map(|stored| Item::of(stored, &zone, now)))
        })
        .await?;
    retired.map(Json).ok_or_else(|| {
        Problem::unknown("/problems/unknown-rule", format!("there is no rule `{asked}`"))
    })
}

/// Moves everybody who is in an older version of the rule to the one in force.
pub async fn move_on(
    key: ApiKey,
    app: Data<App>,
    path: Path<String>,
) -> Result<Json<Moved>, Problem> {
    let (name, store, at) = (path.into_inner(), key.store, Instants::at(app.clock.now()));
    let asked = shown(&name);
    let (db, secret) = (app.db.clone(), app.secret.clone());
    let work = web::block(move || -> Result<Option<Moved>, DbError> {
        let found = db.read_here(|conn| -> Result<_, DbError> {
            let rule = rules::store::find_by_key(conn, store, &name)?;
            Ok((stores::store::find(conn, store)?, rule.map(|rule| rule.id)))
        })?;
        let (store, Some(rule)) = found else { return Ok(None) };
        moves::move_all(&db, &store, &secret, rule, at).map(Some)
    });
    let moved = work.await.map_err(|error| Problem::internal(&error))??;
    moved.map(Json).ok_or_else(|| {
        Problem::unknown("/problems/unknown-rule", format!("there is no rule `{asked}`"))
    })
}

/// A version of a rule, and what it changed.
#[derive(Serialize)]
pub struct VersionItem {
    version: i32,
    created_at: Timestamp,
    status: RuleStatus,
    /// Against the version before; of the first, none.
    changes: Vec<ValueChange>,
}

/// Newest first.
pub async fn versions(
    key: ApiKey,
    app: Data<App>,
    path: Path<String>,
) -> Result<Json<Page<VersionItem>>, Problem> {
    let name = path.into_inner();
    let asked = shown(&name);
    let found = read(&app, &key, move |conn, store| {
        let Some(stored) = rules::store::find_by_key(conn, store.id, &name)? else {
            return Ok(None);
        };
        let all = rules::store::versions(conn, stored.id)?;
        let before = all.iter().skip(1).map(|(_, _, rule)| Some(rule)).chain([None]);
        let items =
            all.iter().zip(before).map(|((version, created_at, rule), before)| VersionItem {
                version: *version,
                created_at: *created_at,
                status: rule.status,
                changes: before.map_or_else(Vec::new, |before| rules::changed_rule(before, rule)),
            });
        Ok(Some(items.collect()))
    });
    let items = found.await?.ok_or_else(|| {
        Problem::unknown("/problems/unknown-rule", format!("there is no rule `{asked}`"))
    })?;
    Ok(Json(Page { items, next_cursor: None }))
}
