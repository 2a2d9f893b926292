//! `/`: how the day goes, what moved it, what went out, what is due, what is wrong.

use std::collections::HashMap;
use std::sync::Mutex;

use actix_web::HttpResponse;
use jiff::civil::Date;
use serde::Serialize;

use super::chart::{self, Grid, Spark, Tick, coordinate};
use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words;
use super::{Pages, WEEK};
use crate::db::{Conn, DbError};
use crate::primitives::{Delay, StoreId, Timestamp};
use crate::reports::alarms::Alarm;
use crate::reports::outbox::{self, Reconciliation};
use crate::reports::rules::RuleName;
use crate::reports::today::{self as report, Day, Due, Moved, Totals, WentOut};
use crate::reports::{self, CAP};
use crate::stores::{QuietHours, Store};

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
pub struct Figure {
    pub name: String,
    pub definition: String,
    pub value: String,
    pub change: String,
    /// `up`, `down` or empty: the arrow says it too.
    pub way: &'static str,
    pub note: String,
    /// Between this figure and the one before.
    pub sign: &'static str,
    pub spark: Option<Spark>,
}

#[derive(Debug, Default, Serialize)]
pub struct MovedRow {
    pub name: String,
    pub definition: String,
    pub then: String,
    pub now: String,
    pub change: String,
    pub share: String,
    pub good: bool,
    pub x: String,
    pub width: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Curve {
    pub title: String,
    pub unit: String,
    pub grid: Vec<Grid>,
    pub past: String,
    pub today: String,
    pub area: String,
    pub now_x: String,
    pub now_y: String,
    pub label_y: String,
    /// Which side of now the label stands on.
    pub label_left: bool,
    pub now_label: String,
    pub past_label: String,
    pub hours: Vec<Bar>,
    pub ticks: Vec<Tick>,
    pub rows: Vec<[String; 3]>,
}

#[derive(Debug, Default, Serialize)]
pub struct Bar {
    pub x: String,
    pub title: String,
    pub sent_y: String,
    pub sent_height: String,
    pub to_go_y: String,
    pub to_go_height: String,
}

#[derive(Debug, Default, Serialize)]
pub struct AlarmLine {
    pub tone: &'static str,
    pub title: String,
    pub text: String,
    pub href: &'static str,
    pub link: String,
    /// What to write where, when the page itself can do nothing.
    pub code: &'static str,
}

#[derive(Debug, Default, Serialize)]
pub struct Line {
    pub text: String,
    pub href: String,
    pub value: String,
}

#[derive(Debug, Default, Serialize)]
pub struct WentOutRow {
    pub rule: String,
    pub href: String,
    pub sent: String,
    pub orders: String,
    pub share: String,
    pub credited: String,
}

/// One part of the reconciliation line.
#[derive(Debug, Default, Serialize)]
pub struct Part {
    pub n: String,
    pub text: String,
    pub href: String,
}

#[derive(Debug, Default, Serialize)]
pub struct DuePart {
    pub sub: String,
    pub title: String,
    pub bars: Vec<Bar>,
    /// Quiet hours, as x and width.
    pub quiet: Vec<(String, String)>,
    pub now_x: String,
    pub ticks: Vec<Tick>,
    pub rules: Vec<Line>,
    pub any: bool,
}

/// Finished days, kept for the small lines: a day of the past changes only by late facts, and slowly grows stale.
#[derive(Default)]
pub struct DayMemo(Mutex<HashMap<(StoreId, Date), (Totals, Timestamp)>>);

impl DayMemo {
    /// Yesterday's late facts are seen within minutes, an older day's within the hour.
    fn get(&self, store: StoreId, date: Date, yesterday: bool, now: Timestamp) -> Option<Totals> {
        let keep = if yesterday { Delay::seconds(300) } else { Delay::hours(1) };
        let memo = self.0.lock().ok()?;
        let (totals, at) = memo.get(&(store, date))?;
        (now >= *at && now < at.plus(keep)).then_some(*totals)
    }

