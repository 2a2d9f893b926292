//! `/gallery`: ready rules, each with when to use it, and the act of taking one as a draft.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::db::DbError;
use crate::gallery::{self, Ready};
use crate::http::pages::catalogue::Lang;
use crate::http::pages::csrf::Posted;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::html::Html;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words;
use crate::primitives::Delay;
use crate::reports::CAP;
use crate::reports::rules as report;
use crate::rules;

#[derive(Debug, Default, Serialize)]
pub struct GalleryPage {
    pub cards: Vec<Card>,
}

#[derive(Debug, Default, Serialize)]
pub struct Card {
    pub key: String,
    pub name: String,
    pub when: Html,
    pub care: Html,
    pub sentence: Html,
    /// By this store's own history; empty where no history tells.
    pub due: String,
    pub text: String,
    /// It is among the store's rules already: where.
    pub href: String,
}

pub async fn page(desk: Desk) -> Result<HttpResponse, PageError> {
    let (store, now) = (desk.store.clone(), desk.now);
    let (known, due) = desk
        .read(move |conn| {
            let known: Vec<String> =
                report::all(conn, &store)?.into_iter().map(|rule| rule.key).collect();
            let mut due = Vec::new();
            for ready in gallery::all() {
                let kind = &ready.rule.trigger.kind;
                due.push(report::falling_due(conn, &store, kind, now, Delay::days(7))?);
            }
            Ok::<_, DbError>((known, due))
        })
        .await?;
    let format = &desk.format;
    let cards = gallery::all().iter().zip(due).map(|(ready, due)| card(format, ready, due, &known));
    let page = GalleryPage { cards: cards.collect() };
    desk.page(Room::Rules, &page)
}

fn card(format: &Format, ready: &Ready, due: Option<i64>, known: &[String]) -> Card {
    let advice = ready.advice(is_chinese(format));
    let key = &ready.rule.key;
    Card {
        key: key.clone(),
        name: advice.name.to_owned(),
        when: with_code(advice.when),
        care: with_code(advice.care),
        sentence: unlinked(words::rule_sentence(format, &ready.rule)),
        due: due.map_or(String::new(), |n| {
            let key = format.words.plural("gallery.due", n);
            format.text(&key, &[("n", &format.capped(n, CAP))])
        }),
        text: ready.text(is_chinese(format)),
        href: if known.contains(key) { format!("/rules/{key}") } else { String::new() },
    }
}

/// On its own page the parts of a sentence lead to where they stand; here they lead nowhere.
fn unlinked(sentence: Html) -> Html {
    let mut parts = sentence.0.split("<a href=\"#");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once('>').unwrap_or(("", part));
        text.push_str("<b>");
        text.push_str(&rest.replacen("</a>", "</b>", 1));
    }
    Html(text)
}

/// Names of settings stand between backticks.
fn with_code(text: &str) -> Html {
    let mut html = String::new();
    for (n, part) in text.split('`').enumerate() {
        match n % 2 {
            0 => html.push_str(&Html::escaped(part).0),
            _ => html.push_str(&format!("<code>{}</code>", Html::escaped(part).0)),
        }
    }
    Html(html)
}

fn is_chinese(format: &Format) -> bool {
    format.lang() == Lang::Zh
}

#[derive(Deserialize)]
pub struct Take {}

/// `POST /gallery/{key}`: the rule becomes a draft of the store; one that has its key stays as it is.
pub async fn take(
    desk: Desk,
    path: web::Path<String>,
    _form: Posted<Take>,
) -> Result<HttpResponse, PageError> {
    desk.act()?;
    let ready = gallery::find(&path).ok_or(PageError::NotFound)?;
    let (store, now) = (desk.store.id, desk.now);
    let rule = ready.draft(is_chinese(&desk.format));
    let is_new = desk
        .app
        .db
        .write(move |conn| -> Result<bool, DbError> {
            rules::store::lock(conn)?;
            if rules::store::find_by_key(conn, store, &rule.key)?.is_some() {
                return Ok(false);
            }
            Ok(rules::store::put(conn, store, &rule, now)?)
        })
        .await?;
    let key = &ready.rule.key;
    let (tone, said) = if is_new { ("good", "gallery.taken") } else { ("warn", "gallery.had") };
    tracing::info!(user = desk.user.id.0, rule = key, is_new, "a ready rule was taken");
    Ok(desk.go(&format!("/rules/{key}"), tone, desk.format.text(said, &[])))
}

impl Screen for GalleryPage {
    const TEMPLATE: &'static str = "gallery.html";

    fn samples() -> Vec<Self> {
        let taken = Card { href: "/rules/cart".into(), ..Card::default() };
        vec![Self { cards: vec![Card { due: "12".into(), ..Card::default() }, taken] }]
    }
}
