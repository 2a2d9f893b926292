//! `/customers/{id}`: one person: rhythm, scores, ledger, timeline, orders, messages, identity, consent.

mod again;
mod figures;
mod identity;
mod ledger;
mod loaded;
mod orders;
mod sentence;
mod timeline;

use std::collections::HashMap;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::chart::rhythm::{Rhythm, RhythmBar};
use super::chart::{Grid, Tick};
use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Mark, Pair};
use crate::primitives::CustomerId;
use crate::reports::customer::{Counts, Profile};
use crate::reports::rules::RuleName;

use again::AgainRow;
use figures::{Figure, ScoreRow};
use identity::{consent_text, identity, reach};
pub use ledger::{LedgerRow, ledger_row};
use loaded::{Found, Loaded, View};
use orders::{MessageRow, OrderRow, PlannedRow};
use timeline::{Moment, When, moments};

#[derive(Debug, Default, Serialize)]
pub struct CustomerPage {
    pub who: String,
    pub erased: String,
    pub mark: Option<Mark>,
    pub sub: String,
    pub recap: Html,
    pub figures: Vec<Figure>,
    pub rhythm: Option<Rhythm>,
    pub tabs: Vec<Tab>,
    pub view: &'static str,
    pub ledger: Vec<LedgerRow>,
    pub timeline: Vec<Moment>,
    pub orders: Vec<OrderRow>,
    pub messages: Vec<MessageRow>,
    pub earlier: String,
    pub more_ledger: String,
    pub more_timeline: String,
    pub planned: Vec<PlannedRow>,
    pub unplanned: String,
    pub scored: String,
    pub scores: Vec<ScoreRow>,
    pub scores_note: String,
    pub again: Vec<AgainRow>,
    pub history: Vec<Pair>,
    pub identity: Vec<Pair>,
    pub consent: Option<Mark>,
    pub consent_text: String,
    pub reach: Vec<Pair>,
}

#[derive(Debug, Default, Serialize)]
pub struct Tab {
    pub href: String,
    pub name: String,
    pub n: String,
    pub current: bool,
}

#[derive(Deserialize)]
pub struct Query {
    view: Option<String>,
    before: Option<i64>,
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let id: CustomerId = path.parse().map_err(|_| PageError::NotFound)?;
    let view = query.view.as_deref().and_then(|raw| raw.parse().ok()).unwrap_or(View::All);
    let (store, before) = (desk.store.clone(), query.before);
    let found = desk.read(move |conn| Ok(Loaded::find(conn, &store, id, view, before)?)).await?;
    match found {
        Found::Nobody => Err(PageError::NotFound),
        Found::MovedTo(other) => Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, format!("/customers/{other}")))
            .finish()),
        Found::Here(loaded) => desk.page(Room::Customers, &build(&desk, id, view, &loaded)),
    }
}

fn build(desk: &Desk, id: CustomerId, view: View, loaded: &Loaded) -> CustomerPage {
    let format = &desk.format;
    let profile = &loaded.profile;
    let erased = profile.erased_at.is_some();
    let limit = view.limit();
    let mut timeline = if view.has_timeline() { moments(format, loaded) } else { Vec::new() };
    timeline.sort_by_key(|moment| std::cmp::Reverse(moment.at));
    let more_timeline = timeline.len() > limit;
    timeline.truncate(limit);
    let last_moment = timeline.last().map(|moment| moment.at).filter(|_| more_timeline);
    let more_ledger = loaded.decisions.len() > limit;
    let all_of = |part: View, is_more: bool| match view {
        View::All if is_more => href(id, part),
        _ => String::new(),
    };
    CustomerPage {
        who: who(format, id, profile),
        erased: profile.erased_at.map_or(String::new(), |at| {
            format.text("customer.erased_on", &[("day", &format.day(at))])
        }),
        mark: loaded.score.as_ref().map(|score| words::segment(format, &score.segment)),
        sub: sentence::subtitle(format, loaded),
        recap: sentence::recap(format, loaded),
        figures: figures::figures(format, loaded),
        rhythm: orders::rhythm(format, loaded),
        tabs: tabs(format, id, view, loaded.counts),
        ledger: if view.has_ledger() {
            let rows = loaded.decisions.iter().take(limit);
            rows.map(|decision| ledger_row(format, decision, &loaded.rules)).collect()
        } else {
            Vec::new()
        },
        timeline,
        orders: match view {
            View::Orders => orders::order_rows(format, loaded, limit),
            _ => Vec::new(),
        },
        messages: match view {
            View::Messages => orders::message_rows(format, loaded, limit),
            _ => Vec::new(),
        },
        earlier: earlier(id, view, loaded, last_moment),
        more_ledger: all_of(View::Ledger, more_ledger),
        more_timeline: all_of(View::Timeline, more_timeline),
        planned: orders::planned(format, loaded),
        unplanned: orders::unplanned(format, loaded),
        scored: loaded.scored.map_or(String::new(), |scored| format.when(scored.ran_at)),
        scores: figures::scores(format, loaded),
        scores_note: figures::scores_note(format, loaded),
        again: again::rows(format, loaded),
        history: loaded
            .stays
            .iter()
            .map(|stay| Pair {
                name: format.day(stay.since),
                value: words::known(format, "segment", &stay.segment),
            })
            .collect(),
        identity: identity(format, profile, loaded.counts),
        consent: (!erased).then(|| Mark {
            text: words::known(format, "consent", &profile.consent),
            ..words::outcome(format, &profile.consent)
        }),
        consent_text: consent_text(format, profile),
        reach: reach(format, loaded),
        view: view.as_str(),
    }
}

