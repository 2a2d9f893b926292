//! `/rules/{key}`: one rule: its sentence, its parts, what it did.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::backtest::{Panel, panel};
use super::decisions::{DecisionRow, decision_row};
use super::definition::{ChangeRow, Stage, StepRow, VersionRow, stages, steps, trigger, versions};
use super::doings::{Figure, OutcomeRow, figures, outcomes};
use super::effect::{EffectPanel, effect_panel};
use super::guards::{Guard, guards};
use super::loaded::{Counts, Loaded};
use super::move_on;
use super::shadow::{ShadowPanel, shadow_panel};
use super::switch::{Question, next_statuses, question};
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::html::Html;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words::{self, Pair};
use crate::reports::CAP;
use crate::reports::rules::Listed;
use crate::rules::RuleStatus;

#[derive(Debug, Default, Serialize)]
pub struct RulePage {
    pub key: String,
    pub name: String,
    pub sentence: Html,
    pub stages: Vec<Stage>,
    pub since: String,
    /// Why the program paused it.
    pub paused: String,
    pub retired: String,
    /// What it can be switched to; the first is what comes next.
    pub acts: Vec<Act>,
    /// The question before the act; nothing unless asked for.
    pub question: Option<Question>,
    pub trigger: Vec<Pair>,
    pub audience: String,
    /// How many fit now, where that was asked for; else what asks for it.
    pub counted: String,
    pub count_href: String,
    pub steps: Vec<StepRow>,
    pub guards: Vec<Guard>,
    pub figures: Vec<Figure>,
    pub outcomes: Vec<OutcomeRow>,
    pub recent: Vec<DecisionRow>,
    pub versions: Vec<VersionRow>,
    pub planned: String,
    pub planned_href: String,
    pub backtest: Panel,
    /// What it earned.
    pub effect: EffectPanel,
    /// Its days in shadow beside the backtest of them.
    pub shadow: ShadowPanel,
}

#[derive(Debug, Default, Serialize)]
pub struct Act {
    pub href: String,
    pub label: String,
    pub primary: bool,
}

#[derive(Deserialize)]
pub struct Query {
    ask: Option<String>,
    /// Present: count the audience. It takes a look at every customer, so that nobody counts by looking at a rule.
    count: Option<String>,
    /// `ask=backtest`: the window.
    from: Option<String>,
    to: Option<String>,
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let (store, now, key) = (desk.store.clone(), desk.now, path.into_inner());
    let (pages, db) = (desk.pages.clone(), desk.app.db.clone());
    let ask = query.ask.as_deref();
    let wanted = Counts { audience: query.count.is_some(), in_older: ask == Some(move_on::ASK) };
    let loaded = desk
        .read(move |conn| Ok(Loaded::find(&db, conn, &pages, &store, &key, wanted, now)?))
        .await?
        .ok_or(PageError::NotFound)?;
    let (from, to) = (query.from.as_deref(), query.to.as_deref());
    let backtest = panel(&desk, &loaded.rule.key, ask == Some("backtest"), from, to).await?;
    let shadow = shadow_panel(&desk, &loaded.rule, ask == Some("compare")).await?;
    let effect = effect_panel(&desk, &loaded.rule).await?;
    let page = RulePage { backtest, effect, shadow, ..build(&desk, &loaded, ask) };
    desk.page(Room::Rules, &page)
}

/// Without the panels that are asked for apart.
fn build(desk: &Desk, loaded: &Loaded, ask: Option<&str>) -> RulePage {
    let (format, rule) = (&desk.format, &loaded.rule);
    let everyone = || format.text("rule.everyone", &[]);
    let planned = match rule.status {
        RuleStatus::Shadow => "rule_figure.planned_in_shadow",
        _ => "rule_figure.planned",
    };
    RulePage {
        key: rule.key.clone(),
        name: rule.title().to_owned(),
        sentence: words::rule_sentence(format, &rule.rule),
        stages: stages(format, rule.status),
        since: since(format, rule),
        paused: paused(format, rule),
        retired: rule
            .retired_at
            .map_or(String::new(), |at| format.text("rule.retired", &[("day", &format.day(at))])),
        acts: acts(desk, loaded),
        question: asked(desk, loaded, ask),
        trigger: trigger(format, rule),
        audience: rule
            .rule
            .audience
            .as_ref()
            .map_or_else(everyone, |audience| words::condition(format, audience)),
        counted: loaded.counted.map_or(String::new(), |n| format.count("rule.counted", n)),
        count_href: format!("/rules/{}?count=1#audience", rule.key),
        steps: steps(format, rule),
        guards: guards(format, &desk.store, loaded),
        figures: figures(format, loaded),
        outcomes: outcomes(format, loaded),
        recent: loaded.recent.iter().map(|one| decision_row(format, one, &loaded.called)).collect(),
        versions: versions(format, loaded),
        planned: format.text(
            &format.words.plural(planned, loaded.planned),
            &[("n", &format.capped(loaded.planned, CAP))],
        ),
        planned_href: format!("/outbox?status=scheduled&rule={}", rule.key),
        ..RulePage::default()
    }
}

