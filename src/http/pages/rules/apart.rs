//! `/rules/{key}/shadow`: in whom a rule's days in shadow and their backtest differ, by one figure, page by page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::backtest::BacktestError;
use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words;
use crate::http::shadow::{Both, Compared, NoComparison, compare};
use crate::ledger::{Outcome, Reason};
use crate::primitives::{CustomerId, Delay, RuleId, Timestamp};
use crate::reports::{customers, rules};

/// Rows of a page.
const ROWS: usize = 50;
/// A comparison costs a backtest: who goes from its figures to their rows does not wait for another.
const KEPT: Delay = Delay::seconds(900);

/// A figure of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApartIn {
    Entered,
    WouldSend,
    Of(Outcome, Option<Reason>),
}

impl ApartIn {
    /// In the ledger's words; `None` for words of another version of this program.
    pub fn of(outcome: &str, reason: Option<&str>) -> Option<Self> {
        let (outcome, reason) = super::decisions::in_words_of_ours(outcome, reason)?;
        Some(Self::Of(outcome, reason))
    }

    pub fn href(self, key: &str) -> String {
        let query = match self {
            Self::Entered => "of=entered".to_owned(),
            Self::WouldSend => "of=would_send".to_owned(),
            Self::Of(outcome, Some(reason)) => format!("outcome={outcome}&reason={reason}"),
            Self::Of(outcome, None) => format!("outcome={outcome}"),
        };
        format!("/rules/{key}/shadow?{query}")
    }

    /// In whom it differs, each with theirs by both.
    pub fn people(self, compared: &Compared) -> Vec<(CustomerId, Both)> {
        match self {
            Self::Entered => compared.apart_in(&["enrolled", "held_out"], None),
            Self::WouldSend => compared.apart_in(&["sent"], None),
            Self::Of(outcome, reason) => {
                compared.apart_in(&[outcome.as_str()], Some(reason.map(Reason::as_str)))
            }
        }
    }

    fn head(self, format: &Format) -> String {
        match self {
            Self::Entered => format.text("rule_figure.entered", &[]),
            Self::WouldSend => format.text("rule_figure.would_send", &[]),
            Self::Of(outcome, reason) => {
                let outcome = words::known(format, "outcome", outcome.as_str());
                let reason = reason.map(|reason| words::known(format, "reason", reason.as_str()));
                let reason = reason.map_or(String::new(), |r| format.text("colon", &[]) + &r);
                outcome + &reason
            }
        }
    }
}

/// The last comparison of each rule.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<RuleId, (Timestamp, Arc<Compared>)>>);

impl Kept {
    pub fn keep(&self, rule: RuleId, compared: &Arc<Compared>, now: Timestamp) {
        if let Ok(mut all) = self.0.lock() {
            all.retain(|_, (at, _)| at.plus(KEPT) > now);
            all.insert(rule, (now, compared.clone()));
        }
    }

    fn find(&self, rule: RuleId, now: Timestamp) -> Option<Arc<Compared>> {
        let all = self.0.lock().ok()?;
        let (at, compared) = all.get(&rule)?;
        (at.plus(KEPT) > now && *at <= now).then(|| compared.clone())
    }
}

