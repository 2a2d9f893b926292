//! `/movements`: who moved from which segment to which.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::error::PageError;
use super::format::{Format, UNKNOWN};
use super::html::Html;
use super::render::Screen;
use super::shell::Room;
use super::words::{self, Mark};
use crate::db::{Conn, DbError};
use crate::primitives::Delay;
use crate::reports::movements::{self as report, Movement, Movements};
use crate::scoring::Segment;

/// Days that can be chosen.
const PERIODS: [i64; 3] = [7, 28, 90];
/// Rows of the largest movements.
const LARGEST: usize = 15;

#[derive(Debug, Default, Serialize)]
pub struct MovementsPage {
    pub since: String,
    pub periods: Vec<Period>,
    pub recap: Html,
    pub rows: Vec<MoveRow>,
    pub columns: Vec<String>,
    pub matrix: Vec<MatrixRow>,
}

#[derive(Debug, Default, Serialize)]
pub struct Period {
    pub href: String,
    pub name: String,
    pub current: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct MoveRow {
    /// `None`: not a buyer before.
    pub from: Option<Mark>,
    pub to: Mark,
    pub customers: String,
    pub revenue: String,
    /// To the worklist of those who are there now, where it holds them.
    pub href: String,
}

#[derive(Debug, Default, Serialize)]
pub struct MatrixRow {
    pub name: String,
    pub cells: Vec<String>,
}

#[derive(Deserialize)]
pub struct Query {
    days: Option<String>,
}

pub async fn page(desk: Desk, query: web::Query<Query>) -> Result<HttpResponse, PageError> {
    let asked = query.days.as_deref().and_then(|raw| raw.parse().ok());
    let days = PERIODS.into_iter().find(|days| asked == Some(*days)).unwrap_or(28);
    let (store, pages, db) = (desk.store.clone(), desk.pages.clone(), desk.app.db.clone());
    let (now, from) = (desk.now, desk.now.minus(Delay::days(days)));
    let found = desk
        .read(move |conn| {
            let key = (store.id, days);
            let find = move |conn: &mut Conn| report::movements(conn, &store, from, now);
            pages.sums.movements.get(key, &db, conn, find).map_err(DbError::from)
        })
        .await?;
    desk.page(Room::AtRisk, &build(&desk.format, &found, days))
}

fn build(format: &Format, found: &Movements, days: i64) -> MovementsPage {
    // Visitors who grow cold are many, and no movement among those who buy.
    let of_buyers: Vec<&Movement> =
        found.items.iter().filter(|one| rank(Some(&one.to)).is_some()).collect();
    let is_up = |one: &&&Movement| rank(one.from.as_deref()) < rank(Some(&one.to));
    let is_down = |one: &&&Movement| rank(one.from.as_deref()) > rank(Some(&one.to));
    let knew = |one: &&&Movement| rank(one.from.as_deref()).is_some();
    let sum = |of: &mut dyn Iterator<Item = &&Movement>| of.map(|one| one.customers).sum::<i64>();
    let up = sum(&mut of_buyers.iter().filter(knew).filter(is_up));
    let down = sum(&mut of_buyers.iter().filter(knew).filter(is_down));
    let first = sum(&mut of_buyers.iter().filter(|one| !knew(one)));
    let (matrix, columns) = matrix(format, &of_buyers);
    MovementsPage {
        since: format.text("movements.since", &[("day", &format.day(found.from))]),
        periods: PERIODS
            .into_iter()
            .map(|n| Period {
                href: format!("/movements?days={n}"),
                name: format.text("today.last", &[("n", &n.to_string())]),
                current: n == days,
            })
            .collect(),
        recap: match of_buyers.is_empty() {
            true => Html::default(),
            false => format.html(
                "movements.recap",
                &[
                    ("up", &format.count("movements.people", up)),
                    ("down", &format.count("movements.people", down)),
                    ("first", &format.count("movements.people", first)),
                ],
            ),
        },
        rows: of_buyers.iter().take(LARGEST).map(|one| row(format, one)).collect(),
        columns,
        matrix,
    }
}

/// How good it is to be there; `None` for who is no buyer.
fn rank(segment: Option<&str>) -> Option<u8> {
    Some(match segment?.parse::<Segment>().ok()? {
        Segment::Champions | Segment::LoyalCustomers => 4,
        Segment::PotentialLoyalists | Segment::NewCustomers | Segment::Promising => 3,
        Segment::NeedAttention | Segment::AboutToSleep => 2,
        Segment::AtRisk | Segment::CantLoseThem => 1,
        Segment::Hibernating | Segment::Lost => 0,
    })
}

fn row(format: &Format, one: &Movement) -> MoveRow {
    let listed = crate::reports::at_risk::SEGMENTS.contains(&one.to.as_str());
    MoveRow {
        from: one
            .from
            .as_deref()
            .filter(|from| rank(Some(from)).is_some())
            .map(|from| words::segment(format, from)),
        to: words::segment(format, &one.to),
        customers: format.number(one.customers),
        revenue: format.money(one.revenue.minor),
        href: if listed { format!("/at-risk?segment={}", one.to) } else { String::new() },
    }
}

/// From the rows' segments to the columns'; only those that anybody left or entered.
fn matrix(format: &Format, of_buyers: &[&Movement]) -> (Vec<MatrixRow>, Vec<String>) {
    let was = |one: &Movement| one.from.clone().filter(|from| rank(Some(from)).is_some());
    let names = Segment::ALL.iter().map(|segment| segment.as_str());
    let columns: Vec<&str> =
        names.clone().filter(|name| of_buyers.iter().any(|one| one.to == *name)).collect();
    let rows = names.map(Some).chain([None]);
    let rows = rows
        .filter(|from| of_buyers.iter().any(|one| was(one).as_deref() == *from))
        .map(|from| MatrixRow {
            name: match from {
                Some(from) => words::known(format, "segment", from),
                None => format.text("movements.nobody", &[]),
            },
            cells: columns
                .iter()
                .map(|to| {
                    let cell = of_buyers
                        .iter()
                        .filter(|one| was(one).as_deref() == from && one.to == *to)
                        .map(|one| one.customers)
                        .sum::<i64>();
                    if cell > 0 { format.number(cell) } else { UNKNOWN.to_owned() }
                })
                .collect(),
        })
        .collect();
    (rows, columns.iter().map(|to| words::known(format, "segment", to)).collect())
}

impl Screen for MovementsPage {
    const TEMPLATE: &'static str = "movements.html";