    fn put(&self, store: StoreId, date: Date, totals: Totals, now: Timestamp) {
        if let Ok(mut memo) = self.0.lock() {
            if memo.len() > 1_000 {
                memo.clear();
            }
            memo.insert((store, date), (totals, now));
        }
    }
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
        curve: curve(format, desk.now, loaded, today, before),
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
        due: due(format, &desk.store, desk.now, today, &loaded.due, &loaded.names),
    }
}

fn recap(
    format: &Format,
    now: Totals,
    before: Totals,
    moved: Option<&Moved>,
    weekday: &str,
) -> Html {
    let gmv = format.money_in_text(now.gmv);
    let change = now.gmv - before.gmv;
    let by = format.money_in_text(change.abs());
    let key = match (now.gmv, before.gmv, change) {
        (0, 0, _) => "recap.none",
        (_, 0, _) => "recap.first",
        (_, _, 0) => "recap.same",
        (_, _, 1..) => "recap.above",
        _ => "recap.below",
    };
    let mut html = format.html(key, &[("gmv", &gmv), ("by", &by), ("day", weekday)]);
    let Some(moved) = moved.filter(|_| change != 0) else { return html };
    let mut gains = Vec::new();
    let mut losses = Vec::new();
    for (name, part) in [
        ("visitors", moved.visitors),
        ("conversion", moved.conversion),
        ("order_value", moved.order_value),
    ] {
        // What moved next to nothing is left to the table.
        if part.abs() * 50 < change.abs().max(1) || part == 0 {
            continue;
        }
        let way = if part > 0 { "up" } else { "down" };
        let text = format.text(
            &format!("recap.{name}_{way}"),
            &[("share", &unbroken(&format.money_change(part)))],
        );
        if part > 0 { gains.push(text) } else { losses.push(text) }
    }
    let (gains, losses) = (words::list(format, &gains), words::list(format, &losses));
    let causes = match (gains.is_empty(), losses.is_empty()) {
        (false, false) => format.html("recap.both", &[("gains", &gains), ("losses", &losses)]),
        (false, true) => format.html("recap.gains", &[("gains", &gains)]),
        (true, false) => format.html("recap.losses", &[("losses", &losses)]),
        (true, true) => Html::default(),
    };
    html.0.push_str(&causes.0);
    html
}

/// No line ends between a sign and its figure.
fn unbroken(text: &str) -> String {
    text.replace('+', "+\u{2060}").replace('−', "−\u{2060}")
}

fn figures(format: &Format, loaded: &Loaded, before: Day) -> Vec<Figure> {
    let (now, then) = (loaded.today, loaded.before);
    let days = |value: fn(&Totals) -> Option<f64>| -> Vec<Option<f64>> {
        // The days so far in full; today, being half, is no point of the line.
        loaded.days.iter().map(|(_, totals)| value(totals)).collect()
    };
    let label = format.count("today.spark", SPARK_DAYS - 1);
    let spark = |value: fn(&Totals) -> Option<f64>| chart::spark(&days(value), label.clone());
    let money = |minor: Option<f64>| {
        minor.map_or(UNKNOWN.to_owned(), |m| format.money_exact(m.round() as i64))
    };
    let against = format.text("today.against", &[("day", format.weekday_short(before.date))]);
    let figure = |key: &str, value: String, new: Option<f64>, old: Option<f64>, spark| {
        let (change, way) = relative(format, new, old);
        Figure {
            name: format.text(&format!("figure.{key}"), &[]),
            definition: format.text(&format!("figure.{key}_is"), &[]),
            value,
            change,
            way,
            spark,
            ..Figure::default()
        }
    };
    let whole = |n: i64| Some(n as f64);
    let mut figures = vec![
        figure(
            "gmv",
            format.money(now.gmv),
            whole(now.gmv),
            whole(then.gmv),
            spark(|t| Some(t.gmv as f64)),
        ),
        figure(
            "visitors",
            format.number(now.visitors),
            whole(now.visitors),
            whole(then.visitors),
            spark(|t| Some(t.visitors as f64)),
        ),
        figure(
            "conversion",
            now.conversion().map_or(UNKNOWN.to_owned(), |c| format.percent(c, 2)),
            None,
            None,
            spark(Totals::conversion),
        ),
        figure(
            "order_value",
            money(now.order_value()),
            now.order_value(),
            then.order_value(),
            spark(Totals::order_value),
        ),
        figure(
            "buyers",
            format.number(now.buyers),
            whole(now.buyers),
            whole(then.buyers),
            spark(|t| Some(t.buyers as f64)),
        ),
        figure(
            "visitor_value",
            money(now.visitor_value()),
            now.visitor_value(),
            then.visitor_value(),
            spark(Totals::visitor_value),
        ),
    ];
    figures[0].note = against;
    (figures[1].sign, figures[2].sign, figures[3].sign) = ("=", "×", "×");
    match (now.conversion(), then.conversion()) {
        (Some(new), Some(old)) => {
            // A share moves by points: a per cent of a per cent would mislead.
            let points = (new - old) * 100.0;
            figures[2].way = way(points, 0.005);
            let size = format!("{:.2}", points.abs());
            figures[2].change = format.text("figure.points", &[("n", &size)]);
        }
        (None, _) if now.buyers > now.visitors => {
            figures[2].note = format.text("figure.unseen_buyers", &[]);
        }
        _ => {}
    }
    figures
}

