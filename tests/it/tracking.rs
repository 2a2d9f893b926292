//! The tracking API over HTTP: its answers, its keys, its limits, and what real SDKs sent.

use std::io::Write;
use std::sync::Arc;

use actix_web::http::{Method, header};
use actix_web::{test as http, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diesel::prelude::*;
use homing::db::{DbError, schema};
use homing::http::App;
use homing::journal::{Journal, Writer};
use homing::keys::{self, KeyHash, Scope, Trust, store::NewKey};
use homing::primitives::{Delay, KeyId, StoreId};
use serde_json::{Value, json};

use crate::on_both_backends;
use crate::support::TestDb;

/// External id, address, name and consent.
type Known = (Option<String>, Option<String>, Option<String>, String);
/// The headers and the bytes of one request.
type Form<'a> = (&'a [(&'a str, &'a str)], Vec<u8>);

const STORE: StoreId = StoreId(1);

struct Api {
    app: web::Data<App>,
    /// Of scope ingest, trusted as a server.
    key: String,
    _writer: Writer,
}

struct Answer {
    status: u16,
    cors: bool,
    retry_after: bool,
    body: String,
}

impl Api {
    fn open(test: &TestDb) -> Self {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let config = Arc::new(test.config());
        let app = App::new(test.db.clone(), journal, config, test.secret(), test.clock());
        let mut api = Self { app: web::Data::new(app), key: String::new(), _writer: writer };
        api.key = api.new_key(1, STORE, Scope::Ingest, Trust::Server);
        api
    }

    fn new_key(&self, id: i64, store: StoreId, scope: Scope, trust: Trust) -> String {
        let key = keys::new_key(scope);
        let new = NewKey {
            id: KeyId(id),
            store,
            hash: KeyHash::of(&key),
            scope,
            trust,
            name: "test".to_owned(),
            created_at: self.app.clock.now(),
        };
        let made = self.app.db.write_here(|c| keys::store::insert(c, &new).map_err(DbError::from));
        made.expect("a new key");
        key
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let server = http::init_service(
            actix_web::App::new().app_data(self.app.clone()).configure(homing::http::routes),
        )
        .await;
        let mut request = http::TestRequest::with_uri(path).method(method).set_payload(body.into());
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let answer = http::call_service(&server, request.to_request()).await;
        Answer {
            status: answer.status().as_u16(),
            cors: answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some(),
            retry_after: answer.headers().get(header::RETRY_AFTER).is_some(),
            body: String::from_utf8(http::read_body(answer).await.to_vec()).expect("text"),
        }
    }

    /// With the key where SDKs put it.
    async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.post_with(&self.key, path, body).await
    }

    async fn post_with(&self, key: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.send(Method::POST, path, &[("authorization", &basic(&format!("{key}:")))], body).await
    }

    fn read<T>(&self, f: impl FnOnce(&mut homing::db::Conn) -> QueryResult<T>) -> T {
        self.app.db.read_here(|conn| f(conn).map_err(DbError::from)).expect("a read")
    }

    fn facts(&self) -> i64 {
        self.read(|conn| schema::facts::table.count().get_result(conn))
    }

    /// Kinds of the stored facts, in order.
    fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> =
            self.read(|conn| schema::facts::table.select(schema::facts::kind).load(conn));
        kinds.sort();
        kinds
    }

    /// External id, e-mail, name and consent of the customers who have an id of the shop.
    fn customers(&self) -> Vec<Known> {
        use schema::customers::dsl::*;
        self.read(|conn| {
            customers
                .filter(identified.eq(true).and(merged_into.is_null()))
                .select((external_id, email, name, consent))
                .order(external_id)
                .load(conn)
        })
    }
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

fn page(user: &str, message: &str) -> Value {
    json!({ "type": "page", "userId": user, "messageId": message })
}

fn batch(events: Vec<Value>) -> String {
    json!({ "batch": events }).to_string()
}

