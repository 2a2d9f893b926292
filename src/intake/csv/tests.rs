//! Whole files, given as text.

use proptest::prelude::*;

use super::*;
use crate::journal::{Body, NewFact, OrderStated, OrderStatus, Traits};
use crate::primitives::{StoreId, Timestamp};
use crate::products::Product;

fn now() -> Timestamp {
    "2026-05-04T12:00:00Z".parse().unwrap()
}

fn setting() -> Setting {
    Setting {
        store: StoreId(1),
        zone: "Asia/Shanghai".parse().unwrap(),
        currency: "CNY".parse().unwrap(),
        now: now(),
    }
}

fn read<R: Rows>(mut rows: R, file: &[u8]) -> Result<Taken<R::Item>, HeaderError> {
    let encoding = guess(file).unwrap();
    let header = Header::read(file, encoding, R::Columns::ALL, R::ONE_OF)?;
    let mut records = Records::new(file, header.separator);
    let mut taken = Taken::default();
    let mut at_header = true;
    loop {
        match records.read_next().unwrap() {
            Next::End => break,
            _ if std::mem::take(&mut at_header) => {}
            Next::Unreadable { .. } => {}
            Next::Record(record) => match Row::new(record, &header, encoding) {
                Ok(row) => rows.take(&row, &mut taken),
                Err((record, error)) => {
                    taken.refused.push(Refusal {
                        line: record.line,
                        error,
                        raw: record.raw.to_vec(),
                    });
                }
            },
        }
    }
    rows.finish(&mut taken);
    Ok(taken)
}

fn orders(file: &str) -> Taken<NewFact> {
    read(OrderRows::new(setting()), file.as_bytes()).unwrap()
}

fn customers(file: &str) -> Taken<NewFact> {
    read(CustomerRows::new(setting()), file.as_bytes()).unwrap()
}

fn products(file: &str) -> Taken<Product> {
    read(ProductRows::new(setting()), file.as_bytes()).unwrap()
}

fn stated(facts: &[NewFact]) -> Vec<&OrderStated> {
    facts
        .iter()
        .filter_map(|fact| match &fact.body {
            Body::OrderStated(order) => Some(order),
            _ => None,
        })
        .collect()
}

fn traits(fact: &NewFact) -> &Traits {
    match &fact.body {
        Body::Identified { traits } => traits,
        other => panic!("no profile: {other:?}"),
    }
}

fn refusals<T>(taken: &Taken<T>) -> Vec<(u64, &str)> {
    taken.refused.iter().map(|refusal| (refusal.line, refusal.error.column)).collect()
}

#[test]
fn the_rows_of_an_order_become_one_statement() {
    let file = "order_id,placed_at,status,currency,total,customer_id,email,name,sku,product_name,quantity,unit_price,channel\n\
        1001,2026-05-01 10:00,paid,cny,\"1,234.50\",c1,Ann@Shop.Example,李婉清,T1,Tea,2,600.00,\n\
        1001,,,,,,,,T2,Cup,1,34.50,mail\n\
        ,,,,,,,,T3,Bag,,,\n\
        1002,2026-05-02,open,CNY,5,c2,,,,,,,wechat\n";
    let taken = orders(file);
    assert_eq!(refusals(&taken), []);
    let [first, second] = stated(&taken.items)[..] else { panic!("{:?}", taken.items) };
    assert_eq!(
        (first.order_id.as_str(), first.status, first.total),
        ("1001", OrderStatus::Paid, 123_450)
    );
    assert_eq!(
        first.placed_at.unwrap().to_string(),
        "2026-05-01T02:00:00Z",
        "local time of the store"
    );
    let lines: Vec<_> = first.lines.iter().map(|l| (l.id.as_str(), l.quantity, l.price)).collect();
    assert_eq!(
        lines,
        [("T1", Some(2.0), Some(60_000)), ("T2", Some(1.0), Some(3_450)), ("T3", None, None)]
    );
    assert_eq!(first.channel.as_deref(), Some("mail"));
    assert_eq!((second.status, second.total, second.lines.len()), (OrderStatus::Open, 500, 0));
    let profile = &taken.items[0];
    assert_eq!(traits(profile).name.as_deref(), Some("李婉清"));
    assert_eq!(profile.identifiers.email.as_ref().unwrap().as_str(), "Ann@shop.example");
    assert!(taken.items.iter().all(|fact| !fact.live));
    assert_eq!(taken.items[1].occurred_at, first.placed_at.unwrap());
}

