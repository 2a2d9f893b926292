//! The tracking API's endpoints: a 200 means that the facts are durable.
//!
//! SDKs drop what is answered with a 4xx and send again what is answered with 429 or 5xx. So a 4xx is for what no
//! retry mends, and nothing here ever answers 3xx, which they take for delivered.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError, web};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures::StreamExt;
use serde_json::json;

use super::App;
use super::bodies::{Full, Held};
use crate::db::DbError;
use crate::intake::tracking_api::{
    Arrival, BodyError, Call, Envelope, EventError, Kind, MAX_BODY, Outcome, claims, read, unpack,
    write_key,
};
use crate::journal::{AppendError, Appended};
use crate::keys::{Key, Scope};

/// Larger bodies are unpacked and read off the thread that serves connections.
const INLINE: usize = 16 << 10;

/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub fn routes(config: &mut web::ServiceConfig) {
    let one = |kind| web::post().to(move |a, r, p| ingest(a, r, p, Call::One(kind)));
    let many = |call| web::post().to(move |a, r, p| ingest(a, r, p, call));
    config
        .service(
            web::scope("/v1")
                .wrap(from_fn(cors))
                .route("/identify", one(Kind::Identify))
                .route("/track", one(Kind::Track))
                .route("/page", one(Kind::Page))
                .route("/screen", one(Kind::Screen))
                .route("/group", one(Kind::Group))
                .route("/alias", one(Kind::Alias))
                .route("/batch", many(Call::Batch))
                .route("/import", many(Call::Import))
                // The first letters are analytics-next's; `b` is its batch.
                .route("/i", one(Kind::Identify))
                .route("/t", one(Kind::Track))
                .route("/p", one(Kind::Page))
                .route("/s", one(Kind::Screen))
                .route("/g", one(Kind::Group))
                .route("/a", one(Kind::Alias))
                .route("/b", many(Call::Batch))
                .route("/projects/{key}/settings", web::get().to(segment_settings)),
        )
        .service(web::scope("/beacon/v1").wrap(from_fn(cors)).route("/batch", many(Call::Batch)))
        .service(
            // The SDK asks with a slash at the end.
            web::resource(["/sourceConfig", "/sourceConfig/"])
                .wrap(from_fn(cors))
                .route(web::get().to(rudder_settings)),
        );
}

/// Why a request stores nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "no write key: send it as the user name of Basic authorization, as `writeKey` in the body, or as ?writeKey="
    )]
    NoKey,
    #[error("the write key is unknown, revoked, or not of scope `ingest`")]
    UnknownKey,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Event(EventError),
    #[error("the body's Content-Encoding is not understood: send gzip, or none")]
    Encoding,
    #[error("the body broke off, or took too long")]
    BrokenOff,
    #[error("more is coming in than can be stored: try again in a moment")]
    Overloaded,
    #[error("the facts could not be stored: try again in a moment")]
    Unavailable,
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoKey | Self::UnknownKey => StatusCode::UNAUTHORIZED,
            Self::Body(_) | Self::Event(_) => StatusCode::BAD_REQUEST,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BrokenOff => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        match self {
            Self::Overloaded => answer.insert_header((header::RETRY_AFTER, "2")),
            Self::Unavailable => answer.insert_header((header::RETRY_AFTER, "10")),
            Self::Encoding => answer.insert_header((header::ACCEPT_ENCODING, "gzip")),
            _ => &mut answer,
        };
        answer.json(json!({ "success": false, "message": self.to_string() }))
    }
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::Overloaded
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a tracking request failed");
        Self::Unavailable
    }
}