    fn samples() -> Vec<Self> {
        let full = Self {
            periods: vec![Period { current: true, ..Period::default() }, Period::default()],
            recap: Html("<b>3 people</b>".into()),
            rows: vec![
                MoveRow {
                    from: Some(Mark::default()),
                    href: "/at-risk".into(),
                    ..MoveRow::default()
                },
                MoveRow::default(),
            ],
            columns: vec!["Lost".into()],
            matrix: vec![MatrixRow { name: "New".into(), cells: vec!["3".into()] }],
            ..Self::default()
        };
        vec![full, Self::default()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Lang;
    use super::super::format::tests::format;
    use super::*;
    use crate::primitives::{Money, Timestamp};

    fn moved(from: Option<&str>, to: &str, customers: i64) -> Movement {
        let revenue = Money::new(customers * 100, "CNY".parse().unwrap());
        Movement { from: from.map(str::to_owned), to: to.to_owned(), customers, revenue }
    }

    #[test]
    fn up_down_and_first_orders_are_told_apart_and_visitors_left_out() {
        let items = vec![
            moved(Some("new_visitors"), "gone_visitors", 900),
            moved(Some("loyal_customers"), "at_risk", 30),
            moved(Some("hot_prospects"), "new_customers", 12),
            moved(None, "new_customers", 5),
            moved(Some("lost"), "promising", 2),
        ];
        let found = Movements { from: Timestamp(0), to: Timestamp(1), moved: 0, entered: 0, items };
        let page = build(&format(Lang::En, "CNY"), &found, 28);
        for part in ["2 customers", "30 customers", "17 customers"] {
            assert!(page.recap.0.contains(part), "{part}: {}", page.recap.0);
        }
        assert_eq!(page.rows.len(), 4);
        assert_eq!(page.rows[0].href, "/at-risk?segment=at_risk");
        let first: &MatrixRow = page.matrix.last().unwrap();
        assert!(first.cells.contains(&"17".to_owned()), "{first:?}");
    }
}