#[test]
fn the_same_words_make_the_same_keys_and_other_words_other_ones() {
    let head = "order_id,placed_at,status,currency,total,customer_id\n";
    let key = |row: &str| orders(&format!("{head}{row}\n")).items.pop().unwrap().source_key;
    assert_eq!(
        key("7,2026-05-01 10:00,paid,CNY,5.00,c1"),
        key(" 7 ,2026/5/1 10:00:00,PAID,cny,¥5,\u{3000}c1")
    );
    let open = key("7,2026-05-01 10:00,open,CNY,5.00,c1");
    let paid = key("7,2026-05-01 10:00,paid,CNY,5.00,c1");
    let cancelled = key("7,2026-05-01 10:00,cancelled,CNY,5.00,c1");
    assert!(
        open < paid && paid < cancelled,
        "later in life sorts behind: {open} {paid} {cancelled}"
    );
    assert_ne!(paid, key("7,2026-05-01 10:00,paid,CNY,5.01,c1"));
    assert_ne!(paid, key("7,2026-05-01 10:00,paid,CNY,5.00,c2"));
}

#[test]
fn a_key_never_changes_with_the_program() {
    let file = "order_id,placed_at,status,currency,total,customer_id,name\n7,2026-05-01 10:00,paid,CNY,5.00,c1,Ann\n";
    let keys: Vec<String> = orders(file).items.into_iter().map(|fact| fact.source_key).collect();
    assert_eq!(
        keys,
        ["customer:0ddbc16a3a5de734", "7:bd9bb657bf5d201ff"],
        "files imported years ago must repeat"
    );
}

#[test]
fn every_sort_of_bad_row_is_refused_by_its_column() {
    let good = ["1", "2026-05-01", "paid", "CNY", "5", "0", "c1", ""];
    let bad = [
        ("order_id", 0, "1.93068E+15"),
        ("order_id", 0, ""),
        ("order_id", 0, "a\0b"),
        ("placed_at", 1, "1969-12-31"),
        ("placed_at", 1, "2031-01-01"),
        ("placed_at", 1, "9999-12-31 23:59:59"),
        ("placed_at", 1, "yesterday"),
        ("placed_at", 1, ""),
        ("status", 2, "shipped"),
        ("status", 2, ""),
        ("currency", 3, "yuan"),
        ("currency", 3, ""),
        ("total", 4, "-5"),
        ("total", 4, "NaN"),
        ("total", 4, "12.5x"),
        ("total", 4, "99999999999999"),
        ("total", 4, "--"),
        ("refunded", 5, "-1"),
        ("customer_id", 6, ""),
        ("customer_id", 6, "王**"),
        ("customer_id", 6, "1.2E+10"),
    ];
    let mut file =
        "order_id,placed_at,status,currency,total,refunded,customer_id,email\n".to_owned();
    for (n, (_, place, cell)) in bad.iter().enumerate() {
        let id = format!("{n}");
        let mut row = good;
        row[0] = &id;
        row[*place] = cell;
        file.push_str(&row.join(","));
        file.push('\n');
    }
    file.push_str("good,2026-05-01,paid,CNY,5,0,c1,\n");
    let taken = orders(&file);
    let expected: Vec<_> = (2..).zip(bad.iter().map(|(column, ..)| *column)).collect();
    assert_eq!(refusals(&taken), expected);
    assert_eq!(stated(&taken.items).len(), 1, "the rest goes on");
}

#[test]
fn a_row_of_too_many_cells_is_refused_and_of_too_few_is_filled() {
    let file = "order_id,placed_at,status,currency,total,customer_id,name\n\
        1,2026-05-01,paid,CNY,5,c1,Li, Ann\n2,2026-05-01,paid,CNY,5,c1\n3,2026-05-01,paid,CNY,5,c1,Ann,,\n";
    let taken = orders(file);
    assert_eq!(refusals(&taken), [(2, "")]);
    assert_eq!(stated(&taken.items).len(), 2);
}

#[test]
fn an_order_is_refused_whole_and_its_rows_can_be_imported_once_mended() {
    let file = "order_id,placed_at,status,currency,total,customer_id,sku,quantity\n\
        1,2026-05-01,paid,CNY,5,c1,A,1\n1,,,,,,B,two\n1,,,,,,C,1\n2,2026-05-01,paid,CNY,5,c1,A,1\n";
    let taken = orders(file);
    assert_eq!(refusals(&taken), [(2, "order_id"), (3, "quantity"), (4, "order_id")]);
    assert!(taken.refused[2].error.reason.contains("line 3"));
    assert_eq!(taken.refused[0].raw, b"1,2026-05-01,paid,CNY,5,c1,A,1");
    assert_eq!(stated(&taken.items)[0].order_id, "2");
}

