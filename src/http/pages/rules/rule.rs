//! `/rules/{key}`: one rule: its sentence, its parts, what it did.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::backtest::{Panel, panel};
use super::behind::{Behind, Rows};
use super::decisions::Counted;
use super::effect::{EffectPanel, effect_panel};
use super::guards::{Guard, guards};
use super::move_on;
use super::shadow::{ShadowPanel, shadow_panel};
use super::switch::{Question, next_statuses, question};
use super::{LATELY, count_of, would_have_sent};
use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::html::Html;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words::{self, Mark, Pair};
use crate::planner::moves;
use crate::primitives::{Delay, Timestamp};
use crate::reports::CAP;
use crate::reports::rules::{self as report, Listed, Outcome};
use crate::reports::today::WentOut;
use crate::rules::{Rule, RuleStatus, changed_rule};
use crate::situation::audience;

/// Decisions shown, the newest.
const RECENT: i64 = 15;

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
    pub recent: Vec<RecentRow>,
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

#[derive(Debug, Default, Serialize)]
pub struct Stage {
    pub name: String,
    pub done: bool,
    pub current: bool,
    pub live: bool,
}

/// A version of the rule, and what it changed.
#[derive(Debug, Default, Serialize)]
pub struct VersionRow {
    pub title: String,
    pub when: String,
    pub changes: Vec<ChangeRow>,
}

/// As shop.toml writes it; an empty text: not set.
#[derive(Debug, Default, Serialize)]
pub struct ChangeRow {
    pub name: String,
    pub from: String,
    pub to: String,
}

#[derive(Debug, Default, Serialize)]
pub struct StepRow {
    pub when: String,
    pub template: String,
    pub subject: String,
    pub coupon: String,
    /// Its question and exits, its time of day, its variants.
    pub more: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub name: String,
    pub definition: String,
    pub value: String,
    /// The rows behind it; empty where there are none to show.
    pub href: String,
}

#[derive(Debug, Default, Serialize)]
pub struct OutcomeRow {
    pub mark: Mark,
    pub why: String,
    pub n: String,
    /// To the decisions; empty in a backtest, which stores none.
    pub href: String,
}

