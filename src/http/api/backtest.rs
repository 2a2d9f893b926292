//! `POST /api/v1/rules/{key}/backtest`: what a rule would have done, saved or not.

use actix_web::web::{Bytes, Data, Json, Path};
use serde::Deserialize;
use serde_json::Value;

use super::page::shown;
use super::templates::Names;
use super::{App, Problem, read};
use crate::backtest::{BacktestError, Contest, Report, Window};
use crate::http::auth::ApiKey;
use crate::http::backtests;
use crate::rules::{self, Rule, ShopDocument};

/// The whole body is optional.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    from: Option<String>,
    to: Option<String>,
    /// A rule that is not saved: as shop.toml writes it, in a text; or as `GET /rules/{key}` shows it.
    rule: Option<Value>,
}

pub async fn run(
    key: ApiKey,
    app: Data<App>,
    names: Data<Names>,
    rule: Path<String>,
    body: Bytes,
) -> Result<Json<Report>, Problem> {
    let ask: Ask = match body.trim_ascii() {
        b"" => Ask::default(),
        text => serde_json::from_slice(text)
            .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))?,
    };
    let rule_key = rule.into_inner();
    let unsaved = match &ask.rule {
        None => None,
        Some(told) => {
            let known = names.known(&app).await?;
            Some(read_rule(told, &rule_key, &known)?)
        }
    };
    let (contest, window) = read(&app, &key, {
        let now = app.clock.now();
        move |conn, store| {
            let window =
                Window::parse(ask.from.as_deref(), ask.to.as_deref(), &store.timezone, now)
                    .map_err(Problem::bad_request)?;
            let rule = match unsaved {
                Some(rule) => rule,
                None => match rules::store::find_by_key(conn, store.id, &rule_key)? {
                    Some(stored) => stored.rule,
                    None => return Err(unknown(&rule_key)),
                },
            };
            let live = rules::store::live(conn, store.id)?;
            Ok((Contest::new(store.clone(), rule, live), window))
        }
    })
    .await?;
    match backtests::run(&app, contest, window).await {
        Ok(report) => Ok(Json(report)),
        Err(BacktestError::Db(error)) => Err(Problem::internal(&error)),
        Err(error @ BacktestError::Cancelled) => Err(Problem::internal(&error)),
    }
}

fn unknown(key: &str) -> Problem {
    let detail = format!("there is no rule `{}`", shown(key));
    Problem::unknown("/problems/unknown-rule", detail)
}

/// By the same strict reader that `homing apply` uses, with the line of every mistake.
fn read_rule(told: &Value, key: &str, templates: &[String]) -> Result<Rule, Problem> {
    let text = match told {
        Value::String(text) => text.clone(),
        object => {
            let rule: Rule = serde_json::from_value(object.clone())
                .map_err(|error| Problem::bad_request(format!("rule: {error}")))?;
            ShopDocument::print_rules(&[rule])
        }
    };
    let rules =
        ShopDocument::parse_rules("rule", &text, templates).map_err(Problem::bad_request)?;
    let named = rules.into_iter().find(|rule| rule.key == key);
    named.ok_or_else(|| {
        Problem::bad_request(format!("rule: the text holds no rule with the key `{}`", shown(key)))
    })
}