/// Since when it is live, or in shadow; empty where it is neither.
fn since(format: &Format, rule: &Listed) -> String {
    let is_on = matches!(rule.status, RuleStatus::Live | RuleStatus::Shadow);
    rule.live_since.filter(|_| is_on).map_or(String::new(), |at| {
        format.text(&format!("rule.{}_since", rule.status), &[("when", &format.when(at))])
    })
}

fn paused(format: &Format, rule: &Listed) -> String {
    rule.paused.map_or(String::new(), |(reason, since)| {
        let why = words::known(format, "pause_reason", reason.as_str());
        let when = format.when(since);
        format.text("rule.paused_by_itself", &[("why", &why), ("when", &when), ("key", &rule.key)])
    })
}

fn acts(desk: &Desk, loaded: &Loaded) -> Vec<Act> {
    let (format, key) = (&desk.format, &loaded.rule.key);
    if !desk.user.role.may_act() {
        return Vec::new();
    }
    let next = next_statuses(&loaded.rule).iter().enumerate();
    let mut acts: Vec<Act> = next
        .map(|(n, to)| Act {
            href: format!("/rules/{key}?ask={to}"),
            label: format.text(&format!("rule.act_{to}"), &[]),
            primary: n == 0 && *to != RuleStatus::Paused,
        })
        .collect();
    if move_on::may_be_asked(loaded, desk.now) {
        acts.push(Act {
            href: format!("/rules/{key}?ask={}", move_on::ASK),
            label: format.text("rule.act_move", &[]),
            primary: false,
        });
    }
    acts
}

/// The question that `ask` names, where whoever is signed in may act.
fn asked(desk: &Desk, loaded: &Loaded, ask: Option<&str>) -> Option<Question> {
    if !desk.user.role.may_act() {
        return None;
    }
    if let Some(n) = loaded.in_older {
        return Some(move_on::question(&desk.format, loaded, n));
    }
    let to = next_statuses(&loaded.rule).iter().find(|to| ask == Some(to.as_str()))?;
    Some(question(&desk.format, &desk.store, loaded, *to))
}

impl Screen for RulePage {
    const TEMPLATE: &'static str = "rule.html";

    fn samples() -> Vec<Self> {
        let text = |s: &str| s.to_owned();
        let full = Self {
            key: text("browse"),
            sentence: Html(text("<a href=\"#trigger\">4 hours</a>")),
            stages: vec![
                Stage { done: true, ..Stage::default() },
                Stage { current: true, live: true, ..Stage::default() },
            ],
            since: text("since"),
            paused: text("bounces"),
            acts: vec![Act { primary: true, ..Act::default() }, Act::default()],
            shadow: ShadowPanel::sample(),
            question: Some(Question {
                facts: vec![Pair::default()],
                to: "live",
                yes: text("Go live"),
                ..Question::default()
            }),
            trigger: vec![Pair::default()],
            counted: text("12 customers"),
            versions: vec![
                VersionRow {
                    changes: vec![
                        ChangeRow { name: text("priority"), from: text("50"), to: text("70") },
                        ChangeRow::default(),
                    ],
                    ..VersionRow::default()
                },
                VersionRow::default(),
            ],
            steps: vec![
                StepRow { subject: text("Still?"), coupon: text("TEA10"), ..StepRow::default() },
                StepRow::default(),
            ],
            effect: EffectPanel::sample(),
            guards: vec![Guard::default()],
            figures: vec![Figure::default()],
            outcomes: vec![OutcomeRow::default()],
            recent: vec![
                DecisionRow {
                    facts: vec![Pair::default()],
                    step: text("step 1"),
                    ..DecisionRow::default()
                },
                DecisionRow::default(),
            ],
            ..Self::default()
        };
        let [with_outcome, with_error] = Panel::samples();
        vec![
            Self { backtest: with_outcome, ..full },
            Self { retired: text("retired"), backtest: with_error, ..Self::default() },
        ]
    }
}
