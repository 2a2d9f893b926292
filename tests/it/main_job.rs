//! The main job, from outside: the real program, the tracking API over HTTP, a real SMTP server.
//!
//! A visitor looks at a product and leaves; four hours later exactly one mail is on its way; once they order, no
//! second one follows.

use homing::primitives::{Clock, Delay, Timestamp};
use serde_json::{Value, json};

use crate::on_both_backends;
use crate::support::{Answer, MailSink, Program, Serving, TestDb};

/// No quiet hours: the test runs at any time of day.
const SHOP: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
locale = "en"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[sending]
quiet_hours = ""

[[rule]]
key = "browsed-not-bought"
status = "live"
trigger = { kind = "visited_without_buying", after = "AFTER", useful_for = "24h", min_product_views = 1 }

[[rule.step]]
template = "browse-reminder"

[[rule.step]]
wait = "3d"
template = "browse-reminder"
"#;

struct Shop {
    program: Program,
    server: Serving,
    key: String,
}

impl Shop {
    /// The program on the test's database, mail going to `sink`, its rule due `after` a visit.
    fn open(test: &TestDb, sink: &MailSink, after: &str) -> Self {
        let program =
            Program::on(test).with("HOMING_SMTP_URL", &sink.url()).with("HOMING_TICK", "1s");
        program.write("shop.toml", &SHOP.replace("AFTER", after));
        program.must(&["apply", "shop.toml"]);
        let key = program.must(&["key", "create", "--scope", "ingest", "--name", "shop"]);
        let server = program.serve();
        Self { program, server, key: key.trim().to_owned() }
    }

    /// Hands one call to the tracking API, as an SDK does.
    fn track(&self, call: &str, mut body: Value) {
        body["anonymousId"] = json!("browser-1");
        body["messageId"] = json!(format!("{call}-{}", homing::secret::random_token()));
        let answer = ureq::post(self.server.at(&format!("/v1/{call}")))
            .header("Authorization", &format!("Basic {}", base64(&format!("{}:", self.key))))
            .send_json(body)
            .expect("the fact is taken");
        assert_eq!(answer.status(), 200);
    }

    /// Ann signs in, agrees to e-mail, and looks at a tea.
    fn ann_browses(&self) {
        let traits = json!({ "email": "ann@buyer.example", "name": "Ann", "email_consent": true });
        self.track("identify", json!({ "userId": "ann", "traits": traits }));
        self.track("page", json!({ "userId": "ann", "name": "Home" }));
        let tea = json!({ "product_id": "longjing", "name": "Longjing 100 g", "price": 98.0, "currency": "CNY" });
        let viewed = json!({ "userId": "ann", "event": "Product Viewed", "properties": tea });
        self.track("track", viewed);
    }

    fn ann_orders(&self) {
        let order = json!({ "order_id": "1001", "total": 98.0, "currency": "CNY",
            "products": [{ "product_id": "longjing", "quantity": 1, "price": 98.0 }] });
        let completed = json!({ "userId": "ann", "event": "Order Completed", "properties": order });
        self.track("track", completed);
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// `delay` from now, by the machine's clock: the server stamps what it takes with that.
fn from_now(delay: Delay) -> Timestamp {
    Clock::System.now().plus(delay)
}

fn counts(printed: &str) -> Value {
    serde_json::from_str(printed).expect("counts in JSON")
}

on_both_backends! {
    async fn a_visit_becomes_one_mail_and_an_order_stops_the_next(test: TestDb) {
        let Some(sink) = MailSink::start(Answer::Accepts) else { return };
        let shop = Shop::open(&test, &sink, "4h");
        shop.ann_browses();

        let early = from_now(Delay::hours(3)).to_string();
        shop.program.must(&["tick", "--at", &early, "--yes"]);
        assert_eq!(sink.count(), 0, "nothing is due after three hours");

        let due = from_now(Delay::seconds(4 * 3_600 + 60)).to_string();
        let printed = shop.program.must(&["tick", "--at", &due, "--yes", "--format", "json"]);
        assert_eq!((&counts(&printed)["enrolled"], &counts(&printed)["sent"]), (&json!(1), &json!(1)));
        let mails = sink.mails();
        assert_eq!(mails.len(), 1);
        for part in ["ann@buyer.example", "List-Unsubscribe: <", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"] {
            assert!(mails[0].contains(part), "{part} in:\n{}", mails[0]);
        }
        shop.program.must(&["tick", "--at", &due, "--yes"]);
        assert_eq!(sink.count(), 1, "a second pass at the same time sends nothing");

        shop.ann_orders();
        let later = from_now(Delay::hours(3 * 24 + 5)).to_string();
        let printed = shop.program.must(&["tick", "--at", &later, "--yes", "--format", "json"]);
        assert_eq!(counts(&printed)["sent"], json!(0));
        assert_eq!(sink.count(), 1, "no mail after the order");

        let why = shop.program.must(&["why", "ext:ann", "--format", "json"]);
        let decisions = counts(&why);
        // What the rule would say of her now is recomputed, and stands above what it did.
        let ledger = decisions.as_array().unwrap().iter().filter(|d| d["outcome"] != "not_eligible");
        let told: Vec<_> = ledger.map(|d| (d["outcome"].as_str().unwrap(), d["reason"].as_str())).collect();
        assert_eq!(told, [("stopped", Some("bought")), ("sent", None), ("enrolled", None)]);
    }

    async fn two_ticks_at_once_send_one_mail(test: TestDb) {
        let Some(sink) = MailSink::start(Answer::Accepts) else { return };
        let shop = Shop::open(&test, &sink, "4h");
        shop.ann_browses();
        let due = from_now(Delay::hours(5)).to_string();
        let arguments = ["tick", "--at", &due, "--yes"];
        let both = [shop.program.start(&arguments), shop.program.start(&arguments)];
        for child in both {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(sink.count(), 1);
    }

    async fn a_stop_finishes_the_mail_that_is_in_the_air(test: TestDb) {
        let Some(sink) = MailSink::start(Answer::Slow(3)) else { return };
        let shop = Shop::open(&test, &sink, "1s");
        shop.ann_browses();
        wait_for_status(&test, "sending").await;
        assert_eq!(shop.server.terminate(), Some(0));
        assert_eq!(statuses(&test).await, ["sent", "scheduled"]);
        assert_eq!(sink.count(), 1);
    }
}

async fn statuses(test: &TestDb) -> Vec<String> {
    use diesel::prelude::*;
    use homing::db::{DbError, schema::messages};
    let read = test.db.read(|conn| {
        let all = messages::table.order(messages::step).select(messages::status).load(conn);
        all.map_err(DbError::from)
    });
    read.await.unwrap()
}

async fn wait_for_status(test: &TestDb, status: &str) {
    let begun = std::time::Instant::now();
    while !statuses(test).await.iter().any(|s| s == status) {
        assert!(begun.elapsed().as_secs() < 30, "no message came to be {status}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
