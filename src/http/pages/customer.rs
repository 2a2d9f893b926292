//! `/customers/{id}`: one person: rhythm, scores, ledger, timeline, orders, messages, identity, consent.

use std::collections::HashMap;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chart::{self, Grid, Tick, coordinate};
use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Mark, Pair};
use crate::db::DbError;
use crate::primitives::{Currency, CustomerId, Timestamp};
use crate::reports::customer::{
    self as report, Counts, Decision, Line, Message, Order, Profile, Score, SegmentStay, Told,
    Visit,
};
use crate::reports::rules::RuleName;
use crate::reports::{self, Shown};

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
    pub history: Vec<Pair>,
    pub identity: Vec<Pair>,
    pub consent: Option<Mark>,
    pub consent_text: String,
    pub reach: Vec<Pair>,
}

#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub name: String,
    pub definition: String,
    pub value: String,
    pub unit: String,
    pub note: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Tab {
    pub href: String,
    pub name: String,
    pub n: String,
    pub current: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct LedgerRow {
    pub when: String,
    pub exact: String,
    pub rule: String,
    pub href: String,
    pub step: String,
    pub mark: Mark,
    pub why: String,
    pub facts: Vec<Pair>,
    pub message: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Moment {
    /// `order`, `mail`, `held`, `fell` or empty: the dot's shape.
    pub class: &'static str,
    pub when: String,
    pub exact: String,
    pub text: String,
    pub href: String,
    pub link: String,
    pub note: String,
    #[serde(skip)]
    at: Timestamp0,
}

/// A timestamp that sorts; `Default` for samples only.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timestamp0(i64);

#[derive(Debug, Default, Serialize)]
pub struct OrderRow {
    pub when: String,
    pub exact: String,
    pub id: String,
    pub mark: Mark,
    pub products: String,
    pub gap: String,
    pub total: String,
    pub refunded: String,
    pub channel: String,
}

#[derive(Debug, Default, Serialize)]
pub struct MessageRow {
    pub href: String,
    pub rule: String,
    pub step: String,
    pub mark: Mark,
    pub when: String,
    pub exact: String,
    pub subject: String,
    pub why: String,
}

#[derive(Debug, Default, Serialize)]
pub struct PlannedRow {
    pub href: String,
    pub text: String,
    pub when: String,
    pub note: String,
}

#[derive(Debug, Default, Serialize)]
pub struct ScoreRow {
    pub score: String,
    pub text: String,
    pub note: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Rhythm {
    pub title: String,
    pub sub: String,
    pub grid: Vec<Grid>,
    pub bars: Vec<RhythmBar>,
    pub gaps: Vec<Tick>,
    pub now_x: String,
    /// From the last order to now.
    pub since_x: String,
    pub since_mid: String,
    pub since: String,
    /// When the next order would usually have come, as x and width.
    pub window: Option<(String, String)>,
    pub messages: Vec<Tick>,
    pub visits: Vec<Tick>,
    pub ticks: Vec<Tick>,
    pub rows: Vec<[String; 3]>,
}

#[derive(Debug, Default, Serialize)]
pub struct RhythmBar {
    pub x: String,
    pub y: String,
    pub title: String,
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
    decisions: Vec<Decision>,
    messages: Vec<Message>,
    planned: Vec<Message>,
    counts: Counts,
    rules: HashMap<i64, RuleName>,
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
            let rhythm = report::orders(conn, id, Timestamp(i64::MAX), RHYTHM_ORDERS)?;
            let messages = report::messages(
                conn,
                id,
                if view == "timeline" { until } else { now_or("messages") },
                MANY + 1,
            )?;
            let planned = report::messages(conn, id, Timestamp(i64::MAX), MANY)?;
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
                decisions: report::decisions(
                    conn,
                    id,
                    if view == "ledger" { before.unwrap_or(i64::MAX) } else { i64::MAX },
                    limit + 1,
                )?,
                messages,
                planned: planned.into_iter().filter(|m| m.status == "scheduled").rev().collect(),
                counts: report::counts(conn, &store, id)?,
                rules: reports::rules::names(conn, &store)?,
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
        sub: subtitle(format, loaded),
        recap: recap(format, loaded),
        figures: figures(format, loaded),
        rhythm: rhythm(format, loaded),
        tabs: tabs(format, id, view, loaded.counts),
        ledger: if view == "all" || view == "ledger" {
            let rows = loaded.decisions.iter().take(limit);
            rows.map(|decision| ledger_row(format, decision, &loaded.rules)).collect()
        } else {
            Vec::new()
        },
        timeline,
        orders: if view == "orders" { order_rows(format, loaded, limit) } else { Vec::new() },
        messages: if view == "messages" { message_rows(format, loaded, limit) } else { Vec::new() },
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
        planned: planned(format, loaded),
        unplanned: unplanned(format, loaded),
        scored: loaded.scored.map_or(String::new(), |scored| format.when(scored.ran_at)),
        scores: scores(format, loaded),
        scores_note: scores_note(format, loaded),
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

fn subtitle(format: &Format, loaded: &Loaded) -> String {
    let Some(score) = &loaded.score else { return String::new() };
    let mut text = format.text(
        "customer.rfm_since",
        &[
            ("rfm", &format!("R{} F{} M{}", score.r, score.f, score.m)),
            ("day", &format.day(score.segment_since)),
        ],
    );
    if let Some(before) = loaded.stays.iter().find(|stay| stay.since < score.segment_since) {
        let name = words::known(format, "segment", &before.segment);
        text.push_str(&format.text("customer.before_that", &[("segment", &name)]));
    }
    text
}

/// One or two sentences that could be read aloud.
fn recap(format: &Format, loaded: &Loaded) -> Html {
    let profile = &loaded.profile;
    let mut html = match &loaded.score {
        Some(score) if score.kind == "buyer" => {
            let mut text = words::silence(
                format,
                score.days_since,
                score.frequency,
                score.usual_gap_days,
                score.p_alive,
            );
            text.0.push_str(&format.html("customer.stop", &[]).0);
            text
        }
        _ => match (profile.orders_count, profile.last_seen_at) {
            (0, Some(seen)) => format.html(
                "customer.only_visited",
                &[
                    ("visits", &format.count("customer.visits", i64::from(profile.visits_count))),
                    ("when", &format.when(seen)),
                ],
            ),
            (0, None) => format.html("customer.nothing_yet", &[]),
            (n, _) => format.html(
                "customer.ordered",
                &[("orders", &format.count("customer.orders", i64::from(n)))],
            ),
        },
    };
    if let Some(next) = loaded.planned.first() {
        let rule = name_of(&loaded.rules, next.rule_id);
        html.0.push_str(
            &format
                .html(
                    "customer.next_planned",
                    &[("rule", &rule), ("when", &format.when(next.scheduled_at))],
                )
                .0,
        );
    } else if let Some(last) = loaded.messages.iter().find(|m| m.status == "sent") {
        let rule = name_of(&loaded.rules, last.rule_id);
        let at = last.sent_at.unwrap_or(last.scheduled_at);
        html.0.push_str(
            &format.html("customer.last_sent", &[("rule", &rule), ("when", &format.when(at))]).0,
        );
    }
    html
}

fn figures(format: &Format, loaded: &Loaded) -> Vec<Figure> {
    let profile = &loaded.profile;
    let score = loaded.score.as_ref();
    let not_yet = format.text("estimate.not_yet", &[]);
    let figure = |key: &str, value: Option<String>, unit: &str, note: String| Figure {
        name: format.text(&format!("customer_figure.{key}"), &[]),
        definition: format.text(&format!("customer_figure.{key}_is"), &[]),
        unit: if value.is_some() { unit.to_owned() } else { String::new() },
        value: value.unwrap_or(UNKNOWN.to_owned()),
        note,
    };
    let estimate = |key: &str, value: Option<String>| {
        let note = if value.is_none() { not_yet.clone() } else { String::new() };
        figure(key, value, "", note)
    };
    let orders = i64::from(profile.orders_count);
    let per_order = (orders > 0).then(|| profile.spent / orders);
    vec![
        estimate("p_alive", score.and_then(|s| s.p_alive).map(|p| format.percent(p, 0))),
        estimate("value_at_risk", score.and_then(|s| s.value_at_risk).map(|v| format.money(v))),
        estimate(
            "expected_orders",
            score.and_then(|s| s.expected_orders_90d).map(|n| format.decimal(n)),
        ),
        {
            let gap = score.and_then(|s| s.usual_gap_days);
            let store_gap = loaded.scored.and_then(|s| s.store_gap_days);
            let note = match (gap, store_gap) {
                (Some(_), Some(store)) => {
                    format.text("customer_figure.store_gap", &[("days", &format.decimal(store))])
                }
                (Some(_), None) => String::new(),
                (None, _) => format.text("customer_figure.no_gap", &[]),
            };
            let unit = format.text("span.days_unit", &[]);
            figure("usual_gap", gap.map(|g| format.decimal(g)), &unit, note)
        },
        figure(
            "orders",
            Some(format.number(orders)),
            "",
            profile.first_order_at.map_or(String::new(), |at| {
                format.text("customer_figure.since", &[("day", &format.day(at))])
            }),
        ),
        figure(
            "spent",
            Some(format.money(profile.spent)),
            "",
            match (profile.foreign_orders, per_order) {
                (n @ 1.., _) => format.count("customer_figure.foreign", i64::from(n)),
                (_, Some(per)) => {
                    format.text("customer_figure.an_order", &[("money", &format.money(per))])
                }
                _ => String::new(),
            },
        ),
    ]
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

pub fn ledger_row(
    format: &Format,
    decision: &Decision,
    rules: &HashMap<i64, RuleName>,
) -> LedgerRow {
    LedgerRow {
        when: format.when(decision.at),
        exact: format.exact(decision.at),
        rule: name_of(rules, decision.rule_id),
        href: rules.get(&decision.rule_id).map_or(String::new(), |r| format!("/rules/{}", r.key)),
        step: decision
            .step
            .map_or(String::new(), |step| format.text("ledger.step", &[("n", &step.to_string())])),
        mark: words::outcome(format, &decision.outcome),
        why: words::reason(format, &decision.outcome, decision.reason.as_deref(), &decision.facts),
        facts: words::facts(format, &decision.facts),
        message: decision.message_id.map_or(String::new(), |id| format!("/outbox/{id}")),
    }
}

fn moments(format: &Format, loaded: &Loaded) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut add = |at: Timestamp, class: &'static str, moment: Moment| {
        let (when, exact) = (format.when(at), format.exact(at));
        moments.push(Moment { class, when, exact, at: Timestamp0(at.0), ..moment });
    };
    for order in &loaded.orders {
        let text = format.text(
            "timeline.order",
            &[("id", &order.order_id), ("money", &money(format, order.total, &order.currency))],
        );
        let products = products_of(format, &order.order_id, &loaded.lines);
        let note = match order.status.as_str() {
            "paid" => products,
            status => {
                let status = words::known(format, "order_status", status);
                if products.is_empty() { status } else { format!("{status}; {products}") }
            }
        };
        add(order.placed_at, "order", Moment { text, note, ..Moment::default() });
    }
    for visit in &loaded.visits {
        let minutes = ((visit.ended_at.0 - visit.started_at.0) / 60_000_000).max(1);
        let looked = looked_at(loaded, visit);
        let text = if looked.is_empty() {
            format.text(
                "timeline.visit",
                &[
                    ("minutes", &format.number(minutes)),
                    ("pages", &format.count("timeline.pages", i64::from(visit.page_views))),
                ],
            )
        } else {
            let list = looked.join(&format.text("list_comma", &[]));
            format.text(
                "timeline.visit_products",
                &[("minutes", &format.number(minutes)), ("products", &list)],
            )
        };
        let mut note: Vec<String> = Vec::new();
        if visit.depth == "cart" || visit.depth == "checkout" {
            note.push(words::known(format, "depth", &visit.depth));
        }
        if let Some(channel) = &visit.channel {
            note.push(format.text("timeline.from", &[("channel", channel)]));
        }
        let note = note.join(&format.text("list_comma", &[]));
        add(visit.started_at, "", Moment { text, note, ..Moment::default() });
    }
    for message in loaded.messages.iter().filter(|message| message.status != "scheduled") {
        let at = message.sent_at.unwrap_or(message.scheduled_at);
        if at > format.now {
            continue;
        }
        let (class, why) = match message.status.as_str() {
            "sent" => ("mail", String::new()),
            "cancelled" => (
                "held",
                message
                    .cancelled_for
                    .as_deref()
                    .map_or(String::new(), |why| words::known(format, "reason", why)),
            ),
            _ => ("held", String::new()),
        };
        add(
            at,
            class,
            Moment {
                href: format!("/outbox/{}", message.id),
                link: format!("{} {}", name_of(&loaded.rules, message.rule_id), message.step),
                text: words::known(format, "timeline_mail", &message.status),
                note: message.subject.clone().map_or(why, |subject| format!("“{subject}”")),
                ..Moment::default()
            },
        );
    }
    for pair in loaded.stays.windows(2) {
        let name = |stay: &SegmentStay| words::known(format, "segment", &stay.segment);
        let text =
            format.text("timeline.segment", &[("to", &name(&pair[0])), ("from", &name(&pair[1]))]);
        let slipped = words::segment(format, &pair[0].segment).class == "slipping";
        add(pair[0].since, if slipped { "fell" } else { "" }, Moment { text, ..Moment::default() });
    }
    for told in &loaded.told {
        let Ok(payload) = serde_json::from_str::<Value>(&told.payload) else { continue };
        let body = &payload["body"];
        let text = match told.kind.as_str() {
            "order_refunded" => {
                let id = body["order_id"].as_str().unwrap_or_default();
                format.text("timeline.refund", &[("id", id)])
            }
            "consent_changed" => {
                let key =
                    if body["granted"] == Value::Bool(true) { "granted" } else { "withdrawn" };
                format.text(&format!("timeline.consent_{key}"), &[])
            }
            _ => continue,
        };
        add(told.occurred_at, "", Moment { text, ..Moment::default() });
    }
    moments
}

/// The products looked at during a visit, each once, the first three.
fn looked_at(loaded: &Loaded, visit: &Visit) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for told in &loaded.told {
        let within = told.occurred_at >= visit.started_at && told.occurred_at <= visit.ended_at;
        if told.kind != "product_viewed" || !within {
            continue;
        }
        let Ok(payload) = serde_json::from_str::<Value>(&told.payload) else { continue };
        let product = &payload["body"]["product"];
        let name = product["name"].as_str().or(product["id"].as_str()).unwrap_or_default();
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names.truncate(3);
    names
}

fn money(format: &Format, minor: i64, currency: &str) -> String {
    match currency.parse::<Currency>() {
        Ok(currency) if currency != format.currency => format.money_of(minor, &currency),
        _ => format.money(minor),
    }
}

fn products_of(format: &Format, order_id: &str, lines: &[Line]) -> String {
    let names: Vec<String> = lines
        .iter()
        .filter(|line| line.order_id == order_id)
        .filter_map(|line| {
            let name = line.name.clone().or(line.product_id.clone())?;
            Some(if (line.quantity - 1.0).abs() < 0.001 {
                name
            } else {
                format!("{name} × {}", format.decimal(line.quantity))
            })
        })
        .take(4)
        .collect();
    names.join(&format.text("list_comma", &[]))
}

fn order_rows(format: &Format, loaded: &Loaded, limit: usize) -> Vec<OrderRow> {
    let mut rows = Vec::new();
    for (n, order) in loaded.orders.iter().take(limit).enumerate() {
        let gap = loaded.orders.get(n + 1).map_or(UNKNOWN.to_owned(), |before| {
            format.number(order.placed_at.days_since(before.placed_at).round() as i64)
        });
        rows.push(OrderRow {
            when: format.when(order.placed_at),
            exact: format.exact(order.placed_at),
            id: order.order_id.clone(),
            mark: Mark {
                class: match order.status.as_str() {
                    "paid" => "good",
                    "cancelled" | "refunded" => "warn",
                    _ => "",
                },
                text: words::known(format, "order_status", &order.status),
            },
            products: products_of(format, &order.order_id, &loaded.lines),
            gap,
            total: money(format, order.total, &order.currency),
            refunded: if order.refunded > 0 {
                let amount = money(format, order.refunded, &order.currency);
                format.text("orders.refunded", &[("money", &amount)])
            } else {
                String::new()
            },
            channel: order.channel.clone().unwrap_or_default(),
        });
    }
    rows
}

fn message_rows(format: &Format, loaded: &Loaded, limit: usize) -> Vec<MessageRow> {
    loaded
        .messages
        .iter()
        .take(limit)
        .map(|message| {
            let at = message.sent_at.unwrap_or(message.scheduled_at);
            MessageRow {
                href: format!("/outbox/{}", message.id),
                rule: name_of(&loaded.rules, message.rule_id),
                step: message.step.to_string(),
                mark: words::status(format, &message.status),
                when: format.when(at),
                exact: format.exact(at),
                subject: message.subject.clone().unwrap_or_default(),
                why: message
                    .cancelled_for
                    .as_deref()
                    .or(message.held_for.as_deref())
                    .map_or(String::new(), |why| words::known(format, "reason", why)),
            }
        })
        .collect()
}

fn planned(format: &Format, loaded: &Loaded) -> Vec<PlannedRow> {
    loaded
        .planned
        .iter()
        .map(|message| PlannedRow {
            href: format!("/outbox/{}", message.id),
            text: format!("{} {}", name_of(&loaded.rules, message.rule_id), message.step),
            when: format.when(message.scheduled_at),
            note: match &message.held_for {
                Some(why) => words::known(format, "reason", why),
                None => format.text("planned.unless", &[]),
            },
        })
        .collect()
}

fn unplanned(format: &Format, loaded: &Loaded) -> String {
    let profile = &loaded.profile;
    let key = if profile.erased_at.is_some() {
        "planned.none_erased"
    } else if profile.email.is_none() {
        "planned.none_address"
    } else if profile.suppressed.is_some() {
        "planned.none_suppressed"
    } else if profile.consent == "withdrawn" {
        "planned.none_consent"
    } else {
        "planned.none"
    };
    format.text(key, &[])
}

fn scores(format: &Format, loaded: &Loaded) -> Vec<ScoreRow> {
    let Some(score) = &loaded.score else { return Vec::new() };
    let row = |letter: &str, n: i16, text: String| ScoreRow {
        score: format!("{letter}{n}"),
        text,
        note: words::known(format, "fifth", &n.to_string()),
    };
    let days = format.number(score.days_since.floor() as i64);
    let kind = score.kind.as_str();
    vec![
        row("R", score.r, format.text(&format!("scores.r_{kind}"), &[("days", &days)])),
        row("F", score.f, format.count(&format!("scores.f_{kind}"), i64::from(score.frequency))),
        row("M", score.m, {
            if kind == "buyer" {
                format.text("scores.m_buyer", &[("money", &format.money(score.spent))])
            } else {
                let n = format.number(i64::from(loaded.profile.product_views));
                format.text("scores.m_visitor", &[("n", &n)])
            }
        }),
    ]
}

fn scores_note(format: &Format, loaded: &Loaded) -> String {
    match (&loaded.score, loaded.scored) {
        (None, None) => format.text("scores.never", &[]),
        (None, Some(_)) => format.text("scores.not_this_one", &[]),
        (Some(score), _) if score.kind == "buyer" && score.p_alive.is_none() => {
            format.text("scores.no_chance", &[])
        }
        _ => String::new(),
    }
}

fn identity(format: &Format, profile: &Profile, counts: Counts) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.push(Pair { name: format.text(&format!("identity.{key}"), &[]), value });
        }
    };
    add("email", profile.email.clone());
    add("external_id", profile.external_id.clone());
    add("phone", profile.phone.as_deref().map(half_hidden));
    add("devices", (counts.devices > 0).then(|| format.number(counts.devices)));
    add("locale", profile.locale.clone());
    let place = [&profile.city, &profile.country];
    let place: Vec<&str> = place.iter().filter_map(|part| part.as_deref()).collect();
    add("place", Some(place.join(", ")));
    let zone =
        profile.timezone.as_deref().and_then(|raw| raw.parse::<crate::primitives::Zone>().ok());
    add(
        "local_time",
        zone.map(|zone| {
            let local = zone.tz().to_datetime(format.now.to_jiff());
            format!("{:02}:{:02}, {}", local.hour(), local.minute(), zone.name())
        }),
    );
    let tags: Vec<String> = serde_json::from_str(&profile.tags).unwrap_or_default();
    add("tags", Some(tags.join(", ")));
    add("known_since", Some(format.day(profile.first_seen_at.unwrap_or(profile.created_at))));
    add("id", Some(profile.id.to_string()));
    pairs
}