fn who(format: &Format, id: CustomerId, profile: &Profile) -> String {
    if profile.erased_at.is_some() {
        return format.text("customer.erased", &[]);
    }
    let (name, email) = (profile.name.as_deref(), profile.email.as_deref());
    words::who(format, name, email, profile.external_id.as_deref(), id.0)
}

/// The page after this one of the part looked at; empty where this is the last.
fn earlier(id: CustomerId, view: View, loaded: &Loaded, last_moment: Option<When>) -> String {
    let last = view.limit() - 1;
    // One row more than is shown was looked for.
    let is_more = |rows: usize| rows > view.limit();
    let before = match view {
        View::All => None,
        View::Ledger if is_more(loaded.decisions.len()) => Some(loaded.decisions[last].id),
        View::Timeline => last_moment.map(|at| at.0),
        View::Orders if is_more(loaded.orders.len()) => Some(loaded.orders[last].placed_at.0),
        View::Messages if is_more(loaded.messages.len()) => {
            Some(loaded.messages[last].scheduled_at.0)
        }
        View::Ledger | View::Orders | View::Messages => None,
    };
    before.map_or(String::new(), |before| format!("{}&before={before}", href(id, view)))
}

fn href(id: CustomerId, view: View) -> String {
    match view {
        View::All => format!("/customers/{id}"),
        part => format!("/customers/{id}?view={part}"),
    }
}

fn tabs(format: &Format, id: CustomerId, view: View, counts: Counts) -> Vec<Tab> {
    let tab = |part: View, n: Option<i64>| Tab {
        href: href(id, part),
        name: format.text(&format!("tab.{part}"), &[]),
        n: n.map_or(String::new(), |n| format.number(n)),
        current: view == part,
    };
    vec![
        tab(View::All, None),
        tab(View::Ledger, Some(counts.decisions)),
        tab(View::Timeline, None),
        tab(View::Orders, Some(counts.orders)),
        tab(View::Messages, Some(counts.messages)),
    ]
}

fn name_of(rules: &HashMap<i64, RuleName>, id: i64) -> String {
    rules.get(&id).map_or_else(|| UNKNOWN.to_owned(), |rule| rule.name.clone())
}

impl Screen for CustomerPage {
    const TEMPLATE: &'static str = "customer.html";

    fn samples() -> Vec<Self> {
        let text = |s: &str| s.to_owned();
        let full = Self {
            view: "all",
            mark: Some(Mark::default()),
            figures: vec![Figure::default()],
            rhythm: Some(Rhythm {
                grid: vec![Grid::default()],
                bars: vec![RhythmBar::default()],
                gaps: vec![Tick { desk: true, ..Tick::default() }],
                since: text("61 days"),
                window: Some((text("70"), text("8"))),
                messages: vec![Tick::default()],
                visits: vec![Tick::default()],
                ticks: vec![Tick::default()],
                rows: vec![[text("12 Apr"), text("–"), text("98")]],
                ..Rhythm::default()
            }),
            tabs: vec![Tab { current: true, n: text("9"), ..Tab::default() }, Tab::default()],
            ledger: vec![
                LedgerRow {
                    facts: vec![Pair::default()],
                    message: text("/outbox/1"),
                    step: text("step 1"),
                    ..LedgerRow::default()
                },
                LedgerRow::default(),
            ],
            timeline: vec![
                Moment { href: text("/outbox/1"), note: text("note"), ..Moment::default() },
                Moment::default(),
            ],
            more_ledger: text("/customers/1?view=ledger"),
            more_timeline: text("/customers/1?view=timeline"),
            planned: vec![PlannedRow::default()],
            scores: vec![ScoreRow::default()],
            again: vec![again::AgainRow::default()],
            history: vec![Pair::default(), Pair::default()],
            identity: vec![Pair::default()],
            consent: Some(Mark::default()),
            reach: vec![Pair::default()],
            ..Self::default()
        };
        let rows = |view| Self {
            view,
            orders: vec![OrderRow { refunded: text("1"), ..OrderRow::default() }],
            messages: vec![MessageRow::default()],
            earlier: text("/customers/1?before=1"),
            ..Self::default()
        };
        let mut samples =
            vec![full, Self { erased: text("Erased"), view: "all", ..Self::default() }];
        samples.extend(["ledger", "timeline", "orders", "messages"].map(rows));
        samples.extend(
            ["ledger", "timeline", "orders", "messages"]
                .map(|view| Self { view, ..Self::default() }),
        );
        samples
    }
}
