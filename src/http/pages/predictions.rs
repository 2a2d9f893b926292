//! `/predictions`: how good the predictions are, what they are made by, and how products are bought again.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::chart::calibration::{self as chart, Group, Plot};
use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Pair};
use crate::db::DbError;
use crate::reports::calibration::{self as report, Calibration, Horizon};
use crate::reports::rhythm::{self, Product, Products};
use crate::scoring::predict::Choice;
use crate::scoring::predict::baselines::Baseline;
use crate::scoring::predict::evaluate::Figures;

/// Products that are shown.
const PRODUCTS: usize = 15;

#[derive(Debug, Default, Serialize)]
pub struct PredictionsPage {
    /// Empty: nothing was learnt yet.
    pub learned: String,
    pub note: String,
    /// What was found about the store's past besides: customers of before the log, a season.
    pub found: Vec<String>,
    pub recap: Html,
    pub horizons: Vec<HorizonLink>,
    pub plot: Option<Plot>,
    pub plot_head: String,
    pub figures: Vec<FigureRow>,
    pub drift: String,
    pub models: Vec<ModelRow>,
    pub visitors: Vec<Pair>,
    pub visitors_text: String,
    pub products: Vec<ProductRow>,
    pub products_text: String,
}

#[derive(Debug, Default, Serialize)]
pub struct HorizonLink {
    pub href: String,
    pub name: String,
    pub current: bool,
}

/// One forecaster on one horizon.
#[derive(Debug, Default, Serialize)]
pub struct FigureRow {
    pub name: String,
    pub used: bool,
    pub log_loss: String,
    pub brier: String,
    pub ece: String,
    pub auc: String,
    pub total: String,
    pub mae: String,
}

