//! What a rule earned: what is credited to it beside what it caused, and the orders behind each.

use serde::Serialize;

use crate::db::DbError;
use crate::experiments::{Answer, Comparison, Difference};
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::{Format, UNKNOWN};
use crate::primitives::{Delay, Money};
use crate::reports::credit::{self, Span};
use crate::reports::effects::{self, Effect, Experiment};

/// Over how long.
pub const SPAN: Delay = Delay::days(90);
/// Orders shown of a figure, the newest.
const ORDERS: i64 = 50;

#[derive(Debug, Default, Serialize)]
pub struct EffectPanel {
    pub clicks: String,
    pub credited: String,
    pub credited_note: String,
    /// Empty where nobody is held out.
    pub caused: String,
    pub caused_note: String,
    pub rows: Vec<MetricRow>,
    pub notes: Vec<String>,
    pub links: Vec<FigureLink>,
    /// Of the figure asked for; the head is empty where none was.
    pub orders_head: String,
    pub orders: Vec<OrderRow>,
}

#[derive(Debug, Default, Serialize)]
pub struct MetricRow {
    pub name: String,
    pub treatment: String,
    pub holdout: String,
    pub difference: String,
    pub interval: String,
    pub answer: String,
}

#[derive(Debug, Default, Serialize)]
pub struct FigureLink {
    pub href: String,
    pub text: String,
}

#[derive(Debug, Default, Serialize)]
pub struct OrderRow {
    pub when: String,
    pub order: String,
    pub who: String,
    pub href: String,
    pub net: String,
    pub why: String,
}

/// `figure`: whose orders are asked for.
pub async fn effect_panel(
    desk: &Desk,
    key: &str,
    figure: Option<&str>,
) -> Result<EffectPanel, PageError> {
    let (store, now, key) = (desk.store.clone(), desk.now, key.to_owned());
    let (pages, db) = (desk.pages.clone(), desk.app.db.clone());
    let figure = ["credited", "treatment", "holdout"].into_iter().find(|f| figure == Some(f));
    let span = Span { from: now.minus(SPAN), until: now };
    let (effect, rows) = desk
        .read(move |conn| {
            let effects = pages.sums.effects(&db, conn, &store, now)?;
            let Some(effect) = effects.iter().find(|one| one.rule.key == key).cloned() else {
                return Ok::<_, DbError>((None, Vec::new()));
            };
            let rule = &effect.rule;
            let rows = match figure {
                None => Vec::new(),
                Some("credited") => {
                    let orders = credit::orders(conn, &store, rule.id, span, None, ORDERS)?;
                    let why = |clicked| if clicked { "effect.by_click" } else { "effect.by_send" };
                    orders
                        .into_iter()
                        .map(|o| {
                            let net = Money::new(o.total - o.refunded, o.currency);
                            (o.placed_at, o.order_id, o.customer_id, net, why(o.clicked))
                        })
                        .collect()
                }
                Some(arm) => {
                    let page = (None, ORDERS);
                    effects::arm_orders(conn, &store, rule, arm, span, now, page.0, page.1)?
                        .into_iter()
                        .map(|o| {
                            let net = Money::new(o.total - o.refunded, o.currency);
                            (o.placed_at, o.order_id, o.customer_id, net, "")
                        })
                        .collect()
                }
            };
            Ok((Some(effect), rows))
        })
        .await?;
    let format = &desk.format;
    let Some(effect) = effect else { return Ok(EffectPanel::default()) };
    let orders = rows.into_iter().map(|(at, order, customer, net, why)| OrderRow {
        when: format.when(at),
        order,
        who: customer.to_string(),
        href: format!("/customers/{customer}"),
        net: format.money_of(net.minor, &net.currency),
        why: if why.is_empty() { String::new() } else { format.text(why, &[]) },
    });
    Ok(EffectPanel {
        orders: orders.collect(),
        orders_head: figure
            .map_or(String::new(), |figure| format.text(&format!("effect.orders_{figure}"), &[])),
        ..build(format, &effect)
    })
}

fn build(format: &Format, effect: &Effect) -> EffectPanel {
    let (mails, credit) = (effect.mails, effect.credit);
    let orders = credit.map_or(0, |credit| credit.orders);
    let mut figures = vec!["credited"];
    let experiment = effect.experiment.as_ref();
    if experiment.is_some() {
        figures.extend(["treatment", "holdout"]);
    }
    EffectPanel {
        clicks: format.text(
            "effect.clicks",
            &[
                ("sent", &format.number(mails.sent)),
                ("clicked", &format.number(mails.clicked)),
                ("machines", &format.number(mails.machine_clicks)),
            ],
        ),
        credited: format.money(credit.map_or(0, |credit| credit.revenue)),
        credited_note: format.text(
            "effect.credited_note",
            &[
                ("orders", &format.count("effect.orders", orders)),
                ("clicked", &format.number(credit.map_or(0, |credit| credit.clicked))),
                ("refunded", &format.money(credit.map_or(0, |credit| credit.refunded))),
            ],
        ),
        caused: experiment.map_or(String::new(), |one| caused(format, &one.comparison)),
        caused_note: match experiment {
            None => format.text("effect.no_holdout", &[]),
            Some(one) => caused_note(format, &one.comparison),
        },
        rows: experiment.map_or(Vec::new(), |one| metrics(format, &one.comparison)),
        notes: experiment.map_or(Vec::new(), |one| notes(format, one)),
        links: figures
            .into_iter()
            .map(|figure| FigureLink {
                href: format!("/rules/{}?figure={figure}#effect", effect.rule.key),
                text: format.text(&format!("effect.orders_{figure}"), &[]),
            })
            .collect(),
        ..EffectPanel::default()
    }
}

