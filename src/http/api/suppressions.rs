//! `GET` and `POST /api/v1/suppressions`: addresses never to be written to at all.

use actix_web::web::{Data, Json, Query};
use actix_web::{HttpResponse, http::StatusCode};
use serde::Deserialize;

use super::page::{Page, limit};
use super::{App, Problem, read};
use crate::customers::suppression::{self, Suppression, SuppressionReason};
use crate::http::auth::ApiKey;
use crate::primitives::{EmailAddress, InvalidEmailAddress, clean_text};

#[derive(Deserialize)]
pub struct Ask {
    limit: Option<String>,
    cursor: Option<String>,
}

/// By address.
pub async fn list(
    key: ApiKey,
    app: Data<App>,
    ask: Query<Ask>,
) -> Result<Json<Page<Suppression>>, Problem> {
    let limit = limit(ask.limit.as_deref())?;
    let after = ask.into_inner().cursor;
    read(&app, &key, move |conn, store| {
        let rows = suppression::list(conn, store.id, after.as_deref(), limit)?;
        Ok(Json(Page::of(rows, limit, |row| row.email.clone())))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {
    email: String,
    note: Option<String>,
}

/// Puts an address on the list: 201; 200 where it was there already, for whatever reason.
pub async fn add(key: ApiKey, app: Data<App>, add: Json<Add>) -> Result<HttpResponse, Problem> {
    let Add { email, note } = add.into_inner();
    let address: EmailAddress = email
        .parse()
        .map_err(|error: InvalidEmailAddress| Problem::bad_request(format!("email: {error}")))?;
    let note = note.as_deref().and_then(|note| clean_text(note, 500));
    let (store, now) = (key.store, app.clock.now());
    let (is_new, row) = app
        .db
        .write(move |conn| -> Result<_, Problem> {
            let reason = SuppressionReason::Operator;
            let is_new = suppression::add(conn, store, &address, reason, note.as_deref(), now)?;
            Ok((is_new, suppression::find(conn, store, &address)?))
        })
        .await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(row))
}