#[test]
fn rows_torn_apart_are_joined_and_contradictions_are_refused() {
    let head = "order_id,placed_at,status,currency,total,customer_id,sku\n";
    let torn = orders(&format!(
        "{head}1,2026-05-01,paid,CNY,5,c1,A\n2,2026-05-01,paid,CNY,7,c2,A\n1,2026-05-01,paid,CNY,5.00,c1,B\n"
    ));
    let lines: Vec<_> =
        stated(&torn.items).iter().map(|o| (o.order_id.as_str(), o.lines.len())).collect();
    assert_eq!(lines, [("1", 2), ("2", 1)]);

    let contradiction =
        orders(&format!("{head}1,2026-05-01,paid,CNY,5,c1,A\n1,2026-05-01,paid,CNY,9,c1,B\n"));
    assert_eq!(
        (refusals(&contradiction), contradiction.items.len()),
        (vec![(2, "order_id"), (3, "total")], 0)
    );

    let life =
        orders(&format!("{head}1,2026-05-01,open,CNY,5,c1,A\n1,2026-05-01,paid,CNY,5,c1,A\n"));
    let statuses: Vec<_> = stated(&life.items).iter().map(|o| o.status).collect();
    assert_eq!(
        statuses,
        [OrderStatus::Open, OrderStatus::Paid],
        "the same order at two times of its life"
    );
}

#[test]
fn an_order_leaves_the_window_and_is_stated_anew_by_rows_that_come_later() {
    let mut file = "order_id,placed_at,status,currency,total,customer_id,sku\n".to_owned();
    let mut row =
        |id: usize, sku: &str| file.push_str(&format!("{id},2026-05-01,paid,CNY,5,c1,{sku}\n"));
    (0..=orders::WINDOW).for_each(|id| row(id, "A"));
    row(0, "B");
    row(1, "B");
    let taken = orders(&file);
    let of = |id: &str| stated(&taken.items).iter().filter(|o| o.order_id == id).count();
    assert_eq!((of("0"), of("1")), (2, 2));
    assert_eq!(stated(&taken.items).len(), orders::WINDOW + 3);
}

#[test]
fn who_placed_an_order_is_told_once() {
    let file = "order_id,placed_at,status,currency,total,customer_id,email,phone,name\n\
        1,2026-05-01,paid,CNY,5,c1,a@shop.example,138****0001,Ann\n\
        2,2026-05-02,paid,CNY,5,c1,a@shop.example,138****0001,Ann\n\
        3,2026-05-03,paid,CNY,5,,,13800010001,王**\n\
        4,2026-05-03,paid,CNY,5,c2,not an address,,\n\
        5,2026-05-03,paid,CNY,5,,not an address,,\n\
        6,2026-05-03,paid,CNY,5,,,020 7946 0958,\n";
    let taken = orders(file);
    assert_eq!(refusals(&taken), [(6, "email"), (7, "phone")]);
    let profiles: Vec<_> = taken
        .items
        .iter()
        .filter(|f| f.body.kind() == "identified")
        .map(|f| (traits(f).name.as_deref(), traits(f).phone.as_deref()))
        .collect();
    assert_eq!(profiles, [(Some("Ann"), None), (None, Some("+8613800010001"))]);
    let by_phone =
        &taken.items.iter().find(|f| f.source_key.starts_with("3:")).unwrap().identifiers;
    assert_eq!((by_phone.phone.as_deref(), &by_phone.external_id), (Some("+8613800010001"), &None));
    assert_eq!(taken.notes.iter().next().map(|(_, count, line)| (count, line)), Some((1, 5)));
}

#[test]
fn a_refund_is_cut_to_its_order() {
    let taken = orders(
        "order_id,placed_at,status,currency,total,refunded,customer_id\n1,2026-05-01,paid,CNY,5,7,c1\n",
    );
    assert_eq!(stated(&taken.items)[0].refunded, Some(500));
    assert_eq!(taken.notes.iter().count(), 1);
}

#[test]
fn exports_in_other_encodings_and_separators_read_alike() {
    let text = "order_id;placed_at;status;currency;total;customer_id;name\n=\"1\";2026-05-01;paid;CNY;￥5;c1;李婉清李婉清\n";
    let expected = orders(text).items;
    assert_eq!(traits(&expected[0]).name.as_deref(), Some("李婉清李婉清"));
    let tabs = text.replace(';', "\t");
    let gb = encoding_rs::GB18030.encode(text).0.into_owned();
    for file in [format!("\u{FEFF}{text}").into_bytes(), tabs.into_bytes(), gb] {
        assert_eq!(read(OrderRows::new(setting()), &file).unwrap().items, expected);
    }
}