async fn ingest(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
    call: Call,
) -> Result<HttpResponse, Refusal> {
    let received_at = app.clock.now();
    let gzip = is_gzip(&request)?;
    // Held until the facts are stored: what waits for the journal counts too.
    let mut held = app.bodies.hold();
    let bytes = collect(&request, payload, &mut held).await?;
    if gzip || bytes.starts_with(&GZIP) {
        held.grow(MAX_BODY)?;
    }
    let heavy = bytes.len() > INLINE;
    let in_header = header_key(&request);
    let seek = in_header.is_none();
    let (text, in_body) = off_the_loop(heavy, move || {
        let text = unpack(bytes, gzip)?;
        let in_body = if seek { write_key(&text) } else { None };
        Ok((text, in_body))
    })
    .await?;
    let heavy = text.len() > INLINE;

    let Some(told) = in_header.or(in_body).or_else(|| query_key(&request)) else {
        // A body that cannot be read may have held one: that is the first thing to mend.
        Envelope::open(&text, call)?;
        return Err(Refusal::NoKey);
    };
    let key = app.keys.find(&told).await?;
    let key = key.filter(|key| key.scope == Scope::Ingest).ok_or(Refusal::UnknownKey)?;

    let identify_key = app.secret.identify_key(key.store);
    let agent = request.headers().get(header::USER_AGENT);
    // A browser always says what it is: silence is a script's.
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned();
    let read_for = key.clone();
    let outcome = off_the_loop(heavy, move || {
        let arrival = Arrival {
            received_at,
            trust: read_for.trust,
            currency: &read_for.currency,
            identify_key: &identify_key,
            user_agent: Some(&agent),
            // Only events without id and time need it; without randomness two such could be taken for one.
            nonce: getrandom::u64().unwrap_or_default(),
        };
        Ok(read(&text, call, &arrival)?)
    })
    .await?;
    store(&app, &key, call, outcome).await?;
    Ok(HttpResponse::Ok().json(json!({ "success": true })))
}

/// Appends what was read; an event that stands alone answers for itself.
async fn store(app: &App, key: &Key, call: Call, mut outcome: Outcome) -> Result<(), Refusal> {
    let counted = |name: &str, count: usize| {
        app.metrics.facts.with_label_values(&[name]).inc_by(count as u64);
    };
    counted("refused", outcome.refused.len());
    if let Some(first) = outcome.refused.first() {
        tracing::warn!(
            key = key.id.0,
            refused = outcome.refused.len(),
            position = first.position,
            reason = first.error.kind(),
            "events refused"
        );
        if let Call::One(_) = call {
            return Err(Refusal::Event(first.error.clone()));
        }
    }
    settle_claims(app, key, &mut outcome).await?;
    if outcome.facts.is_empty() {
        return Ok(());
    }
    let appended = app.journal.append(key.store, outcome.facts).await.map_err(|e| match e {
        AppendError::Overloaded => Refusal::Overloaded,
        AppendError::Closed | AppendError::Panicked => Refusal::Unavailable,
        AppendError::Db(error) => error.into(),
    })?;
    let became = |what: fn(&Appended) -> bool| appended.iter().filter(|a| what(a)).count();
    counted("stored", became(|a| matches!(a, Appended::New { .. })));
    counted("repeated", became(|a| matches!(a, Appended::Repeated)));
    counted("dropped", became(|a| matches!(a, Appended::Dropped)));
    Ok(())
}

/// Takes from what a browser claims without proof whatever would change somebody who exists already.
async fn settle_claims(app: &App, key: &Key, outcome: &mut Outcome) -> Result<(), Refusal> {
    let unproven = outcome.unproven.iter().map(|index| &outcome.facts[*index]);
    let identities = claims::identities_of(unproven);
    if identities.is_empty() {
        return Ok(());
    }
    let (store, now) = (key.store, app.clock.now());
    let holders = app
        .db
        .read(move |conn| claims::holders(conn, store, &identities, now).map_err(DbError::from))
        .await?;
    for index in &outcome.unproven {
        claims::settle(&mut outcome.facts[*index], &holders);
    }
    Ok(())
}

async fn off_the_loop<T: Send + 'static>(
    heavy: bool,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if heavy { web::block(work).await.map_err(|_| Refusal::Unavailable)? } else { work() }
}

/// The body as sent. Our own limit and time, and no look at its Content-Type, which three of seven SDKs get wrong.
async fn collect(
    request: &HttpRequest,
    mut payload: web::Payload,
    held: &mut Held,
) -> Result<Vec<u8>, Refusal> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|n| n.to_str().ok()?.parse().ok()).unwrap_or(0);
    if announced > MAX_BODY {
        return Err(BodyError::TooLarge.into());
    }
    // What is announced and never sent must cost nothing.
    let mut body = Vec::with_capacity(announced.min(INLINE));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refusal::BrokenOff)?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(BodyError::TooLarge.into());
        }
        held.grow(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_gzip(request: &HttpRequest) -> Result<bool, Refusal> {
    let Some(told) = request.headers().get(header::CONTENT_ENCODING) else { return Ok(false) };
    match told.to_str().map(|told| told.trim().to_ascii_lowercase()).as_deref() {
        Ok("" | "identity") => Ok(false),
        Ok("gzip" | "x-gzip") => Ok(true),
        _ => Err(Refusal::Encoding),
    }
}

/// The user name of Basic authorization; some clients leave the colon out.
fn header_key(request: &HttpRequest) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(credentials.trim().to_owned());
    }
    // What cannot be read is still a key that was given, and one that is unknown.
    let decoded = LENIENT.decode(credentials.trim()).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    Some(decoded.split(':').next().unwrap_or_default().to_owned())
}

