//! Files imported by the real program, real logs among them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;

use diesel::prelude::*;
use homing::db::schema::{customers, facts, order_lines, orders, products, stores};
use homing::db::{Conn, DbError};
use homing::journal::rebuild;
use homing::primitives::{Money, StoreId, Timestamp};

use crate::on_both_backends;
use crate::support::{Finished, Program, TestDb};

fn read<T>(test: &TestDb, query: impl FnOnce(&mut Conn) -> QueryResult<T>) -> T {
    test.db.read_here(|conn| query(conn).map_err(DbError::from)).unwrap()
}

/// The numbers of a report, in its order: rows read, created, updated, unchanged, rows refused.
fn numbers(report: &str) -> [u64; 5] {
    let number = |line: &str| line.split_whitespace().last().and_then(|word| word.parse().ok());
    let all: Vec<u64> = report.lines().filter_map(number).collect();
    all.try_into().unwrap_or_else(|_| panic!("no report: {report}"))
}

/// Imports `text` as `name`; gives the report's numbers.
fn import(program: &Program, kind: &str, name: &str, text: &str) -> [u64; 5] {
    program.write(name, text);
    numbers(&program.must(&["import", kind, name]))
}

fn keep_accounts_in(test: &TestDb, currency: &str) {
    let set = |conn: &mut Conn| {
        diesel::update(stores::table)
            .set(stores::currency.eq(currency))
            .execute(conn)
            .map_err(DbError::from)
    };
    test.db.write_here(set).unwrap();
}

/// Nothing that was folded differs from what the journal says.
fn assert_sound(test: &TestDb) {
    let store = read(test, |conn| homing::stores::store::find(conn, StoreId(1)));
    let differences = rebuild::check(&test.db, &store, &mut |_| {}).unwrap();
    assert_eq!(differences, []);
}

/// CDNOW's log as orders: each row of it is one.
fn cdnow() -> String {
    let mut file =
        "order_id,placed_at,status,currency,total,customer_id,quantity,product_id\n".to_owned();
    let mut log = csv::Reader::from_path("tests/data/cdnow_sample_log.csv").unwrap();
    for (number, row) in (1..).zip(log.records()) {
        let row = row.unwrap();
        let (customer, date, units, amount) = (&row[1], &row[2], &row[3], &row[4]);
        writeln!(file, "cdnow-{number},{date},paid,USD,{amount},{customer},{units},CD").unwrap();
    }
    file
}

/// The retailer's invoices as orders. One that was entered over two minutes is one order. Cancellations are
/// told as what they are, and count nowhere; what comes to nothing is left out.
fn online_retail() -> String {
    let mut text = String::new();
    let packed = std::fs::File::open("tests/data/online_retail_orders.csv.gz").unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let gbp = "GBP".parse().unwrap();
    let mut invoices: BTreeMap<(String, String), (String, &str, i64)> = BTreeMap::new();
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        let row = row.unwrap();
        let (invoice, time, customer) =
            (row[0].to_owned(), row[1].replace('T', " "), row[2].to_owned());
        let minor = Money::parse(&row[6], &gbp).unwrap().minor;
        let status = if &row[7] == "1" { "cancelled" } else { "paid" };
        if status == "cancelled" || minor > 0 {
            invoices.entry((invoice, customer)).or_insert((time, status, 0)).2 += minor.abs();
        }
    }
    let mut file = "order_id;placed_at;status;currency;total;customer_id\n".to_owned();
    for ((invoice, customer), (time, status, minor)) in invoices {
        writeln!(
            file,
            "{invoice};{time};{status};GBP;{}.{:02};{customer}",
            minor / 100,
            minor % 100
        )
        .unwrap();
    }
    file
}

/// Scores the store by the program and reads R, F, M counts and the segments' sizes.
fn scored(program: &Program, as_of: &str) -> ([Vec<u64>; 3], BTreeMap<String, u64>) {
    program.must(&["score", "--as-of", as_of]);
    let json: serde_json::Value =
        serde_json::from_str(&program.must(&["segments", "--format", "json"])).unwrap();
    let counts = |name: &str| {
        (1..=5).map(|n| json["scores"][name][n.to_string()].as_u64().unwrap()).collect()
    };
    let segments = json["segments"].as_object().unwrap().iter();
    let sizes =
        segments.map(|(name, told)| (name.clone(), told["customers"].as_u64().unwrap())).collect();
    ([counts("r"), counts("f"), counts("m")], sizes)
}

fn sizes(told: [(&str, u64); 11]) -> BTreeMap<String, u64> {
    told.map(|(name, size)| (name.to_owned(), size)).into()
}

fn first_error(finished: &Finished) -> &str {
    finished.stderr.lines().find(|line| line.starts_with("error:")).unwrap_or(&finished.stderr)
}

