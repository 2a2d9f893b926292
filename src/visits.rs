//! Visits: facts of behaviour less than 30 minutes apart. The fold makes them; this is their table.

use diesel::prelude::*;
use diesel::upsert::excluded;

use crate::customers::{OpenVisit, VisitDepth};
use crate::db::Conn;
use crate::db::schema::visits;
use crate::each_backend;
use crate::primitives::{CustomerId, Delay, StoreId, Timestamp};

/// Two facts of behaviour this far apart are in different visits.
pub const GAP: Delay = Delay::seconds(30 * 60);

#[derive(Debug, Clone, PartialEq, HasQuery, Insertable)]
#[diesel(table_name = visits, treat_none_as_default_value = false)]
pub struct Visit {
    pub customer_id: CustomerId,
    pub started_at: Timestamp,
    pub store_id: StoreId,
    pub ended_at: Timestamp,
    pub page_views: i32,
    pub product_views: i32,
    pub depth: VisitDepth,
    pub channel: Option<String>,
    pub campaign: Option<String>,
}

impl Visit {
    pub fn new(customer_id: CustomerId, store_id: StoreId, visit: &OpenVisit) -> Self {
        Self {
            customer_id,
            started_at: visit.started_at,
            store_id,
            ended_at: visit.ended_at,
            page_views: visit.page_views,
            product_views: visit.product_views,
            depth: visit.depth,
            channel: visit.channel.clone(),
            campaign: visit.campaign.clone(),
        }
    }
}

pub fn save(conn: &mut Conn, rows: &[Visit]) -> QueryResult<()> {
    for part in rows.chunks(3_000) {
        each_backend!(&mut *conn, c => diesel::insert_into(visits::table)
            .values(part)
            .on_conflict((visits::customer_id, visits::started_at))
            .do_update()
            .set((
                visits::ended_at.eq(excluded(visits::ended_at)),
                visits::page_views.eq(excluded(visits::page_views)),
                visits::product_views.eq(excluded(visits::product_views)),
                visits::depth.eq(excluded(visits::depth)),
                visits::channel.eq(excluded(visits::channel)),
                visits::campaign.eq(excluded(visits::campaign)),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// All visits of `customers`, for each in order of time.
pub fn of(conn: &mut Conn, customers: &[CustomerId]) -> QueryResult<Vec<Visit>> {
    let mut found = Vec::new();
    for part in customers.chunks(3_000) {
        let query = Visit::query().filter(visits::customer_id.eq_any(part));
        found.extend(query.order((visits::customer_id, visits::started_at)).get_results(conn)?);
    }
    Ok(found)
}

pub fn delete_all(conn: &mut Conn, customers: &[CustomerId]) -> QueryResult<()> {
    for part in customers.chunks(3_000) {
        diesel::delete(visits::table.filter(visits::customer_id.eq_any(part))).execute(conn)?;
    }
    Ok(())
}
