//! HTTP: every URL on one page.

use std::sync::Arc;

use actix_web::web;

use crate::config::Config;
use crate::db::Db;
use crate::journal::Journal;
use crate::primitives::Clock;
use crate::secret::Secret;

/// What handlers may use, handed to each as `web::Data<App>`.
pub struct App {
    pub db: Db,
    pub journal: Journal,
    pub config: Arc<Config>,
    pub secret: Secret,
    pub clock: Clock,
}

/// All routes. The first that matches wins.
pub fn routes(_config: &mut web::ServiceConfig) {}
