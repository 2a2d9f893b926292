//! `/customers/{id}`: one person: rhythm, scores, ledger, timeline, orders, messages, identity, consent.

mod again;
mod figures;
mod identity;
mod ledger;
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
use crate::db::DbError;
use crate::primitives::{CustomerId, Timestamp};
use crate::reports::customer::{
    self as report, Counts, Decision, Line, Order, Profile, Score, SegmentStay, Told, Visit,
};
use crate::reports::messages::{self, Message};
use crate::reports::rhythm::Repurchase;
use crate::reports::rules::RuleName;
use crate::reports::{self, Shown};

use again::AgainRow;
use figures::{Figure, ScoreRow};
use identity::{consent_text, identity, reach};
pub use ledger::{LedgerRow, ledger_row};
use orders::{MessageRow, OrderRow, PlannedRow};
use timeline::{Moment, moments};

/// On the first view of a part, and on a page of its own.
const FEW: i64 = 10;
const MANY: i64 = 50;
/// The rhythm shows so many orders at most, the newest.
const RHYTHM_ORDERS: i64 = 40;

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

struct Loaded {
    profile: Profile,
    score: Option<Score>,
    scored: Option<Shown>,
    stays: Vec<SegmentStay>,
    rhythm: Vec<Order>,
    orders: Vec<Order>,
    lines: Vec<Line>,
    visits: Vec<Visit>,
    told: Vec<Told>,
    /// Those of a person.
    clicks: Vec<report::Click>,
    decisions: Vec<Decision>,
    messages: Vec<Message>,
    planned: Vec<Message>,
    counts: Counts,
    rules: HashMap<i64, RuleName>,
    again: Vec<Repurchase>,
}

enum Found {
    Here(Box<Loaded>),
    MovedTo(CustomerId),
    Nobody,
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let id: CustomerId = path.parse().map_err(|_| PageError::NotFound)?;
    let view = match query.view.as_deref() {
        Some("ledger") => "ledger",
        Some("timeline") => "timeline",
        Some("orders") => "orders",
        Some("messages") => "messages",
        _ => "all",
    };
    let store = desk.store.clone();
    let before = query.before;
    let found = desk
        .read(move |conn| {
            let Some(profile) = report::profile(conn, &store, id)? else {
                return Ok::<_, DbError>(Found::Nobody);
            };
            if let Some(other) = profile.merged_into {
                return Ok(Found::MovedTo(other));
            }
            let limit = if view == "all" { FEW } else { MANY };
            let until = Timestamp(before.unwrap_or(i64::MAX));
            let now_or = |name: &str| if view == name { until } else { Timestamp(i64::MAX) };
            let timeline = view == "timeline" || view == "all";
            let orders = report::orders(
                conn,
                id,
                if timeline { now_or("timeline") } else { now_or("orders") },
                limit + 1,
            )?;
            let visits = if timeline {
                report::visits(conn, id, now_or("timeline"), limit + 1)?
            } else {
                report::visits(conn, id, Timestamp(i64::MAX), 60)?
            };
            let oldest = visits.last().map_or(Timestamp(0), |visit| visit.started_at);
            let told = if timeline {
                report::told(conn, id, oldest, now_or("timeline"))?
            } else {
                Vec::new()
            };
            let clicks = if timeline {
                report::clicks(conn, id, oldest, now_or("timeline"))?
            } else {
                Vec::new()
            };
            let rhythm = report::orders(conn, id, Timestamp(i64::MAX), RHYTHM_ORDERS)?;
            let messages = messages::of_customer(
                conn,
                id,
                if view == "timeline" { until } else { now_or("messages") },
                MANY + 1,
            )?;
            let planned = messages::of_customer(conn, id, Timestamp(i64::MAX), MANY)?;
            let scored = reports::shown(conn, &store)?;
            Ok(Found::Here(Box::new(Loaded {
                score: match scored {
                    Some(shown) => report::score(conn, shown, id)?,
                    None => None,
                },
                scored,
                stays: report::segments(conn, id, 20)?,
                lines: {
                    let mut all = orders.clone();
                    all.extend(rhythm.iter().filter(|o| !orders.contains(o)).cloned());
                    report::lines(conn, &store, id, &all)?
                },
                rhythm,
                orders,
                visits,
                told,
                clicks,
                decisions: report::decisions(
                    conn,
                    id,
                    if view == "ledger" { before.unwrap_or(i64::MAX) } else { i64::MAX },
                    limit + 1,
                )?,
                messages,
                planned: planned
                    .into_iter()
                    .filter(|m| m.status == "scheduled" && !m.shadow)
                    .rev()
                    .collect(),
                counts: report::counts(conn, &store, id)?,
                rules: reports::rules::names(conn, &store)?,
                again: reports::rhythm::repurchases(conn, id, profile.last_order_at)?,
                profile,
            })))
        })
        .await?;
    match found {
        Found::Nobody => Err(PageError::NotFound),
        Found::MovedTo(other) => Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, format!("/customers/{other}")))
            .finish()),
        Found::Here(loaded) => desk.page(Room::Customers, &build(&desk, id, view, &loaded)),
    }
}

