//! `/`: how the day goes, what moved it, what went out, what is due, what is wrong.

mod alarms;
mod curve;
mod days;
mod due;
mod figures;
mod moved;
mod rows;
mod sent;

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use diesel::QueryResult;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Pages;
use super::chart::beside::{Curve, Mark};
use super::chart::hours::{Bar, Hours};
use super::chart::{Grid, Spark, Tick};
use super::desk::Desk;
use super::error::PageError;
use super::format::Format;
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use crate::db::{Conn, Db, DbError};
use crate::primitives::{Delay, Timestamp};
use crate::reports::outbox::Reconciliation;
use crate::reports::rules::RuleName;
use crate::reports::today::{self as report, Day, Due, PERIODS, Span, Totals, WentOut};
use crate::reports::{self, CAP};
use crate::stores::Store;

use alarms::{AlarmLine, alarm_lines};
pub use days::DayMemo;
use due::DuePart;
use figures::{Figure, figures};
use moved::{MovedRow, moved_rows, moved_total, recap};
pub use rows::{RowsPage, page as rows_page};
pub use sent::{Part, reconciliation};
use sent::{WentOutRow, went_out_rows};

const SPARK_DAYS: i64 = 14;

#[derive(Debug, Default, Serialize)]
pub struct TodayPage {
    /// Nothing was ever tracked or imported: the page says how to begin.
    pub empty: bool,
    pub periods: Vec<Period>,
    pub until: String,
    pub recap: Html,
    pub figures: Vec<Figure>,
    /// What is looked at, and what it is held against.
    pub now_name: String,
    pub then_name: String,
    pub moved: Vec<MovedRow>,
    pub moved_total: MovedRow,
    /// Why there is no split, where there is none.
    pub unmoved: String,
    pub curve: Option<Curve>,
    pub curve_name: String,
    /// Over how many days is counted what went out.
    pub lately: String,
    pub alarms: Vec<AlarmLine>,
    pub alarms_note: String,
    pub at_risk: Vec<Line>,
    pub went_out: Vec<WentOutRow>,
    pub went_out_total: WentOutRow,
    pub reconciliation: Vec<Part>,
    pub planned: String,
    pub due: DuePart,
}

/// A choice of how far to look back.
#[derive(Debug, Default, Serialize)]
pub struct Period {
    pub href: String,
    pub name: String,
    pub current: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Line {
    pub text: String,
    pub href: String,
    pub value: String,
}

/// A span beside the one it is held against.
#[derive(Debug, Clone)]
pub struct Compared {
    now: Totals,
    before: Totals,
    /// GMV hour by hour of a single day, day by day of several.
    course: Vec<i64>,
    course_before: Vec<i64>,
}

struct Loaded {
    anything: bool,
    compared: Compared,
    /// Of a single day: the days before it.
    days: Vec<(Date, Totals)>,
    missing: Vec<(Date, Totals)>,
    names: HashMap<i64, RuleName>,
    went_out: HashMap<i64, WentOut>,
    line: Reconciliation,
    due: Due,
    newly: Option<i64>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
struct View {
    days: i64,
    now: Timestamp,
    span: Span,
    before: Span,
}

impl View {
    /// Less than a week is too short to tell what messages brought.
    fn lately(&self) -> i64 {
        self.days.max(7)
    }

    /// "Last 7 days"
    fn name(&self, format: &Format) -> String {
        match self.days {
            1 => format.text("nav.today", &[]),
            n => format.text("today.last", &[("n", &n.to_string())]),
        }
    }

