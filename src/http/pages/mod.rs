//! The console: HTML for operators, a file per screen. Every URL of it stands in [`configure`].
//!
//! Pages are written on the server, work without script, and ask no other host for anything.

mod api_docs;
mod assets;
mod at_risk;
mod catalogue;
mod caught;
mod chart;
mod csrf;
mod customer;
mod customers;
mod desk;
mod error;
mod format;
mod html;
mod limits;
mod memo;
mod movements;
mod outbox;
mod predictions;
mod render;
mod rules;
mod shell;
mod sign_in;
mod today;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use actix_session::SessionMiddleware;
use actix_session::config::CookieContentSecurity;
use actix_session::storage::CookieSessionStore;
use actix_web::cookie::{Key, SameSite};
use actix_web::middleware::{Compress, DefaultHeaders, from_fn};
use actix_web::{HttpResponse, web};

use diesel::QueryResult;

use crate::config::Config;
use crate::db::{Conn, Db};
use crate::primitives::{Delay, RuleId, StoreId, Timestamp};
use crate::reports;
use crate::reports::credit::Span;
use crate::reports::effects::{self, Effect};
use crate::reports::movements::Movements;
use crate::reports::outbox::Reconciliation;
use crate::reports::rules::{Listed, Outcome};
use crate::reports::today::WentOut;
use crate::secret::Secret;
use crate::stores::Store;
use crate::users::PasswordHash;

use assets::Static;
use error::PageError;
use limits::SignInLimits;
use render::{Screen, Templates};

/// What all pages share, made once at start: handed to [`configure`] as `web::Data`.
pub struct Pages {
    templates: Templates,
    statics: Static,
    limits: SignInLimits,
    days: today::DayMemo,
    sums: Sums,
    shadows: rules::KeptShadows,
    decoy: PasswordHash,
    key: Key,
    /// Cookies go over HTTPS only, where the console has it.
    secure: bool,
}

/// Sums over many messages, which several pages show.
#[derive(Default)]
struct Sums {
    went_out: memo::Memo<(StoreId, Delay), HashMap<i64, WentOut>>,
    reconciliation: memo::Memo<StoreId, Reconciliation>,
    spans: memo::Memo<(StoreId, i64), today::Compared>,
    outcomes: memo::Memo<(StoreId, Delay), Vec<Outcome>>,
    earned: memo::Memo<StoreId, Arc<effects::Sums>>,
    effects: memo::Memo<RuleId, Arc<Effect>>,
    movements: memo::Memo<(StoreId, i64), Movements>,
}

/// An order within so long after a message goes to it; and so far back the reconciliation line reaches.
const WEEK: Delay = Delay::days(7);

impl Sums {
    /// By rule id, what was sent in the `span` before `now`, and what followed within a week.
    fn went_out(
        &self,
        db: &Db,
        conn: &mut Conn,
        store: &Store,
        now: Timestamp,
        span: Delay,
    ) -> QueryResult<HashMap<i64, WentOut>> {
        let (key, store) = ((store.id, span), store.clone());
        let since = now.minus(span);
        let find = move |conn: &mut Conn| reports::today::went_out(conn, &store, since);
        self.went_out.get(key, db, conn, find)
    }

    /// What a rule earned in the last 90 days.
    fn effect(
        &self,
        db: &Db,
        conn: &mut Conn,
        store: &Store,
        rule: Listed,
        now: Timestamp,
    ) -> QueryResult<Arc<Effect>> {
        let span = Span { from: now.minus(rules::EFFECT_SPAN), until: now };
        let of = store.clone();
        let find = move |conn: &mut Conn| effects::sums(conn, &of, span).map(Arc::new);
        let sums = self.earned.get(store.id, db, conn, find)?;
        let (key, store) = (rule.id, store.clone());
        let find = move |conn: &mut Conn| {
            effects::of_rule(conn, &store, rule, &sums, span, now).map(Arc::new)
        };
        self.effects.get(key, db, conn, find)
    }

    /// What the store's rules decided in the `span` before `now`.
    fn outcomes(
        &self,
        db: &Db,
        conn: &mut Conn,
        store: &Store,
        now: Timestamp,
        span: Delay,
    ) -> QueryResult<Vec<Outcome>> {
        let (key, store) = ((store.id, span), store.clone());
        let since = now.minus(span);
        let find = move |conn: &mut Conn| reports::rules::outcomes(conn, &store, since);
        self.outcomes.get(key, db, conn, find)
    }