fn relative(format: &Format, new: Option<f64>, old: Option<f64>) -> (String, &'static str) {
    match (new, old) {
        (Some(new), Some(old)) if old > 0.0 => {
            let change = new / old - 1.0;
            let way = way(change, 0.0005);
            (format.percent(change.abs(), 1), way)
        }
        _ => (String::new(), ""),
    }
}

fn way(change: f64, least: f64) -> &'static str {
    if change >= least {
        "up"
    } else if change <= -least {
        "down"
    } else {
        "same"
    }
}

fn moved_rows(format: &Format, loaded: &Loaded, moved: &Moved) -> Vec<MovedRow> {
    let (now, then) = (loaded.today, loaded.before);
    let widest = [moved.visitors, moved.conversion, moved.order_value]
        .iter()
        .map(|part| part.abs())
        .max()
        .unwrap_or(1)
        .max(1);
    let row = |key: &str, then: String, now: String, ratio: Option<f64>, part: i64| {
        let width = part.abs() as f64 / widest as f64 * 46.0;
        MovedRow {
            name: format.text(&format!("figure.{key}"), &[]),
            definition: format.text(&format!("figure.{key}_is"), &[]),
            then,
            now,
            change: ratio.map_or(UNKNOWN.to_owned(), |ratio| signed_percent(format, ratio - 1.0)),
            share: format.money_change(part),
            good: part >= 0,
            x: coordinate(if part >= 0 { 50.0 } else { 50.0 - width }),
            width: coordinate(width),
        }
    };
    let percent = |c: Option<f64>| c.map_or(UNKNOWN.to_owned(), |c| format.percent(c, 2));
    let money =
        |m: Option<f64>| m.map_or(UNKNOWN.to_owned(), |m| format.money_exact(m.round() as i64));
    let ratio = |new: Option<f64>, old: Option<f64>| Some(new? / old?);
    vec![
        row(
            "visitors",
            format.number(then.visitors),
            format.number(now.visitors),
            ratio(Some(now.visitors as f64), Some(then.visitors as f64)),
            moved.visitors,
        ),
        row(
            "conversion",
            percent(then.conversion()),
            percent(now.conversion()),
            ratio(now.conversion(), then.conversion()),
            moved.conversion,
        ),
        row(
            "order_value",
            money(then.order_value()),
            money(now.order_value()),
            ratio(now.order_value(), then.order_value()),
            moved.order_value,
        ),
    ]
}

fn moved_total(format: &Format, loaded: &Loaded) -> MovedRow {
    let (now, then) = (loaded.today.gmv, loaded.before.gmv);
    MovedRow {
        name: format.text("figure.gmv", &[]),
        definition: format.text("figure.gmv_is", &[]),
        then: format.money(then),
        now: format.money(now),
        change: if then > 0 {
            signed_percent(format, now as f64 / then as f64 - 1.0)
        } else {
            UNKNOWN.to_owned()
        },
        share: format.money_change(now - then),
        ..MovedRow::default()
    }
}