    fn name_before(&self, format: &Format) -> String {
        match self.days {
            1 => format.date_with_weekday(self.before.last.date),
            n => format.text("today.before", &[("n", &n.to_string())]),
        }
    }
}

#[derive(Deserialize)]
pub struct Query {
    days: Option<String>,
}

pub async fn page(desk: Desk, query: web::Query<Query>) -> Result<HttpResponse, PageError> {
    let asked = query.days.as_deref().and_then(|raw| raw.parse().ok());
    let days = PERIODS.into_iter().find(|days| asked == Some(*days)).unwrap_or(1);
    let (span, before) = report::spans(desk.now, &desk.store.timezone, days);
    let view = View { days, now: desk.now, span, before };
    let (store, pages, db) = (desk.store.clone(), desk.pages.clone(), desk.app.db.clone());
    let loaded = desk.read(move |conn| load(&db, conn, &store, view, &pages)).await?;
    for (date, totals) in &loaded.missing {
        desk.pages.days.put(desk.store.id, *date, *totals, desk.now);
    }
    desk.page(Room::Today, &build(&desk, &loaded, view))
}

fn load(
    db: &Db,
    conn: &mut Conn,
    store: &Store,
    view: View,
    pages: &Pages,
) -> Result<Loaded, DbError> {
    let (now, today) = (view.now, view.span.last);
    let mut days = Vec::new();
    let mut missing = Vec::new();
    let drawn = if view.days == 1 { SPARK_DAYS } else { 0 };
    for back in (1..drawn).rev() {
        let date = today.date.saturating_sub(jiff::Span::new().days(back));
        let totals = match pages.days.get(store.id, date, back == 1, now) {
            Some(totals) => totals,
            None => {
                let day = Day::at(date, now, &store.timezone);
                let totals = report::totals(conn, store, day.start, day.end)?;
                missing.push((date, totals));
                totals
            }
        };
        days.push((date, totals));
    }
    let lately = Delay::days(view.lately());
    Ok(Loaded {
        anything: report::anything(conn, store)?,
        // A single day is as of this moment; of many days a minute is nothing, and they cost more.
        compared: match view.days {
            1 => compare(conn, store, view)?,
            days => {
                let key = (store.id, days);
                let store = store.clone();
                let find = move |conn: &mut Conn| compare(conn, &store, view);
                pages.sums.spans.get(key, db, conn, find)?
            }
        },
        days,
        missing,
        names: reports::rules::names(conn, store)?,
        went_out: pages.sums.went_out(db, conn, store, now, lately)?,
        line: pages.sums.reconciliation(db, conn, store, now)?,
        due: report::due(conn, store, today)?,
        newly: report::newly_at_risk(conn, store, now.minus(lately))?,
    })
}

fn compare(conn: &mut Conn, store: &Store, view: View) -> QueryResult<Compared> {
    let View { span, before, .. } = view;
    let mut course = |span: Span| match view.days {
        1 => report::gmv_by_hour(conn, store, span.last).map(Vec::from),
        _ => report::gmv_by_day(conn, store, span),
    };
    let (course, course_before) = (course(span)?, course(before)?);
    Ok(Compared {
        now: report::totals(conn, store, span.start(), span.until())?,
        before: report::totals(conn, store, before.start(), before.until())?,
        course,
        course_before,
    })
}

fn build(desk: &Desk, loaded: &Loaded, view: View) -> TodayPage {
    let format = &desk.format;
    let compared = &loaded.compared;
    let moved = report::moved(compared.now, compared.before);
    let (went_out, went_out_total) =
        went_out_rows(format, &loaded.went_out, &loaded.names, view.lately());
    TodayPage {
        empty: !loaded.anything,
        periods: PERIODS
            .iter()
            .map(|days| Period {
                href: if *days == 1 { "/".to_owned() } else { format!("/?days={days}") },
                name: match days {
                    1 => format.text("nav.today", &[]),
                    n => format.text("today.period", &[("n", &n.to_string())]),
                },
                current: *days == view.days,
            })
            .collect(),
        until: until(format, view),
        recap: recap(format, compared, moved.as_ref(), view),
        figures: figures(format, loaded, view),
        now_name: view.name(format),
        then_name: view.name_before(format),
        moved: moved.as_ref().map_or(Vec::new(), |m| moved_rows(format, compared, m, view)),
        moved_total: moved_total(format, compared, view),
        unmoved: if moved.is_some() { String::new() } else { format.text("today.unmoved", &[]) },
        curve: match view.days {
            1 => curve::of_day(format, compared, view),
            _ => curve::of_days(format, compared, view),
        },
        curve_name: format
            .text(if view.days == 1 { "today.curve" } else { "today.curve_days" }, &[]),
        alarms: alarm_lines(format, &desk.ringing()),
        alarms_note: match desk.ringing().len() {
            0 => format.text("today.alarms_none", &[]),
            n => format.count("today.alarms_open", n as i64),
        },
        at_risk: at_risk_lines(desk, loaded.newly, view),
        lately: view.lately().to_string(),
        went_out,
        went_out_total,
        planned: format.number(loaded.line.planned()),
        reconciliation: reconciliation(format, &loaded.line),
        due: due::due(format, &desk.store, desk.now, view.span.last, &loaded.due, &loaded.names),
    }
}

/// From when to when, and against what.
fn until(format: &Format, view: View) -> String {
    let clock = format.clock(view.now);
    if view.days == 1 {
        let (day, before) = (view.span.last.date, view.before.last.date);
        let (day, before) = (format.date_long(day), format.date_long(before));
        return format
            .text("today.until", &[("day", &day), ("clock", &clock), ("before", &before)]);
    }
    format.text(
        "today.until_days",
        &[
            ("from", &format.date(view.span.first.date)),
            ("day", &format.date(view.span.last.date)),
            ("clock", &clock),
            ("before_from", &format.date(view.before.first.date)),
            ("before", &format.date(view.before.last.date)),
        ],
    )
}

fn at_risk_lines(desk: &Desk, newly: Option<i64>, view: View) -> Vec<Line> {
    let format = &desk.format;
    let mut lines = vec![Line {
        text: format.text("today.all_at_risk", &[]),
        href: "/at-risk".to_owned(),
        value: format.capped(desk.alarms.at_risk, CAP),
    }];
    if let Some(newly) = newly {
        lines.push(Line {
            text: format.text("today.newly_at_risk", &[("n", &view.lately().to_string())]),
            // The movements have periods of their own.
            href: format!(
                "/movements?days={}",
                if view.lately() == 30 { 28 } else { view.lately() }
            ),
            value: format.capped(newly, CAP),
        });
    }
    lines
}

impl Screen for TodayPage {
    const TEMPLATE: &'static str = "today.html";

