//! What goes wrong on a page, and the page that says so.

use actix_session::SessionExt;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use serde::Serialize;

use super::desk::{Desk, reader};
use super::render::{Screen, TemplatesError};
use super::{Pages, csrf};
use crate::db::DbError;

#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error("nobody is signed in")]
    SignedOut { next: String },
    #[error("there is no such page")]
    NotFound,
    #[error("this role may not act")]
    MayNotAct,
    #[error("the form's token is missing or old")]
    Stale,
    #[error("the page could not be made")]
    Db(#[from] DbError),
    #[error("the page could not be written")]
    Template(#[from] TemplatesError),
    #[error("{0}")]
    Other(StatusCode),
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignedOut { .. } => StatusCode::SEE_OTHER,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MayNotAct | Self::Stale => StatusCode::FORBIDDEN,
            Self::Db(_) | Self::Template(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Other(status) => *status,
        }
    }

    /// Bare: [`as_pages`] makes the page of it.
    fn error_response(&self) -> HttpResponse {
        match self {
            Self::SignedOut { next } => {
                let to = if next == "/" {
                    "/sign-in".to_owned()
                } else {
                    let query = serde_urlencoded(next);
                    format!("/sign-in?next={query}")
                };
                HttpResponse::SeeOther().insert_header((header::LOCATION, to)).finish()
            }
            _ => HttpResponse::new(self.status_code()),
        }
    }
}

/// Percent-encodes a local path as a query's value.
fn serde_urlencoded(raw: &str) -> String {
    let mut out = String::new();
    for byte in raw.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char);
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[derive(Debug, Default, Serialize)]
pub struct ErrorPage {
    pub title: String,
    pub text: String,
    pub back: String,
}

impl Screen for ErrorPage {
    const TEMPLATE: &'static str = "error.html";

    fn samples() -> Vec<Self> {
        vec![Self {
            title: "Not here".into(),
            text: "Nothing is here.".into(),
            back: "Today".into(),
        }]
    }
}

/// Wraps the pages' scope: an error becomes a page in the reader's language, with the navigation for who is signed in.
pub async fn as_pages(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return Ok(response);
    }
    let kind = match response.response().error() {
        Some(error) => match error.as_error::<PageError>() {
            Some(page) => kind_of(page),
            None => kind_of(&PageError::Other(status)),
        },
        // A page of its own, such as the sign-in with an error on it.
        None if response.headers().contains_key(header::CONTENT_TYPE) => return Ok(response),
        None => kind_of(&PageError::Other(status)),
    };
    let (request, _) = response.into_parts();
    let page = error_page(&request, status, kind).await;
    Ok(ServiceResponse::new(request, page))
}

/// The key of the texts that say it. What we broke goes to the log, its causes too.
fn kind_of(error: &PageError) -> &'static str {
    match error {
        PageError::SignedOut { .. } => "gone",
        PageError::NotFound => "not_found",
        PageError::MayNotAct => "may_not_act",
        PageError::Stale => "stale",
        PageError::Db(_) | PageError::Template(_) => {
            let mut chain = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                chain = format!("{chain}: {inner}");
                cause = inner.source();
            }
            tracing::error!(error = %chain, "a page failed");
            "broken"
        }
        PageError::Other(status) => match *status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "not_found",
            status if status.is_server_error() => "broken",
            _ => "unclear",
        },
    }
}

async fn error_page(request: &HttpRequest, status: StatusCode, kind: &str) -> HttpResponse {
    let bare = || {
        HttpResponse::build(status)
            .content_type("text/plain; charset=utf-8")
            .body(status.to_string())
    };
    let Some(pages) = request.app_data::<web::Data<Pages>>().cloned() else { return bare() };
    let (lang, mut shell) = match Desk::from_request(request, &mut Payload::None).await {
        // The room is not known any more; the navigation is.
        Ok(desk) if kind != "broken" => (desk.format.lang(), desk.shell(None)),
        _ => reader(&pages, request),
    };
    let words = pages.templates.words(lang);
    shell.csrf = csrf::token(&request.get_session());
    let page = ErrorPage {
        title: words.text(&format!("error.{kind}.title"), &[]),
        text: words.text(&format!("error.{kind}.text"), &[]),
        back: words.text("error.back", &[]),
    };
    match pages.templates.render(lang, &shell, &page) {
        Ok(html) => HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html),
        Err(_) => bare(),
    }
}
