//! The two ways out of doubt: hand it over once more, or leave it; each asked before it is done.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::db::DbError;
use crate::http::pages::csrf::Posted;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::sign_in::Nothing;
use crate::ledger::Instants;
use crate::outbox::doubt::{self, Word};
use crate::primitives::{Clock, MessageId};
use crate::reports::messages;

#[derive(Debug, Default, Serialize)]
pub struct Question {
    pub title: String,
    pub text: String,
    pub act: &'static str,
    pub yes: String,
    pub no: String,
}

/// What is asked before `ask` is done; `None` where there is no such act.
pub fn question(format: &Format, ask: &str) -> Option<Question> {
    let act = ["resend", "close"].into_iter().find(|known| *known == ask)?;
    let text = |part: &str| format.text(&format!("ask.{act}_{part}"), &[]);
    Some(Question {
        title: text("title"),
        text: text("text"),
        act,
        yes: text("yes"),
        no: format.text("ask.leave", &[]),
    })
}

/// `POST /outbox/{id}/resend`: hand it over once more; it may then arrive twice.
pub async fn resend(
    desk: Desk,
    path: web::Path<String>,
    _: Posted<Nothing>,
) -> Result<HttpResponse, PageError> {
    settle(desk, &path, "resend", Word::SendAgain).await
}

/// `POST /outbox/{id}/close`: leave it; it may never have arrived.
pub async fn close(
    desk: Desk,
    path: web::Path<String>,
    _: Posted<Nothing>,
) -> Result<HttpResponse, PageError> {
    settle(desk, &path, "close", Word::TakeAsSent).await
}

async fn settle(
    desk: Desk,
    path: &str,
    act: &'static str,
    word: Word,
) -> Result<HttpResponse, PageError> {
    desk.act()?;
    let id: MessageId = path.parse().map_err(|_| PageError::NotFound)?;
    let (store, at) = (desk.store.id, Instants { now: desk.now, machine: Clock::System.now() });
    let settled = desk
        .app
        .db
        .write(move |conn| {
            if messages::find(conn, store, id)?.is_none() {
                return Ok::<_, DbError>(None);
            }
            // False when someone else was quicker.
            Ok(Some(doubt::resolve_in_doubt(conn, store, id, word, at)?))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let format = &desk.format;
    if settled {
        tracing::info!(
            user = desk.user.id.0,
            message = id.0,
            act,
            "a message in doubt was settled"
        );
        Ok(desk.go(
            &format!("/outbox/{id}"),
            "good",
            format.text(&format!("message.done_{act}"), &[]),
        ))
    } else {
        Ok(desk.go(&format!("/outbox/{id}"), "warn", format.text("message.no_longer", &[])))
    }
}
