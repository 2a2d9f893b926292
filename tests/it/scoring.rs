//! Scores as they are stored: on both databases, run after run.

use diesel::prelude::*;
use homing::db::schema::{self, customers, rollups, scores, segment_history};
use homing::db::{Conn, Db, DbError};
use homing::journal::{
    Body, Context, Identifiers, Journal, NewFact, OrderStated, OrderStatus, Source,
};
use homing::primitives::{Currency, CustomerId, Delay, Money, StoreId, Timestamp};
use homing::reports::calibration::calibration;
use homing::reports::movements::movements;
use homing::scoring::store::{score_of, shown};
use homing::scoring::why_now::Language;
use homing::scoring::worklist::{WorklistQuery, worklist};
use homing::scoring::{self, Report, ScoreError, Segment, VisitorSegment};
use homing::stores::{self, Store};

use crate::on_both_backends;
use crate::support::TestDb;
use crate::support::shop::{orders, puts_in_basket, views};

const DAY: i64 = 86_400_000_000;

fn default_store(db: &Db) -> Store {
    db.read_here(|conn| stores::store::find(conn, StoreId(1)).map_err(DbError::from)).unwrap()
}

/// A customer with a rollup of nothing.
fn insert_nobody(conn: &mut Conn, id: i64) -> QueryResult<()> {
    diesel::insert_into(customers::table)
        .values((
            customers::id.eq(id),
            customers::store_id.eq(1_i64),
            customers::identified.eq(true),
            customers::tags.eq("[]"),
            customers::traits.eq("{}"),
            customers::consent.eq("none"),
            customers::created_at.eq(0_i64),
        ))
        .execute(conn)?;
    diesel::insert_into(rollups::table)
        .values((
            rollups::customer_id.eq(id),
            rollups::store_id.eq(1_i64),
            (rollups::changed_at.eq(0_i64), rollups::position_at.eq(0_i64)),
            rollups::position_key.eq(""),
            (rollups::visits_count.eq(0), rollups::page_views.eq(0), rollups::product_views.eq(0)),
            (rollups::carts_count.eq(0), rollups::checkouts_count.eq(0)),
            rollups::visit_product_views.eq(0),
            (rollups::orders_count.eq(0), rollups::order_days.eq(0), rollups::foreign_orders.eq(0)),
            rollups::spent.eq(0_i64),
            rollups::state.eq("{}"),
        ))
        .execute(conn)?;
    Ok(())
}

/// Sets what a buyer's rollup says.
fn buys(conn: &mut Conn, id: i64, order_days: i32, spent: i64, last: Timestamp) -> QueryResult<()> {
    let zone = homing::primitives::Zone::utc();
    diesel::update(rollups::table.find(id))
        .set((
            (rollups::orders_count.eq(order_days), rollups::order_days.eq(order_days)),
            rollups::spent.eq(spent),
            rollups::first_order_at.eq(last.0 - i64::from(order_days - 1) * 20 * DAY),
            (rollups::last_order_at.eq(last.0), rollups::last_order_day.eq(last.day_number(&zone))),
            rollups::median_gap_days.eq((order_days > 1).then_some(20.0)),
            rollups::log_gap_sum.eq(f64::from(order_days - 1) * 20_f64.ln()),
            rollups::last_order_value.eq(spent / i64::from(order_days.max(1))),
        ))
        .execute(conn)?;
    Ok(())
}

/// Ten buyers who are silent for 10, 20, … 100 days; the longer, the more they had bought.
fn ten_buyers(test: &TestDb) {
    let now = test.now;
    test.db
        .write_here(|conn| -> Result<(), DbError> {
            for n in 1..=10_i64 {
                insert_nobody(conn, n)?;
                buys(conn, n, 1 + n as i32, n * 1_000, Timestamp(now.0 - n * 10 * DAY))?;
            }
            Ok(())
        })
        .unwrap();
}

