//! `/customers`: finding someone, and everyone.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Mark};
use crate::db::DbError;
use crate::reports::CAP;
use crate::reports::customers::{self as report, Cursor, Row, SEARCHED_WITHIN};
use crate::rules::condition::SEGMENTS;

const ROWS: i64 = 25;
const VISITOR_SEGMENTS: [&str; 6] = [
    "hot_prospects",
    "engaged_visitors",
    "new_visitors",
    "casual_visitors",
    "fading_visitors",
    "gone_visitors",
];

#[derive(Debug, Default, Serialize)]
pub struct CustomersPage {
    pub q: String,
    pub sub: String,
    pub rows: Vec<ListRow>,
    pub segment: String,
    pub groups: Vec<SegmentGroup>,
    pub next: String,
    pub first: String,
    pub shown: String,
    /// What the search did not look through.
    pub searched: String,
}

#[derive(Debug, Default, Serialize)]
pub struct SegmentGroup {
    pub name: String,
    pub segments: Vec<SegmentLink>,
}

#[derive(Debug, Default, Serialize)]
pub struct SegmentLink {
    pub href: String,
    pub mark: Mark,
    pub chosen: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct ListRow {
    pub href: String,
    pub who: String,
    pub also: String,
    pub mark: Option<Mark>,
    pub orders: String,
    pub spent: String,
    pub last_order: String,
    pub last_seen: String,
    pub visits: String,
}

#[derive(Deserialize)]
pub struct Query {
    q: Option<String>,
    segment: Option<String>,
    after: Option<String>,
}

pub async fn page(desk: Desk, query: web::Query<Query>) -> Result<HttpResponse, PageError> {
    let q = crate::primitives::clean_text(query.q.as_deref().unwrap_or_default(), 200);
    let segment = query.segment.as_deref().and_then(known_segment);
    let after = query.after.as_deref().and_then(parse_cursor);
    let store = desk.store.clone();
    let asked = q.clone();
    let (rows, size, searched_all) = desk
        .read(move |conn| {
            if let Some(q) = &asked {
                let rows = report::search(conn, &store, q, 50)?;
                let size = report::size(conn, &store, None)?;
                return Ok::<_, DbError>((rows, size, size <= CAP));
            }
            let rows = match segment {
                Some(segment) => report::of_segment(conn, &store, segment, after, ROWS + 1)?,
                None => report::newest(conn, &store, after, ROWS + 1)?,
            };
            Ok((rows, report::size(conn, &store, segment)?, true))
        })
        .await?;

    // One answer is the answer.
    if let (Some(_), [only]) = (&q, rows.as_slice()) {
        let to = format!("/customers/{}", only.id.0);
        return Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, to)).finish());
    }
    let format = &desk.format;
    let kept = segment.map_or(String::new(), |segment| format!("segment={segment}&"));
    let limit = if q.is_some() { rows.len() } else { ROWS as usize };
    let more = rows.len() > limit;
    let page = CustomersPage {
        sub: match (&q, rows.len()) {
            (Some(_), n) => format.count("customers.found", n as i64),
            (None, _) if size > CAP => {
                format.text("customers.size_many", &[("n", &format.capped(size, CAP))])
            }
            (None, _) => format.count("customers.size", size),
        },
        next: match (more, rows.get(limit.saturating_sub(1))) {
            (true, Some(last)) => format!("/customers?{kept}after={}_{}", last.cursor, last.id.0),
            _ => String::new(),
        },
        first: if after.is_some() {
            format!("/customers?{kept}").trim_end_matches(['&', '?']).to_owned()
        } else {
            String::new()
        },
        shown: format.text(
            "pager.of",
            &[
                ("n", &format.number(rows.len().min(limit) as i64)),
                ("all", &format.capped(size, CAP)),
            ],
        ),
        searched: if q.is_some() && !searched_all {
            format.text("customers.searched", &[("n", &format.number(SEARCHED_WITHIN))])
        } else {
            String::new()
        },
        segment: segment.map_or(String::new(), |key| words::known(format, "segment", key)),
        groups: groups(format, segment),
        rows: rows.iter().take(limit).map(|row| list_row(format, row)).collect(),
        q: q.unwrap_or_default(),
    };
    desk.page(Room::Customers, &page)
}

fn known_segment(asked: &str) -> Option<&'static str> {
    SEGMENTS.into_iter().chain(VISITOR_SEGMENTS).find(|known| *known == asked)
}

fn parse_cursor(raw: &str) -> Option<Cursor> {
    let (at, id) = raw.split_once('_')?;
    Some(Cursor { at: at.parse().ok()?, id: id.parse().ok()? })
}

fn groups(format: &Format, chosen: Option<&str>) -> Vec<SegmentGroup> {
    let links = |keys: &[&str]| {
        keys.iter()
            .map(|key| SegmentLink {
                href: format!("/customers?segment={key}"),
                mark: words::segment(format, key),
                chosen: chosen == Some(*key),
            })
            .collect()
    };
    vec![
        SegmentGroup { name: format.text("customers.buyers", &[]), segments: links(&SEGMENTS) },
        SegmentGroup {
            name: format.text("customers.visitors", &[]),
            segments: links(&VISITOR_SEGMENTS),
        },
    ]
}

fn list_row(format: &Format, row: &Row) -> ListRow {
    let who = if row.erased {
        format.text("customer.erased", &[])
    } else {
        words::who(
            format,
            row.name.as_deref(),
            row.email.as_deref(),
            row.external_id.as_deref(),
            row.id.0,
        )
    };
    let day = |at: Option<crate::primitives::Timestamp>| {
        at.map_or(UNKNOWN.to_owned(), |at| format.day(at))
    };
    ListRow {
        href: format!("/customers/{}", row.id.0),
        also: row.email.clone().filter(|email| *email != who).unwrap_or_default(),
        who,
        mark: row.segment.as_deref().map(|key| words::segment(format, key)),
        orders: format.number(i64::from(row.orders_count)),
        spent: if row.orders_count > 0 { format.money(row.spent) } else { UNKNOWN.to_owned() },
        last_order: day(row.last_order_at),
        last_seen: day(row.last_seen_at),
        visits: format.number(i64::from(row.visits_count)),
    }
}

impl Screen for CustomersPage {
    const TEMPLATE: &'static str = "customers.html";

    fn samples() -> Vec<Self> {
        let row = ListRow {
            mark: Some(Mark::default()),
            also: "a@b.example".into(),
            ..ListRow::default()
        };
        let full = Self {
            rows: vec![row, ListRow::default()],
            groups: vec![SegmentGroup {
                segments: vec![SegmentLink { chosen: true, ..SegmentLink::default() }],
                ..SegmentGroup::default()
            }],
            next: "/customers?after=1_1".into(),
            first: "/customers".into(),
            segment: "Lost".into(),
            ..Self::default()
        };
        vec![
            full,
            Self::default(),
            Self { q: "li".into(), searched: "newest".into(), ..Self::default() },
            Self { segment: "Lost".into(), ..Self::default() },
        ]
    }
}