on_both_backends! {
    async fn every_path_takes_its_kind_of_event(test: TestDb) {
        let api = Api::open(&test);
        let event = |n: &str| {
            json!({
                "userId": "u", "messageId": n, "event": "Looked", "groupId": "g", "previousId": "a",
            })
            .to_string()
        };
        let lone = ["identify", "track", "page", "screen", "group", "alias", "i", "t", "p", "s", "g", "a"];
        for path in lone {
            let answer = api.post(&format!("/v1/{path}"), event(path)).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true}"#), "{path}");
            assert!(answer.cors);
        }
        for path in ["/v1/batch", "/v1/import", "/v1/b", "/beacon/v1/batch"] {
            let answer = api.post(path, batch(vec![page("u", path)])).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true}"#), "{path}");
        }
        let mut kinds = vec!["page_viewed"; 8];
        kinds.extend(["aliased", "grouped", "identified", "tracked"].iter().flat_map(|k| [*k; 2]));
        kinds.sort_unstable();
        assert_eq!(api.kinds(), kinds);
        let history = api.read(|conn| {
            use schema::facts::dsl::*;
            facts.filter(live.eq(false)).select(source_key).load::<String>(conn)
        });
        assert_eq!(history, ["/v1/import"], "an import is history, all else is live");
    }

    async fn the_key_is_taken_from_header_body_or_query(test: TestDb) {
        let api = Api::open(&test);
        let mut count = 0;
        let mut next = || {
            count += 1;
            count.to_string()
        };
        for credentials in [format!("{}:", api.key), api.key.clone()] {
            let headers = [("authorization", basic(&credentials))];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let answer = api.send(Method::POST, "/v1/page", &headers, page("u", &next()).to_string()).await;
            assert_eq!(answer.status, 200);
        }
        let mut told = page("u", &next());
        told["writeKey"] = json!(api.key);
        assert_eq!(api.send(Method::POST, "/v1/p", &[], told.to_string()).await.status, 200);
        let told = json!({ "writeKey": api.key, "batch": [page("u", &next())] }).to_string();
        let plain = [("content-type", "text/plain")];
        assert_eq!(api.send(Method::POST, "/v1/b", &plain, told).await.status, 200);
        let path = format!("/beacon/v1/batch?writeKey={}", api.key);
        let answer = api.send(Method::POST, &path, &plain, batch(vec![page("u", &next())])).await;
        assert_eq!(answer.status, 200);
        assert_eq!(api.facts(), 5);

        let told = json!({ "writeKey": api.key, "batch": [page("u", "6")] }).to_string();
        assert_eq!(api.post_with("other", "/v1/batch", told.clone()).await.status, 401, "the header wins");
        let reader = api.new_key(2, STORE, Scope::Read, Trust::Server);
        assert_eq!(api.post_with(&reader, "/v1/page", page("u", "7").to_string()).await.status, 401);
        let none = api.send(Method::POST, "/v1/page", &[], page("u", "8").to_string()).await;
        assert_eq!((none.status, none.cors), (401, true));
        let broken = api.send(Method::POST, "/v1/b", &[], "{\"writeKey\":").await;
        assert_eq!(broken.status, 400, "what cannot be read may have held a key");
        assert_eq!(api.facts(), 5);
    }

    async fn a_revoked_key_is_believed_no_longer_than_it_is_remembered(test: TestDb) {
        let api = Api::open(&test);
        assert_eq!(api.post("/v1/page", page("u", "1").to_string()).await.status, 200);
        let revoke = |store| {
            let now = test.now;
            api.app.db.write_here(move |conn| {
                keys::store::revoke(conn, store, KeyId(1), now).map_err(DbError::from)
            })
        };
        assert!(!revoke(StoreId(2)).unwrap(), "another store cannot revoke it");
        assert!(revoke(STORE).unwrap());
        assert!(!revoke(STORE).unwrap(), "once is enough");
        api.app.keys.forget();
        assert_eq!(api.post("/v1/page", page("u", "2").to_string()).await.status, 401);
        assert_eq!(api.facts(), 1);
    }

    async fn a_body_is_read_whatever_its_type_and_packing(test: TestDb) {
        let api = Api::open(&test);
        let auth = basic(&format!("{}:", api.key));
        let text = |n: &str| batch(vec![page("u", n)]);
        let forms: [Form<'_>; 4] = [
            (&[("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip")], gzip(&text("1"))),
            (&[("content-type", "application/json;charset=UTF-8")], text("2").into()),
            (&[("content-type", "text/plain")], text("3").into()),
            (&[], gzip(&text("4"))),
        ];
        for (headers, body) in forms {
            let headers: Vec<_> = headers.iter().copied().chain([("authorization", auth.as_str())]).collect();
            assert_eq!(api.send(Method::POST, "/v1/batch", &headers, body).await.status, 200, "{headers:?}");
        }
        assert_eq!(api.facts(), 4);
        let odd = [("authorization", auth.as_str()), ("content-encoding", "br")];
        assert_eq!(api.send(Method::POST, "/v1/batch", &odd, text("5")).await.status, 415);
    }

    async fn what_cannot_be_taken_is_answered_and_leaves_nothing(test: TestDb) {
        let api = Api::open(&test);
        let big = "x".repeat(33 << 10);
        let bomb = gzip(&format!("{{\"batch\":[],\"pad\":\"{}\"}}", " ".repeat(32 << 20)));
        let truncated = { let mut packed = gzip("{\"batch\":[]}"); packed.truncate(20); packed };
        let many = batch(vec![json!({}); 2_501]);
        let heavy = batch(vec![json!({ "type": "page", "userId": "u", "pad": "x".repeat(30 << 10) }); 18]);
        let cases: Vec<(&str, &str, Vec<u8>)> = vec![
            ("an oversized event", "/v1/track", json!({"userId":"u","event":"e","pad":big}).to_string().into()),
            ("an oversized batch", "/v1/batch", heavy.into()),
            ("too many events", "/v1/batch", many.into()),
            ("broken JSON", "/v1/batch", "{\"batch\":[".into()),
            ("broken gzip", "/v1/batch", truncated),
            ("a bomb", "/v1/batch", bomb),
            ("no array", "/v1/batch", "{\"batch\":{}}".into()),
            ("an array alone", "/v1/batch", "[]".into()),
            ("nothing", "/v1/batch", "".into()),
            ("no UTF-8", "/v1/track", b"{\"userId\":\"\xff\",\"event\":\"e\"}".to_vec()),
            ("no ids", "/v1/page", "{}".into()),
            ("no event name", "/v1/track", "{\"userId\":\"u\"}".into()),
            ("a bare NaN", "/v1/track", br#"{"userId":"u","event":"Order Completed","properties":{"order_id":1,"total":NaN}}"#.to_vec()),
            ("negative money", "/v1/track", br#"{"userId":"u","event":"Order Completed","properties":{"order_id":1,"total":-1}}"#.to_vec()),
            ("no order id", "/v1/track", br#"{"userId":"u","event":"Order Completed","properties":{"total":1}}"#.to_vec()),
            ("before 1970", "/v1/page", br#"{"userId":"u","timestamp":"1969-01-01T00:00:00Z"}"#.to_vec()),
        ];
        for (what, path, body) in cases {
            let answer = api.post(path, body).await;
            assert_eq!((answer.status, answer.cors), (400, true), "{what}: {}", answer.body);
            assert!(answer.body.contains("\"message\""), "{what}");
        }
        assert_eq!(api.facts(), 0);
        for (method, path) in [(Method::GET, "/v1/batch"), (Method::POST, "/v1/dance"), (Method::POST, "/v1/batch/")] {
            let answer = api.send(method, path, &[], "").await;
            assert!((400..500).contains(&answer.status) && answer.cors, "{path}: {}", answer.status);
        }
    }

    async fn bad_events_of_a_batch_cost_none_of_the_good(test: TestDb) {
        let api = Api::open(&test);
        let events = vec![
            page("u", "1"),
            json!({ "type": "page" }),
            json!({ "type": "track", "userId": "u" }),
            json!({ "type": "page", "userId": "u", "pad": "x".repeat(33 << 10) }),
            json!(7),
            page("u", "2"),
        ];
        let answer = api.post("/v1/batch", batch(events)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true}"#));
        assert_eq!(api.facts(), 2);
        let python = r#"{"batch":[{"type":"track","event":"e","userId":"u","messageId":"3","properties":{"x": NaN}}]}"#;
        assert_eq!(api.post("/v1/batch", python).await.status, 200, "a number that is none costs itself");
        assert_eq!(api.facts(), 3);
        let counted = api.app.metrics.text();
        assert!(counted.contains("homing_facts_total{outcome=\"refused\"} 4"), "{counted}");
    }

    async fn a_message_counts_once_in_its_store_and_apart_in_another(test: TestDb) {
        let api = Api::open(&test);
        let other = StoreId(2);
        let store = "INSERT INTO stores (id, key, name, timezone, currency, locale, sending, scoring, created_at) \
                     SELECT 2, 'other', 'Other', 'UTC', 'JPY', 'en', sending, scoring, 0 FROM stores WHERE id = 1";
        api.app.db.write_here(|conn| diesel::sql_query(store).execute(conn).map_err(DbError::from)).unwrap();
        let others = api.new_key(2, other, Scope::Ingest, Trust::Server);
        let order = json!({
            "userId": "u", "event": "Order Completed", "messageId": "m",
            "properties": { "order_id": "A1", "total": 1999 },
        })
        .to_string();
        for _ in 0..2 {
            assert_eq!(api.post("/v1/track", order.clone()).await.status, 200);
            assert_eq!(api.post_with(&others, "/v1/track", order.clone()).await.status, 200);
        }
        let mut totals: Vec<(StoreId, String, i64)> = api.read(|conn| {
            use schema::orders::dsl::*;
            orders.select((store_id, currency, total)).load(conn)
        });
        totals.sort();
        assert_eq!(totals, [(STORE, "EUR".to_owned(), 199_900), (other, "JPY".to_owned(), 1_999)]);
        assert_eq!(api.facts(), 2);
    }

    async fn a_browser_introduces_people_and_changes_nobody(test: TestDb) {
        let api = Api::open(&test);
        let browser = api.new_key(2, STORE, Scope::Ingest, Trust::Browser);
        let identify = |user: &str, anonymous: &str, name: &str, hash: &str| {
            json!({
                "userId": user, "anonymousId": anonymous, "context": { "hash": hash },
                "traits": { "name": name, "email": format!("{name}@shop.example"), "email_consent": true },
            })
            .to_string()
        };
        let person = |user: &str, name: &str, consent: &str| {
            (Some(user.to_owned()), Some(format!("{name}@shop.example")), Some(name.to_owned()), consent.to_owned())
        };
        // Of two names told of one instant either may stand, so Ann told hers a day ago.
        let a_day_ago = test.now.minus(Delay::days(1));
        let told = identify("1", "phone-of-1", "ann", "")
            .replacen('{', &format!("{{\"timestamp\":\"{a_day_ago}\","), 1);
        assert_eq!(api.post("/v1/identify", told).await.status, 200);
        api.post_with(&browser, "/v1/i", identify("2", "phone-of-2", "bea", "")).await;
        assert_eq!(api.customers(), [person("1", "ann", "granted"), person("2", "bea", "granted")]);

        // Somebody else's browser says that it is Ann, and that she is called Eve.
        assert_eq!(api.post_with(&browser, "/v1/i", identify("1", "evil", "eve", "")).await.status, 200);
        assert_eq!(api.post_with(&browser, "/v1/i", identify("1", "evil", "eve", "00ff")).await.status, 200);
        assert_eq!(api.customers(), [person("1", "ann", "granted"), person("2", "bea", "granted")]);
        let owner = |identity: &str| {
            api.read(|conn| {
                use schema::identities::dsl;
                dsl::identities
                    .filter(dsl::identity.eq(identity))
                    .select(dsl::customer_id)
                    .get_result::<i64>(conn)
                    .optional()
            })
        };
        assert_eq!(owner("anon:evil"), owner("ext:1"), "the visitor is linked all the same");
        assert_eq!(owner("email:eve@shop.example"), None);
        // Linked so, it still may not speak for her without her id.
        let mut claim: Value = serde_json::from_str(&identify("1", "evil", "eve", "")).unwrap();
        claim.as_object_mut().unwrap().remove("userId");
        api.post_with(&browser, "/v1/i", claim.to_string()).await;
        assert_eq!(api.customers()[0], person("1", "ann", "granted"));

        // With the shop's word for it, Ann changes her name.
        let hash = {
            use hmac::{Hmac, Mac};
            let key = test.secret().identify_key(STORE);
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_str().as_bytes()).unwrap();
            mac.update(b"1");
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        api.post_with(&browser, "/v1/i", identify("1", "phone-of-1", "anna", &hash)).await;
        assert_eq!(api.customers()[0].2.as_deref(), Some("anna"));
    }

    async fn what_cannot_be_stored_now_is_to_be_sent_again(test: TestDb) {
        let api = Api::open(&test);
        api.app
            .db
            .write_here(|conn| {
                diesel::sql_query("ALTER TABLE facts RENAME TO hidden").execute(conn).map_err(DbError::from)
            })
            .unwrap();
        let answer = api.post("/v1/page", page("u", "1").to_string()).await;
        assert_eq!((answer.status, answer.retry_after, answer.cors), (503, true, true));
        api.app
            .db
            .write_here(|conn| {
                diesel::sql_query("ALTER TABLE hidden RENAME TO facts").execute(conn).map_err(DbError::from)
            })
            .unwrap();
        assert_eq!(api.post("/v1/page", page("u", "1").to_string()).await.status, 200);
        assert_eq!(api.facts(), 1);
    }

    async fn pages_of_other_origins_may_call(test: TestDb) {
        let api = Api::open(&test);
        let asked = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "anonymousid,authorization,content-type,sentat"),
        ];
        let server = http::init_service(
            actix_web::App::new().app_data(api.app.clone()).configure(homing::http::routes),
        )
        .await;
        for path in ["/v1/t", "/v1/batch", "/beacon/v1/batch", "/sourceConfig/"] {
            let mut request = http::TestRequest::with_uri(path).method(Method::OPTIONS);
            for header in asked {
                request = request.insert_header(header);
            }
            let answer = http::call_service(&server, request.to_request()).await;
            let told = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(answer.status().as_u16(), 204, "{path}");
            assert_eq!(told("access-control-allow-origin").as_deref(), Some("*"));
            assert_eq!(told("access-control-max-age").as_deref(), Some("600"));
            let allowed = told("access-control-allow-headers").unwrap();
            for name in ["authorization", "content-type", "anonymousid", "sentat", "x-retry-count"] {
                assert!(allowed.contains(name), "{name}");
            }
        }
        let settings = api.send(Method::GET, &format!("/v1/projects/{}/settings", api.key), &[], "").await;
        let settings: Value = serde_json::from_str(&settings.body).unwrap();
        assert_eq!(settings["integrations"]["Segment.io"]["apiHost"], "shop.example/v1");
        let source = api.send(Method::GET, &format!("/sourceConfig/?writeKey={}", api.key), &[], "").await;
        assert_eq!((source.status, source.cors), (200, true));
        assert_eq!(api.send(Method::GET, "/sourceConfig/?writeKey=x", &[], "").await.status, 401);
    }

    async fn what_real_sdks_sent_is_taken_whole(test: TestDb) {
        let api = Api::open(&test);
        let mut seen = std::collections::BTreeMap::<String, Vec<String>>::new();
        for line in include_str!("../data/sdk_requests.jsonl").lines() {
            let request: Value = serde_json::from_str(line).expect("a captured request");
            let text = |name: &str| request[name].as_str().unwrap_or_default();
            let with_key = |raw: &str| raw.replace("WRITE_KEY", &api.key);
            let authorization = basic(&with_key(text("credentials")));
            let mut headers = vec![("content-type", text("content_type"))];
            if !text("credentials").is_empty() {
                headers.push(("authorization", &authorization));
            }
            let mut body = with_key(text("body")).into_bytes();
            if request["gzip"] == true {
                headers.push(("content-encoding", "gzip"));
                body = gzip(&with_key(text("body")));
            }
            let answer = api.send(Method::POST, &with_key(text("path")), &headers, body).await;
            assert_eq!(answer.status, 200, "{}: {}", text("sdk"), answer.body);
            let now = api.kinds();
            let before = seen.values().flatten().cloned().collect::<Vec<_>>();
            let mut new = now;
            for kind in before {
                if let Some(at) = new.iter().position(|k| *k == kind) {
                    new.remove(at);
                }
            }
            seen.entry(text("sdk").to_owned()).or_default().extend(new);
        }
        let mut report = String::new();
        for (sdk, kinds) in &mut seen {
            kinds.sort();
            report += &format!("{sdk}: {}\n", kinds.join(" "));
        }
        for (id, email, name, consent) in api.customers() {
            let told = [id, email, name].map(|told| told.unwrap_or("-".to_owned()));
            report += &format!("{} {consent}\n", told.join(" "));
        }
        let refused = api.app.metrics.facts.with_label_values(&["refused"]).get();
        assert_eq!(refused, 0);
        insta::allow_duplicates! {
            insta::assert_snapshot!(report, @r"
            @segment/analytics-node 3.1.0, batch: aliased grouped identified order_stated page_viewed page_viewed product_viewed
            RudderLabs JavaScript SDK 3.34.1, beacon: aliased grouped identified order_stated page_viewed product_viewed
            RudderLabs JavaScript SDK 3.34.1, single: aliased grouped identified order_stated page_viewed product_viewed
            analytics-node 6.2.0, batch: aliased cart_changed grouped identified page_viewed
            analytics.js npm:next-1.84.3, batch: aliased grouped identified order_stated page_viewed product_viewed
            analytics.js npm:next-1.84.3, single: aliased grouped identified order_stated page_viewed product_viewed
            rudder-sdk-node 3.0.13, batch: aliased checkout_started grouped identified order_refunded page_viewed page_viewed
            rudder-sdk-node 3.0.13, batch gzip: aliased checkout_started grouped identified order_refunded page_viewed page_viewed
            rudder-sdk-python 2.1.9, batch: aliased cart_changed grouped identified order_stated page_viewed page_viewed
            rudder-sdk-python 2.1.9, batch gzip: aliased cart_changed grouped identified order_stated page_viewed page_viewed
            segment-analytics-python 2.4.0, batch gzip: aliased grouped identified order_stated page_viewed page_viewed product_viewed tracked
            42 legacy@shop.example Leg Acy none
            next-batch next-batch@shop.example Next batch granted
            next-single next-single@shop.example Next single granted
            py-1 py@shop.example 派森 withdrawn
            rb-beacon rb-beacon@shop.example RB beacon none
            rb-xhr rb-xhr@shop.example RB xhr none
            rb2-beacon - - none
            rb2-xhr - - none
            rn-1 rn@shop.example - none
            rp-1 rp@shop.example Rudder Py none
            seg-node-1 SegNode@shop.example Seg Node 李 granted
            ");
        }
    }
}
