//! `/at-risk`: the worklist.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Mark};
use crate::db::DbError;
use crate::primitives::{CustomerId, Money, mask_formula};
use crate::reports::at_risk::{self as report, Cursor, Filter, LastWord, Planned, Row, SEGMENTS};
use crate::reports::rules::RuleName;
use crate::reports::{self, CAP};

const ROWS: i64 = 25;

#[derive(Debug, Default, Serialize)]
pub struct AtRiskPage {
    pub size: String,
    pub size_is: String,
    pub spent: String,
    pub rows: Vec<ListRow>,
    pub segments: Vec<SegmentChoice>,
    /// The chosen segments in words; empty: all.
    pub segments_chosen: String,
    pub min_spent: String,
    pub min_spent_text: String,
    pub bad_min_spent: String,
    pub filtered: bool,
    /// The list as a file, by the same filter.
    pub export: String,
    /// How many there would be without the filter.
    pub unfiltered: String,
    pub next: String,
    pub first: String,
    pub shown: String,
    /// Some value at risk is known; until then there is no column of dashes, but a note.
    pub predicted: bool,
    /// Customers exist, and none was scored yet.
    pub never_scored: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct SegmentChoice {
    pub key: &'static str,
    pub mark: Mark,
    pub chosen: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct ListRow {
    pub id: i64,
    pub href: String,
    pub who: String,
    pub mark: Mark,
    pub rfm: String,
    pub why: Html,
    /// The same without marks, where the column cuts it.
    pub why_title: Html,
    pub spent: String,
    pub spent_is: String,
    pub at_risk: String,
    pub last_order: String,
    pub next: String,
    /// Why nothing is planned, in a quieter voice.
    pub none: bool,
    pub pick: String,
}

#[derive(Deserialize)]
pub struct Query {
    min_spent: Option<String>,
    after: Option<String>,
}

struct Loaded {
    rows: Vec<Row>,
    size: i64,
    spent: Option<i64>,
    planned: HashMap<CustomerId, Planned>,
    last: HashMap<CustomerId, LastWord>,
    rules: HashMap<i64, RuleName>,
}

pub async fn page(
    desk: Desk,
    query: web::Query<Query>,
    request: actix_web::HttpRequest,
) -> Result<HttpResponse, PageError> {
    let segments = chosen_segments(request.query_string());
    let typed = query.min_spent.clone().unwrap_or_default().trim().to_owned();
    let parsed = if typed.is_empty() {
        Ok(0)
    } else {
        Money::parse(&typed, &desk.store.currency).map(|money| money.minor.max(0))
    };
    let filter = Filter {
        segments: segments.clone(),
        min_spent: parsed.clone().unwrap_or(0),
        customers: Vec::new(),
    };
    let after = query.after.as_deref().and_then(parse_cursor);

    let (store, asked) = (desk.store.clone(), filter.clone());
    let loaded = desk
        .read(move |conn| {
            // One more than is shown tells whether there is a next page.
            let (rows, (size, spent)) = match reports::shown(conn, &store)? {
                Some(shown) => (
                    report::page(conn, &store, shown, &asked, after, ROWS + 1)?,
                    report::size(conn, &store, shown, &asked)?,
                ),
                None => (Vec::new(), (0, Some(0))),
            };
            let ids: Vec<CustomerId> = rows.iter().map(|row| row.customer_id).collect();
            Ok::<_, DbError>(Loaded {
                size,
                spent,
                planned: report::next_messages(conn, &ids)?,
                last: report::last_words(conn, &ids)?,
                rules: reports::rules::names(conn, &store)?,
                rows,
            })
        })
        .await?;

    let format = &desk.format;
    let kept = kept_query(&filter, &typed);
    let more = loaded.rows.len() as i64 > ROWS;
    let shown: Vec<&Row> = loaded.rows.iter().take(ROWS as usize).collect();
    let page = AtRiskPage {
        size: if loaded.size > CAP {
            format.text("at_risk.size_many", &[("n", &format.capped(loaded.size, CAP))])
        } else {
            format.count("at_risk.size", loaded.size)
        },
        size_is: format.text("at_risk.size_is", &[]),
        spent: loaded.spent.filter(|_| loaded.size > 0).map_or(String::new(), |spent| {
            format.text("at_risk.spent", &[("spent", &format.money_in_text(spent))])
        }),
        rows: shown.iter().map(|row| list_row(format, row, &loaded)).collect(),
        segments_chosen: {
            let names: Vec<String> =
                segments.iter().map(|key| words::known(format, "segment", key)).collect();
            names.join(&format.text("list_comma", &[]))
        },
        segments: SEGMENTS
            .into_iter()
            .map(|key| SegmentChoice {
                key,
                mark: words::segment(format, key),
                chosen: segments.contains(&key),
            })
            .collect(),
        min_spent_text: if filter.min_spent > 0 {
            format.text("at_risk.from", &[("value", &format.money(filter.min_spent))])
        } else {
            String::new()
        },
        bad_min_spent: match &parsed {
            Err(_) => format.text("at_risk.bad_amount", &[("typed", &typed)]),
            Ok(_) => String::new(),
        },
        min_spent: typed,
        filtered: filter != Filter::default(),
        export: format!("/at-risk/export?{kept}").trim_end_matches(['&', '?']).to_owned(),
        unfiltered: format.capped(desk.alarms.at_risk, CAP),
        next: match (more, shown.last()) {
            (true, Some(last)) => {
                format!("/at-risk?{kept}after={:?}_{}", last.risk_rank, last.customer_id.0)
            }
            _ => String::new(),
        },
        first: if after.is_some() {
            format!("/at-risk?{kept}").trim_end_matches(['&', '?']).to_owned()
        } else {
            String::new()
        },
        shown: format.text(
            "pager.of",
            &[("n", &format.number(shown.len() as i64)), ("all", &format.capped(loaded.size, CAP))],
        ),
        predicted: shown.iter().any(|row| row.value_at_risk.is_some()),
        never_scored: desk
            .ringing()
            .iter()
            .any(|alarm| matches!(alarm, reports::alarms::Alarm::NeverScored)),
    };
    desk.page(Room::AtRisk, &page)
}

/// `segment` may be given several times, which `web::Query` cannot say.
fn chosen_segments(query: &str) -> Vec<&'static str> {
    let asked: Vec<&str> =
        query.split('&').filter_map(|part| part.strip_prefix("segment=")).collect();
    SEGMENTS.into_iter().filter(|known| asked.contains(known)).collect()
}

/// The filter as a query's beginning, with `&` at its end.
fn kept_query(filter: &Filter, typed: &str) -> String {
    let mut kept: String = filter.segments.iter().map(|key| format!("segment={key}&")).collect();
    if filter.min_spent > 0 {
        kept.push_str(&format!("min_spent={typed}&"));
    }
    kept
}

fn parse_cursor(raw: &str) -> Option<Cursor> {
    let (rank, customer) = raw.split_once('_')?;
    let rank: f64 = rank.parse().ok().filter(|rank: &f64| rank.is_finite())?;
    Some(Cursor { rank, customer: customer.parse().ok()? })
}

fn list_row(format: &Format, row: &Row, loaded: &Loaded) -> ListRow {
    let (next, none) = next_message(format, row, loaded);
    let why = words::why_now(format, row);
    let who = words::who(
        format,
        row.name.as_deref(),
        row.email.as_deref(),
        row.external_id.as_deref(),
        row.customer_id.0,
    );
    ListRow {
        id: row.customer_id.0,
        href: format!("/customers/{}", row.customer_id.0),
        mark: words::segment(format, &row.segment),
        rfm: format!("R{} F{} M{}", row.r, row.f, row.m),
        why_title: why.unmarked(),
        why,
        spent: format.money(row.spent),
        spent_is: format.count("at_risk.spent_is", i64::from(row.orders_count)),
        at_risk: row.value_at_risk.map_or(UNKNOWN.to_owned(), |value| format.money(value)),
        last_order: row.last_order_at.map_or(UNKNOWN.to_owned(), |at| format.day(at)),
        next,
        none,
        pick: format.text("at_risk.pick", &[("who", &who)]),
        who,
    }
}

/// The next planned message, or the ledger's reason why there is none.
fn next_message(format: &Format, row: &Row, loaded: &Loaded) -> (String, bool) {
    if let Some(planned) = loaded.planned.get(&row.customer_id) {
        let rule = loaded.rules.get(&planned.rule_id.0).map_or("", |rule| rule.name.as_str());
        let when = format.when(planned.scheduled_at);
        return match &planned.held_for {
            Some(held) => {
                let why = words::known(format, "held", held);
                (format.text("next.held", &[("why", &why), ("when", &when)]), true)
            }
            None => (format!("{rule} {}, {when}", planned.step), false),
        };
    }
    let why = if row.email.is_none() {
        "no_address"
    } else if row.suppressed.is_some() {
        "suppressed"
    } else if row.consent == "withdrawn" {
        "consent_withdrawn"
    } else {
        match loaded.last.get(&row.customer_id) {
            Some(last) if last.outcome == "held_out" => "held_out",
            Some(LastWord { reason: Some(reason), .. })
                if format.words.has(&format!("none_for.{reason}")) =>
            {
                let text = format.text(&format!("none_for.{reason}"), &[]);
                return (format.text("next.none_for", &[("why", &text)]), true);
            }
            _ => return (format.text("next.none", &[]), true),
        }
    };
    let text = format.text(&format!("none_for.{why}"), &[]);
    (format.text("next.none_for", &[("why", &text)]), true)
}

/// `GET /at-risk/export`: the list, or the ticked of it, as CSV for a spreadsheet; 10,000 rows at most.
pub async fn export(
    desk: Desk,
    query: web::Query<Query>,
    request: actix_web::HttpRequest,
) -> Result<HttpResponse, PageError> {
    let raw = request.query_string();
    let typed = query.min_spent.clone().unwrap_or_default();
    let min_spent = Money::parse(typed.trim(), &desk.store.currency).map_or(0, |m| m.minor.max(0));
    let customers = raw
        .split('&')
        .filter_map(|part| part.strip_prefix("customer=")?.parse().ok())
        .take(CAP as usize)
        .collect();
    let filter = Filter { segments: chosen_segments(raw), min_spent, customers };
    let store = desk.store.clone();
    let rows = desk
        .read(move |conn| {
            Ok::<_, DbError>(match reports::shown(conn, &store)? {
                Some(shown) => report::page(conn, &store, shown, &filter, None, CAP)?,
                None => Vec::new(),
            })
        })
        .await?;
    tracing::info!(user = desk.user.id.0, rows = rows.len(), "the worklist was exported");
    let name = format!("at-risk-{}.csv", desk.format.today());
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header(("Content-Disposition", format!("attachment; filename=\"{name}\"")))
        .body(csv_of(&rows, &desk.store.currency)))
}