/// A phone number is not needed to do the work on this page: its middle stays out of sight.
fn half_hidden(phone: &str) -> String {
    let chars: Vec<char> = phone.chars().collect();
    if chars.len() < 9 {
        return "••••".to_owned();
    }
    let (head, tail): (String, String) =
        (chars[..chars.len() - 8].iter().collect(), chars[chars.len() - 4..].iter().collect());
    format!("{head} •••• {tail}")
}

fn consent_text(format: &Format, profile: &Profile) -> String {
    let mut parts = Vec::new();
    if let Some(at) = profile.consent_at {
        parts.push(format.day(at));
    }
    if let Some(source) = &profile.consent_source {
        parts.push(words::known(format, "consent_source", source));
    }
    parts.join(&format.text("list_comma", &[]))
}

fn reach(format: &Format, loaded: &Loaded) -> Vec<Pair> {
    let profile = &loaded.profile;
    let last_sent = loaded.messages.iter().filter_map(|m| m.sent_at).max();
    vec![
        Pair {
            name: format.text("reach.last_sent", &[]),
            value: last_sent.map_or_else(|| format.text("reach.never", &[]), |at| format.when(at)),
        },
        Pair {
            name: format.text("reach.suppressed", &[]),
            value: match &profile.suppressed {
                Some(reason) => words::known(format, "suppression", reason),
                None => format.text("no", &[]),
            },
        },
    ]
}