#[derive(Debug, Default, Serialize)]
pub struct ModelRow {
    pub name: String,
    pub chances: String,
    pub orders: String,
    /// One line, or one each for customers of before the log and those since.
    pub params: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct ProductRow {
    pub name: String,
    pub gap: String,
    pub again: String,
    pub twice: String,
    pub repurchases: String,
}

#[derive(Deserialize)]
pub struct Query {
    horizon: Option<String>,
}

pub async fn page(desk: Desk, query: web::Query<Query>) -> Result<HttpResponse, PageError> {
    let store = desk.store.clone();
    let (found, products) = desk
        .read(move |conn| {
            let found = report::calibration(conn, store.id)?;
            Ok::<_, DbError>((found, rhythm::products(conn, &store, PRODUCTS)?))
        })
        .await?;
    let asked: Option<i32> = query.horizon.as_deref().and_then(|raw| raw.parse().ok());
    let page = match &found {
        Some(found) => build(&desk.format, found, products.as_ref(), asked),
        None => PredictionsPage::default(),
    };
    desk.page(Room::AtRisk, &page)
}

fn build(
    format: &Format,
    found: &Calibration,
    products: Option<&Products>,
    asked: Option<i32>,
) -> PredictionsPage {
    let chosen = |days| found.horizons.iter().find(|horizon| Some(horizon.horizon_days) == days);
    // Three months are what the worklist speaks of.
    let horizon = chosen(asked).or_else(|| chosen(Some(90))).or_else(|| found.horizons.first());
    let days = |n: i32| format.count("span.days", i64::from(n));
    PredictionsPage {
        learned: format.text("predictions.learned", &[("when", &format.when(found.learned_at))]),
        note: note(format, found),
        found: special(format, found),
        recap: horizon.map_or_else(Html::default, |horizon| recap(format, horizon)),
        horizons: found
            .horizons
            .iter()
            .map(|one| HorizonLink {
                href: format!("/predictions?horizon={}", one.horizon_days),
                name: days(one.horizon_days),
                current: horizon.is_some_and(|shown| shown.horizon_days == one.horizon_days),
            })
            .collect(),
        plot_head: horizon.map_or_else(String::new, |horizon| {
            format.text("predictions.plot", &[("days", &days(horizon.horizon_days))])
        }),
        plot: horizon.and_then(|horizon| plot(format, horizon)),
        figures: horizon.map_or_else(Vec::new, |horizon| figures(format, horizon)),
        drift: horizon.map_or_else(String::new, |horizon| drift(format, horizon)),
        models: models(format, found),
        visitors: visitors(format, found),
        visitors_text: match (&found.prospects, found.prospects_needed) {
            (Some(one), _) if one.by_base_rate => format.text("predictions.visitors_base", &[]),
            (Some(_), _) => String::new(),
            (None, Some(n)) => format.count("predictions.visitors_few", n as i64),
            (None, None) => format.text("predictions.visitors_young", &[]),
        },
        products: products.map_or_else(Vec::new, |all| {
            all.items
                .iter()
                .filter(|one| one.repurchases > 0)
                .map(|one| product(format, one))
                .collect()
        }),
        products_text: products.map_or_else(String::new, |all| {
            let n = format.number(all.repurchases as i64);
            let p = format.percent(all.p_again, 0);
            match all.usual_gap_days {
                Some(days) => {
                    let days = format.number(days.round() as i64);
                    let values = [("n", n.as_str()), ("p", p.as_str()), ("days", days.as_str())];
                    format.text("predictions.products_text", &values)
                }
                None => format.text("predictions.products_uneven", &[("n", &n), ("p", &p)]),
            }
        }),
    }
}

/// What is wanting, and else what predictions are made by.
fn note(format: &Format, found: &Calibration) -> String {
    match (found.enough_data, found.more_repeat_orders) {
        (false, Some(n)) => format.count("predictions.few", i64::from(n)),
        (false, None) => format.text("predictions.young", &[]),
        (true, _) => made_by(format, found.choice),
    }
}

/// What is not so in every store.
fn special(format: &Format, found: &Calibration) -> Vec<String> {
    let opening = found
        .opening
        .as_ref()
        .map(|opening| format.text("predictions.opening", &[("day", &format.date(opening.until))]));
    let season = found.season.then(|| format.text("predictions.season", &[]));
    opening.into_iter().chain(season).collect()
}

fn made_by(format: &Format, choice: Choice) -> String {
    let key = match choice {
        Choice::Combination => "combination",
        Choice::Baseline(Baseline::RfmRate) => "rfm_rate",
        Choice::Baseline(Baseline::Overdue) => "overdue",
        Choice::Pooled => "pooled",
    };
    format.text(&format!("predictions.by_{key}"), &[])
}

/// "Of 1,204 customers known on 3 March, 34 % were said to order within 90 days; 33 % did."
fn recap(format: &Format, horizon: &Horizon) -> Html {
    let customers: usize = horizon.deciles.iter().map(|decile| decile.customers).sum();
    let mean = |of: fn(&crate::scoring::predict::metrics::Decile) -> f64| {
        let sum: f64 =
            horizon.deciles.iter().map(|decile| of(decile) * decile.customers as f64).sum();
        sum / customers.max(1) as f64
    };
    format.html(
        "predictions.recap",
        &[
            ("n", &format.number(customers as i64)),
            ("day", &format.date(horizon.made_on)),
            ("days", &format.count("span.days", i64::from(horizon.horizon_days))),
            ("predicted", &format.percent(mean(|decile| decile.predicted), 1)),
            ("happened", &format.percent(mean(|decile| decile.happened), 1)),
        ],
    )
}

fn plot(format: &Format, horizon: &Horizon) -> Option<Plot> {
    let column = |key: &str| format.text(&format!("predictions.{key}"), &[]);
    chart::draw(
        format,
        chart::Told {
            groups: horizon
                .deciles
                .iter()
                .map(|decile| Group {
                    predicted: decile.predicted,
                    happened: decile.happened,
                    customers: decile.customers as i64,
                })
                .collect(),
            title: column("plot_title"),
            unit: column("plot_unit"),
            columns: [column("predicted"), column("happened"), column("customers")],
        },
    )
}

fn figures(format: &Format, horizon: &Horizon) -> Vec<FigureRow> {
    let used = |baseline: Option<Baseline>| match horizon.choice {
        Choice::Baseline(chosen) => baseline == Some(chosen),
        _ => baseline.is_none(),
    };
    let rows = [
        ("combined", None, Some(&horizon.combined)),
        ("rfm_rate", Some(Baseline::RfmRate), horizon.rfm_rate.as_ref()),
        ("overdue", Some(Baseline::Overdue), horizon.overdue.as_ref()),
    ];
    rows.into_iter()
        .filter_map(|(key, baseline, figures)| {
            let name = format.text(&format!("predictions.row_{key}"), &[]);
            Some(figure_row(format, name, used(baseline), figures?))
        })
        .collect()
}

fn figure_row(format: &Format, name: String, used: bool, figures: &Figures) -> FigureRow {
    let digits = |value: Option<f64>, n: usize| {
        value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.n$}"))
    };
    let percent = |value: Option<f64>| {
        value.map_or(UNKNOWN.to_owned(), |value| format.percent(value / 100.0, 1))
    };
    FigureRow {
        name,
        used,
        log_loss: digits(figures.log_loss, 4),
        brier: digits(figures.brier, 4),
        ece: percent(figures.ece_pct),
        auc: digits(figures.auc, 3),
        total: figures.total_error_pct.map_or(UNKNOWN.to_owned(), |pct| {
            let sign = if pct > 0.0 { "+" } else { "" };
            format!("{sign}{}", format.percent(pct / 100.0, 1))
        }),
        mae: digits(figures.mae, 3),
    }
}