    fn samples() -> Vec<Self> {
        let text = |s: &str| s.to_owned();
        let full = Self {
            periods: vec![Period { current: true, ..Period::default() }, Period::default()],
            until: text("Tuesday"),
            recap: Html::escaped("GMV"),
            figures: vec![
                Figure {
                    sign: "=",
                    change: text("1 %"),
                    way: "up",
                    note: text("note"),
                    ..Figure::default()
                },
                Figure {
                    spark: Some(Spark {
                        points: text("0,0"),
                        last_y: text("0"),
                        label: text("14 days"),
                    }),
                    change: text("1 %"),
                    way: "down",
                    ..Figure::default()
                },
            ],
            moved: vec![MovedRow { good: true, ..MovedRow::default() }, MovedRow::default()],
            curve: Some(Curve {
                grid: vec![Grid::default()],
                marks: vec![Mark::default()],
                ticks: vec![Tick { anchor: "middle", ..Tick::default() }],
                rows: vec![[text("06:00"), text("1"), text("2")]],
                ..Curve::default()
            }),
            alarms: vec![
                AlarmLine { tone: "risk", code: "homing score", ..AlarmLine::default() },
                AlarmLine {
                    tone: "warn",
                    href: "/outbox",
                    link: text("See"),
                    ..AlarmLine::default()
                },
            ],
            at_risk: vec![Line { href: text("/at-risk"), ..Line::default() }, Line::default()],
            went_out: vec![WentOutRow::default()],
            reconciliation: vec![Part::default(), Part::default()],
            due: DuePart {
                any: true,
                hours: Hours {
                    bars: vec![Bar::default()],
                    quiet: vec![(text("0"), text("37.5"))],
                    ticks: vec![Tick { anchor: "start", ..Tick::default() }],
                    ..Hours::default()
                },
                rules: vec![Line::default()],
                ..DuePart::default()
            },
            ..Self::default()
        };
        vec![
            full,
            Self { empty: true, ..Self::default() },
            Self { unmoved: text("no"), ..Self::default() },
        ]
    }
}