#[derive(Debug, Default, Serialize)]
pub struct RecentRow {
    pub when: String,
    pub exact: String,
    pub who: String,
    pub href: String,
    pub mark: Mark,
    pub why: String,
    pub step: String,
    pub facts: Vec<Pair>,
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

pub struct Loaded {
    pub rule: Listed,
    pub outcomes: Vec<Outcome>,
    recent: Vec<report::Recent>,
    pub planned: i64,
    went_out: WentOut,
    pub falling_due: Option<i64>,
    counted: Option<i64>,
    /// Newest first.
    pub versions: Vec<(i32, Timestamp, Rule)>,
    /// How many are in an older one, where that was asked for.
    in_older: Option<i64>,
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let (store, now, key) = (desk.store.clone(), desk.now, path.into_inner());
    let (pages, db) = (desk.pages.clone(), desk.app.db.clone());
    let is_to_count = query.count.is_some();
    let is_to_move = query.ask.as_deref() == Some(move_on::ASK);
    let loaded = desk
        .read(move |conn| {
            let rules = report::all(conn, &store)?;
            let Some(rule) = rules.into_iter().find(|rule| rule.key == key) else {
                return Ok::<_, DbError>(None);
            };
            let went_out = pages.sums.went_out(&db, conn, &store, now, LATELY)?;
            Ok(Some(Loaded {
                outcomes: {
                    let mut outcomes = pages.sums.outcomes(&db, conn, &store, now, LATELY)?;
                    outcomes.retain(|outcome| outcome.rule_id == rule.id.0);
                    outcomes
                },
                recent: report::recent(conn, rule.id, RECENT)?,
                planned: report::planned(conn, rule.id)?,
                went_out: went_out.get(&rule.id.0).copied().unwrap_or_default(),
                falling_due: report::falling_due(
                    conn,
                    &store,
                    &rule.rule.trigger.kind,
                    now,
                    Delay::days(1),
                )?,
                versions: crate::rules::store::versions(conn, rule.id)?,
                counted: match is_to_count {
                    true => Some(audience::count(conn, &store, rule.rule.audience.as_ref(), now)?),
                    false => None,
                },
                in_older: match is_to_move {
                    true => Some(moves::under_way(conn, rule.id, CAP + 1)?),
                    false => None,
                },
                rule,
            }))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let (from, to) = (query.from.as_deref(), query.to.as_deref());
    let asked = query.ask.as_deref() == Some("backtest");
    let backtest = panel(&desk, &loaded.rule.key, asked, from, to).await?;
    let shadow = shadow_panel(&desk, &loaded.rule, query.ask.as_deref() == Some("compare")).await?;
    let effect = effect_panel(&desk, &loaded.rule).await?;
    let page = RulePage { backtest, effect, shadow, ..build(&desk, &loaded, query.ask.as_deref()) };
    desk.page(Room::Rules, &page)
}

fn build(desk: &Desk, loaded: &Loaded, ask: Option<&str>) -> RulePage {
    let (format, rule) = (&desk.format, &loaded.rule);
    let next = if desk.user.role.may_act() { next_statuses(rule) } else { &[] };
    let asked = next.iter().find(|to| ask == Some(to.as_str()));
    let may_act = desk.user.role.may_act();
    let question = match loaded.in_older {
        Some(n) if may_act => Some(move_on::question(format, loaded, n)),
        _ => asked.map(|to| question(format, &desk.store, loaded, *to)),
    };
    let move_act = (may_act && move_on::may_be_asked(loaded, desk.now)).then(|| Act {
        href: format!("/rules/{}?ask={}", rule.key, move_on::ASK),
        label: format.text("rule.act_move", &[]),
        primary: false,
    });
    RulePage {
        key: rule.key.clone(),
        name: rule.title().to_owned(),
        sentence: words::rule_sentence(format, &rule.rule),
        stages: stages(format, rule.status),
        paused: rule.paused.map_or(String::new(), |(reason, since)| {
            let why = words::known(format, "pause_reason", reason.as_str());
            format.text(
                "rule.paused_by_itself",
                &[("why", &why), ("when", &format.when(since)), ("key", &rule.key)],
            )
        }),
        since: rule
            .live_since
            .filter(|_| matches!(rule.status, RuleStatus::Live | RuleStatus::Shadow))
            .map_or(String::new(), |at| {
                let key = format!("rule.{}_since", rule.status);
                format.text(&key, &[("when", &format.when(at))])
            }),
        retired: rule
            .retired_at
            .map_or(String::new(), |at| format.text("rule.retired", &[("day", &format.day(at))])),
        acts: next
            .iter()
            .enumerate()
            .map(|(n, to)| Act {
                href: format!("/rules/{}?ask={to}", rule.key),
                label: format.text(&format!("rule.act_{to}"), &[]),
                primary: n == 0 && *to != RuleStatus::Paused,
            })
            .chain(move_act)
            .collect(),
        question,
        trigger: trigger(format, rule),
        audience: rule.rule.audience.as_ref().map_or_else(
            || format.text("rule.everyone", &[]),
            |audience| {
                serde_json::to_value(audience)
                    .map_or(String::new(), |value| words::condition(format, &value, true))
            },
        ),
        counted: loaded.counted.map_or(String::new(), |n| format.count("rule.counted", n)),
        count_href: format!("/rules/{}?count=1#audience", rule.key),
        steps: steps(format, rule),
        guards: guards(format, &desk.store, loaded),
        figures: figures(format, loaded),
        outcomes: loaded
            .outcomes
            .iter()
            .map(|outcome| OutcomeRow {
                mark: words::outcome(format, &outcome.outcome),
                why: match &outcome.reason {
                    Some(reason) => words::known(format, "reason", reason),
                    None => words::known(format, "outcome_text", &outcome.outcome),
                },
                n: format.number(outcome.n),
                href: Counted::of(&outcome.outcome, outcome.reason.as_deref())
                    .map_or(String::new(), |counted| counted.href(&rule.key)),
            })
            .collect(),
        recent: recent(format, loaded),
        versions: versions(format, loaded),
        planned: format.text(
            &format.words.plural(
                match rule.status {
                    RuleStatus::Shadow => "rule_figure.planned_in_shadow",
                    _ => "rule_figure.planned",
                },
                loaded.planned,
            ),
            &[("n", &format.capped(loaded.planned, CAP))],
        ),
        planned_href: format!("/outbox?status=scheduled&rule={}", rule.key),
        backtest: Panel::default(),
        effect: EffectPanel::default(),
        shadow: ShadowPanel::default(),
    }
}

fn stages(format: &Format, status: RuleStatus) -> Vec<Stage> {
    // A paused rule stands where a live one does, by another name.
    let last = if status == RuleStatus::Paused { RuleStatus::Paused } else { RuleStatus::Live };
    let all = [RuleStatus::Draft, RuleStatus::Shadow, last];
    let at = all.iter().position(|stage| *stage == status).unwrap_or(0);
    all.iter()
        .enumerate()
        .map(|(n, stage)| Stage {
            name: words::known(format, "outcome", stage.as_str()),
            done: n < at,
            current: n == at,
            live: *stage == RuleStatus::Live,
        })
        .collect()
}

fn trigger(format: &Format, rule: &Listed) -> Vec<Pair> {
    use crate::rules::TriggerKind;
    let mut pairs = vec![Pair {
        name: format.text("rule.moment", &[]),
        value: words::moment(format, &rule.rule.trigger.kind),
    }];
    let mut add = |key: &str, value: String| {
        pairs.push(Pair { name: format.text(&format!("rule.{key}"), &[]), value });
    };
    match &rule.rule.trigger.kind {
        TriggerKind::VisitedWithoutBuying { min_visits, min_product_views, .. } => {
            if *min_visits > 1 {
                add("min_visits", format.number(i64::from(*min_visits)));
            }
            if *min_product_views > 0 {
                add("min_product_views", format.number(i64::from(*min_product_views)));
            }
        }
        TriggerKind::WinBack { until: Some(until), .. } => {
            add("until", words::delay(format, *until));
        }
        TriggerKind::Schedule { cron } => {
            let runs = cron.upcoming(format.now, &format.zone, 5);
            let runs: Vec<String> = runs.into_iter().map(|at| format.when(at)).collect();
            add("next_runs", runs.join(&format.text("list_comma", &[])));
        }
        _ => {}
    }
    add("useful_for", words::delay(format, rule.rule.trigger.useful_for));
    pairs
}

fn versions(format: &Format, loaded: &Loaded) -> Vec<VersionRow> {
    let all = &loaded.versions;
    let before = all.iter().skip(1).map(|(_, _, rule)| Some(rule)).chain([None]);
    all.iter()
        .zip(before)
        .map(|((version, at, rule), before)| VersionRow {
            title: format.text("rule.version", &[("n", &version.to_string())]),
            when: format.when(*at),
            changes: before
                .map_or_else(Vec::new, |before| changed_rule(before, rule))
                .into_iter()
                .map(|change| ChangeRow {
                    name: change.name,
                    from: change.from.unwrap_or_default(),
                    to: change.to.unwrap_or_default(),
                })
                .collect(),
        })
        .collect()
}

fn steps(format: &Format, rule: &Listed) -> Vec<StepRow> {
    rule.rule
        .steps
        .iter()
        .enumerate()
        .map(|(n, step)| StepRow {
            more: words::step_more(format, step),
            when: if step.delay() == Delay::ZERO && n == 0 {
                format.text("rule.at_once", &[])
            } else if n == 0 {
                words::delay(format, step.delay())
            } else {
                format.text("rule.later", &[("wait", &words::delay(format, step.delay()))])
            },
            template: words::known(format, "template", &step.template),
            subject: step.subject.clone().unwrap_or_default(),
            coupon: step.coupon.clone().unwrap_or_default(),
        })
        .collect()
}

fn figures(format: &Format, loaded: &Loaded) -> Vec<Figure> {
    let id = loaded.rule.id.0;
    let count = |wanted: &[&str]| format.number(count_of(&loaded.outcomes, id, wanted));
    let out = loaded.went_out;
    let would_send = would_have_sent(&loaded.outcomes, id);
    let key = &loaded.rule.key;
    let credited = Behind::credited(key).within(LATELY.as_seconds() / 86_400).href(Rows::Orders);
    let behind = |figure: &str| match figure {
        "entered" => Counted::Entered.href(key),
        "would_send" => Counted::WouldSend.href(key),
        "sent" => format!("/outbox?status=sent&rule={key}"),
        "held_back" => Counted::HeldBack.href(key),
        "held_out" => Counted::HeldOut.href(key),
        _ => credited.clone(),
    };
    let is_in_shadow = loaded.rule.status == RuleStatus::Shadow || would_send > 0;
    [
        ("entered", count(&["enrolled"])),
        ("would_send", if is_in_shadow { format.number(would_send) } else { String::new() }),
        ("sent", format.number(out.sent)),
        ("held_back", count(&["deferred", "suppressed"])),
        ("held_out", count(&["held_out"])),
        ("orders", format.number(out.orders)),
        ("credited", if out.orders > 0 { format.money(out.credited) } else { UNKNOWN.to_owned() }),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| Figure {
        name: format.text(&format!("rule_figure.{key}"), &[]),
        definition: format.text(&format!("rule_figure.{key}_is"), &[]),
        value,
        href: behind(key),
    })
    .collect()
}

fn recent(format: &Format, loaded: &Loaded) -> Vec<RecentRow> {
    loaded
        .recent
        .iter()
        .map(|decision| RecentRow {
            when: format.when(decision.at),
            exact: format.exact(decision.at),
            who: words::who(
                format,
                decision.name.as_deref(),
                decision.email.as_deref(),
                decision.external_id.as_deref(),
                decision.customer_id.0,
            ),
            href: format!("/customers/{}", decision.customer_id),
            mark: words::outcome(format, &decision.outcome),
            why: words::reason(
                format,
                &decision.outcome,
                decision.reason.as_deref(),
                &decision.facts,
            ),
            step: decision
                .step
                .map_or(String::new(), |n| format.text("ledger.step", &[("n", &n.to_string())])),
            facts: words::facts(format, &decision.facts),
        })
        .collect()
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
                RecentRow {
                    facts: vec![Pair::default()],
                    step: text("step 1"),
                    ..RecentRow::default()
                },
                RecentRow::default(),
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
