//! `GET` and `POST /u/{token}`: unsubscribe, and agree again.
//!
//! A GET only shows a page: scanners follow links. A POST with `List-Unsubscribe=One-Click` acts at once, as does
//! the page's own button. Whatever is asked twice is done once.

use actix_web::http::header;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use super::form;
use super::page::{Language, Page, State};
use crate::customers::ConsentState;
use crate::db::DbError;
use crate::http::App;
use crate::journal::{AppendError, Body, ConsentTold, Context, Identifiers, NewFact, Source};
use crate::links::UnsubscribeToken;
use crate::links::store::{self as links, Recipient};
use crate::primitives::Timestamp;
use crate::stores::{self, Store};

/// What a POST asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// By a mail program's button (RFC 8058).
    OneClick,
    /// By the page's button.
    Withdraw,
    Agree,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database failed")]
    Db(#[from] DbError),
    #[error("the journal failed")]
    Journal(#[from] AppendError),
}

/// `GET /u/{token}`
pub async fn show(request: HttpRequest, token: Path<String>, app: Data<App>) -> HttpResponse {
    answer(&request, &token, &app, None).await
}

/// `POST /u/{token}`
pub async fn act(
    request: HttpRequest,
    token: Path<String>,
    app: Data<App>,
    body: Bytes,
) -> HttpResponse {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fields = form::fields(content_type, &body);
    let asks = |name: &str, value: &str| {
        fields.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v.eq_ignore_ascii_case(value))
    };
    let wish = if asks("List-Unsubscribe", "One-Click") {
        Wish::OneClick
    } else if asks("wish", "withdraw") {
        Wish::Withdraw
    } else if asks("wish", "agree") {
        Wish::Agree
    } else {
        return HttpResponse::BadRequest()
            .content_type("text/plain; charset=utf-8")
            .body("Nothing was changed: the form says neither List-Unsubscribe=One-Click nor what this page's button says.\n");
    };
    answer(&request, &token, &app, Some(wish)).await
}

async fn answer(
    request: &HttpRequest,
    token: &str,
    app: &Data<App>,
    wish: Option<Wish>,
) -> HttpResponse {
    let accepted = request.headers().get(header::ACCEPT_LANGUAGE);
    let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut page = Page {
        state: State::Unknown,
        language: Language::of(accepted.split(',')).unwrap_or(Language::English),
        store: String::new(),
        address: None,
        done: wish.is_some(),
    };
    let Some(token) = UnsubscribeToken::verify(token, &app.secret) else { return page.respond() };
    match carry_out(app, token, wish).await {
        Ok(Some((store, recipient, state))) => {
            page.state = state;
            page.language = Language::of(recipient.locale.as_deref())
                .or(Language::of(accepted.split(',')))
                .or(Language::of([store.locale.as_str()]))
                .unwrap_or(Language::English);
            page.address = recipient.email.map(|email| masked(email.as_str()));
            page.store = store.name;
        }
        // Signed by us, and yet there is nobody: a database restored from before. There is nothing to withdraw.
        Ok(None) => page.state = State::Gone,
        Err(failure) => {
            tracing::error!(
                error = &failure as &dyn std::error::Error,
                "a recipient's wish was not carried out"
            );
            page.state = State::Unavailable;
        }
    }
    page.respond()
}

async fn carry_out(
    app: &App,
    token: UnsubscribeToken,
    wish: Option<Wish>,
) -> Result<Option<(Store, Recipient, State)>, Failure> {
    let found = app.db.read(move |conn| -> Result<_, DbError> {
        let Some(recipient) = links::recipient(conn, &token)? else { return Ok(None) };
        Ok(Some((stores::store::find(conn, token.store)?, recipient)))
    });
    let Some((store, recipient)) = found.await? else { return Ok(None) };
    if recipient.erased_at.is_some() {
        return Ok(Some((store, recipient, State::Gone)));
    }
    let mut withdrawn = recipient.consent == ConsentState::Withdrawn;
    if let Some(wish) = wish
        && let Some(fact) = fact(&token, &recipient, wish, app.clock.now())
    {
        app.journal.append(token.store, vec![fact]).await?;
        withdrawn = wish != Wish::Agree;
    }
    let state = if withdrawn { State::Unsubscribed } else { State::Subscribed };
    Ok(Some((store, recipient, state)))
}

/// `None` when the customer has no identity by which a fact could name them: nothing can be sent to them either.
fn fact(
    token: &UnsubscribeToken,
    recipient: &Recipient,
    wish: Wish,
    now: Timestamp,
) -> Option<NewFact> {
    const HOUR: i64 = 3_600_000_000;
    let granted = wish == Wish::Agree;
    let channel = match wish {
        Wish::OneClick => "one-click",
        Wish::Withdraw => "link",
        Wish::Agree => "preferences",
    };
    // Asked again for what holds already, one fact an hour is enough: it keeps the latest date of the withdrawal,
    // which an import's older consent must not pass, and a button pressed a thousand times fills no journal.
    let holds = match recipient.consent {
        ConsentState::Withdrawn => !granted,
        ConsentState::Granted => granted,
        ConsentState::None => false,
    };
    let when = if holds { format!("hour {}", now.0 / HOUR) } else { now.0.to_string() };
    // The shop's id names exactly this customer; an address may have passed to another since.
    let identifiers = match (&recipient.external_id, &recipient.email) {
        (Some(id), _) => Identifiers { external_id: Some(id.clone()), ..Identifiers::default() },
        (None, Some(email)) => Identifiers { email: Some(email.clone()), ..Identifiers::default() },
        (None, None) => return None,
    };
    let direction = if granted { "granted" } else { "withdrawn" };
    Some(NewFact {
        source: Source::Mail,
        source_key: format!("link:{}:{}:{direction}:{when}", token.message, recipient.id),
        occurred_at: now,
        live: true,
        identifiers,
        body: Body::ConsentChanged(ConsentTold {
            granted,
            at: Some(now),
            channel: Some(channel.to_owned()),
        }),
        context: Context::default(),
    })
}

/// `a…@mail.example`: whoever was sent the link knows it; over a shoulder it tells little.
fn masked(email: &str) -> String {
    match email.split_once('@') {
        Some((local, domain)) => {
            format!("{}…@{domain}", local.chars().next().map(String::from).unwrap_or_default())
        }
        None => String::new(),
    }
}
