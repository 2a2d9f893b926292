//! `/rules/{key}/decisions`: the decisions behind a rule's counts, page by page.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::LATELY;
use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words::{self, Mark, Pair};
use crate::ledger::{Outcome, Reason};
use crate::primitives::{CustomerId, Timestamp};
use crate::reports::customers::{self, Called};
use crate::reports::rows::decisions::{self as report, Decision, Which};
use crate::reports::rules;

/// Rows of a page.
const ROWS: i64 = 50;

/// What a count of a rule leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Entered,
    /// Put off, or not written to at all.
    HeldBack,
    HeldOut,
    WouldSend,
    Of(Outcome, Option<Reason>),
}

/// The ledger's words read; `None` for words of another version of this program.
pub(super) fn in_words_of_ours(
    outcome: &str,
    reason: Option<&str>,
) -> Option<(Outcome, Option<Reason>)> {
    Some((outcome.parse().ok()?, reason.map(str::parse).transpose().ok()?))
}

impl Counted {
    const NAMED: [(&'static str, Self); 4] = [
        ("entered", Self::Entered),
        ("held_back", Self::HeldBack),
        ("held_out", Self::HeldOut),
        ("would_send", Self::WouldSend),
    ];

    /// A count by outcome and reason, in the ledger's words; `None` for words of another version of this program.
    pub fn of(outcome: &str, reason: Option<&str>) -> Option<Self> {
        let (outcome, reason) = in_words_of_ours(outcome, reason)?;
        Some(Self::Of(outcome, reason))
    }

    pub fn href(self, key: &str) -> String {
        let query = match self {
            Self::Of(outcome, Some(reason)) => format!("outcome={outcome}&reason={reason}"),
            Self::Of(outcome, None) => format!("outcome={outcome}"),
            named => {
                let named = Self::NAMED.iter().find(|(_, known)| *known == named);
                format!("of={}", named.map_or("entered", |(name, _)| name))
            }
        };
        format!("/rules/{key}/decisions?{query}")
    }

    fn which(self) -> Which {
        let of = |outcomes: &[Outcome], reason| Which { outcomes: outcomes.to_vec(), reason };
        match self {
            Self::Entered => of(&[Outcome::Enrolled], None),
            Self::HeldBack => of(&[Outcome::Deferred, Outcome::Suppressed], None),
            Self::HeldOut => of(&[Outcome::HeldOut], None),
            Self::WouldSend => of(&[Outcome::Suppressed], Some(Reason::Shadow)),
            Self::Of(outcome, reason) => of(&[outcome], reason),
        }
    }

    fn head(self, format: &Format) -> String {
        match self {
            Self::Of(outcome, reason) => {
                let outcome = words::known(format, "outcome", outcome.as_str());
                match reason {
                    Some(reason) => {
                        let reason = words::known(format, "reason", reason.as_str());
                        format!("{outcome}{}{reason}", format.text("colon", &[]))
                    }
                    None => outcome,
                }
            }
            Self::Entered => format.text("rule_figure.entered", &[]),
            Self::HeldBack => format.text("rule_figure.held_back", &[]),
            Self::HeldOut => format.text("rule_figure.held_out", &[]),
            Self::WouldSend => format.text("rule_figure.would_send", &[]),
        }
    }
}

#[derive(Debug, Default, Serialize)]
pub struct DecisionsPage {
    pub key: String,
    pub rule: String,
    pub head: String,
    pub sub: String,
    pub rows: Vec<DecisionRow>,
    pub next: String,
    pub first: String,
    pub shown: String,
}

/// A decision with whom it was about.
#[derive(Debug, Default, Serialize)]
pub struct DecisionRow {
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
    of: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    after: Option<String>,
}

impl Query {
    fn counted(&self) -> Option<Counted> {
        if let Some(outcome) = &self.outcome {
            return Counted::of(outcome, self.reason.as_deref());
        }
        let asked = self.of.as_deref().unwrap_or("entered");
        Counted::NAMED.iter().find(|(name, _)| *name == asked).map(|(_, counted)| *counted)
    }

    fn after(&self) -> Option<(Timestamp, i64)> {
        let (at, id) = self.after.as_deref()?.split_once('_')?;
        Some((Timestamp(at.parse().ok()?), id.parse().ok()?))
    }
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let counted = query.counted().ok_or(PageError::NotFound)?;
    let (store, key, after) = (desk.store.clone(), path.into_inner(), query.after());
    let since = desk.now.minus(LATELY);
    let (rule, found, called) = desk
        .read(move |conn| {
            let rules = rules::all(conn, &store)?;
            let Some(rule) = rules.into_iter().find(|rule| rule.key == key) else {
                return Ok::<_, DbError>(None);
            };
            let found = report::of_rule(conn, rule.id, since, counted.which(), after, ROWS + 1)?;
            let ids: Vec<CustomerId> = found.iter().map(|one| one.customer_id).collect();
            let called = customers::called(conn, store.id, &ids)?;
            Ok(Some((rule, found, called)))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let format = &desk.format;
    let href = counted.href(&rule.key);
    let more = found.len() as i64 > ROWS;
    let found: Vec<Decision> = found.into_iter().take(ROWS as usize).collect();
    let page = DecisionsPage {
        next: found
            .last()
            .filter(|_| more)
            .map_or(String::new(), |last| format!("{href}&after={}_{}", last.at.0, last.id)),
        first: if after.is_some() { href } else { String::new() },
        shown: format.count("pager.shown", found.len() as i64),
        rows: found.iter().map(|one| decision_row(format, one, &called)).collect(),
        head: counted.head(format),
        sub: format.text("rule_figure.head", &[]),
        rule: rule.title().to_owned(),
        key: rule.key,
    };
    desk.page(Room::Rules, &page)
}

pub fn decision_row(
    format: &Format,
    one: &Decision,
    called: &HashMap<CustomerId, Called>,
) -> DecisionRow {
    DecisionRow {
        when: format.when(one.at),
        exact: format.exact(one.at),
        who: words::called(format, called, one.customer_id),
        href: format!("/customers/{}", one.customer_id),
        mark: words::outcome(format, &one.outcome),
        why: words::reason(format, &one.outcome, one.reason.as_deref(), &one.facts),
        step: one
            .step
            .map_or(String::new(), |n| format.text("ledger.step", &[("n", &n.to_string())])),
        facts: words::facts(format, &one.facts),
    }
}

impl Screen for DecisionsPage {
    const TEMPLATE: &'static str = "decisions.html";

    fn samples() -> Vec<Self> {
        let row = DecisionRow { step: "step 1".into(), ..DecisionRow::default() };
        vec![
            Self { rows: vec![row], next: "/next".into(), first: "/".into(), ..Self::default() },
            Self::default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_leads_to_what_it_counted() {
        let read = |href: &str| {
            let (_, query) = href.split_once('?').unwrap();
            web::Query::<Query>::from_query(query).unwrap().counted()
        };
        let of = Counted::of("deferred", Some("quiet_hours")).unwrap();
        for counted in
            [Counted::Entered, Counted::HeldBack, Counted::WouldSend, Counted::HeldOut, of]
        {
            assert_eq!(read(&counted.href("browse")), Some(counted));
        }
        assert_eq!(of.which().outcomes, [Outcome::Deferred]);
        assert_eq!(of.which().reason, Some(Reason::QuietHours));
        assert_eq!(Counted::of("deferred", Some("' OR 1=1")), None);
        assert_eq!(read("?of=everything"), None);
    }
}
