//! `/rules` and `/rules/{key}`: what each rule does, did, and whether it is on.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::csrf::Posted;
use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Mark, Pair};
use crate::db::DbError;
use crate::primitives::Delay;
use crate::reports::CAP;
use crate::reports::rules::{self as report, Listed, Outcome};
use crate::reports::today::WentOut;
use crate::rules::{Class, RuleStatus, StopOn};
use crate::stores::Store;

/// Over how long a rule's doings are counted.
const LATELY: Delay = Delay::days(28);
const RECENT: i64 = 15;

#[derive(Debug, Default, Serialize)]
pub struct RulesPage {
    pub sub: String,
    pub rows: Vec<ListRow>,
    pub retired: Vec<ListRow>,
}

#[derive(Debug, Default, Serialize)]
pub struct ListRow {
    pub href: String,
    pub name: String,
    pub moment: String,
    pub mark: Mark,
    pub since: String,
    pub entered: String,
    pub sent: String,
    pub held_back: String,
    pub orders: String,
    pub credited: String,
}

#[derive(Debug, Default, Serialize)]
pub struct RulePage {
    pub key: String,
    pub name: String,
    pub sentence: Html,
    pub stages: Vec<Stage>,
    pub since: String,
    pub retired: String,
    /// Live, paused: what the button does. Empty: there is nothing to switch.
    pub act: String,
    pub act_label: String,
    pub act_primary: bool,
    /// The question before the act; nothing unless asked for.
    pub question: Option<Question>,
    pub trigger: Vec<Pair>,
    pub audience: String,
    pub steps: Vec<StepRow>,
    pub guards: Vec<Guard>,
    pub figures: Vec<Pair>,
    pub outcomes: Vec<OutcomeRow>,
    pub recent: Vec<RecentRow>,
    pub planned: String,
    pub planned_href: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Stage {
    pub name: String,
    pub done: bool,
    pub current: bool,
    pub live: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Question {
    pub title: String,
    pub text: String,
    pub facts: Vec<Pair>,
    pub to: &'static str,
    pub yes: String,
    pub no: String,
}

#[derive(Debug, Default, Serialize)]
pub struct StepRow {
    pub when: String,
    pub template: String,
    pub subject: String,
    pub coupon: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Guard {
    pub name: String,
    pub set_to: String,
    pub held_back: String,
}

#[derive(Debug, Default, Serialize)]
pub struct OutcomeRow {
    pub mark: Mark,
    pub why: String,
    pub n: String,
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

pub async fn list(desk: Desk) -> Result<HttpResponse, PageError> {
    let (store, now, pages) = (desk.store.clone(), desk.now, desk.pages.clone());
    let (rules, outcomes, went_out) = desk
        .read(move |conn| {
            let rules = report::all(conn, &store)?;
            let outcomes =
                report::outcomes(conn, rules.iter().map(|rule| rule.id), now.minus(LATELY))?;
            let went_out = pages.sums.went_out(conn, &store, now, LATELY)?;
            Ok::<_, DbError>((rules, outcomes, went_out))
        })
        .await?;
    let format = &desk.format;
    let row = |rule: &Listed| list_row(format, rule, &outcomes, &went_out);
    let live =
        rules.iter().filter(|r| r.status == RuleStatus::Live && r.retired_at.is_none()).count();
    let page = RulesPage {
        sub: format.count("rules.live", live as i64),
        rows: rules.iter().filter(|rule| rule.retired_at.is_none()).map(row).collect(),
        retired: rules.iter().filter(|rule| rule.retired_at.is_some()).map(row).collect(),
    };
    desk.page(Room::Rules, &page)
}

fn count_of(outcomes: &[Outcome], rule: i64, wanted: &[&str]) -> i64 {
    outcomes
        .iter()
        .filter(|o| o.rule_id == rule && wanted.contains(&o.outcome.as_str()))
        .map(|o| o.n)
        .sum()
}

fn list_row(
    format: &Format,
    rule: &Listed,
    outcomes: &[Outcome],
    went_out: &HashMap<i64, WentOut>,
) -> ListRow {
    let out = went_out.get(&rule.id.0).copied().unwrap_or_default();
    let count = |wanted: &[&str]| format.number(count_of(outcomes, rule.id.0, wanted));
    ListRow {
        href: format!("/rules/{}", rule.key),
        name: rule.title().to_owned(),
        moment: words::moment(format, &rule.rule.trigger.kind),
        mark: words::outcome(format, rule.status.as_str()),
        since: rule
            .live_since
            .filter(|_| rule.status == RuleStatus::Live)
            .map_or(String::new(), |at| format.text("rules.since", &[("day", &format.day(at))])),
        entered: count(&["enrolled"]),
        sent: format.number(out.sent),
        held_back: count(&["deferred", "suppressed", "held_out"]),
        orders: format.number(out.orders),
        credited: if out.orders > 0 { format.money(out.credited) } else { UNKNOWN.to_owned() },
    }
}

#[derive(Deserialize)]
pub struct Query {
    ask: Option<String>,
}

struct Loaded {
    rule: Listed,
    outcomes: Vec<Outcome>,
    recent: Vec<report::Recent>,
    planned: i64,
    went_out: WentOut,
    falling_due: Option<i64>,
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let (store, now, key) = (desk.store.clone(), desk.now, path.into_inner());
    let pages = desk.pages.clone();
    let loaded = desk
        .read(move |conn| {
            let rules = report::all(conn, &store)?;
            let Some(rule) = rules.into_iter().find(|rule| rule.key == key) else {
                return Ok::<_, DbError>(None);
            };
            let went_out = pages.sums.went_out(conn, &store, now, LATELY)?;
            Ok(Some(Loaded {
                outcomes: report::outcomes(conn, std::iter::once(rule.id), now.minus(LATELY))?,
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
                rule,
            }))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let page = build(&desk, &loaded, query.ask.as_deref());
    desk.page(Room::Rules, &page)
}

/// What the one button of the page switches to.
fn next_status(rule: &Listed) -> Option<RuleStatus> {
    if rule.retired_at.is_some() {
        return None;
    }
    Some(match rule.status {
        RuleStatus::Live => RuleStatus::Paused,
        RuleStatus::Draft | RuleStatus::Shadow | RuleStatus::Paused => RuleStatus::Live,
    })
}

fn build(desk: &Desk, loaded: &Loaded, ask: Option<&str>) -> RulePage {
    let (format, rule) = (&desk.format, &loaded.rule);
    let next = next_status(rule).filter(|_| desk.user.role.may_act());
    let question = next
        .filter(|to| ask == Some(to.as_str()))
        .map(|to| question(format, &desk.store, loaded, to));
    RulePage {
        key: rule.key.clone(),
        name: rule.title().to_owned(),
        sentence: words::rule_sentence(format, &rule.rule),
        stages: stages(format, rule.status),
        since: rule
            .live_since
            .filter(|_| rule.status == RuleStatus::Live)
            .map_or(String::new(), |at| {
                format.text("rule.live_since", &[("when", &format.when(at))])
            }),
        retired: rule
            .retired_at
            .map_or(String::new(), |at| format.text("rule.retired", &[("day", &format.day(at))])),
        act: next.map_or(String::new(), |to| format!("/rules/{}?ask={to}", rule.key)),
        act_label: next.map_or(String::new(), |to| format.text(&format!("rule.act_{to}"), &[])),
        act_primary: next == Some(RuleStatus::Live),
        question,
        trigger: trigger(format, rule),
        audience: rule.rule.audience.as_ref().map_or_else(
            || format.text("rule.everyone", &[]),
            |audience| {
                serde_json::to_value(audience)
                    .map_or(String::new(), |value| words::condition(format, &value, true))
            },
        ),
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
            })
            .collect(),
        recent: recent(format, loaded),
        planned: format.capped(loaded.planned, CAP),
        planned_href: format!("/outbox?status=scheduled&rule={}", rule.key),
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

/// What will happen, to how many, from when.
fn question(format: &Format, store: &Store, loaded: &Loaded, to: RuleStatus) -> Question {
    let rule = &loaded.rule;
    let name = rule.title();
    let mut facts = Vec::new();
    let mut add = |key: &str, value: String| {
        facts.push(Pair { name: format.text(&format!("ask.{key}"), &[]), value });
    };
    if to == RuleStatus::Live {
        add("from", format.text("ask.from_now", &[]));
        add("moment", words::moment(format, &rule.rule.trigger.kind));
        if let Some(due) = loaded.falling_due {
            add("due", format.text("ask.due_is", &[("n", &format.capped(due, CAP))]));
        }
        if rule.rule.holdout > 0.0 {
            add("holdout", format.percent(rule.rule.holdout, 0));
        }
        add("rate", store.sending.rate.to_string());
        let text = match rule.rule.include_past {
            Some(span) => format.text("ask.live_past", &[("span", &words::delay(format, span))]),
            None => format.text("ask.live_text", &[]),
        };
        Question {
            title: format.text("ask.live_title", &[("rule", name)]),
            text,
            facts,
            to: "live",
            yes: format.text("ask.live_yes", &[]),
            no: format.text(&format!("ask.stay_{}", rule.status), &[]),
        }
    } else {
        add("planned", format.capped(loaded.planned, CAP));
        Question {
            title: format.text("ask.pause_title", &[("rule", name)]),
            text: format.text("ask.pause_text", &[]),
            facts,
            to: "paused",
            yes: format.text("ask.pause_yes", &[]),
            no: format.text("ask.stay_live", &[]),
        }
    }
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
        _ => {}
    }
    add("useful_for", words::delay(format, rule.rule.trigger.useful_for));
    pairs
}

fn steps(format: &Format, rule: &Listed) -> Vec<StepRow> {
    rule.rule
        .steps
        .iter()
        .enumerate()
        .map(|(n, step)| StepRow {
            when: if step.wait == Delay::ZERO && n == 0 {
                format.text("rule.at_once", &[])
            } else if n == 0 {
                words::delay(format, step.wait)
            } else {
                format.text("rule.later", &[("wait", &words::delay(format, step.wait))])
            },
            template: words::known(format, "template", &step.template),
            subject: step.subject.clone().unwrap_or_default(),
            coupon: step.coupon.clone().unwrap_or_default(),
        })
        .collect()
}

fn guards(format: &Format, store: &Store, loaded: &Loaded) -> Vec<Guard> {
    let rule = &loaded.rule.rule;
    let held = |reasons: &[&str]| -> i64 {
        loaded
            .outcomes
            .iter()
            .filter(|o| o.reason.as_deref().is_some_and(|reason| reasons.contains(&reason)))
            .map(|o| o.n)
            .sum()
    };
    let none = format.text("guard.off", &[]);
    let service = rule.class == Class::Service;
    let sending = &store.sending;
    let of_store = |set: Option<String>| match (service, set) {
        (true, _) => format.text("guard.service", &[]),
        (false, Some(text)) => text,
        (false, None) => none.clone(),
    };
    let mut guards = Vec::new();
    let mut add = |key: &str, set_to: String, reasons: &[&str]| {
        guards.push(Guard {
            name: format.text(&format!("guard.{key}"), &[]),
            set_to,
            held_back: format.number(held(reasons)),
        });
    };
    add(
        "consent",
        of_store(Some(words::known(format, "consent_mode", sending.consent.as_str()))),
        &["no_consent"],
    );
    add("suppression", format.text("guard.always", &[]), &["suppressed", "no_address"]);
    let stops: Vec<String> = rule
        .stop_on
        .iter()
        .map(|stop| {
            format.text(
                if *stop == StopOn::Order { "sentence.stop_order" } else { "sentence.stop_visit" },
                &[],
            )
        })
        .collect();
    let stops =
        if stops.is_empty() { none.clone() } else { stops.join(&format.text("sentence.or", &[])) };
    add("stop_on", stops, &["bought", "visited"]);
    add(
        "every",
        rule.at_most_every.map_or(none.clone(), |every| words::delay(format, every)),
        &["recently_enrolled", "already_enrolled"],
    );
    add(
        "cap",
        of_store(sending.cap.map(|cap| {
            format.text(
                "guard.cap_is",
                &[("n", &cap.messages.to_string()), ("span", &words::delay(format, cap.within))],
            )
        })),
        &["cap"],
    );
    add("min_gap", of_store(sending.min_gap.map(|gap| words::delay(format, gap))), &["min_gap"]);
    add(
        "quiet_hours",
        of_store(sending.quiet_hours.map(|hours| hours.to_string().replace('-', "–"))),
        &["quiet_hours"],
    );
    add(
        "holdout",
        if rule.holdout > 0.0 { format.percent(rule.holdout, 0) } else { none.clone() },
        &["holdout"],
    );
    guards
}

fn figures(format: &Format, loaded: &Loaded) -> Vec<Pair> {
    let id = loaded.rule.id.0;
    let count = |wanted: &[&str]| format.number(count_of(&loaded.outcomes, id, wanted));
    let out = loaded.went_out;
    [
        ("entered", count(&["enrolled"])),
        ("sent", format.number(out.sent)),
        ("held_back", count(&["deferred", "suppressed"])),
        ("held_out", count(&["held_out"])),
        ("orders", format.number(out.orders)),
        ("credited", if out.orders > 0 { format.money(out.credited) } else { UNKNOWN.to_owned() }),
    ]
    .into_iter()
    .map(|(key, value)| Pair { name: format.text(&format!("rule_figure.{key}"), &[]), value })
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

#[derive(Deserialize)]
pub struct SetStatus {
    to: RuleStatus,
}

/// `POST /rules/{key}/status`: on and off. Drafts and shadow runs are made in shop.toml.
pub async fn set_status(
    desk: Desk,
    path: web::Path<String>,
    form: Posted<SetStatus>,
) -> Result<HttpResponse, PageError> {
    desk.act()?;
    let (key, to, now) = (path.into_inner(), form.0.to, desk.now);
    let store = desk.store.clone();
    let asked = key.clone();
    let rule = desk
        .read(move |conn| {
            let rules = report::all(conn, &store)?;
            Ok(rules.into_iter().find(|rule| rule.key == asked))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    if next_status(&rule) != Some(to) {
        // Someone else was quicker, or the page was old: the page shows how it stands now.
        let text = desk.format.text("rule.already", &[]);
        return Ok(desk.go(&format!("/rules/{key}"), "warn", text));
    }
    let id = rule.id;
    desk.app
        .db
        .write(move |conn| {
            crate::rules::store::set_status(conn, id, to, now).map_err(DbError::from)
        })
        .await?;
    tracing::info!(user = desk.user.id.0, rule = id.0, status = %to, "a rule was switched");
    let text = desk.format.text(&format!("rule.now_{to}"), &[("rule", rule.title())]);
    Ok(desk.go(&format!("/rules/{key}"), "good", text))
}

impl Screen for RulesPage {
    const TEMPLATE: &'static str = "rules.html";

    fn samples() -> Vec<Self> {
        let row = || ListRow { since: "since 3 Sep".into(), ..ListRow::default() };
        vec![
            Self { rows: vec![row(), ListRow::default()], retired: vec![row()], ..Self::default() },
            Self::default(),
        ]
    }
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
            act: text("/rules/browse?ask=live"),
            act_primary: true,
            question: Some(Question {
                facts: vec![Pair::default()],
                to: "live",
                ..Question::default()
            }),
            trigger: vec![Pair::default()],
            steps: vec![
                StepRow { subject: text("Still?"), coupon: text("TEA10"), ..StepRow::default() },
                StepRow::default(),
            ],
            guards: vec![Guard::default()],
            figures: vec![Pair::default()],
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
        vec![full, Self { retired: text("retired"), ..Self::default() }]
    }
}