fn drift(format: &Format, horizon: &Horizon) -> String {
    match (horizon.combined.log_loss, horizon.log_loss_before, horizon.before) {
        (Some(now), Some(before), Some(at)) => format.text(
            "predictions.drift",
            &[
                ("now", &format!("{now:.4}")),
                ("before", &format!("{before:.4}")),
                ("day", &format.day(at)),
            ],
        ),
        _ => String::new(),
    }
}

fn models(format: &Format, found: &Calibration) -> Vec<ModelRow> {
    found
        .models
        .iter()
        .map(|one| {
            let params = match (&one.params_before, &one.params_since) {
                (Some(before), Some(since)) => vec![
                    format.text("predictions.params_before", &[("params", &params(before))]),
                    format.text("predictions.params_since", &[("params", &params(since))]),
                ],
                _ => vec![params(&one.params)],
            };
            ModelRow {
                name: words::known(format, "model", one.model),
                chances: format.percent(one.chance_weight, 0),
                orders: format.percent(one.count_weight, 0),
                params,
            }
        })
        .collect()
}

fn params(named: &serde_json::Map<String, serde_json::Value>) -> String {
    let each = named.iter().map(|(name, value)| match value.as_f64() {
        Some(value) => format!("{name} {value:.3}"),
        None => format!("{name} {value}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn visitors(format: &Format, found: &Calibration) -> Vec<Pair> {
    let Some(one) = &found.prospects else { return Vec::new() };
    let pair = |key: &str, value: String| Pair {
        name: format.text(&format!("predictions.visitors_{key}"), &[]),
        value,
    };
    let beside = format!("{:.4} / {:.4}", one.log_loss, one.base_log_loss);
    vec![
        pair("judged", format.number(one.visitors as i64)),
        pair("ordered", format.number(one.first_orders as i64)),
        pair("rate", format.percent(one.base_rate, 1)),
        pair("log_loss", beside),
        pair("auc", one.auc.map_or(UNKNOWN.to_owned(), |auc| format!("{auc:.3}"))),
        pair("ece", format.percent(one.ece_pct / 100.0, 1)),
    ]
}

fn product(format: &Format, one: &Product) -> ProductRow {
    let days = |days: f64| format.count("span.days", days.round() as i64);
    ProductRow {
        name: one.name.clone().unwrap_or_else(|| one.product_id.clone()),
        gap: one.usual_gap_days.map_or(UNKNOWN.to_owned(), days),
        again: one.p_again.map_or(UNKNOWN.to_owned(), |p| format.percent(p, 0)),
        twice: format!("× {}", format.decimal(one.twice_lasts)),
        repurchases: format.number(one.repurchases as i64),
    }
}

impl Screen for PredictionsPage {
    const TEMPLATE: &'static str = "predictions.html";

    fn samples() -> Vec<Self> {
        let text = |s: &str| s.to_owned();
        let full = Self {
            learned: text("learnt today"),
            note: text("note"),
            recap: Html("<b>34 %</b>".into()),
            horizons: vec![
                HorizonLink { current: true, ..HorizonLink::default() },
                HorizonLink::default(),
            ],
            plot: Some(Plot {
                grid: vec![super::chart::Grid::default()],
                dots: vec![chart::Dot::default()],
                ticks: vec![super::chart::Tick::default()],
                rows: vec![[text("1"), text("2"), text("3")]],
                ..Plot::default()
            }),
            figures: vec![FigureRow { used: true, ..FigureRow::default() }, FigureRow::default()],
            drift: text("drift"),
            models: vec![ModelRow::default()],
            visitors: vec![Pair::default()],
            visitors_text: text("few"),
            products: vec![ProductRow::default()],
            ..Self::default()
        };
        let young = Self { learned: text("today"), note: text("few"), ..Self::default() };
        vec![full, young, Self::default()]
    }
}
