//! The backtest on a rule's page: two dates in, what the rule would have done out.

use std::collections::HashMap;

use serde::Serialize;

use super::doings::{Figure, OutcomeRow};
use crate::backtest::{BacktestError, Contest, Report, Window, WindowError};
use crate::db::DbError;
use crate::http::backtests;
use crate::http::pages::chart::coordinate;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::words::{self, Mark};
use crate::primitives::CustomerId;
use crate::reports::customers::{self, Called};
use crate::rules;

/// Height of the bars above their axis.
const AXIS: f64 = 96.0;

#[derive(Debug, Default, Serialize)]
pub struct Panel {
    pub action: String,
    pub from: String,
    pub to: String,
    pub error: String,
    /// Nothing until asked for.
    pub shown: Option<Shown>,
}

#[derive(Debug, Default, Serialize)]
pub struct Shown {
    pub title: String,
    pub worst: String,
    pub figures: Vec<Figure>,
    pub bars: Vec<Bar>,
    /// Day, entered, sends, deferred; those on which something happened.
    pub days: Vec<[String; 4]>,
    pub outcomes: Vec<OutcomeRow>,
    pub sample: Vec<SampleRow>,
    pub coupons: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Bar {
    pub x: String,
    pub width: String,
    pub y: String,
    pub height: String,
    pub title: String,
}

#[derive(Debug, Default, Serialize)]
pub struct SampleRow {
    pub who: String,
    pub href: String,
    pub when: String,
    pub mark: Mark,
    pub why: String,
}

/// The form alone, or with an outcome where `ask` says so.
pub async fn panel(
    desk: &Desk,
    key: &str,
    ask: bool,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Panel, PageError> {
    let zone = &desk.store.timezone;
    let usual = Window::parse(None, None, zone, desk.now);
    let (usual_from, usual_to) =
        usual.map_or_else(|_| Default::default(), |w| (w.from.to_string(), w.to.to_string()));
    let told = |raw: Option<&str>, usual: String| {
        raw.map(str::trim).filter(|raw| !raw.is_empty()).map_or(usual, str::to_owned)
    };
    let mut panel = Panel {
        action: format!("/rules/{key}#backtest"),
        from: told(from, usual_from),
        to: told(to, usual_to),
        ..Panel::default()
    };
    if !ask {
        return Ok(panel);
    }
    let window = match Window::parse(Some(&panel.from), Some(&panel.to), zone, desk.now) {
        Ok(window) => window,
        Err(error) => {
            panel.error = said(&desk.format, &error);
            return Ok(panel);
        }
    };
    let (store, key) = (desk.store.clone(), key.to_owned());
    let contest = desk
        .read(move |conn| {
            let Some(stored) = rules::store::find_by_key(conn, store.id, &key)? else {
                return Ok::<_, DbError>(None);
            };
            let live = rules::store::live(conn, store.id)?;
            Ok(Some(Contest::new(store, stored.rule, live)))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    match backtests::run(&desk.app, contest, window).await {
        Ok(report) => {
            let store = desk.store.id;
            let ids: Vec<CustomerId> = report.sample.iter().map(|one| one.customer_id).collect();
            let called = desk.read(move |conn| Ok(customers::called(conn, store, &ids)?)).await?;
            panel.shown = Some(shown(&desk.format, &report, &called));
        }
        Err(BacktestError::Db(error)) => return Err(error.into()),
        Err(BacktestError::Cancelled) => {}
    }
    Ok(panel)
}

fn said(format: &Format, error: &WindowError) -> String {
    let date = |key: &str, date: &str| format.text(key, &[("date", date)]);
    match error {
        WindowError::NoDate(raw) => date("backtest.no_date", raw),
        WindowError::Reversed { to, .. } => date("backtest.reversed", &to.to_string()),
        WindowError::Future { to, .. } => date("backtest.future", &to.to_string()),
        WindowError::TooLong { .. } => format.text("backtest.too_long", &[]),
    }
}

fn shown(format: &Format, report: &Report, called: &HashMap<CustomerId, Called>) -> Shown {
    let figure = |key: &str, n: u64| Figure {
        name: format.text(&format!("backtest.{key}"), &[]),
        definition: format.text(&format!("backtest.{key}_is"), &[]),
        value: format.number(n as i64),
        ..Figure::default()
    };
    let most = report.per_day.iter().map(|day| day.sends).max().unwrap_or(0).max(1);
    let width = 100.0 / report.per_day.len().max(1) as f64;
    let bars = report.per_day.iter().enumerate().map(|(n, day)| {
        let height = AXIS * day.sends as f64 / most as f64;
        Bar {
            x: coordinate(n as f64 * width),
            width: coordinate((width * 0.8).max(0.1)),
            y: coordinate(AXIS + 8.0 - height),
            height: coordinate(height),
            title: format!("{}: {}", day.date, format.number(day.sends as i64)),
        }
    });
    let is_busy = |day: &&crate::backtest::PerDay| day.entered + day.sends + day.deferred > 0;
    Shown {
        title: format.text(
            "backtest.title",
            &[("from", &report.from.to_string()), ("to", &report.to.to_string())],
        ),
        worst: report.worst_day.as_ref().map_or(String::new(), |worst| {
            let n = format.number(worst.sends as i64);
            format.text("backtest.worst", &[("date", &worst.date.to_string()), ("n", &n)])
        }),
        figures: vec![
            figure("entered", report.entered),
            figure("would_send", report.would_send),
            figure("deferred", report.deferred),
            figure("suppressed", report.suppressed),
            figure("held_out", report.held_out),
            figure("not_eligible", report.not_eligible),
            figure("bought_before", report.bought_before_mail),
            figure("bought_after", report.bought_after_mail),
        ],
        bars: bars.collect(),
        days: report
            .per_day
            .iter()
            .filter(is_busy)
            .map(|day| {
                let number = |n: u64| format.number(n as i64);
                [day.date.to_string(), number(day.entered), number(day.sends), number(day.deferred)]
            })
            .collect(),
        outcomes: report
            .outcomes
            .iter()
            .map(|count| OutcomeRow {
                mark: words::outcome(format, count.outcome.as_str()),
                why: why(format, count.outcome.as_str(), count.reason.map(|r| r.as_str())),
                n: format.number(count.n as i64),
                ..OutcomeRow::default()
            })
            .collect(),
        sample: report
            .sample
            .iter()
            .map(|one| SampleRow {
                who: words::called(format, called, one.customer_id),
                href: format!("/customers/{}", one.customer_id),
                when: format.when(one.at),
                mark: words::outcome(format, one.outcome.as_str()),
                why: why(format, one.outcome.as_str(), one.reason.map(|r| r.as_str())),
            })
            .collect(),
        coupons: report
            .coupons
            .iter()
            .map(|one| {
                let n = format.number(one.messages as i64);
                format.text("backtest.coupon", &[("coupon", &one.coupon), ("n", &n)])
            })
            .collect(),
    }
}

fn why(format: &Format, outcome: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => words::known(format, "reason", reason),
        None => words::known(format, "outcome_text", outcome),
    }
}

impl Panel {
    pub fn samples() -> [Self; 2] {
        let shown = Shown {
            worst: "worst".into(),
            figures: vec![Figure::default()],
            bars: vec![Bar::default()],
            days: vec![Default::default()],
            outcomes: vec![OutcomeRow::default()],
            sample: vec![SampleRow::default()],
            coupons: vec!["TEA10".into()],
            ..Shown::default()
        };
        [
            Self { shown: Some(shown), ..Self::default() },
            Self { error: "no date".into(), ..Self::default() },
        ]
    }
}
