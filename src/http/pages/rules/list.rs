//! `/rules`: all of them, and what they did lately.

use std::collections::HashMap;

use actix_web::HttpResponse;
use serde::Serialize;

use super::behind::{Behind, Rows};
use super::decisions::Counted;
use super::effect::Linked;
use super::{LATELY, count_of};
use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words::{self, Mark};
use crate::reports::rules::{self as report, Listed, Outcome};
use crate::reports::today::WentOut;
use crate::rules::RuleStatus;

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
    pub entered: Linked,
    pub sent: Linked,
    pub held_back: Linked,
    pub orders: Linked,
    pub credited: Linked,
}

pub async fn list(desk: Desk) -> Result<HttpResponse, PageError> {
    let (store, now, pages) = (desk.store.clone(), desk.now, desk.pages.clone());
    let db = desk.app.db.clone();
    let (rules, outcomes, went_out) = desk
        .read(move |conn| {
            let rules = report::all(conn, &store)?;
            let outcomes = pages.sums.outcomes(&db, conn, &store, now, LATELY)?;
            let went_out = pages.sums.went_out(&db, conn, &store, now, LATELY)?;
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

fn list_row(
    format: &Format,
    rule: &Listed,
    outcomes: &[Outcome],
    went_out: &HashMap<i64, WentOut>,
) -> ListRow {
    let out = went_out.get(&rule.id.0).copied().unwrap_or_default();
    let count = |wanted: &[&str]| format.number(count_of(outcomes, rule.id.0, wanted));
    let behind = Behind::credited(&rule.key).within(LATELY.as_seconds() / 86_400);
    ListRow {
        href: format!("/rules/{}", rule.key),
        name: rule.title().to_owned(),
        moment: words::moment(format, &rule.rule.trigger.kind),
        mark: words::outcome(format, rule.status.as_str()),
        since: rule
            .live_since
            .filter(|_| rule.status == RuleStatus::Live)
            .map_or(String::new(), |at| format.text("rules.since", &[("day", &format.day(at))])),
        entered: Linked { href: Counted::Entered.href(&rule.key), text: count(&["enrolled"]) },
        sent: Linked {
            href: format!("/outbox?status=sent&rule={}", rule.key),
            text: format.number(out.sent),
        },
        held_back: Linked {
            href: Counted::HeldBack.href(&rule.key),
            text: count(&["deferred", "suppressed"]),
        },
        orders: behind.linked(Rows::Orders, format.number(out.orders)),
        credited: behind.linked(
            Rows::Orders,
            if out.orders > 0 { format.money(out.credited) } else { UNKNOWN.to_owned() },
        ),
    }
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