/// Room above the axis of the rhythm, and the axis' height.
const AXIS: f64 = 112.0;
const TOP: f64 = 30.0;

/// `None` with nothing to draw: no order that was placed.
fn rhythm(format: &Format, loaded: &Loaded) -> Option<Rhythm> {
    let mut orders: Vec<&Order> =
        loaded.rhythm.iter().filter(|order| order.status != "cancelled").collect();
    orders.reverse();
    let (first, last) = (orders.first()?, orders.last()?);
    let now = format.now.max(last.placed_at);
    let gap_days = loaded.score.as_ref().and_then(|score| score.usual_gap_days);
    // From a little before the first order shown to a little after now, or to when the next is expected.
    let span = (now.0 - first.placed_at.0).max(14 * 86_400_000_000) as f64;
    let from = first.placed_at.0 as f64 - span * 0.04;
    let mut until = now.0 as f64 + span * 0.08;
    let expected = gap_days.map(|gap| {
        let at = |share: f64| last.placed_at.0 as f64 + gap * share * 86_400e6;
        (at(0.75), at(1.25))
    });
    if let Some((_, end)) = expected {
        until = until.max(end.min(now.0 as f64 + span * 0.3));
    }
    let x = |at: f64| (at - from) / (until - from) * 100.0;
    let highest = orders.iter().map(|order| order.total).max()?.max(1);
    let y = |minor: i64| AXIS - (minor as f64 / highest as f64 * (AXIS - TOP)).max(2.0);
    let step = chart::step(highest);
    let grid = (1..=2)
        .map(|n| n * step)
        .filter(|minor| *minor <= highest)
        .map(|minor| Grid {
            y: coordinate(y(minor)),
            label_y: coordinate(y(minor) - 5.0),
            label: format.money(minor),
        })
        .collect();
    let days_between = |a: &Order, b: &Order| b.placed_at.days_since(a.placed_at).round() as i64;
    let mut gaps = Vec::new();
    for pair in orders.windows(2) {
        let (a, b) = (x(pair[0].placed_at.0 as f64), x(pair[1].placed_at.0 as f64));
        // Where there is no room for a number there is none: the table has them all.
        if b - a >= 3.5 {
            gaps.push(Tick {
                x: coordinate((a + b) / 2.0),
                anchor: "middle",
                text: format.number(days_between(pair[0], pair[1])),
                desk: b - a < 8.0,
            });
        }
    }
    let within = |at: Timestamp| at.0 as f64 >= from && at.0 as f64 <= until;
    let dots = |times: Vec<(Timestamp, String)>| -> Vec<Tick> {
        times
            .into_iter()
            .filter(|(at, _)| within(*at))
            .map(|(at, text)| Tick { x: coordinate(x(at.0 as f64)), anchor: "", text, desk: false })
            .collect()
    };
    let silent = now.days_since(last.placed_at).floor() as i64;
    let count = format.count("customer.orders", orders.len() as i64);
    let since = format.number(silent);
    let mut rows: Vec<[String; 3]> = Vec::new();
    for (n, order) in orders.iter().enumerate().rev() {
        let products = products_of(format, &order.order_id, &loaded.lines);
        let day = format.day(order.placed_at);
        rows.push([
            if products.is_empty() { day } else { format!("{day}, {products}") },
            if n == 0 {
                UNKNOWN.to_owned()
            } else {
                format.number(days_between(orders[n - 1], order))
            },
            money(format, order.total, &order.currency),
        ]);
    }
    Some(Rhythm {
        title: match gap_days {
            Some(gap) if orders.len() > 1 => format.text(
                "rhythm.title",
                &[("orders", &count), ("gap", &format.decimal(gap)), ("days", &since)],
            ),
            _ => format.text("rhythm.title_plain", &[("orders", &count), ("days", &since)]),
        },
        sub: format.text("rhythm.sub", &[("currency", format.currency.as_str())]),
        grid,
        bars: orders
            .iter()
            .map(|order| RhythmBar {
                x: coordinate(x(order.placed_at.0 as f64)),
                y: coordinate(y(order.total)),
                title: {
                    let products = products_of(format, &order.order_id, &loaded.lines);
                    let money = money(format, order.total, &order.currency);
                    format!("{}: {money} {products}", format.day(order.placed_at))
                },
            })
            .collect(),
        gaps,
        now_x: coordinate(x(now.0 as f64)),
        since_x: coordinate(x(last.placed_at.0 as f64) + 0.3),
        since_mid: coordinate((x(last.placed_at.0 as f64) + x(now.0 as f64)) / 2.0),
        since: if gap_days.is_some_and(|gap| silent as f64 > gap) {
            format.text("rhythm.days", &[("n", &since)])
        } else {
            String::new()
        },
        window: expected.map(|(start, end)| {
            let (start, end) = (x(start).min(100.0), x(end).min(100.0));
            (coordinate(start), coordinate((end - start).max(0.0)))
        }),
        messages: dots(
            loaded
                .messages
                .iter()
                .filter_map(|m| {
                    let at = m.sent_at?;
                    Some((at, format!("{}: {}", format.day(at), name_of(&loaded.rules, m.rule_id))))
                })
                .collect(),
        ),
        visits: dots(
            loaded.visits.iter().map(|v| (v.started_at, format.when(v.started_at))).collect(),
        ),
        ticks: month_ticks(format, from, until),
        rows,
    })
}

