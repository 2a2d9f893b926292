//! The HTTP server: routes, what is asked about the process itself, and what is logged and counted of a request.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, Payload, Server, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{Error, HttpMessage, HttpResponse, HttpServer, web};
use diesel::prelude::*;
use futures::StreamExt;
use serde_json::json;
use socket2::SockRef;
use tracing::field::Empty;
use tracing_actix_web::{RequestId, RootSpanBuilder, TracingLogger};

use super::pages::{self, Pages};
use super::{App, routes};
use crate::db::{Db, DbError};

/// How long requests in the air may take to finish when the server stops.
pub const GRACE: Duration = Duration::from_secs(30);

/// Open connections on each thread; more wait to be let in. What each holds is bounded, so all of it is.
const CONNECTIONS: usize = 4_096;

/// A client that takes longer to send a body is gone, or means harm.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that for so long takes nothing of an answer is gone, or means harm.
const UNREAD: Duration = Duration::from_secs(60);

/// Binds the configured address and serves on as many threads as there are cores, until its handle stops it.
///
/// # Errors
/// The address is taken, or not this machine's.
pub fn start(
    app: web::Data<App>,
    console: web::Data<Pages>,
) -> std::io::Result<(Server, std::net::SocketAddr)> {
    let listen = app.config.listen;
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(app.clone())
            // The last wrapped runs first: what is counted and logged is the method that was sent.
            .wrap(from_fn(patient))
            .wrap(from_fn(head_like_get))
            .wrap(from_fn(count))
            .wrap(TracingLogger::<Spans>::new())
            .configure(routes)
            .configure(|config| pages::configure(config, console.clone()))
    })
    // Signals are for whoever also has to stop the scheduler and the sender.
    .disable_signals()
    .shutdown_timeout(GRACE.as_secs())
    .client_request_timeout(Duration::from_secs(10))
    .keep_alive(Duration::from_secs(75))
    .max_connections(CONNECTIONS)
    .on_connect(give_up_on_the_silent)
    .bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok((server.run(), address))
}

/// Liveness, readiness, counters.
pub fn operation(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics));
}

/// The process runs and answers. It asks nothing else, so that a slow database gets no process killed.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Requests can be served: the database answers, its schema is current, the journal writes.
async fn readyz(app: web::Data<App>) -> HttpResponse {
    let db = app.db.clone();
    let database = web::block(move || check_database(&db)).await.unwrap_or(Err("broken off"));
    let journal = if app.journal.is_running() { Ok(()) } else { Err("stopped") };
    let ready = database.is_ok() && journal.is_ok();
    let word = |check: Result<(), &'static str>| check.err().unwrap_or("ok");
    let mut answer = match ready {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    answer.json(json!({
        "status": if ready { "ready" } else { "not ready" },
        "database": word(database),
        "journal": word(journal),
    }))
}

fn check_database(db: &Db) -> Result<(), &'static str> {
    db.read_here(|conn| diesel::sql_query("SELECT 1").execute(conn).map_err(DbError::from))
        .map_err(|_| "unreachable")?;
    // A schema that is current stays so for as long as this binary runs.
    static CURRENT: AtomicBool = AtomicBool::new(false);
    if !CURRENT.load(Ordering::Relaxed) {
        match db.pending_migrations() {
            Ok(0) => CURRENT.store(true, Ordering::Relaxed),
            Ok(_) => return Err("its schema is behind: run `homing migrate`"),
            Err(_) => return Err("its schema cannot be read"),
        }
    }
    Ok(())
}

async fn metrics(app: web::Data<App>) -> HttpResponse {
    app.metrics.journal_waiting.set(i64::try_from(app.journal.waiting()).unwrap_or(i64::MAX));
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(app.metrics.text())
}

/// Marks a request that was HEAD: whoever counts what people ask for leaves it out.
pub struct AskedHead;

/// Lets every path that knows GET answer HEAD (RFC 9110 §9.3.2). The body is made and left out: the connection
/// remembers that HEAD was asked.
pub async fn head_like_get(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.method() == Method::HEAD {
        request.extensions_mut().insert(AskedHead);
        request.head_mut().method = Method::GET;
    }
    next.call(request).await
}