fn build(desk: &Desk, id: CustomerId, view: &'static str, loaded: &Loaded) -> CustomerPage {
    let format = &desk.format;
    let profile = &loaded.profile;
    let erased = profile.erased_at.is_some();
    let who = if erased {
        format.text("customer.erased", &[])
    } else {
        words::who(
            format,
            profile.name.as_deref(),
            profile.email.as_deref(),
            profile.external_id.as_deref(),
            id.0,
        )
    };
    let here = |view: &str| format!("/customers/{id}?view={view}");
    let limit = if view == "all" { FEW } else { MANY } as usize;
    let mut timeline =
        if view == "all" || view == "timeline" { moments(format, loaded) } else { Vec::new() };
    timeline.sort_by_key(|moment| std::cmp::Reverse(moment.at));
    let timeline_more = timeline.len() > limit;
    timeline.truncate(limit);
    let earlier = match view {
        "ledger" if loaded.decisions.len() > limit => {
            format!("{}&before={}", here("ledger"), loaded.decisions[limit - 1].id)
        }
        "timeline" if timeline_more => {
            let last = timeline.last().map_or(0, |moment| moment.at.0);
            format!("{}&before={last}", here("timeline"))
        }
        "orders" if loaded.orders.len() > limit => {
            format!("{}&before={}", here("orders"), loaded.orders[limit - 1].placed_at.0)
        }
        "messages" if loaded.messages.len() > limit => {
            format!("{}&before={}", here("messages"), loaded.messages[limit - 1].scheduled_at.0)
        }
        _ => String::new(),
    };
    CustomerPage {
        erased: profile.erased_at.map_or(String::new(), |at| {
            format.text("customer.erased_on", &[("day", &format.day(at))])
        }),
        mark: loaded.score.as_ref().map(|score| words::segment(format, &score.segment)),
        sub: sentence::subtitle(format, loaded),
        recap: sentence::recap(format, loaded),
        figures: figures::figures(format, loaded),
        rhythm: orders::rhythm(format, loaded),
        tabs: tabs(format, id, view, loaded.counts),
        ledger: if view == "all" || view == "ledger" {
            let rows = loaded.decisions.iter().take(limit);
            rows.map(|decision| ledger_row(format, decision, &loaded.rules)).collect()
        } else {
            Vec::new()
        },
        timeline,
        orders: if view == "orders" {
            orders::order_rows(format, loaded, limit)
        } else {
            Vec::new()
        },
        messages: if view == "messages" {
            orders::message_rows(format, loaded, limit)
        } else {
            Vec::new()
        },
        earlier,
        more_ledger: if view == "all" && loaded.decisions.len() > limit {
            here("ledger")
        } else {
            String::new()
        },
        more_timeline: if view == "all" && timeline_more {
            here("timeline")
        } else {
            String::new()
        },
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
        who,
        view,
    }
}

fn tabs(format: &Format, id: CustomerId, view: &str, counts: Counts) -> Vec<Tab> {
    let tab = |key: &str, n: Option<i64>| Tab {
        href: if key == "all" {
            format!("/customers/{id}")
        } else {
            format!("/customers/{id}?view={key}")
        },
        name: format.text(&format!("tab.{key}"), &[]),
        n: n.map_or(String::new(), |n| format.number(n)),
        current: view == key,
    };
    vec![
        tab("all", None),
        tab("ledger", Some(counts.decisions)),
        tab("timeline", None),
        tab("orders", Some(counts.orders)),
        tab("messages", Some(counts.messages)),
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
