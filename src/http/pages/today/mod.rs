//! `/`: how the day goes, what moved it, what went out, what is due, what is wrong.

mod alarms;
mod curve;
mod days;
mod due;
mod figures;
mod moved;
mod sent;

use std::collections::HashMap;

use actix_web::HttpResponse;
use jiff::civil::Date;
use serde::Serialize;

use super::chart::beside::{Curve, Mark};
use super::chart::hours::{Bar, Hours};
use super::chart::{Grid, Spark, Tick};
use super::desk::Desk;
use super::error::PageError;
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::{Pages, WEEK};
use crate::db::{Conn, DbError};
use crate::primitives::Timestamp;
use crate::reports::outbox::Reconciliation;
use crate::reports::rules::RuleName;
use crate::reports::today::{self as report, Day, Due, Totals, WentOut};
use crate::reports::{self, CAP};
use crate::stores::Store;

use alarms::{AlarmLine, alarm_lines};
pub use days::DayMemo;
use due::DuePart;
use figures::{Figure, figures};
use moved::{MovedRow, moved_rows, moved_total, recap};
pub use sent::{Part, reconciliation};
use sent::{WentOutRow, went_out_rows};

const SPARK_DAYS: i64 = 14;

#[derive(Debug, Default, Serialize)]
pub struct TodayPage {
    /// Nothing was ever tracked or imported: the page says how to begin.
    pub empty: bool,
    pub until: String,
    pub recap: Html,
    pub figures: Vec<Figure>,
    pub then_name: String,
    pub moved: Vec<MovedRow>,
    pub moved_total: MovedRow,
    /// Why there is no split, where there is none.
    pub unmoved: String,
    pub curve: Option<Curve>,
    pub alarms: Vec<AlarmLine>,
    pub alarms_note: String,
    pub at_risk: Vec<Line>,
    pub went_out: Vec<WentOutRow>,
    pub went_out_total: WentOutRow,
    pub reconciliation: Vec<Part>,
    pub planned: String,
    pub due: DuePart,
}

#[derive(Debug, Default, Serialize)]
pub struct Line {
    pub text: String,
    pub href: String,
    pub value: String,
}

struct Loaded {
    anything: bool,
    today: Totals,
    before: Totals,
    hours: [i64; 24],
    hours_before: [i64; 24],
    days: Vec<(Date, Totals)>,
    missing: Vec<(Date, Totals)>,
    names: HashMap<i64, RuleName>,
    went_out: HashMap<i64, WentOut>,
    line: Reconciliation,
    due: Due,
    newly: Option<i64>,
}

pub async fn page(desk: Desk) -> Result<HttpResponse, PageError> {
    let now = desk.now;
    let (today, before) = report::days(now, &desk.store.timezone);
    let store = desk.store.clone();
    let memo = desk.pages.clone();
    let loaded = desk.read(move |conn| load(conn, &store, now, today, before, &memo)).await?;
    for (date, totals) in &loaded.missing {
        desk.pages.days.put(desk.store.id, *date, *totals, now);
    }
    let page = build(&desk, &loaded, today, before);
    desk.page(Room::Today, &page)
}

fn load(
    conn: &mut Conn,
    store: &Store,
    now: Timestamp,
    today: Day,
    before: Day,
    pages: &Pages,
) -> Result<Loaded, DbError> {
    let mut days = Vec::new();
    let mut missing = Vec::new();
    for back in (1..SPARK_DAYS).rev() {
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
    let week = now.minus(WEEK);
    Ok(Loaded {
        anything: report::anything(conn, store)?,
        today: report::totals(conn, store, today.start, now)?,
        before: report::totals(conn, store, before.start, before.until)?,
        hours: report::gmv_by_hour(conn, store, today)?,
        hours_before: report::gmv_by_hour(conn, store, before)?,
        days,
        missing,
        names: reports::rules::names(conn, store)?,
        went_out: pages.sums.went_out(conn, store, now, WEEK)?,
        line: pages.sums.reconciliation(conn, store, now)?,
        due: report::due(conn, store, today)?,
        newly: report::newly_at_risk(conn, store, week)?,
    })
}

fn build(desk: &Desk, loaded: &Loaded, today: Day, before: Day) -> TodayPage {
    let format = &desk.format;
    let clock = format.clock(desk.now);
    let weekday = format.weekday(before.date);
    let moved = report::moved(loaded.today, loaded.before);
    let (went_out, went_out_total) = went_out_rows(format, &loaded.went_out, &loaded.names);
    TodayPage {
        empty: !loaded.anything,
        until: format.text(
            "today.until",
            &[
                ("day", &format.date_long(today.date)),
                ("clock", &clock),
                ("before", &format.date_long(before.date)),
            ],
        ),
        recap: recap(format, loaded.today, loaded.before, moved.as_ref(), weekday),
        figures: figures(format, loaded, before),
        then_name: format.date_with_weekday(before.date),
        moved: moved.as_ref().map_or(Vec::new(), |m| moved_rows(format, loaded, m)),
        moved_total: moved_total(format, loaded),
        unmoved: if moved.is_some() { String::new() } else { format.text("today.unmoved", &[]) },
        curve: curve::of_day(format, desk.now, loaded, today, before),
        alarms: alarm_lines(format, &desk.ringing()),
        alarms_note: match desk.ringing().len() {
            0 => format.text("today.alarms_none", &[]),
            n => format.count("today.alarms_open", n as i64),
        },
        at_risk: at_risk_lines(desk, loaded.newly),
        went_out,
        went_out_total,
        planned: format.number(loaded.line.planned()),
        reconciliation: reconciliation(format, &loaded.line),
        due: due::due(format, &desk.store, desk.now, today, &loaded.due, &loaded.names),
    }
}

fn at_risk_lines(desk: &Desk, newly: Option<i64>) -> Vec<Line> {
    let format = &desk.format;
    let mut lines = vec![Line {
        text: format.text("today.all_at_risk", &[]),
        href: "/at-risk".to_owned(),
        value: format.capped(desk.alarms.at_risk, CAP),
    }];
    if let Some(newly) = newly {
        lines.push(Line {
            text: format.text("today.newly_at_risk", &[]),
            href: String::new(),
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