/// Gives a body so long to arrive, and no longer: what trickles in holds a connection, and nothing else waits for it.
/// What a handler leaves unread ends the connection: a body without end would else be taken in for ever.
async fn patient(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        let response = next.call(request).await?;
        return Ok(response.map_body(|_, body| Answer { body, _unread: None }));
    }
    let payload = Rc::new(RefCell::new(payload));
    let is_read = Rc::new(Cell::new(false));
    let (unread, was_read) = (Rc::clone(&payload), Rc::clone(&is_read));
    let mut late = Box::pin(tokio::time::sleep(PATIENCE));
    let timed = futures::stream::poll_fn(move |context| {
        if let Poll::Ready(part) = payload.borrow_mut().poll_next_unpin(context) {
            is_read.set(part.is_none());
            return Poll::Ready(part);
        }
        late.as_mut().poll(context).map(|()| Some(Err(PayloadError::Incomplete(None))))
    });
    request.set_payload(Payload::Stream { payload: Box::pin(timed) });
    let response = next.call(request).await?;
    let unread = (!was_read.get()).then_some(unread);
    Ok(response.map_body(|_, body| Answer { body, _unread: unread }))
}

/// Has the kernel end a connection whose other side takes nothing of what is sent to it, alive or not: no timer of the
/// server runs while an answer is being written, and the answer would be held for ever.
fn give_up_on_the_silent(connection: &dyn Any, _: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        limit_silence(&SockRef::from(stream), UNREAD);
    }
}

#[cfg(target_os = "linux")]
fn limit_silence(socket: &SockRef<'_>, limit: Duration) {
    // A socket that refuses goes on without the limit.
    let _ = socket.set_tcp_user_timeout(Some(limit));
}

/// Elsewhere the system's own patience ends such a connection.
#[cfg(not(target_os = "linux"))]
fn limit_silence(_: &SockRef<'_>, _: Duration) {}

/// An answer, and with it the body that it leaves unread: the server hangs up after such an answer, but goes on reading
/// what nobody holds any more.
struct Answer {
    body: BoxBody,
    _unread: Option<Rc<RefCell<Payload>>>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// Counts every answer by what kind of caller it was for.
async fn count(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let counters = request.app_data::<web::Data<App>>().map(|app| app.metrics.requests.clone());
    let method = known_method(request.method().as_str());
    let area = area(request.path());
    let outcome = next.call(request).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(counters) = counters {
        counters.with_label_values(&[method, area, status.as_str()]).inc();
    }
    outcome
}

/// A caller can invent methods; each would be a counter of its own for ever.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

fn area(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        "v1" | "beacon" | "sourceConfig" => "tracking",
        "api" => "api",
        "u" | "t" => "recipients",
        "healthz" | "readyz" | "metrics" => "operation",
        _ => "console",
    }
}

/// What the log says of a request: its route and not its path, which may hold a token; no address, no agent, no
/// query, no body.
struct Spans;

impl RootSpanBuilder for Spans {
    fn on_request_start(request: &ServiceRequest) -> tracing::Span {
        let id = request.extensions().get::<RequestId>().map(ToString::to_string);
        tracing::info_span!(
            "request",
            method = known_method(request.method().as_str()),
            route = request.match_pattern().unwrap_or_default(),
            id = id.unwrap_or_default(),
            status = Empty,
        )
    }

    fn on_request_end<B: MessageBody>(
        span: tracing::Span,
        outcome: &Result<ServiceResponse<B>, Error>,
    ) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("status", status.as_u16());
        span.in_scope(|| {
            if status.is_server_error() {
                tracing::error!("a request failed");
            } else {
                tracing::debug!("a request is answered");
            }
        });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_takes_nothing_of_an_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // It lives on, and never reads.
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        limit_silence(&SockRef::from(&served), Duration::from_millis(200));
        let answer = [0; 65_536];
        let ended = loop {
            if let Err(error) = served.write_all(&answer) {
                break error;
            }
        };
        assert_eq!(ended.kind(), ErrorKind::TimedOut);
    }
}