fn signed_percent(format: &Format, share: f64) -> String {
    let text = format.percent(share, 1);
    if share > 0.0 { format!("+{text}") } else { text }
}

/// Height of the plot above its axis, and the room left on top for labels.
const AXIS: f64 = 208.0;
const TOP: f64 = 34.0;

fn curve(
    format: &Format,
    now: Timestamp,
    loaded: &Loaded,
    today: Day,
    before: Day,
) -> Option<Curve> {
    let running = |hours: &[i64; 24]| {
        let mut sum = 0;
        let mut sums = vec![0];
        sums.extend(hours.iter().map(|n| {
            sum += n;
            sum
        }));
        sums
    };
    let past = running(&loaded.hours_before);
    let all = running(&loaded.hours);
    let past_total = past[24];
    let highest = past_total.max(loaded.today.gmv);
    if highest <= 0 {
        return None;
    }
    let y = |minor: i64| AXIS - minor as f64 / highest as f64 * (AXIS - TOP);
    let x = |hour: f64| hour / 24.0 * 100.0;
    let elapsed = ((now.0 - today.start.0) as f64 / 3_600e6).clamp(0.0, 24.0);
    let whole = elapsed.floor() as usize;

    let mut line: Vec<(f64, f64)> =
        (0..=whole.min(24)).map(|hour| (x(hour as f64), y(all[hour]))).collect();
    line.push((x(elapsed), y(loaded.today.gmv)));
    let mut area = line.clone();
    area.push((x(elapsed), AXIS));
    area.insert(0, (0.0, AXIS));

    let step = chart::step(highest);
    let grid = (1..=3)
        .map(|n| n * step)
        .take_while(|minor| *minor <= highest)
        .map(|minor| Grid {
            y: coordinate(y(minor)),
            label_y: coordinate(y(minor) - 5.0),
            label: format.money(minor),
        })
        .collect();
    let then = format.date_with_weekday(before.date);
    let today_word = format.text("nav.today", &[]);
    let hours = (0..24)
        .map(|hour| {
            let span = format!("{hour:02}:00–{:02}:00", hour + 1);
            let mut parts = vec![format!("{then} {}", format.money(loaded.hours_before[hour]))];
            if hour <= whole {
                parts.insert(0, format!("{today_word} {}", format.money(loaded.hours[hour])));
            }
            Bar {
                x: coordinate(x(hour as f64)),
                title: format!("{span}: {}", parts.join(&format.text("list_comma", &[]))),
                ..Bar::default()
            }
        })
        .collect();
    let mut rows: Vec<[String; 3]> = [6, 12, 18]
        .into_iter()
        .filter(|hour| *hour <= whole)
        .map(|hour| [format!("{hour:02}:00"), format.money(all[hour]), format.money(past[hour])])
        .collect();
    let clock = format.clock(now);
    rows.push([clock.clone(), format.money(loaded.today.gmv), format.money(loaded.before.gmv)]);
    rows.push(["24:00".to_owned(), UNKNOWN.to_owned(), format.money(past_total)]);

    let now_y = y(loaded.today.gmv);
    Some(Curve {
        title: format.text(
            "today.curve_title",
            &[
                ("now", &format.money(loaded.today.gmv)),
                ("clock", &clock),
                ("then", &format.money(loaded.before.gmv)),
                ("end", &format.money(past_total)),
            ],
        ),
        unit: format.text("today.curve_unit", &[("currency", format.currency.as_str())]),
        grid,
        past: chart::points((0..=24).map(|hour| (x(hour as f64), y(past[hour])))),
        area: chart::points(area.into_iter()),
        today: chart::points(line.into_iter()),
        now_x: coordinate(x(elapsed)),
        now_y: coordinate(now_y),
        label_y: coordinate((now_y - 10.0).max(26.0)),
        label_left: elapsed > 4.0,
        now_label: format!("{today_word} {}", format.money(loaded.today.gmv)),
        past_label: format!("{then} {}", format.money(past_total)),
        hours,
        ticks: hour_ticks(&[0, 6, 12, 18, 24]),
        rows,
    })
}

