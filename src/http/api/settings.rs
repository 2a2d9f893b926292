//! `GET /api/v1/settings`: the store's settings in force, by the names of shop.toml.

use actix_web::web::{Data, Json};
use serde::Serialize;

use super::{App, Problem, read};
use crate::http::auth::ApiKey;
use crate::primitives::{Currency, Zone};
use crate::stores::{Retention, Scoring, Sending};

#[derive(Serialize)]
pub struct Settings {
    store: Details,
    sending: Sending,
    scoring: Scoring,
    retention: Retention,
}

#[derive(Serialize)]
struct Details {
    key: String,
    name: String,
    timezone: Zone,
    currency: Currency,
    locale: String,
    /// Null until settings are applied: nothing is planned or sent before.
    from: Option<String>,
    reply_to: Option<String>,
    postal_address: Option<String>,
}

pub async fn show(key: ApiKey, app: Data<App>) -> Result<Json<Settings>, Problem> {
    read(&app, &key, |_, store| {
        let store = store.clone();
        Ok(Json(Settings {
            store: Details {
                key: store.key,
                name: store.name,
                timezone: store.timezone,
                currency: store.currency,
                locale: store.locale,
                from: store.mail_from.map(|from| from.to_string()),
                reply_to: store.reply_to.map(|address| address.to_string()),
                postal_address: store.postal_address,
            },
            sending: store.sending,
            scoring: store.scoring,
            retention: store.retention,
        }))
    })
    .await
}
