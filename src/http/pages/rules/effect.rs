//! What a rule earned: what is credited to it beside what it caused, and which wording does better.

use serde::Serialize;

use super::behind::{Behind, Rows};
use crate::db::DbError;
use crate::experiments::{Answer, ArmFigures, Comparison, Difference};
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::{Format, UNKNOWN};
use crate::primitives::Delay;
use crate::reports::effects::Effect;
use crate::reports::rules::Listed;
use crate::reports::trial::{Experiment, VariantTest};

/// Over how long.
pub const SPAN: Delay = Delay::days(90);

#[derive(Debug, Default, Serialize)]
pub struct EffectPanel {
    pub clicks: String,
    pub credited: Linked,
    pub credited_note: String,
    /// Empty where nobody is held out.
    pub caused: String,
    pub caused_note: String,
    pub rows: Vec<MetricRow>,
    pub notes: Vec<String>,
    /// To the rows behind the figures.
    pub links: Vec<Linked>,
    pub variants: Vec<VariantPanel>,
}

/// A text that leads to what is behind it; an empty address: to nothing.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Linked {
    pub href: String,
    pub text: String,
}

#[derive(Debug, Default, Serialize)]
pub struct MetricRow {
    pub name: String,
    pub treatment: Linked,
    pub holdout: Linked,
    pub difference: String,
    pub interval: String,
    pub answer: String,
}