const HEAD: &str = "order_id,placed_at,status,currency,total,refunded,customer_id,email,name,sku,product_name,quantity,unit_price\n";

on_both_backends! {
    async fn cdnow_is_imported_once_and_scores_as_published(test: TestDb) {
        keep_accounts_in(&test, "USD");
        let program = Program::on(&test);
        assert_eq!(import(&program, "orders", "cdnow.csv", &cdnow()), [6_919, 6_919, 0, 0, 0]);
        let told: i64 = read(&test, |conn| facts::table.count().get_result(conn));
        assert_eq!(import(&program, "orders", "cdnow.csv", &cdnow()), [6_919, 0, 0, 6_919, 0]);
        assert_eq!(read(&test, |conn| facts::table.count().get_result::<i64>(conn)), told);
        assert_sound(&test);

        let (scores, segments) = scored(&program, "1997-09-30");
        assert_eq!(scores, [vec![480, 478, 459, 475, 465], vec![1411, 0, 439, 214, 293], vec![480, 464, 471, 471, 471]]);
        assert_eq!(segments, sizes([
            ("champions", 398), ("loyal_customers", 294), ("potential_loyalists", 245), ("new_customers", 0),
            ("promising", 48), ("need_attention", 83), ("about_to_sleep", 331), ("cant_lose_them", 9), ("at_risk", 220),
            ("hibernating", 578), ("lost", 151),
        ]));
        let (scores, segments) = scored(&program, "1998-06-30");
        assert_eq!(scores, [vec![482, 471, 463, 470, 471], vec![1218, 0, 403, 358, 378], vec![481, 462, 472, 471, 471]]);
        assert_eq!(segments["champions"], 434);
    }

    async fn the_online_retailer_scores_as_published(test: TestDb) {
        keep_accounts_in(&test, "GBP");
        let program = Program::on(&test);
        let file = online_retail();
        let [rows, created, updated, unchanged, refused] = import(&program, "orders", "retail.csv", &file);
        assert_eq!((rows, updated, unchanged, refused), (created, 0, 0, 0));
        let (scores, segments) = scored(&program, "2011-12-09");
        assert_eq!(scores, [vec![869, 889, 866, 888, 826], vec![1548, 874, 501, 616, 799], vec![868, 868, 867, 868, 867]]);
        assert_eq!(segments, sizes([
            ("champions", 592), ("loyal_customers", 805), ("potential_loyalists", 510), ("new_customers", 37),
            ("promising", 87), ("need_attention", 189), ("about_to_sleep", 360), ("cant_lose_them", 79), ("at_risk", 569),
            ("hibernating", 767), ("lost", 343),
        ]));
    }

    async fn refused_rows_are_set_down_and_can_be_mended(test: TestDb) {
        let program = Program::on(&test);
        let file = format!("{HEAD}\
            1,2026-05-01 10:00,paid,EUR,30,,c1,ann@shop.example,Ann,T1,Tea,2,10\n\
            1,,,,,,,,,T2,Cup,1,10\n\
            2,2026-05-01 10:00,paid,EUR,-5,,c2,,=HYPERLINK(1),,,,\n\
            3,2026-05-01 10:00,paid,EUR,20,,c3,,,T1,Tea,1,10\n\
            3,,,,,,,,,T2,Cup,many,10\n\
            4,2026-05-01 10:00,paid,EUR,7,9,c4,,,,,,\n\
            5,2026-05-01 10:00,paid,EUR,7,,,,Guest,,,,\n");
        assert_eq!(import(&program, "orders", "o.csv", &file), [7, 2, 0, 0, 4]);
        let rejected = std::fs::read_to_string(program.folder().join("o.csv.rejected.csv")).unwrap();
        let lines: Vec<&str> = rejected.lines().collect();
        assert!(lines[0].starts_with("line,column,reason,order_id,placed_at,"), "{rejected}");
        let heads: Vec<String> = lines[1..].iter().map(|line| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(heads, ["4 total", "5 order_id", "6 quantity", "8 customer_id"]);
        assert!(rejected.contains(",'=HYPERLINK(1),"), "nothing in it is a formula: {rejected}");

        let mended = rejected.replace(",many,", ",1,").replace("EUR,'-5,", "EUR,5,");
        assert_eq!(import(&program, "orders", "mended.csv", &mended), [4, 2, 0, 0, 1]);
        let refunded: i64 = read(&test, |conn| orders::table.filter(orders::order_id.eq("4")).select(orders::refunded).get_result(conn));
        assert_eq!(refunded, 700, "capped at the total");
        let lines: i64 = read(&test, |conn| order_lines::table.count().get_result(conn));
        assert_eq!(lines, 4);
        let name: Option<String> = read(&test, |conn| customers::table.filter(customers::external_id.eq("c2")).select(customers::name).get_result(conn));
        assert_eq!(name.as_deref(), Some("=HYPERLINK(1)"), "the armour comes off again");
        assert_sound(&test);
    }

    async fn a_later_file_changes_what_an_earlier_one_said(test: TestDb) {
        let program = Program::on(&test);
        let order = |said: &str| format!("{HEAD}1,2026-05-01 10:00,{said},c1,,,,,,\n2,2026-05-01 10:00,paid,EUR,5,,c1,,,,,,\n");
        let state = || read(&test, |conn| orders::table.filter(orders::order_id.eq("1"))
            .select((orders::status, orders::total, orders::refunded)).get_result::<(String, i64, i64)>(conn));
        assert_eq!(import(&program, "orders", "o.csv", &order("open,EUR,30,")), [2, 2, 0, 0, 0]);
        assert_eq!(import(&program, "orders", "o.csv", &order("paid,EUR,30,")), [2, 0, 1, 1, 0]);
        assert_eq!(state(), ("paid".to_owned(), 3_000, 0));
        assert_eq!(import(&program, "orders", "o.csv", &order("paid,EUR,28,")), [2, 0, 1, 1, 0]);
        assert_eq!(state(), ("paid".to_owned(), 2_800, 0));
        assert_eq!(import(&program, "orders", "o.csv", &order("paid,EUR,28,8")), [2, 0, 1, 1, 0]);
        assert_eq!(state(), ("paid".to_owned(), 2_800, 800));
        assert_sound(&test);
    }

    async fn a_dry_run_tells_the_same_and_stores_nothing(test: TestDb) {
        let program = Program::on(&test);
        program.write("o.csv", &format!("{HEAD}1,2026-05-01 10:00,paid,EUR,30,,c1,,,,,,\n2,soon,paid,EUR,30,,c1,,,,,,\n"));
        let counts = || read(&test, |conn| Ok((facts::table.count().get_result::<i64>(conn)?, customers::table.count().get_result::<i64>(conn)?)));
        let dry = program.must(&["import", "orders", "o.csv", "--dry-run"]);
        assert!(dry.contains("nothing was stored"), "{dry}");
        assert_eq!((numbers(dry.trim_end_matches("dry run: nothing was stored\n")), counts()), ([2, 1, 0, 0, 1], (0, 0)));
        assert_eq!(numbers(&program.must(&["import", "orders", "o.csv", "--format", "generic"])), [2, 1, 0, 0, 1]);
        let dry = program.must(&["import", "orders", "o.csv", "--dry-run"]);
        assert_eq!(numbers(&dry), [2, 0, 0, 1, 1]);
        program.write("p.csv", "product_id,name\nT1,Tea\n");
        program.must(&["import", "products", "p.csv", "--dry-run"]);
        assert_eq!(read(&test, |conn| products::table.count().get_result::<i64>(conn)), 0);
    }

    async fn orders_know_their_customers_by_every_identity(test: TestDb) {
        let program = Program::on(&test);
        let file = "order_id,placed_at,status,currency,total,customer_id,email,phone\n\
            1,2026-05-01,paid,EUR,10,c1,ann@shop.example,\n\
            2,2026-05-02,paid,EUR,10,,ANN@shop.example,\n\
            3,2026-05-03,paid,EUR,10,,,+44 20 7946 0958\n\
            4,2026-05-04,paid,EUR,10,,,+442079460958\n";
        assert_eq!(import(&program, "orders", "o.csv", file), [4, 4, 0, 0, 0]);
        let held: Vec<(i64, i64)> = read(&test, |conn| orders::table.group_by(orders::customer_id)
            .select((orders::customer_id, diesel::dsl::count_star())).load(conn));
        assert_eq!(held.iter().map(|(_, orders)| *orders).collect::<Vec<_>>(), [2, 2]);
        assert_sound(&test);
    }

    async fn customers_come_with_names_and_consent_and_a_withdrawal_is_kept(test: TestDb) {
        let program = Program::on(&test);
        let head = "customer_id,email,name,consent_email,consent_at\n";
        let consent = || read(&test, |conn| customers::table.filter(customers::external_id.eq("c1")).select((customers::name, customers::consent)).get_result::<(Option<String>, String)>(conn));
        let told = |words: &str| format!("{head}c1,ann@shop.example,{words}\nc2,,Bo,,\n");
        assert_eq!(import(&program, "customers", "c.csv", &told("Ann,granted,2026-01-02 10:00")), [2, 2, 0, 0, 0]);
        assert_eq!(consent(), (Some("Ann".to_owned()), "granted".to_owned()));
        assert_eq!(import(&program, "customers", "c.csv", &told("Ann Li,withdrawn,2026-02-02 10:00")), [2, 0, 1, 1, 0]);
        assert_eq!(consent(), (Some("Ann Li".to_owned()), "withdrawn".to_owned()));
        // A list that does not know when it was given may be older than the withdrawal.
        assert_eq!(import(&program, "customers", "c.csv", &told("Ann Li,granted,")), [2, 0, 1, 1, 0]);
        assert_eq!(consent().1, "withdrawn");
        assert_sound(&test);
    }

    async fn the_catalogue_takes_the_newest_word_and_keeps_what_it_leaves_unsaid(test: TestDb) {
        let program = Program::on(&test);
        let product = || read(&test, |conn| products::table.select((products::name, products::price, products::url)).first::<(Option<String>, Option<i64>, Option<String>)>(conn));
        let first = "product_id,name,price,url\nT1,Tea,12.40,https://shop.example/t1\n";
        assert_eq!(import(&program, "products", "p.csv", first), [1, 1, 0, 0, 0]);
        assert_eq!(import(&program, "products", "p.csv", first), [1, 0, 0, 1, 0]);
        assert_eq!(import(&program, "products", "p.csv", "product_id,name,price\nT1,Green tea,13\nT2,Cup,1\n"), [2, 1, 1, 0, 0]);
        assert_eq!(product(), (Some("Green tea".to_owned()), Some(1_300), Some("https://shop.example/t1".to_owned())));
    }

    async fn a_file_of_many_batches_in_a_foreign_hand_comes_in_whole(test: TestDb) {
        let program = Program::on(&test);
        let mut text = "order_id;placed_at;status;currency;total;customer_id;name\n".to_owned();
        for id in 0..12_000 {
            writeln!(text, "=\"{id}\";2026/5/1 10:{:02};paid;EUR;￥1,0{:02}.50;顾客{};李婉清", id % 60, id % 100, id % 700).unwrap();
        }
        let (gb, ..) = encoding_rs::GB18030.encode(&text);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &gb).unwrap();
        std::fs::write(program.folder().join("o.csv.gz"), packed.finish().unwrap()).unwrap();
        let finished = program.run(&["import", "orders", "o.csv.gz"]);
        assert!(finished.stderr.contains("GB18030 with semicolons"), "{}", finished.stderr);
        assert_eq!(numbers(&finished.stdout), [12_000, 12_000, 0, 0, 0]);
        let names: Vec<Option<String>> = read(&test, |conn| customers::table.select(customers::name).distinct().load(conn));
        assert_eq!(names, [Some("李婉清".to_owned())]);
        assert_eq!(read(&test, |conn| customers::table.count().get_result::<i64>(conn)), 700);
        assert_sound(&test);
    }

    async fn two_stores_keep_orders_of_one_number_apart(test: TestDb) {
        let now: Timestamp = test.now;
        test.db.write_here(|conn| {
            let second = (stores::id.eq(2_i64), stores::key.eq("second"), stores::name.eq("Second"), stores::timezone.eq("UTC"),
                stores::currency.eq("EUR"), stores::locale.eq("en"), stores::sending.eq("{}"), stores::scoring.eq("{}"), stores::created_at.eq(now.0));
            diesel::insert_into(stores::table).values(second).execute(conn).map_err(DbError::from)
        }).unwrap();
        let program = Program::on(&test);
        program.write("o.csv", &format!("{HEAD}1,2026-05-01,paid,EUR,30,,c1,,,,,,\n"));
        assert_eq!(numbers(&program.must(&["import", "orders", "o.csv"])), [1, 1, 0, 0, 0]);
        assert_eq!(numbers(&program.must(&["--store", "second", "import", "orders", "o.csv"])), [1, 1, 0, 0, 0]);
        assert_eq!(read(&test, |conn| orders::table.count().get_result::<i64>(conn)), 2);
    }
}

#[test]
fn a_file_that_is_none_is_refused_with_words() {
    let program = Program::alone();
    program.write("lacking.csv", "order_id,total,email\n1,5,a@b.example\n");
    program.write("empty.csv", "");
    program.write("torn.csv.gz", "\u{1f}");
    std::fs::write(program.folder().join("torn.csv.gz"), b"\x1f\x8b\x08\x00\x00").unwrap();
    for (file, words) in [
        ("lacking.csv", "columns that are needed: placed_at, status, currency"),
        ("empty.csv", "the file is empty"),
        ("torn.csv.gz", "cannot be read"),
        ("absent.csv", "cannot be read"),
        (".", "cannot be read"),
    ] {
        let finished = program.run(&["import", "orders", file]);
        assert_eq!(finished.code, 2, "{file}: {}", finished.stderr);
        assert!(first_error(&finished).contains(words), "{file}: {}", finished.stderr);
    }
    let finished = program.run(&["import", "orders", "lacking.csv", "--format", "taobao"]);
    assert_eq!(finished.code, 2, "{}", finished.stderr);
}