    fn reconciliation(
        &self,
        db: &Db,
        conn: &mut Conn,
        store: &Store,
        now: Timestamp,
    ) -> QueryResult<Reconciliation> {
        let (key, store) = (store.id, store.clone());
        let since = now.minus(WEEK);
        let find = move |conn: &mut Conn| reports::outbox::reconciliation(conn, &store, since);
        self.reconciliation.get(key, db, conn, find)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    #[error(transparent)]
    Templates(#[from] render::TemplatesError),
    #[error("a file in HOMING_TEMPLATES/static cannot be read: {0}")]
    Static(#[from] std::io::Error),
}

impl Pages {
    /// # Errors
    /// A template or text, built in or from `HOMING_TEMPLATES`, cannot be read, is not valid, or names what no page has.
    pub fn new(config: &Config, secret: &Secret) -> Result<Self, PagesError> {
        let templates = Templates::load(config.templates.as_deref())?;
        check(&templates)?;
        Ok(Self {
            templates,
            statics: Static::load(config.templates.as_deref())?,
            limits: SignInLimits::default(),
            days: today::DayMemo::default(),
            sums: Sums::default(),
            shadows: rules::KeptShadows::default(),
            decoy: sign_in::decoy(),
            key: Key::derive_from(&secret.keyed_hash("console session", &[])),
            secure: config.public_url.starts_with("https://"),
        })
    }
}

/// Renders every sample of every screen in both languages, with undefined values forbidden.
fn check(templates: &Templates) -> Result<(), render::TemplatesError> {
    fn all<S: Screen>(templates: &Templates) -> Result<(), render::TemplatesError> {
        templates.check::<S>()
    }
    all::<error::ErrorPage>(templates)?;
    all::<api_docs::ApiDocsPage>(templates)?;
    all::<sign_in::SignInPage>(templates)?;
    all::<today::TodayPage>(templates)?;
    all::<today::RowsPage>(templates)?;
    all::<at_risk::AtRiskPage>(templates)?;
    all::<movements::MovementsPage>(templates)?;
    all::<predictions::PredictionsPage>(templates)?;
    all::<customers::CustomersPage>(templates)?;
    all::<customer::CustomerPage>(templates)?;
    all::<rules::RulesPage>(templates)?;
    all::<rules::RulePage>(templates)?;
    all::<rules::BehindPage>(templates)?;
    all::<rules::DecisionsPage>(templates)?;
    all::<rules::ApartPage>(templates)?;
    all::<rules::GalleryPage>(templates)?;
    all::<outbox::OutboxPage>(templates)?;
    all::<outbox::MessagePage>(templates)
}

/// Nothing but ourselves, and no inline script or style: what gets into a page as text stays text.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The console's routes. Its scope takes every path that is left, so it is registered last.
pub fn configure(config: &mut web::ServiceConfig, pages: web::Data<Pages>) {
    let session = SessionMiddleware::builder(CookieSessionStore::default(), pages.key.clone())
        .cookie_name("homing_session".to_owned())
        .cookie_secure(pages.secure)
        .cookie_same_site(SameSite::Lax)
        .cookie_http_only(true)
        .cookie_content_security(CookieContentSecurity::Private)
        .build();
    let headers = DefaultHeaders::new()
        .add(("Content-Security-Policy", CONTENT_SECURITY))
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("X-Frame-Options", "DENY"))
        .add(("Referrer-Policy", "same-origin"))
        .add(("Permissions-Policy", "camera=(), geolocation=(), microphone=()"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        // Pages hold personal data: none is kept by a browser or a proxy. Static files say otherwise themselves.
        .add(("Cache-Control", "no-store"));

    let scope = web::scope("")
        .app_data(pages)
        // The last wrapped runs first: headers and compression outside, then the session, then errors as pages.
        .wrap(from_fn(error::as_pages))
        .wrap(session)
        .wrap(Compress::default())
        .wrap(headers)
        .route("/static/{version}/{name}", web::get().to(assets::serve))
        .route("/sign-in", web::get().to(sign_in::form))
        .route("/sign-in", web::post().to(sign_in::post))
        .route("/sign-out", web::post().to(sign_in::out))
        .route("/preferences", web::post().to(sign_in::prefer))
        .route("/api/docs", web::get().to(api_docs::page))
        .route("/", web::get().to(today::page))
        .route("/today/{rows}", web::get().to(today::rows_page))
        .route("/at-risk", web::get().to(at_risk::page))
        .route("/at-risk/export", web::get().to(at_risk::export))
        .route("/movements", web::get().to(movements::page))
        .route("/predictions", web::get().to(predictions::page))
        .route("/customers", web::get().to(customers::page))
        .route("/customers/{id}", web::get().to(customer::page))
        .route("/gallery", web::get().to(rules::gallery))
        .route("/gallery/{key}", web::post().to(rules::take))
        .route("/rules", web::get().to(rules::list))
        .route("/rules/{key}", web::get().to(rules::page))
        .route("/rules/{key}/decisions", web::get().to(rules::decisions))
        .route("/rules/{key}/behind", web::get().to(rules::behind))
        .route("/rules/{key}/shadow", web::get().to(rules::apart))
        .route("/rules/{key}/move", web::post().to(rules::move_on))
        .route("/rules/{key}/status", web::post().to(rules::set_status))
        .route("/outbox", web::get().to(outbox::list))
        .route("/outbox/{id}", web::get().to(outbox::message))
        .route("/outbox/{id}/mail", web::get().to(outbox::mail))
        .route("/outbox/{id}/resend", web::post().to(outbox::resend))
        .route("/outbox/{id}/close", web::post().to(outbox::close))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(PageError::NotFound) }));
    config.service(scope);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_renders_in_both_languages_with_nothing_undefined() {
        let templates = Templates::load(None).unwrap();
        check(&templates).unwrap();
    }

    #[test]
    fn a_broken_template_in_the_folder_is_found_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("error.html"), "{{ page.no_such_thing }}").unwrap();
        let templates = Templates::load(Some(folder.path())).unwrap();
        let error = check(&templates).unwrap_err().to_string();
        assert!(error.contains("error.html"), "{error}");
        std::fs::write(path.join("error.html"), "{% if %}").unwrap();
        assert!(Templates::load(Some(folder.path())).is_err());
    }
}