fn query_key(request: &HttpRequest) -> Option<String> {
    let pairs = request.query_string().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == "writeKey").map(|(_, key)| key.to_owned()).next()
}

/// Pages call from other origins: every answer says that they may, and a question beforehand is answered here.
///
/// Any origin may call, since no cookie has a say: the key in the call decides.
async fn cors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = if request.method() == Method::OPTIONS {
        let preflight = HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET, OPTIONS"))
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, anonymousid, sentat, x-retry-count",
            ))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
            .finish();
        request.into_response(preflight).map_into_right_body()
    } else {
        // Handlers' errors are answers by now; what fails here is a broken connection.
        next.call(request).await?.map_into_left_body()
    };
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    Ok(response)
}

/// What analytics-next asks its `cdnURL` for before it sends: that everything goes to us.
async fn segment_settings(
    app: web::Data<App>,
    key: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    known(&app, &key).await?;
    let (protocol, place) = app.config.public_url.split_once("://").unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "integrations": {
            "Segment.io": { "apiKey": *key, "apiHost": format!("{place}/v1"), "protocol": protocol },
        },
        "plan": { "track": { "__default": { "enabled": true } }, "identify": { "__default": { "enabled": true } } },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "remotePlugins": [],
    })))
}

/// What RudderStack's browser SDK asks its `configUrl` for: a source with no destinations of its own.
async fn rudder_settings(
    app: web::Data<App>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let key = query_key(&request).or_else(|| header_key(&request)).ok_or(Refusal::NoKey)?;
    let found = known(&app, &key).await?;
    Ok(HttpResponse::Ok().json(json!({
        "source": {
            "id": found.id,
            "name": "Homing",
            "writeKey": key,
            "enabled": true,
            "workspaceId": found.store,
            "config": { "statsCollection": { "errors": { "enabled": false }, "metrics": { "enabled": false } } },
            "connections": [],
            "destinations": [],
            "dataplanes": {},
        },
        "updatedAt": app.clock.now(),
    })))
}

async fn known(app: &App, key: &str) -> Result<Key, Refusal> {
    let found = app.keys.find(key).await?;
    found.filter(|key| key.scope == Scope::Ingest).ok_or(Refusal::UnknownKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_retry_mends_is_asked_for_again() {
        let answer = |refusal: Refusal| {
            let answer = refusal.error_response();
            let waits = answer.headers().get(header::RETRY_AFTER).is_some();
            (answer.status().as_u16(), waits)
        };
        assert_eq!(answer(Refusal::Overloaded), (429, true));
        assert_eq!(answer(Refusal::Unavailable), (503, true));
        assert_eq!(answer(Refusal::BrokenOff), (408, false));
        assert_eq!(answer(Refusal::NoKey), (401, false));
        assert_eq!(answer(BodyError::Gzip.into()), (400, false));
    }

    #[test]
    fn keys_are_read_in_every_spelling_of_basic() {
        let key = |value: &str| {
            let request = actix_web::test::TestRequest::default()
                .insert_header((header::AUTHORIZATION, value))
                .to_http_request();
            header_key(&request)
        };
        // `KEY:`, `KEY:secret`, `KEY`, and without padding.
        for value in ["Basic S0VZOg==", "basic S0VZOnNlY3JldA==", "Basic  S0VZ", "Basic S0VZOg"] {
            assert_eq!(key(value).as_deref(), Some("KEY"), "{value}");
        }
        assert_eq!(key("Bearer KEY").as_deref(), Some("KEY"));
        assert_eq!(key("Basic ***").as_deref(), Some(""), "given, and unknown");
        assert_eq!(key("KEY"), None);
    }
}