#[test]
fn customers_come_with_their_consent() {
    let file = "customer_id,email,phone,name,first_name,last_name,language,tags,created_at,consent_email,consent_at,consent_source\n\
        c1,a@shop.example,,,Ann,Li,en,vip; tea;vip,2024-01-02,granted,2024-01-02 10:00,checkout\n\
        c2,b@shop.example,,,婉清,李,zh-CN,,,withdrawn,,\n\
        c3,,,Bo,,,,,,pending,,\n\
        c4,,,,,,,,,maybe,,\n\
        c5,,,,,,,,,granted,2031-01-01,\n\
        ,,,Nobody,,,,,,,,\n";
    let taken = customers(file);
    assert_eq!(refusals(&taken), [(5, "consent_email"), (6, "consent_at"), (7, "customer_id")]);
    let ann = traits(&taken.items[0]);
    assert_eq!(ann.name.as_deref(), Some("Ann Li"));
    assert_eq!(ann.tags.as_ref().unwrap(), &["tea", "vip"]);
    assert_eq!(ann.other["created_at"], "2024-01-01T16:00:00Z");
    let consent = ann.consent.as_ref().unwrap();
    assert!(
        consent.granted && consent.at.is_some() && consent.channel.as_deref() == Some("checkout")
    );
    let li = traits(&taken.items[1]);
    assert_eq!(li.name.as_deref(), Some("李婉清"));
    assert!(li.consent.as_ref().is_some_and(|told| !told.granted && told.at.is_none()));
    assert_eq!(traits(&taken.items[2]).consent, None);
    assert_eq!(taken.items[0].occurred_at, now(), "the file tells how things are now");
}

#[test]
fn products_have_prices_and_links_that_a_mail_can_show() {
    let file = "product_id,name,price,currency,url,image_url\n\
        T1,Tea,12.40,,https://shop.example/t1,\nT2,Cup,1200,JPY,,javascript:alert(1)\n,Nameless,1,,,\nT4,Bag,-1,,,\n";
    let taken = products(file);
    assert_eq!(refusals(&taken), [(3, "image_url"), (4, "product_id"), (5, "price")]);
    let price = (taken.items[0].price, taken.items[0].currency.as_ref().map(|c| c.as_str()));
    assert_eq!(price, (Some(1_240), Some("CNY")));
}

#[test]
fn a_file_that_cannot_name_anyone_is_refused_at_its_header() {
    let error =
        read(OrderRows::new(setting()), b"order_id,placed_at,status,currency,total\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the header names no one: it needs at least one of customer_id, email, phone"
    );
    let error = read(OrderRows::new(setting()), b"order_id;status;total;email\n").unwrap_err();
    assert!(error.to_string().contains("placed_at, currency"), "{error}");
}

proptest! {
    #[test]
    fn no_file_makes_a_reader_panic(rows in "([0-9a,\"\n\r;*¥李E+.:-]|paid|CNY|,){0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let head: &[u8] = b"order_id,placed_at,status,currency,total,customer_id,email,phone,name,sku,quantity\n";
        let _ = read(OrderRows::new(setting()), &[head, rows.as_bytes(), &bytes].concat());
        let _ = read(CustomerRows::new(setting()), &[b"customer_id,email,phone,consent_email,consent_at\n", rows.as_bytes(), &bytes].concat());
        let _ = read(ProductRows::new(setting()), &[b"product_id,price,currency,url\n", rows.as_bytes(), &bytes].concat());
        let _ = read(OrderRows::new(setting()), &bytes);
    }

    #[test]
    fn every_row_of_an_orders_file_is_stated_or_refused(rows in proptest::collection::vec((0..6_u8, 0..3_u8, any::<bool>()), 0..40)) {
        let mut file = "order_id,placed_at,status,currency,total,customer_id,sku\n".to_owned();
        for (id, total, is_bare) in &rows {
            match is_bare {
                true => file.push_str(&format!("{id},,,,,,S\n")),
                false => file.push_str(&format!("{id},2026-05-01,paid,CNY,{},c{id},S\n", i32::from(*total) - 1)),
            }
        }
        let taken = orders(&file);
        let stated: usize = stated(&taken.items).iter().map(|order| order.lines.len()).sum();
        prop_assert_eq!(stated + taken.refused.len(), rows.len());
    }
}