/// The first of each month, or of every third or sixth where there are many.
fn month_ticks(format: &Format, from: f64, until: f64) -> Vec<Tick> {
    let months = ((until - from) / (30.4 * 86_400e6)).ceil() as i32;
    let every = match months {
        ..=14 => 1,
        15..=40 => 3,
        _ => 6,
    };
    let mut day = format.local(Timestamp(from as i64)).date().first_of_month();
    let mut ticks = Vec::new();
    for _ in 0..200 {
        let Ok(next) = day.checked_add(jiff::Span::new().months(1)) else { break };
        day = next;
        let at = format.zone.start_of(day).0 as f64;
        if at > until {
            break;
        }
        if (i32::from(day.month()) - 1) % every != 0 {
            continue;
        }
        let x = (at - from) / (until - from) * 100.0;
        let text = if day.month() == 1 { day.year().to_string() } else { format.month(day) };
        let desk = months > 7 && ticks.len() % 2 == 1;
        ticks.push(Tick {
            x: coordinate(x),
            anchor: if x > 96.0 { "end" } else { "middle" },
            text,
            desk,
        });
    }
    ticks
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_phone_number_stays_out_of_sight() {
        assert_eq!(half_hidden("+8613812342206"), "+86138 •••• 2206");
        assert_eq!(half_hidden("12345"), "••••");
    }
}