fn hour_ticks(hours: &[i32]) -> Vec<Tick> {
    hours
        .iter()
        .map(|hour| Tick {
            x: coordinate(f64::from(*hour) / 24.0 * 100.0),
            anchor: match hour {
                0 => "start",
                24 => "end",
                _ => "middle",
            },
            text: format!("{hour:02}:00"),
            desk: false,
        })
        .collect()
}

fn alarm_lines(format: &Format, alarms: &[Alarm]) -> Vec<AlarmLine> {
    alarms
        .iter()
        .map(|alarm| {
            let (key, tone, n, href, code) = match alarm {
                Alarm::InDoubt(n) => ("in_doubt", "warn", *n, "/outbox?status=in_doubt", ""),
                Alarm::FailedToday(n) => ("failed", "risk", *n, "/outbox?status=failed", ""),
                Alarm::NoSender => ("no_sender", "risk", 0, "", "homing apply shop.toml"),
                Alarm::NoPostalAddress => ("no_postal", "risk", 0, "", "homing apply shop.toml"),
                Alarm::NoSmtp => ("no_smtp", "risk", 0, "", "HOMING_SMTP_URL"),
                Alarm::NeverScored => ("never_scored", "warn", 0, "", "homing score"),
                Alarm::ScoresOld(_) => ("scores_old", "warn", 0, "", "homing score"),
                Alarm::ScoresHistoric(_) => ("scores_historic", "warn", 0, "", "homing score"),
            };
            let title = match alarm {
                Alarm::InDoubt(_) | Alarm::FailedToday(_) => {
                    format.count(&format!("alarm.{key}.title"), n)
                }
                _ => format.text(&format!("alarm.{key}.title"), &[]),
            };
            let text = match alarm {
                Alarm::ScoresOld(at) | Alarm::ScoresHistoric(at) => {
                    format.text(&format!("alarm.{key}.text"), &[("when", &format.day(*at))])
                }
                _ => format.text(&format!("alarm.{key}.text"), &[]),
            };
            let link = if href.is_empty() {
                String::new()
            } else {
                format.text(&format!("alarm.{key}.link"), &[])
            };
            AlarmLine { tone, title, text, href, link, code }
        })
        .collect()
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

fn went_out_rows(
    format: &Format,
    went_out: &HashMap<i64, WentOut>,
    names: &HashMap<i64, RuleName>,
) -> (Vec<WentOutRow>, WentOutRow) {
    let row = |out: WentOut| WentOutRow {
        sent: format.number(out.sent),
        orders: format.number(out.orders),
        share: if out.sent > 0 {
            format.percent(out.orders as f64 / out.sent as f64, 1)
        } else {
            UNKNOWN.to_owned()
        },
        credited: format.money(out.credited),
        ..WentOutRow::default()
    };
    let mut listed: Vec<_> =
        went_out.iter().filter_map(|(id, out)| Some((names.get(id)?, *out))).collect();
    listed.sort_by(|(a, x), (b, y)| y.sent.cmp(&x.sent).then_with(|| a.key.cmp(&b.key)));
    let sum = listed.iter().fold(WentOut::default(), |sum, (_, out)| WentOut {
        sent: sum.sent + out.sent,
        orders: sum.orders + out.orders,
        credited: sum.credited + out.credited,
    });
    let rows = listed
        .into_iter()
        .map(|(name, out)| WentOutRow {
            rule: name.name.clone(),
            href: format!("/rules/{}", name.key),
            ..row(out)
        })
        .collect();
    (rows, row(sum))
}

/// `planned = scheduled + sending + sent + failed + cancelled + in doubt`, each part a link to its rows.
pub fn reconciliation(format: &Format, line: &Reconciliation) -> Vec<Part> {
    outbox::STATUSES
        .iter()
        .zip(line.by_status)
        .map(|(status, n)| Part {
            n: format.number(n),
            text: words::known(format, "status", status),
            href: format!("/outbox?status={status}"),
        })
        .collect()
}

fn due(
    format: &Format,
    store: &Store,
    now: Timestamp,
    today: Day,
    due: &Due,
    names: &HashMap<i64, RuleName>,
) -> DuePart {
    let (sent, to_go): (i64, i64) = (due.sent.iter().sum(), due.to_go.iter().sum());
    let highest = (0..24).map(|h| due.sent[h] + due.to_go[h]).max().unwrap_or(0).max(1);
    let size = |n: i64| n as f64 / highest as f64 * 84.0;
    let bars = (0..24)
        .filter(|h| due.sent[*h] + due.to_go[*h] > 0)
        .map(|h| {
            let (sent, to_go) = (size(due.sent[h]), size(due.to_go[h]));
            let hours = format!("{h:02}:00–{:02}:00", h + 1);
            Bar {
                x: coordinate(h as f64 / 24.0 * 100.0 + 0.4),
                title: format.text(
                    "due.bar",
                    &[
                        ("hours", &hours),
                        ("sent", &format.number(due.sent[h])),
                        ("to_go", &format.number(due.to_go[h])),
                    ],
                ),
                sent_y: coordinate(104.0 - sent),
                sent_height: coordinate(sent),
                to_go_y: coordinate(104.0 - sent - to_go),
                to_go_height: coordinate(if sent > 0.0 { (to_go - 1.0).max(0.0) } else { to_go }),
            }
        })
        .collect();
    let elapsed = ((now.0 - today.start.0) as f64 / 864e6).clamp(0.0, 100.0);
    let mut ticks = hour_ticks(&[0, 6, 12, 18, 24]);
    let quiet = store.sending.quiet_hours.map_or(Vec::new(), quiet_spans);
    if let Some(hours) = store.sending.quiet_hours {
        ticks =
            hour_ticks(&[0, i32::from(hours.until.hour()), 12, i32::from(hours.from.hour()), 24]);
        ticks.sort_by(|a, b| a.text.cmp(&b.text));
        ticks.dedup();
    }
    let values = [
        ("all", format.number(sent + to_go)),
        ("sent", format.number(sent)),
        ("to_go", format.number(to_go)),
    ];
    let values: Vec<(&str, &str)> = values.iter().map(|(n, v)| (*n, v.as_str())).collect();
    DuePart {
        sub: format.text("due.sub", &values),
        title: format.text("due.title", &values),
        bars,
        quiet,
        now_x: coordinate(elapsed),
        ticks,
        rules: due
            .by_rule
            .iter()
            .filter_map(|(id, n)| {
                let name = names.get(id)?;
                Some(Line {
                    text: name.name.clone(),
                    href: format!("/outbox?status=scheduled&rule={}", name.key),
                    value: format.number(*n),
                })
            })
            .collect(),
        any: sent + to_go > 0,
    }
}

/// Where the night lies on the axis of a day.
fn quiet_spans(hours: QuietHours) -> Vec<(String, String)> {
    let at = |time: jiff::civil::Time| {
        (f64::from(time.hour()) + f64::from(time.minute()) / 60.0) / 24.0 * 100.0
    };
    let (from, until) = (at(hours.from), at(hours.until));
    if from <= until {
        vec![(coordinate(from), coordinate(until - from))]
    } else {
        vec![("0".to_owned(), coordinate(until)), (coordinate(from), coordinate(100.0 - from))]
    }
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
                hours: vec![Bar::default()],
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
                bars: vec![Bar::default()],
                quiet: vec![(text("0"), text("37.5"))],
                rules: vec![Line::default()],
                ticks: vec![Tick { anchor: "start", ..Tick::default() }],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_night_is_drawn_around_midnight() {
        let hours: QuietHours = "21:00-09:00".parse().unwrap();
        let text = |x: &str| x.to_owned();
        assert_eq!(quiet_spans(hours), [(text("0"), text("37.5")), (text("87.5"), text("12.5"))]);
        let noon: QuietHours = "12:00-15:00".parse().unwrap();
        assert_eq!(quiet_spans(noon), [(text("50"), text("12.5"))]);
    }
}
