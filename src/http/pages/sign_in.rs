//! `/sign-in`, `/sign-out`, `/preferences`.

use actix_session::Session;
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::Pages;
use super::catalogue::Lang;
use super::csrf::{self, Posted};
use super::desk::{self, LANG_COOKIE, THEME_COOKIE, local_path, reader};
use super::error::PageError;
use super::limits::client_address;
use super::render::Screen;
use crate::db::DbError;
use crate::db::schema::users;
use crate::http::App;
use crate::users::{self as people, PasswordHash};

#[derive(Debug, Default, Serialize)]
pub struct SignInPage {
    pub email: String,
    pub next: String,
    pub error: Option<String>,
    /// Nobody can sign in yet: say how to add the first.
    pub nobody: bool,
}

impl Screen for SignInPage {
    const TEMPLATE: &'static str = "sign-in.html";

    fn samples() -> Vec<Self> {
        vec![
            Self::default(),
            Self {
                email: "mei@lakeside.example".into(),
                next: "/rules".into(),
                error: Some("No".into()),
                nobody: true,
            },
        ]
    }
}

#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

pub async fn form(
    request: HttpRequest,
    query: web::Query<Next>,
    session: Session,
    app: web::Data<App>,
    pages: web::Data<Pages>,
) -> Result<HttpResponse, PageError> {
    let page = SignInPage { next: local_path(&query.next), ..SignInPage::default() };
    answer(&request, &session, &app, &pages, StatusCode::OK, page).await
}

#[derive(Deserialize)]
pub struct SignIn {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub async fn post(
    request: HttpRequest,
    form: Posted<SignIn>,
    session: Session,
    app: web::Data<App>,
    pages: web::Data<Pages>,
) -> Result<HttpResponse, PageError> {
    let SignIn { email, password, next } = form.0;
    let key = email.trim().to_lowercase();
    let next = local_path(&next);
    let (lang, _) = reader(&pages, &request);
    let refuse = async |status, reason: &str| {
        let error = Some(pages.templates.words(lang).text(&format!("sign_in.{reason}"), &[]));
        let page = SignInPage { email: email.clone(), next: next.clone(), error, nobody: false };
        answer(&request, &session, &app, &pages, status, page).await
    };
    if pages.limits.admit(client_address(&request), &key).is_err() {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "too_many").await;
    }
    let found = app
        .db
        .read(move |conn| people::store::find_by_email(conn, &key).map_err(DbError::from))
        .await?;
    // For an unknown address too a hash is computed: the time it takes must not tell who has an account.
    let hash = found.as_ref().map_or_else(|| pages.decoy.clone(), |user| user.password.clone());
    let matches =
        tokio::task::spawn_blocking(move || hash.matches(&password)).await.unwrap_or(false);
    match found.filter(|_| matches) {
        Some(user) => {
            tracing::info!(user = user.id.0, "signed in");
            desk::sign_in(&session, &user, app.clock.now())?;
            Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, next)).finish())
        }
        None => refuse(StatusCode::UNPROCESSABLE_ENTITY, "wrong").await,
    }
}

async fn answer(
    request: &HttpRequest,
    session: &Session,
    app: &App,
    pages: &Pages,
    status: StatusCode,
    mut page: SignInPage,
) -> Result<HttpResponse, PageError> {
    let anyone: Option<i64> = app
        .db
        .read(|conn| users::table.select(users::id).first(conn).optional().map_err(DbError::from))
        .await?;
    page.nobody = anyone.is_none();
    let (lang, mut shell) = reader(pages, request);
    shell.csrf = csrf::token(session);
    let html = pages.templates.render(lang, &shell, &page)?;
    let mut response = HttpResponse::build(status);
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.insert_header((header::RETRY_AFTER, "30"));
    }
    Ok(response.content_type("text/html; charset=utf-8").body(html))
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn out(_: Posted<Nothing>, session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/sign-in")).finish()
}

#[derive(Deserialize)]
pub struct Preference {
    lang: Option<String>,
    theme: Option<String>,
    #[serde(default)]
    here: String,
}

/// Keeps language or theme in a cookie, signed in or not.
pub async fn prefer(form: Posted<Preference>, pages: web::Data<Pages>) -> HttpResponse {
    let Preference { lang, theme, here } = form.0;
    let back = if here.starts_with("/sign-in") { here.clone() } else { local_path(&here) };
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, back));
    let keep = |name: &'static str, value: String| {
        Cookie::build(name, value)
            .path("/")
            .same_site(SameSite::Lax)
            .secure(pages.secure)
            .max_age(time::Duration::days(365))
            .finish()
    };
    if let Some(lang) = lang.as_deref().and_then(Lang::from_code) {
        response.cookie(keep(LANG_COOKIE, lang.code().to_owned()));
    }
    if let Some(theme) = theme.filter(|theme| theme == "light" || theme == "dark") {
        response.cookie(keep(THEME_COOKIE, theme));
    }
    response.finish()
}

/// A hash that no password matches; made once at start.
pub fn decoy() -> PasswordHash {
    PasswordHash::of(&crate::secret::random_token()).expect("a token is long enough")
}
