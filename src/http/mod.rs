//! HTTP: every URL on one page.

pub mod api;
pub mod auth;
mod backtests;
mod bodies;
pub mod pages;
pub mod public;
pub mod server;
mod shadow;
mod tracking;

use std::sync::Arc;

use actix_web::web;

use bodies::Bodies;

use crate::clicks::Recorder;
use crate::config::Config;
use crate::db::Db;
use crate::journal::Journal;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::primitives::Clock;
use crate::secret::Secret;

/// What handlers may use, handed to each as `web::Data<App>`.
pub struct App {
    pub db: Db,
    pub journal: Journal,
    pub config: Arc<Config>,
    pub secret: Secret,
    pub clock: Clock,
    pub keys: KeyRing,
    pub metrics: Metrics,
    /// Where clicks and opens of mails go.
    pub clicks: Recorder,
    bodies: Bodies,
}

impl App {
    pub fn new(
        db: Db,
        journal: Journal,
        config: Arc<Config>,
        secret: Secret,
        clock: Clock,
    ) -> Self {
        let keys = KeyRing::new(db.clone());
        let clicks = Recorder::new(db.clone());
        Self {
            db,
            journal,
            config,
            secret,
            clock,
            keys,
            metrics: Metrics::default(),
            clicks,
            bodies: Bodies::default(),
        }
    }
}

/// All routes. The first that matches wins.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/u/{token}")
            .route(web::get().to(public::unsubscribe::show))
            .route(web::post().to(public::unsubscribe::act)),
    );
    config
        .route("/t/c/{token}", web::get().to(public::tracked::click))
        .route("/t/o/{token}", web::get().to(public::tracked::open));
    config.configure(server::operation).configure(tracking::routes);
    config.configure(api::routes);
}