/// The wordings of a step against the first of them.
#[derive(Debug, Default, Serialize)]
pub struct VariantPanel {
    pub title: String,
    pub rows: Vec<VariantRow>,
    pub notes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct VariantRow {
    pub name: String,
    pub customers: Linked,
    pub converted: Linked,
    pub revenue: Linked,
    /// Of who buys, and of revenue; empty for the first.
    pub conversion: String,
    pub conversion_answer: String,
    pub money: String,
    pub money_answer: String,
}

pub async fn effect_panel(desk: &Desk, rule: &Listed) -> Result<EffectPanel, PageError> {
    let (store, now, rule) = (desk.store.clone(), desk.now, rule.clone());
    let (pages, db) = (desk.pages.clone(), desk.app.db.clone());
    let effect = desk
        .read(move |conn| Ok::<_, DbError>(pages.sums.effect(&db, conn, &store, rule, now)?))
        .await?;
    Ok(build(&desk.format, &effect))
}

fn build(format: &Format, effect: &Effect) -> EffectPanel {
    let (mails, credit) = (effect.mails, effect.credit);
    let key = &effect.rule.key;
    let orders = credit.map_or(0, |credit| credit.orders);
    let experiment = effect.experiment.as_ref();
    let (rows, notes, links) = experiment.map_or_else(Default::default, |one| {
        let (with, held) = (Behind::arm(key, "treatment"), Behind::arm(key, "holdout"));
        let link = |behind: &Behind, rows| behind.linked(rows, behind.head(format, rows));
        let links = vec![
            link(&with, Rows::Customers),
            link(&held, Rows::Customers),
            link(&with, Rows::Orders),
            link(&held, Rows::Orders),
        ];
        (metrics(format, &one.comparison, &with, &held), notes(format, one), links)
    });
    let credited = Behind::credited(key);
    EffectPanel {
        clicks: format.text(
            "effect.clicks",
            &[
                ("sent", &format.number(mails.sent)),
                ("clicked", &format.number(mails.clicked)),
                ("machines", &format.number(mails.machine_clicks)),
            ],
        ),
        credited: credited
            .linked(Rows::Orders, format.money(credit.map_or(0, |credit| credit.revenue))),
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
        rows,
        notes,
        links,
        variants: effect.variants.iter().map(|test| variants(format, key, test)).collect(),
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

/// What is said of a difference, and of what is not one.
struct Shape<'f> {
    plain: &'f dyn Fn(f64) -> String,
    signed: &'f dyn Fn(f64) -> String,
}

fn metrics(
    format: &Format,
    comparison: &Comparison,
    with: &Behind,
    held: &Behind,
) -> Vec<MetricRow> {
    let Comparison { treatment, holdout, conversion, orders, revenue, .. } = comparison;
    let row = |key: &str, rows: Rows, sums: (f64, f64), difference: &Difference, shape: Shape| {
        let shown = |sum, customers| each(sum, customers, shape.plain);
        MetricRow {
            name: format.text(&format!("effect.{key}"), &[]),
            treatment: with.linked(rows, shown(sums.0, treatment.customers)),
            holdout: held.linked(rows, shown(sums.1, holdout.customers)),
            difference: match treatment.customers.min(holdout.customers) {
                0 => UNKNOWN.to_owned(),
                _ => (shape.signed)(difference.estimate),
            },
            interval: interval(format, difference, shape.signed),
            answer: answer(format, difference),
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
            Rows::Converted,
            (treatment.converted as f64, holdout.converted as f64),
            conversion,
            Shape { plain: &percent, signed: &points },
        ),
        row(
            "orders_each",
            Rows::Orders,
            (treatment.orders as f64, holdout.orders as f64),
            orders,
            Shape { plain: &number, signed: &change },
        ),
        row(
            "revenue_each",
            Rows::Orders,
            (treatment.revenue_winsorised, holdout.revenue_winsorised),
            revenue,
            Shape { plain: &money, signed: &money_change },
        ),
    ]
}

fn each(sum: f64, customers: u64, shown: &dyn Fn(f64) -> String) -> String {
    if customers > 0 { shown(sum / customers as f64) } else { UNKNOWN.to_owned() }
}

fn interval(format: &Format, difference: &Difference, signed: &dyn Fn(f64) -> String) -> String {
    difference.interval.map_or(String::new(), |(low, high)| {
        format.text("effect.from_to", &[("low", &signed(low)), ("high", &signed(high))])
    })
}

fn answer(format: &Format, difference: &Difference) -> String {
    let answer = match difference.answer {
        Answer::Unknown => "unknown",
        Answer::More => "more",
        Answer::Less => "less",
    };
    format.text(&format!("effect.{answer}"), &[])
}

fn variants(format: &Format, key: &str, test: &VariantTest) -> VariantPanel {
    let percent = |share: f64| format.percent(share, 2);
    let points = |share: f64| with_plus(share, format.percent(share, 2));
    let money = |minor: f64| format.money_exact(minor.round() as i64);
    let change = |minor: f64| with_plus(minor.round(), money(minor));
    let row = |name: &str, figures: &ArmFigures| {
        let behind = Behind::variant(key, test.step, name);
        let customers = figures.customers;
        VariantRow {
            name: name.to_owned(),
            customers: behind.linked(Rows::Customers, format.number(customers as i64)),
            converted: behind
                .linked(Rows::Converted, each(figures.converted as f64, customers, &percent)),
            revenue: behind
                .linked(Rows::Orders, each(figures.revenue_winsorised, customers, &money)),
            ..VariantRow::default()
        }
    };
    let said = |difference: &Difference, signed: &dyn Fn(f64) -> String| {
        let interval = interval(format, difference, signed);
        format!("{} {interval}", signed(difference.estimate)).trim_end().to_owned()
    };
    let others = test.others.iter().map(|(name, comparison)| VariantRow {
        conversion: said(&comparison.conversion, &points),
        conversion_answer: answer(format, &comparison.conversion),
        money: said(&comparison.revenue, &change),
        money_answer: answer(format, &comparison.revenue),
        ..row(name, &comparison.treatment)
    });
    let mut notes = vec![format.text(
        "effect.wordings_who",
        &[
            ("first", &test.first),
            ("days", &format.number(test.window.as_seconds() / 86_400)),
            ("open", &format.number(test.open)),
        ],
    )];
    for (name, comparison) in &test.others {
        let said = progress(format, comparison);
        let named = |text: String| format!("{name}{} {text}", format.text("colon", &[]).trim_end());
        notes.extend(said.into_iter().map(named));
    }
    VariantPanel {
        title: format.text("effect.wordings", &[("n", &test.step.to_string())]),
        rows: std::iter::once(row(&test.first, &test.first_figures)).chain(others).collect(),
        notes,
    }
}

/// How small a difference would be seen, and when an answer may come.
fn progress(format: &Format, comparison: &Comparison) -> Vec<String> {
    let Comparison { conversion, revenue, strata, unmatched, .. } = comparison;
    let mut notes = Vec::new();
    if let Some(least) = conversion.minimum_detectable {
        notes.push(format.text("effect.detectable", &[("least", &format.percent(least, 2))]));
    }
    if revenue.answer == Answer::Unknown && revenue.interval.is_some() {
        notes.push(match revenue.days_to_answer {
            Some(days) => format.count("effect.answer_in", days.ceil() as i64),
            None => format.text("effect.no_answer_soon", &[]),
        });
    }
    if *strata > 1 {
        notes.push(format.text("effect.strata", &[("n", &strata.to_string())]));
    }
    if *unmatched > 0 {
        notes.push(format.count("effect.unmatched", *unmatched as i64));
    }
    notes
}

fn with_plus(n: f64, text: String) -> String {
    if n > 0.0 { format!("+{text}") } else { text }
}

fn notes(format: &Format, experiment: &Experiment) -> Vec<String> {
    let Comparison { treatment, holdout, cap, .. } = &experiment.comparison;
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
    notes.extend(progress(format, &experiment.comparison));
    if let Some(cap) = cap {
        notes.push(format.text("effect.cap", &[("cap", &format.money(cap.round() as i64))]));
    }
    notes
}

impl EffectPanel {
    pub fn sample() -> Self {
        let linked = || Linked { href: "/rules/browse/behind".into(), text: "12".into() };
        let variant = VariantRow { customers: linked(), ..VariantRow::default() };
        let against = VariantRow {
            conversion: "+1 %".into(),
            conversion_answer: "unknown".into(),
            money: "+1".into(),
            money_answer: "unknown".into(),
            ..VariantRow::default()
        };
        Self {
            credited: linked(),
            caused: "unknown".into(),
            rows: vec![MetricRow {
                treatment: linked(),
                interval: "0 to 1".into(),
                ..MetricRow::default()
            }],
            notes: vec!["note".into()],
            links: vec![linked(), linked()],
            variants: vec![VariantPanel {
                rows: vec![variant, against],
                notes: vec!["note".into()],
                ..VariantPanel::default()
            }],
            ..Self::default()
        }
    }
}