fn history(db: &Db, id: i64) -> Vec<(i64, String)> {
    db.read_here(|conn| {
        segment_history::table
            .filter(segment_history::customer_id.eq(id))
            .order(segment_history::since)
            .select((segment_history::since, segment_history::segment))
            .load(conn)
            .map_err(DbError::from)
    })
    .unwrap()
}

/// The real log as a file of orders would tell it: one order a row, placed at noon.
fn cdnow_orders() -> Vec<NewFact> {
    let mut reader = csv::Reader::from_path("tests/data/cdnow_sample_log.csv").unwrap();
    let mut facts = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let record = record.unwrap();
        let currency: Currency = "USD".parse().unwrap();
        let placed_at: Timestamp = format!("{}T12:00:00Z", &record[2]).parse().unwrap();
        let order = OrderStated {
            order_id: format!("row-{line}"),
            status: OrderStatus::Paid,
            placed_at: Some(placed_at),
            total: Money::parse(&record[4], &currency).unwrap().minor,
            currency,
            refunded: None,
            coupon: None,
            channel: None,
            lines: vec![],
        };
        facts.push(NewFact {
            source: Source::Csv,
            source_key: order.order_id.clone(),
            occurred_at: placed_at,
            live: false,
            identifiers: Identifiers {
                external_id: Some(record[1].to_owned()),
                ..Identifiers::default()
            },
            body: Body::OrderStated(order),
            context: Context::default(),
        });
    }
    facts
}

/// `n` buyers who order about every three weeks for 300 days; every third one stopped after 100.
fn regulars(test: &TestDb, n: i64) -> Vec<NewFact> {
    let store = default_store(&test.db);
    let start = test.now.0 - 300 * DAY;
    (1..=n)
        .flat_map(|who| {
            let gap = 15 + who % 11;
            let days = if who % 3 == 0 { 100 } else { 299 };
            let placed = (0..).map(move |k| who % 14 + k * gap).take_while(move |day| *day < days);
            placed.enumerate().map(move |(k, day)| (who, k, Timestamp(start + day * DAY)))
        })
        .map(|(who, k, at)| regular_order(&store, who, k, at))
        .collect()
}

fn regular_order(store: &Store, who: i64, k: usize, at: Timestamp) -> NewFact {
    let order = OrderStated {
        order_id: format!("r{who}-{k}"),
        status: OrderStatus::Paid,
        placed_at: Some(at),
        total: 2_000 + who * 10,
        currency: store.currency.clone(),
        refunded: None,
        coupon: None,
        channel: None,
        lines: vec![],
    };
    NewFact {
        source: Source::Csv,
        source_key: order.order_id.clone(),
        occurred_at: at,
        live: false,
        identifiers: Identifiers { external_id: Some(format!("r{who}")), ..Identifiers::default() },
        body: Body::OrderStated(order),
        context: Context::default(),
    }
}

/// That the newest edition of the at-risk list holds whom the scores put on it: each once among all and once in their
/// segment. Returns how many, and which edition.
fn listed(db: &Db) -> (usize, i64) {
    use schema::{at_risk_list, scoring_runs};
    db.read_here(|conn| -> Result<_, DbError> {
        let edition: i64 = scoring_runs::table
            .filter(scoring_runs::historic.eq(false).and(scoring_runs::finished.eq(true)))
            .order(scoring_runs::id.desc())
            .select(scoring_runs::edition.assume_not_null())
            .first(conn)?;
        let entries: Vec<(String, f64, i64, i64, i64)> = at_risk_list::table
            .filter(at_risk_list::edition.eq(edition))
            .order((at_risk_list::segment, at_risk_list::customer_id))
            .select((
                at_risk_list::segment,
                at_risk_list::risk_rank,
                at_risk_list::customer_id,
                at_risk_list::spent,
                at_risk_list::value,
            ))
            .load(conn)?;
        let scored: Vec<(String, f64, i64, i64, Option<i64>)> = scores::table
            .filter(scores::risk_rank.is_not_null())
            .order((scores::segment, scores::customer_id))
            .select((
                scores::segment,
                scores::risk_rank.assume_not_null(),
                scores::customer_id,
                scores::spent,
                scores::value_at_risk,
            ))
            .load(conn)?;
        let scored = scored.into_iter().map(|(segment, rank, id, spent, value)| {
            (segment, rank, id, spent, value.unwrap_or(spent))
        });
        let (mut all, segments): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(segment, ..)| segment.is_empty());
        assert_eq!(segments, scored.collect::<Vec<_>>());
        for entry in &mut all {
            let own = segments.iter().find(|(_, _, id, ..)| *id == entry.2);
            entry.0.clone_from(&own.expect("one of a segment").0);
        }
        all.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
        assert_eq!(all, segments);
        Ok((all.len(), edition))
    })
    .unwrap()
}