const CSV_COLUMNS: [&str; 13] = [
    "customer_id",
    "external_id",
    "email",
    "name",
    "segment",
    "r",
    "f",
    "m",
    "orders_count",
    "spent",
    "currency",
    "days_since_last_order",
    "usual_gap_days",
];

/// With a byte order mark, without which Excel takes Chinese for Latin letters.
fn csv_of(rows: &[Row], currency: &crate::primitives::Currency) -> Vec<u8> {
    let text = |value: &Option<String>| mask_formula(value.as_deref().unwrap_or_default());
    let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    let mut lines: Vec<[String; 13]> = vec![CSV_COLUMNS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.customer_id.to_string(),
            text(&row.external_id),
            text(&row.email),
            text(&row.name),
            row.segment.clone(),
            row.r.to_string(),
            row.f.to_string(),
            row.m.to_string(),
            row.orders_count.to_string(),
            Money::new(row.spent, currency.clone()).amount(),
            currency.to_string(),
            format!("{:.1}", row.days_since),
            row.usual_gap_days.map_or(String::new(), |gap| format!("{gap:.1}")),
        ]
    }));
    for line in &lines {
        // Into memory: only a line of another length could fail, and all have thirteen cells.
        let _ = writer.write_record(line);
    }
    writer.into_inner().unwrap_or_default()
}

