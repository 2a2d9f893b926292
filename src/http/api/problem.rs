//! Errors as RFC 9457 problems. `type` is part of the API; `detail` is for people.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};

use crate::db::DbError;

/// An error answer: what kind, and in words what is wrong and what to do.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    /// The methods a path knows, where another was used.
    allow: Option<&'static str>,
}

impl Problem {
    pub fn new(status: StatusCode, kind: &'static str, detail: impl fmt::Display) -> Self {
        Self { status, kind, detail: detail.to_string(), allow: None }
    }

    /// 400: a parameter or a body that cannot be read as what it should be.
    pub fn bad_request(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "/problems/bad-request", detail)
    }

    /// 404 of a path that does not exist.
    pub fn no_such_path(path: &str) -> Self {
        let detail = format!("there is nothing at {path}");
        Self::new(StatusCode::NOT_FOUND, "/problems/no-such-path", detail)
    }

    /// 404 of a thing that does not exist: `/problems/unknown-customer` and its kin.
    pub fn unknown(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, detail)
    }

    /// 404: what is told after a scoring, before the first.
    pub fn not_scored_yet() -> Self {
        Self::unknown(
            "/problems/not-scored-yet",
            "this store was not scored yet: run `homing score`, or wait for `homing serve` to do it",
        )
    }

    /// 405, with the methods that would do.
    pub fn wrong_method(allow: &'static str) -> Self {
        let detail = format!("this path knows {allow} alone");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { allow: Some(allow), ..Self::new(status, "/problems/wrong-method", detail) }
    }

    /// 500: logs the chain of causes, and tells the caller nothing of it.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            causes += &format!(": {cause}");
            source = cause.source();
        }
        tracing::error!(error = %causes, "a call of the management API failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "/problems/internal",
            "something went wrong here; the server's log says what",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if let Some(allow) = self.allow {
            answer.insert_header((header::ALLOW, allow));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((header::RETRY_AFTER, "5"));
        }
        let problem = serde_json::json!({
            "type": self.kind,
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        answer.content_type("application/problem+json").body(problem.to_string())
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Pool(_) => {
                let detail = "the database is busy or away: try again in a moment";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", detail)
            }
            error => Self::internal(&error),
        }
    }
}

impl From<diesel::result::Error> for Problem {
    fn from(error: diesel::result::Error) -> Self {
        DbError::from(error).into()
    }
}