fn segments(report: &Report) -> Vec<u64> {
    let counts = &report.run.summary.segments;
    Segment::ALL.iter().map(|segment| counts[segment].customers).collect()
}

fn at(raw: &str, store: &Store) -> Timestamp {
    Timestamp::parse_or_end_of_day(raw, &store.timezone).unwrap()
}

on_both_backends! {
    async fn the_real_log_scores_as_published_on_any_day_and_a_look_back_moves_nothing(test: TestDb) {
        let usd = |conn: &mut Conn| diesel::update(schema::stores::table).set(schema::stores::currency.eq("USD")).execute(conn);
        test.db.write_here(|conn| usd(conn).map_err(DbError::from)).unwrap();
        let store = default_store(&test.db);
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        for part in cdnow_orders().chunks(2_000) {
            journal.append(store.id, part.to_vec()).await.unwrap();
        }
        drop(journal);
        writer.finish();

        let end = at("1998-06-30", &store);
        let live = scoring::score_as_of(&test.db, &store, end, end).unwrap();
        assert_eq!(segments(&live), [434, 425, 146, 0, 0, 78, 321, 8, 161, 607, 177]);
        assert_eq!(live.run.summary.r, [482, 471, 463, 470, 471]);
        assert_eq!(live.run.summary.f, [1218, 0, 403, 358, 378]);
        assert_eq!(live.run.summary.m, [481, 462, 472, 471, 471]);
        let moments = |db: &Db| db.read_here(|conn| {
            let scored = scores::table.order(scores::customer_id).select((scores::customer_id, scores::segment, scores::segment_since));
            let entered = segment_history::table.count().get_result::<i64>(conn)?;
            Ok::<_, DbError>((scored.load::<(i64, String, i64)>(conn)?, entered))
        }).unwrap();
        let before = moments(&test.db);

        let then = at("1997-09-30", &store);
        let look = scoring::score_as_of(&test.db, &store, then, end).unwrap();
        assert!(look.run.historic);
        assert_eq!(segments(&look), [398, 294, 245, 0, 48, 83, 331, 9, 220, 578, 151]);
        assert_eq!(look.run.summary.r, [480, 478, 459, 475, 465]);
        assert_eq!(look.run.summary.f, [1411, 0, 439, 214, 293]);
        assert_eq!(look.run.summary.m, [480, 464, 471, 471, 471]);
        assert_eq!(moments(&test.db), before, "what rules read stands as it was");
        let list = test.db.read_here(|conn| worklist(conn, &store, &WorklistQuery::first(3, Language::English)).map_err(DbError::from)).unwrap();
        assert_eq!((list.as_of, list.historic, list.items.len()), (Some(then), true, 3));
        assert!(list.items.iter().all(|item| item.last_order_at <= then));

        let again = scoring::score_as_of(&test.db, &store, end, end).unwrap();
        assert_eq!((again.changed, again.moved, segments(&again)), (0, 0, segments(&live)));
        let shown = test.db.read_here(|conn| shown(conn, store.id).map_err(DbError::from)).unwrap().unwrap();
        assert!(!shown.historic);
        let left: i64 = test.db.read_here(|conn| schema::historic_scores::table.count().get_result(conn).map_err(DbError::from)).unwrap();
        assert_eq!(left, 0);
    }

    async fn a_run_writes_scores_and_the_next_only_what_changed(test: TestDb) {
        let store = default_store(&test.db);
        ten_buyers(&test);
        let first = scoring::score_store(&test.db, &store, test.now).unwrap();
        assert_eq!((first.run.summary.buyers(), first.changed, first.moved), (10, 10, 10));
        assert_eq!(first.run.store_gap_days, Some(20.0));

        let again = scoring::score_store(&test.db, &store, test.now).unwrap();
        assert_eq!((again.changed, again.moved), (0, 0));
        assert_eq!(again.run.summary, first.run.summary);

        // The tenth comes back and is the freshest of all.
        let later = test.now.plus(Delay::hours(1));
        test.db.write_here(|conn| buys(conn, 10, 12, 11_000, later).map_err(DbError::from)).unwrap();
        let third = scoring::score_store(&test.db, &store, later).unwrap();
        assert_eq!(history(&test.db, 10), [(test.now.0, "cant_lose_them".to_owned()), (later.0, "champions".to_owned())]);
        assert!(third.moved >= 1 && third.changed <= 10, "{third:?}");
        let score = test.db.read_here(|conn| score_of(conn, store.id, CustomerId(10)).map_err(DbError::from)).unwrap().unwrap();
        assert_eq!((score.segment.as_str(), score.segment_since), ("champions", Some(later)));
        assert!(!score.at_risk);
        // And all movements are told between any two instants.
        let between = |from: Timestamp, to: Timestamp| {
            test.db.read_here(|conn| movements(conn, &store, from, to).map_err(DbError::from)).unwrap()
        };
        let told = between(test.now, later);
        assert_eq!((told.moved as u64, told.entered), (third.moved, 0));
        let back = told.items.iter().find(|one| one.to == "champions").unwrap();
        assert_eq!((back.from.as_deref(), back.customers), (Some("cant_lose_them"), 1));
        assert_eq!(back.revenue.minor, 11_000);
        let before = between(test.now.minus(Delay::hours(1)), later);
        assert_eq!((before.from, before.moved), (test.now, told.moved), "from the first scoring on");
        assert_eq!(between(later, later.plus(Delay::hours(1))).items, []);
        // Whoever stayed in a segment keeps the time of having entered it.
        let since: Vec<i64> = test.db.read_here(|conn| scores::table.filter(scores::customer_id.eq(1))
            .select(scores::segment_since).load(conn).map_err(DbError::from)).unwrap();
        assert_eq!(since, [test.now.0]);
    }

    async fn the_worklist_is_ordered_by_spend_and_lateness_and_pages_without_gaps(test: TestDb) {
        let store = default_store(&test.db);
        ten_buyers(&test);
        scoring::score_store(&test.db, &store, test.now).unwrap();
        let ask = |query: WorklistQuery| test.db.read_here(|conn| worklist(conn, &store, &query).map_err(DbError::from)).unwrap();
        let all = ask(WorklistQuery::first(50, Language::English));
        let ids: Vec<i64> = all.items.iter().map(|item| item.customer.id.0).collect();
        assert_eq!(ids.iter().copied().collect::<std::collections::BTreeSet<_>>(), (5..=10).collect());
        assert_eq!(all.next, None);
        let at_risk: Vec<i64> = all.items.iter().map(|item| item.value_at_risk.as_ref().unwrap().minor).collect();
        assert!(at_risk.is_sorted_by(|a, b| a >= b), "{at_risk:?}");
        let worst = all.items.iter().find(|item| item.customer.id.0 == 10).unwrap();
        assert_eq!((worst.days_since_last_order, worst.overdue), (100.0, 4.0));
        assert!(worst.p_alive.is_some_and(|p| (0.0..=1.0).contains(&p)));
        let sentence = "Buys every 20 days, last 100 days ago: 5.0 times the usual gap; ";
        assert!(worst.why_now.starts_with(sentence) && worst.why_now.ends_with(" % likely to return within 90 days."), "{}", worst.why_now);
        assert_eq!(worst.next_message_at, None);

        let mut paged = Vec::new();
        let mut query = WorklistQuery::first(2, Language::English);
        loop {
            let page = ask(query.clone());
            paged.extend(page.items.iter().map(|item| item.customer.id.0));
            let Some(next) = page.next else { break };
            query.after = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(paged, ids);

        let segment = WorklistQuery { segment: Some("cant_lose_them".to_owned()), ..WorklistQuery::first(50, Language::English) };
        assert!(ask(segment).items.iter().all(|item| item.segment == "cant_lose_them"));
        let dear = WorklistQuery { min_value: Some(at_risk[1]), ..WorklistQuery::first(50, Language::English) };
        assert_eq!(ask(dear).items.len(), at_risk.iter().filter(|value| **value >= at_risk[1]).count());
    }

    async fn the_at_risk_list_says_what_the_scores_say_whatever_moves(test: TestDb) {
        let store = default_store(&test.db);
        let later = |days: i64| test.now.plus(Delay::days(days));
        test.db.write_here(|conn| -> Result<(), DbError> {
            for n in 1..=300_i64 {
                insert_nobody(conn, n)?;
                buys(conn, n, 2 + n as i32 % 7, n * 100, Timestamp(test.now.0 - (n % 90 + 10) * DAY))?;
            }
            Ok(())
        }).unwrap();
        scoring::score_store(&test.db, &store, test.now).unwrap();
        let (all, edition) = listed(&test.db);
        assert!(all > 50, "{all} of 300");
        let place = |id: i64| test.db.read_here(|conn| scores::table.find(id).select(scores::risk_rank)
            .first::<Option<f64>>(conn).map_err(DbError::from)).unwrap();
        let on_it: Vec<i64> = (1..=300).filter(|id| place(*id).is_some()).collect();

        // One who comes back leaves it, at the next run or before.
        let comes_back = |id: i64, at: Timestamp| test.db.write_here(|conn| -> Result<(), DbError> {
            buys(conn, id, 9, 50_000, at)?;
            Ok(diesel::update(rollups::table.find(id)).set(rollups::changed_at.eq(at.0)).execute(conn).map(|_| ())?)
        }).unwrap();
        comes_back(on_it[0], test.now);
        scoring::score_store(&test.db, &store, test.now).unwrap();
        assert_eq!((place(on_it[0]), listed(&test.db)), (None, (all - 1, edition)), "few moved: the edition is amended");
        comes_back(on_it[1], later(0).plus(Delay::seconds(5)));
        scoring::rescore_changed(&test.db, &store, test.now, later(1), later(1)).unwrap();
        assert_eq!((place(on_it[1]), listed(&test.db)), (None, (all - 2, edition)));

        // Whoever is merged into another, or forgotten, is off it at once.
        test.db.write_here(|conn| homing::customers::merge::merge(conn, CustomerId(on_it[2]), CustomerId(on_it[3])).map_err(DbError::from)).unwrap();
        homing::privacy::erase(&test.db, &test.secret(), &store, CustomerId(on_it[4]), later(0)).unwrap();
        assert_eq!(listed(&test.db), (all - 4, edition));

        // A look into the past has a list of its own; the next live run's is a new one, and no other is left.
        let look = scoring::score_as_of(&test.db, &store, later(-1), later(0)).unwrap();
        let shown = test.db.read_here(|conn| worklist(conn, &store, &WorklistQuery::first(50, Language::English)).map_err(DbError::from)).unwrap();
        assert_eq!((shown.historic, shown.items.len() as u64), (true, look.run.summary.at_risk.customers.min(50)));
        assert_eq!(listed(&test.db), (all - 4, edition));
        let month = scoring::score_store(&test.db, &store, later(30)).unwrap();
        let (all, new) = listed(&test.db);
        assert_eq!((all as u64, new > edition), (month.run.summary.at_risk.customers, true));
        let editions: Vec<i64> = test.db.read_here(|conn| schema::at_risk_list::table.select(schema::at_risk_list::edition)
            .distinct().load(conn).map_err(DbError::from)).unwrap();
        assert_eq!(editions, [new]);
    }

    async fn the_erased_and_the_merged_are_not_scored_and_visitors_are_counted_apart(test: TestDb) {
        let store = default_store(&test.db);
        ten_buyers(&test);
        let now = test.now;
        test.db.write_here(|conn| -> Result<(), DbError> {
            for id in 11..=13 {
                insert_nobody(conn, id)?;
            }
            let seen = (rollups::last_seen_at.eq(now.0 - DAY), rollups::visits_count.eq(3));
            diesel::update(rollups::table.find(11_i64)).set(seen).execute(conn)?;
            Ok(())
        }).unwrap();
        let first = scoring::score_store(&test.db, &store, now).unwrap();
        assert_eq!((first.run.summary.buyers(), first.run.summary.visitors()), (10, 1));
        assert_eq!(first.run.summary.visitors[&VisitorSegment::EngagedVisitors], 1);

        test.db.write_here(|conn| -> Result<(), DbError> {
            diesel::update(customers::table.find(1_i64)).set(customers::merged_into.eq(2_i64)).execute(conn)?;
            diesel::update(customers::table.find(10_i64)).set(customers::erased_at.eq(now.0)).execute(conn)?;
            Ok(())
        }).unwrap();
        let second = scoring::score_store(&test.db, &store, now).unwrap();
        assert_eq!(second.run.summary.buyers(), 8);
        let left: Vec<i64> = test.db.read_here(|conn| scores::table.order(scores::customer_id)
            .select(scores::customer_id).load(conn).map_err(DbError::from)).unwrap();
        assert_eq!(left, (2..=9).chain([11]).collect::<Vec<i64>>());
        let counted: u64 = Segment::ALL.iter().map(|segment| second.run.summary.segments[segment].customers).sum();
        assert_eq!(counted, 8);
    }

    async fn a_store_is_due_once_a_day_and_after_an_import(test: TestDb) {
        let store = default_store(&test.db);
        let due = |now: Timestamp| test.db.read_here(|conn| scoring::run::due(conn, &store, now).map_err(DbError::from)).unwrap();
        assert!(due(test.now), "a store that was never scored is due");
        ten_buyers(&test);
        scoring::score_store(&test.db, &store, test.now).unwrap();
        assert!(!due(test.now.plus(Delay::hours(2))), "nothing has changed");
        assert!(due(test.now.plus(Delay::hours(24))));
        let imported = test.now.plus(Delay::seconds(60));
        test.db.write_here(|conn| -> Result<(), DbError> {
            insert_nobody(conn, 100)?;
            diesel::update(rollups::table.find(100_i64)).set(rollups::changed_at.eq(imported.0)).execute(conn)?;
            Ok(())
        }).unwrap();
        assert!(!due(test.now.plus(Delay::seconds(59))), "not at once again");
        assert!(due(test.now.plus(Delay::hours(2))));
    }

    async fn what_was_learnt_forecasts_each_buyer_and_is_judged_by_what_came(test: TestDb) {
        let store = default_store(&test.db);
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        journal.append(store.id, regulars(&test, 60)).await.unwrap();
        let report = scoring::score_store(&test.db, &store, test.now).unwrap();
        assert_eq!(report.run.summary.buyers(), 60);
        let told = test.db.read_here(|conn| calibration(conn, store.id).map_err(DbError::from)).unwrap().unwrap();
        assert!(told.enough_data, "{:?}", told.note);
        assert_eq!(told.horizons.iter().map(|h| (h.horizon_days, h.customers)).collect::<Vec<_>>(), [(30, 60), (90, 60)]);
        let weights: f64 = told.models.iter().map(|one| one.chance_weight).sum();
        assert!((weights - 1.0).abs() < 1e-9, "{weights}");

        // Every third one stopped 200 days ago: those are at risk, whatever their segment.
        let score = |n: i64| {
            let id = test.db.read_here(|conn| homing::identity::store::find_customer(conn, store.id, &format!("ext:r{n}"))
                .map_err(DbError::from)).unwrap().unwrap();
            test.db.read_here(|conn| score_of(conn, store.id, id).map_err(DbError::from)).unwrap().unwrap()
        };
        let (faithful, gone) = (score(1), score(3));
        assert!(gone.forecast.p_alive < faithful.forecast.p_alive, "{gone:?} {faithful:?}");
        assert!(gone.at_risk && gone.at_risk_since == Some(test.now));
        assert!(gone.forecast.value_at_risk > faithful.forecast.value_at_risk);
        assert!(gone.forecast.value_at_risk_week_ago.is_some());
        assert!(faithful.forecast.next_order_expected_at > faithful.last_order_at);

        // One who comes back is scored anew by himself, by what was learnt then.
        let later = test.now.plus(Delay::hours(1));
        let back = regular_order(&store, 3, 99, later);
        let told = tokio::task::spawn_blocking(move || journal.append_received_at(StoreId(1), vec![back], later));
        told.await.unwrap().unwrap();
        writer.finish();
        let rescore = |since| scoring::rescore_changed(&test.db, &store, since, later, later).unwrap();
        assert_eq!(rescore(test.now), 1);
        let returned = score(3);
        assert_eq!(returned.last_order_at, Some(later));
        assert!(returned.forecast.p_alive > gone.forecast.p_alive);
        assert_eq!((rescore(test.now), rescore(later)), (0, 0));
    }

    async fn visitors_are_told_the_chance_of_a_first_order_once_enough_were_seen(test: TestDb) {
        let store = default_store(&test.db);
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let day = |n: i64| test.now.minus(Delay::days(n));
        // Of those who fill a basket two in three order four weeks later; of those who only look, nobody does.
        let mut facts = Vec::new();
        for n in 0..300_i64 {
            let (who, seen) = (format!("v{n}"), 30 + n % 170);
            facts.push(views(&who, day(seen), "longjing"));
            if n % 2 == 0 {
                facts.push(puts_in_basket(&who, day(seen).plus(Delay::seconds(60)), "longjing"));
            }
            if n % 2 == 0 && n % 3 != 0 {
                facts.push(orders(&who, day(seen - 28), &format!("v{n}")));
            }
        }
        journal.append(store.id, facts).await.unwrap();
        drop(journal);
        writer.finish();
        scoring::score_store(&test.db, &store, test.now).unwrap();
        let chance = |who: &str| {
            let id = test.db.read_here(|conn| homing::identity::store::find_customer(conn, store.id, &format!("ext:{who}"))
                .map_err(DbError::from)).unwrap().unwrap();
            let score = test.db.read_here(|conn| score_of(conn, store.id, id).map_err(DbError::from)).unwrap().unwrap();
            assert_eq!(score.forecast.p_alive, None, "nobody is alive before the first order");
            score.forecast.p_order_30d.unwrap()
        };
        // Both were seen on the same day and never ordered.
        let (basket, look) = (chance("v6"), chance("v175"));
        assert!((0.0..=1.0).contains(&look) && look < basket && basket <= 1.0, "{look} {basket}");
    }

    async fn of_two_runs_the_later_goes_on_alone(test: TestDb) {
        let store = default_store(&test.db);
        ten_buyers(&test);
        let runs: Vec<_> = (0..4).map(|_| {
            let (db, store, now) = (test.db.clone(), store.clone(), test.now);
            std::thread::spawn(move || scoring::score_store(&db, &store, now))
        }).collect();
        let ended: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        assert!(ended.iter().any(Result::is_ok));
        assert!(ended.iter().all(|end| matches!(end, Ok(_) | Err(ScoreError::Superseded))), "{ended:?}");
        let run = test.db.read_here(|conn| shown(conn, store.id).map_err(DbError::from)).unwrap().unwrap();
        assert_eq!(run.summary.buyers(), 10);
        for id in 1..=10 {
            assert_eq!(history(&test.db, id).len(), 1, "customer {id} entered one segment once");
        }
    }
}