impl Screen for AtRiskPage {
    const TEMPLATE: &'static str = "at-risk.html";

    fn samples() -> Vec<Self> {
        let full = Self {
            rows: vec![
                ListRow { why: Html("<b>61</b>".into()), ..ListRow::default() },
                ListRow { none: true, ..ListRow::default() },
            ],
            segments: vec![SegmentChoice {
                key: "at_risk",
                chosen: true,
                ..SegmentChoice::default()
            }],
            segments_chosen: "At risk".into(),
            min_spent: "300".into(),
            min_spent_text: "from 300".into(),
            bad_min_spent: "no amount".into(),
            predicted: true,
            next: "/at-risk?after=1_2".into(),
            first: "/at-risk".into(),
            ..Self::default()
        };
        vec![
            full,
            Self::default(),
            Self { filtered: true, ..Self::default() },
            Self { never_scored: true, ..Self::default() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_exactly() {
        let rank = 4_217.318_181_818_182_f64 / 3.0;
        let cursor = parse_cursor(&format!("{rank:?}_77")).unwrap();
        assert_eq!(cursor, Cursor { rank, customer: CustomerId(77) });
        for raw in ["", "1", "x_1", "1_x", "NaN_1", "inf_2"] {
            assert_eq!(parse_cursor(raw), None, "{raw}");
        }
    }

    #[test]
    fn only_known_segments_reach_the_query() {
        let chosen =
            chosen_segments("segment=at_risk&segment=' OR 1=1&min_spent=3&segment=cant_lose_them");
        assert_eq!(chosen, ["cant_lose_them", "at_risk"]);
    }
}
