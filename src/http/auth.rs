//! Who calls the management API: `Authorization: Bearer KEY`, and whether the key's scope allows the call.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, dev, web};

use super::App;
use crate::db::DbError;
use crate::keys::{Key, Scope};

/// A caller whose key allows this method: `read` keys may GET, `manage` keys everything.
///
/// Handlers take it as an argument and use its store; nothing else names the store of a call.
#[derive(Debug, Clone)]
pub struct ApiKey(pub Key);

/// A caller with a `manage` key, whatever the method: for keys and users.
#[derive(Debug, Clone)]
pub struct ManageKey(pub Key);

impl Deref for ApiKey {
    type Target = Key;
    fn deref(&self) -> &Key {
        &self.0
    }
}

impl Deref for ManageKey {
    type Target = Key;
    fn deref(&self) -> &Key {
        &self.0
    }
}

/// Why a call is not let in. Answers as an RFC 9457 problem.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the call carries no key: send `Authorization: Bearer KEY`")]
    Missing,
    #[error("the key is unknown or revoked: make one with `homing key create`")]
    Unknown,
    #[error("this key's scope is `{has}`, and the call needs `{needs}`")]
    Scope { has: Scope, needs: Scope },
    #[error("the key could not be looked up: try again in a moment")]
    Db(#[from] DbError),
}

impl ResponseError for AuthError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Scope { .. } => StatusCode::FORBIDDEN,
            Self::Db(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let kind = match self {
            Self::Missing => "/problems/no-key",
            Self::Unknown => "/problems/unknown-key",
            Self::Scope { .. } => "/problems/wrong-scope",
            Self::Db(_) => "/problems/unavailable",
        };
        let status = self.status_code();
        let mut answer = HttpResponse::build(status);
        match status {
            StatusCode::UNAUTHORIZED => answer.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => answer.insert_header((header::RETRY_AFTER, "5")),
            _ => &mut answer,
        };
        let problem = serde_json::json!({
            "type": kind,
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        answer.content_type("application/problem+json").body(problem.to_string())
    }
}

impl FromRequest for ApiKey {
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AuthError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let needs = match *request.method() {
            Method::GET => Scope::Read,
            _ => Scope::Manage,
        };
        let key = admit(request, needs);
        Box::pin(async { key.await.map(Self) })
    }
}

impl FromRequest for ManageKey {
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AuthError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let key = admit(request, Scope::Manage);
        Box::pin(async { key.await.map(Self) })
    }
}

fn admit(
    request: &HttpRequest,
    needs: Scope,
) -> impl Future<Output = Result<Key, AuthError>> + 'static {
    let app = request.app_data::<web::Data<App>>().expect("routes are served with an App").clone();
    let key = bearer(request);
    async move {
        let key = app.keys.find(&key.ok_or(AuthError::Missing)?).await?;
        let key = key.ok_or(AuthError::Unknown)?;
        let allowed = match needs {
            Scope::Read => matches!(key.scope, Scope::Read | Scope::Manage),
            needs => key.scope == needs,
        };
        if allowed { Ok(key) } else { Err(AuthError::Scope { has: key.scope, needs }) }
    }
}

/// The key of `Authorization: Bearer KEY`; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| key.to_owned())
}