#[derive(Debug, Default, Serialize)]
pub struct ApartPage {
    pub key: String,
    pub rule: String,
    pub head: String,
    pub sub: String,
    pub rows: Vec<Row>,
    pub next: String,
    pub first: String,
    pub shown: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Row {
    pub who: String,
    pub href: String,
    pub shadow: String,
    pub backtest: String,
}

#[derive(Deserialize)]
pub struct Query {
    of: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    /// The customer that the page before ended with.
    after: Option<i64>,
}

impl Query {
    fn figure(&self) -> Option<ApartIn> {
        match (self.of.as_deref(), &self.outcome) {
            (_, Some(outcome)) => ApartIn::of(outcome, self.reason.as_deref()),
            (None | Some("entered"), None) => Some(ApartIn::Entered),
            (Some("would_send"), None) => Some(ApartIn::WouldSend),
            (Some(_), None) => None,
        }
    }
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let figure = query.figure().ok_or(PageError::NotFound)?;
    let (store, key, now) = (desk.store.clone(), path.into_inner(), desk.now);
    let rule = desk
        .read(move |conn| {
            let rules = rules::all(conn, &store)?;
            Ok::<_, DbError>(rules.into_iter().find(|rule| rule.key == key))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let compared = match desk.pages.shadows.find(rule.id, now) {
        Some(kept) => kept,
        None => {
            let compared = match compare(&desk.app, desk.store.clone(), rule.id, now).await {
                Ok(compared) => Arc::new(compared),
                Err(NoComparison::Backtest(BacktestError::Db(error))) => return Err(error.into()),
                Err(_) => return Err(PageError::NotFound),
            };
            desk.pages.shadows.keep(rule.id, &compared, now);
            compared
        }
    };
    let mut people = figure.people(&compared);
    if let Some(after) = query.after {
        people.retain(|(customer, _)| customer.0 < after);
    }
    let more = people.len() > ROWS;
    people.truncate(ROWS);
    let (store, ids) = (desk.store.id, people.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    let called = desk.read(move |conn| Ok(customers::called(conn, store, &ids)?)).await?;
    let format = &desk.format;
    let href = figure.href(&rule.key);
    let number = |n: u64| format.number(i64::try_from(n).unwrap_or(i64::MAX));
    let row = |(customer, both): &(CustomerId, Both)| Row {
        who: words::called(format, &called, *customer),
        href: format!("/customers/{customer}"),
        shadow: number(both.shadow),
        backtest: number(both.backtest),
    };
    let page = ApartPage {
        rows: people.iter().map(row).collect(),
        next: people
            .last()
            .filter(|_| more)
            .map_or(String::new(), |(last, _)| format!("{href}&after={last}")),
        first: if query.after.is_some() { href } else { String::new() },
        shown: format.count("pager.shown", people.len() as i64),
        head: figure.head(format),
        sub: format.text(
            "shadow.apart_in",
            &[
                ("rule", rule.title()),
                ("from", &format.date(compared.from)),
                ("to", &format.date(compared.to)),
            ],
        ),
        rule: rule.title().to_owned(),
        key: rule.key,
    };
    desk.page(Room::Rules, &page)
}

impl Screen for ApartPage {
    const TEMPLATE: &'static str = "apart.html";

    fn samples() -> Vec<Self> {
        let rows = vec![Row::default()];
        vec![
            Self { rows, next: "/next".into(), first: "/first".into(), ..Self::default() },
            Self::default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(
        customer: i64,
        outcome: &str,
        reason: Option<&str>,
        shadow: u64,
        backtest: u64,
    ) -> crate::http::shadow::Apart {
        crate::http::shadow::Apart {
            customer: CustomerId(customer),
            outcome: outcome.to_owned(),
            reason: reason.map(str::to_owned),
            n: Both { shadow, backtest },
        }
    }

    #[test]
    fn a_difference_leads_to_those_in_whom_it_is() {
        let compared = Compared {
            rule: "browse".into(),
            in_shadow: true,
            from: "2026-06-02".parse().unwrap(),
            to: "2026-06-05".parse().unwrap(),
            entered: Both::default(),
            would_send: Both::default(),
            per_day: Vec::new(),
            outcomes: Vec::new(),
            note: String::new(),
            apart: vec![
                apart(1, "enrolled", None, 1, 0),
                apart(1, "held_out", Some("holdout"), 0, 1),
                apart(2, "enrolled", None, 2, 1),
                apart(2, "deferred", Some("cap"), 0, 3),
            ],
        };
        let of = |figure: ApartIn| -> Vec<i64> {
            figure.people(&compared).into_iter().map(|(customer, _)| customer.0).collect()
        };
        let enrolled = ApartIn::of("enrolled", None).unwrap();
        let cap = ApartIn::of("deferred", Some("cap")).unwrap();
        assert_eq!(of(ApartIn::Entered), [2], "the first entered by both, in one of them held out");
        assert_eq!(of(enrolled), [2, 1]);
        assert_eq!((of(cap), of(ApartIn::WouldSend)), (vec![2], vec![]));
        assert_eq!(ApartIn::of("deferred", Some("' OR 1=1")), None);
        for figure in [ApartIn::Entered, ApartIn::WouldSend, enrolled, cap] {
            let href = figure.href("browse");
            let (_, query) = href.split_once('?').unwrap();
            assert_eq!(web::Query::<Query>::from_query(query).unwrap().figure(), Some(figure));
        }
    }
}
