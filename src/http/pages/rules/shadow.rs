//! Shadow beside backtest on a rule's page: what it decided live, and what the same days look like replayed.

use serde::Serialize;

use super::rule::OutcomeRow;
use crate::backtest::BacktestError;
use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::words;
use crate::http::shadow::{Both, Compared, NoComparison, compare};
use crate::reports::rules::Listed;
use crate::reports::shadow;

#[derive(Debug, Default, Serialize)]
pub struct ShadowPanel {
    /// Asks for it; empty where the rule never was in shadow.
    pub href: String,
    pub sub: String,
    /// Why there is nothing to compare yet.
    pub none: String,
    pub shown: Option<Shown>,
}

#[derive(Debug, Default, Serialize)]
pub struct Shown {
    pub recap: String,
    /// What, by shadow, by backtest, and how far they are apart.
    pub sums: Vec<[String; 4]>,
    pub outcomes: Vec<ComparedRow>,
    /// Day, entered by both, sends by both; those on which something happened.
    pub days: Vec<[String; 5]>,
}

#[derive(Debug, Default, Serialize)]
pub struct ComparedRow {
    pub outcome: OutcomeRow,
    pub backtest: String,
    /// Empty where they agree.
    pub apart: String,
}

/// The comparison is made where `is_asked`: it runs a backtest.
pub async fn shadow_panel(
    desk: &Desk,
    rule: &Listed,
    is_asked: bool,
) -> Result<ShadowPanel, PageError> {
    let (store, id, now) = (desk.store.clone(), rule.id, desk.now);
    let run = desk.read(move |conn| Ok::<_, DbError>(shadow::last(conn, &store, id, now)?)).await?;
    let Some(run) = run else { return Ok(ShadowPanel::default()) };
    let format = &desk.format;
    let until = run.ended.map_or_else(|| format.text("shadow.now", &[]), |at| format.when(at));
    let panel = ShadowPanel {
        href: format!("/rules/{}?ask=compare#shadow", rule.key),
        sub: format.text("shadow.span", &[("from", &format.when(run.began)), ("until", &until)]),
        ..ShadowPanel::default()
    };
    if run.from >= run.to {
        let none = format.text("shadow.not_yet", &[]);
        return Ok(ShadowPanel { href: String::new(), none, ..panel });
    }
    if !is_asked {
        return Ok(panel);
    }
    match compare(&desk.app, desk.store.clone(), rule.id, now).await {
        Ok(compared) => Ok(ShadowPanel { shown: Some(shown(format, &compared)), ..panel }),
        Err(NoComparison::Backtest(BacktestError::Db(error))) => Err(error.into()),
        Err(_) => Ok(ShadowPanel { none: format.text("shadow.not_yet", &[]), ..panel }),
    }
}

fn shown(format: &Format, compared: &Compared) -> Shown {
    let number = |n: u64| format.number(n as i64);
    let apart = |both: Both| {
        let by = both.shadow as i64 - both.backtest as i64;
        match by {
            0 => String::new(),
            by if by > 0 => format!("+{}", format.number(by)),
            by => format!("−{}", format.number(-by)),
        }
    };
    let sum = |key: &str, both: Both| {
        [format.text(key, &[]), number(both.shadow), number(both.backtest), apart(both)]
    };
    let is_alike = compared.outcomes.iter().all(|kind| kind.n.shadow == kind.n.backtest);
    let is_busy = |day: &&crate::http::shadow::Day| {
        let (entered, sends) = (day.entered, day.sends);
        entered.shadow + entered.backtest + sends.shadow + sends.backtest > 0
    };
    Shown {
        recap: format.text(
            if is_alike { "shadow.alike" } else { "shadow.apart" },
            &[("from", &compared.from.to_string()), ("to", &compared.to.to_string())],
        ),
        sums: vec![
            sum("rule_figure.entered", compared.entered),
            sum("rule_figure.would_send", compared.would_send),
        ],
        outcomes: compared
            .outcomes
            .iter()
            .map(|kind| ComparedRow {
                outcome: OutcomeRow {
                    mark: words::outcome(format, &kind.outcome),
                    why: match &kind.reason {
                        Some(reason) => words::known(format, "reason", reason),
                        None => words::known(format, "outcome_text", &kind.outcome),
                    },
                    n: number(kind.n.shadow),
                    ..OutcomeRow::default()
                },
                backtest: number(kind.n.backtest),
                apart: apart(kind.n),
            })
            .collect(),
        days: compared
            .per_day
            .iter()
            .filter(is_busy)
            .map(|day| {
                let (entered, sends) = (day.entered, day.sends);
                [
                    day.date.to_string(),
                    number(entered.shadow),
                    number(entered.backtest),
                    number(sends.shadow),
                    number(sends.backtest),
                ]
            })
            .collect(),
    }
}

impl ShadowPanel {
    pub fn sample() -> Self {
        let shown = Shown {
            sums: vec![Default::default()],
            outcomes: vec![
                ComparedRow { apart: "+1".into(), ..ComparedRow::default() },
                ComparedRow::default(),
            ],
            days: vec![Default::default()],
            ..Shown::default()
        };
        Self { href: "/rules/browse?ask=compare".into(), shown: Some(shown), ..Self::default() }
    }
}
