//! `GET /api/v1/products/rhythm?limit=`: how the store's products are bought again.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Query};

use super::page::limit;
use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::reports::rhythm::{self, Products};

pub async fn rhythm(
    key: ApiKey,
    app: Data<App>,
    ask: Query<BTreeMap<String, String>>,
) -> Result<Json<Products>, Problem> {
    let limit = limit(ask.get("limit").map(String::as_str))?;
    read(&app, &key, move |conn, store| {
        let found = rhythm::products(conn, store, limit as usize)?;
        found.map(Json).ok_or_else(Problem::not_scored_yet)
    })
    .await
}