fn caused(format: &Format, comparison: &Comparison) -> String {
    match comparison.revenue.answer {
        Answer::Unknown => format.text("effect.unknown", &[]),
        _ => format.money_change(total(comparison, comparison.revenue.estimate)),
    }
}

fn caused_note(format: &Format, comparison: &Comparison) -> String {
    match comparison.revenue.interval {
        None => format.text("effect.too_few", &[]),
        Some((low, high)) => format.text(
            "effect.between",
            &[
                ("low", &format.money_change(total(comparison, low))),
                ("high", &format.money_change(total(comparison, high))),
            ],
        ),
    }
}

/// Of all treated customers together, in minor units.
fn total(comparison: &Comparison, each: f64) -> i64 {
    (each * comparison.treatment.customers as f64).round() as i64
}

fn metrics(format: &Format, comparison: &Comparison) -> Vec<MetricRow> {
    let Comparison { treatment, holdout, conversion, orders, revenue, .. } = comparison;
    let each = |sum: f64, customers: u64| (customers > 0).then(|| sum / customers as f64);
    let row = |key: &str,
               sums: (f64, f64),
               difference: &Difference,
               plain: &dyn Fn(f64) -> String,
               signed: &dyn Fn(f64) -> String| {
        let shown = |sum, customers| each(sum, customers).map_or_else(|| UNKNOWN.to_owned(), plain);
        let answer = match difference.answer {
            Answer::Unknown => "unknown",
            Answer::More => "more",
            Answer::Less => "less",
        };
        MetricRow {
            name: format.text(&format!("effect.{key}"), &[]),
            treatment: shown(sums.0, treatment.customers),
            holdout: shown(sums.1, holdout.customers),
            difference: signed(difference.estimate),
            interval: difference.interval.map_or(String::new(), |(low, high)| {
                format.text("effect.from_to", &[("low", &signed(low)), ("high", &signed(high))])
            }),
            answer: format.text(&format!("effect.{answer}"), &[]),
        }
    };
    let percent = |share: f64| format.percent(share, 2);
    let points = |share: f64| with_plus(share, format.percent(share, 2));
    let number = |n: f64| if n < 0.0 { format!("−{:.3}", -n) } else { format!("{n:.3}") };
    let change = |n: f64| with_plus(n, number(n));
    let money = |minor: f64| format.money_exact(minor.round() as i64);
    let money_change = |minor: f64| with_plus(minor.round(), money(minor));
    vec![
        row(
            "conversion",
            (treatment.converted as f64, holdout.converted as f64),
            conversion,
            &percent,
            &points,
        ),
        row(
            "orders_each",
            (treatment.orders as f64, holdout.orders as f64),
            orders,
            &number,
            &change,
        ),
        row(
            "revenue_each",
            (treatment.revenue_winsorised, holdout.revenue_winsorised),
            revenue,
            &money,
            &money_change,
        ),
    ]
}

fn with_plus(n: f64, text: String) -> String {
    if n > 0.0 { format!("+{text}") } else { text }
}

fn notes(format: &Format, experiment: &Experiment) -> Vec<String> {
    let Comparison { treatment, holdout, revenue, conversion, cap, .. } = &experiment.comparison;
    let days = experiment.window.as_seconds() / 86_400;
    let mut notes = vec![format.text(
        "effect.who",
        &[
            ("treatment", &format.number(treatment.customers as i64)),
            ("holdout", &format.number(holdout.customers as i64)),
            ("days", &format.number(days)),
            ("open", &format.number(experiment.open)),
        ],
    )];
    if let Some(least) = conversion.minimum_detectable {
        notes.push(format.text("effect.detectable", &[("least", &format.percent(least, 2))]));
    }
    if revenue.answer == Answer::Unknown && revenue.interval.is_some() {
        notes.push(match revenue.days_to_answer {
            Some(days) => format.count("effect.answer_in", days.ceil() as i64),
            None => format.text("effect.no_answer_soon", &[]),
        });
    }
    if let Some(cap) = cap {
        notes.push(format.text("effect.cap", &[("cap", &format.money(cap.round() as i64))]));
    }
    notes
}
