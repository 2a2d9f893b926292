//! `GET /api/v1/templates`: the mail templates that rules can name.

use std::sync::OnceLock;

use actix_web::web::{self, Data, Json};
use serde::Serialize;

use super::page::Page;
use super::{App, Problem};
use crate::http::auth::ApiKey;
use crate::mail::Composer;

#[derive(Debug, Clone, Serialize)]
pub struct Template {
    key: String,
}

/// The names, once they were asked for: templates are read when the process starts, and stay.
#[derive(Default)]
pub struct Names(OnceLock<Vec<String>>);

impl Names {
    pub async fn known(&self, app: &App) -> Result<Vec<String>, Problem> {
        if self.0.get().is_none() {
            let folder = app.config.templates.clone();
            let composer = web::block(move || Composer::load(folder.as_deref()))
                .await
                .map_err(|error| Problem::internal(&error))?
                .map_err(|error| Problem::internal(&error))?;
            let _ = self.0.set(composer.names().map(str::to_owned).collect());
        }
        Ok(self.0.get().cloned().unwrap_or_default())
    }
}

pub async fn list(
    _: ApiKey,
    app: Data<App>,
    names: Data<Names>,
) -> Result<Json<Page<Template>>, Problem> {
    let items = names.known(&app).await?.into_iter().map(|key| Template { key }).collect();
    Ok(Json(Page { items, next_cursor: None }))
}
