//! Shadow beside backtest on a rule's page: what it decided live, and what the same days look like replayed.

use std::sync::Arc;

use serde::Serialize;

use super::apart::ApartIn;
use super::doings::OutcomeRow;
use super::effect::Linked;
use crate::backtest::BacktestError;
use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::shadow::{Both, Compared, NoComparison, compare};
use crate::ledger::Outcome;
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
    pub sums: Vec<SumRow>,
    pub outcomes: Vec<ComparedRow>,
    /// Day, entered by both, sends by both; those on which something happened.
    pub days: Vec<[String; 5]>,
}

#[derive(Debug, Default, Serialize)]
pub struct SumRow {
    pub name: String,
    pub shadow: String,
    pub backtest: String,
    /// How far they are apart, and in whom; empty where they agree about everyone.
    pub apart: Linked,
}

#[derive(Debug, Default, Serialize)]
pub struct ComparedRow {
    pub outcome: OutcomeRow,
    pub backtest: String,
    pub apart: Linked,
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
        Ok(compared) => {
            let compared = Arc::new(compared);
            desk.pages.shadows.keep(rule.id, &compared, now);
            Ok(ShadowPanel { shown: Some(shown(format, &rule.key, &compared)), ..panel })
        }
        Err(NoComparison::Backtest(BacktestError::Db(error))) => Err(error.into()),
        Err(_) => Ok(ShadowPanel { none: format.text("shadow.not_yet", &[]), ..panel }),
    }
}

fn shown(format: &Format, key: &str, compared: &Compared) -> Shown {
    let number = |n: u64| format.number(n as i64);
    let apart = |both: Both, figure: Option<ApartIn>| {
        let people = figure.map_or(0, |figure| figure.people(compared).len());
        let by = both.shadow as i64 - both.backtest as i64;
        let text = match by {
            0 if people == 0 => return Linked::default(),
            // As many here as there, of other people.
            0 => format!("±{}", format.number(people as i64 / 2)),
            by if by > 0 => format!("+{}", format.number(by)),
            by => format!("−{}", format.number(-by)),
        };
        let figure = figure.filter(|_| people > 0);
        Linked { href: figure.map_or(String::new(), |figure| figure.href(key)), text }
    };
    let sum = |name: &str, both: Both, figure: ApartIn| SumRow {
        name: format.text(name, &[]),
        shadow: number(both.shadow),
        backtest: number(both.backtest),
        apart: apart(both, Some(figure)),
    };
    let is_alike = compared.apart.is_empty();
    let is_busy = |day: &&crate::http::shadow::Day| {
        let (entered, sends) = (day.entered, day.sends);
        entered.shadow + entered.backtest + sends.shadow + sends.backtest > 0
    };
    Shown {
        recap: format.text(
            if is_alike { "shadow.alike" } else { "shadow.apart" },
            &[("from", &format.date(compared.from)), ("to", &format.date(compared.to))],
        ),
        sums: vec![
            sum("rule_figure.entered", compared.entered, ApartIn::Entered),
            sum("rule_figure.would_send", compared.would_send, ApartIn::WouldSend),
        ],
        outcomes: compared
            .outcomes
            .iter()
            // Nothing was sent: what would have been stands above.
            .filter(|kind| kind.outcome != Outcome::Sent.as_str())
            .map(|kind| ComparedRow {
                outcome: OutcomeRow::of(
                    format,
                    &kind.outcome,
                    kind.reason.as_deref(),
                    kind.n.shadow as i64,
                ),
                backtest: number(kind.n.backtest),
                apart: apart(kind.n, ApartIn::of(&kind.outcome, kind.reason.as_deref())),
            })
            .collect(),
        days: compared
            .per_day
            .iter()
            .filter(is_busy)
            .map(|day| {
                let (entered, sends) = (day.entered, day.sends);
                [
                    format.date(day.date),
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
            sums: vec![SumRow::default()],
            outcomes: vec![
                ComparedRow {
                    apart: Linked { href: "/rules/browse/shadow".into(), text: "+1".into() },
                    ..ComparedRow::default()
                },
                ComparedRow::default(),
            ],
            days: vec![Default::default()],
            ..Shown::default()
        };
        Self { href: "/rules/browse?ask=compare".into(), shown: Some(shown), ..Self::default() }
    }
}
