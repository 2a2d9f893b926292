//! The management API over the real routes, on both databases.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use homing::customers::{ConsentTold, Traits};
use homing::db::{Db, DbError};
use homing::http;
use homing::journal::{
    Body, Context, Identifiers, Journal, NewFact, OrderStated, OrderStatus, Source,
};
use homing::keys::{self, KeyHash, Scope, Trust};
use homing::primitives::{KeyId, StoreId, Timestamp};
use homing::rules::ShopDocument;
use homing::scoring;
use homing::stores::{self, Store};
use serde_json::Value;

use crate::on_both_backends;
use crate::support::TestDb;

const DAY: i64 = 86_400_000_000;

struct Answer {
    status: StatusCode,
    kind: String,
    allow: Option<String>,
    json: Value,
}

/// The API over `App`, as the server has it.
struct Api {
    app: web::Data<http::App>,
}

impl Api {
    /// Asks as the holder of `key` would.
    async fn ask(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Answer {
        let app = App::new().app_data(self.app.clone()).configure(http::routes);
        let mut request = TestRequest::with_uri(path).method(method.parse().unwrap());
        if !key.is_empty() {
            request = request.insert_header(("Authorization", format!("Bearer {key}")));
        }
        if let Some(body) = body {
            request = request.set_json(body);
        }
        let answer = call_service(&init_service(app).await, request.to_request()).await;
        let head = |name| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let (status, kind, allow) = (answer.status(), head(CONTENT_TYPE), head(ALLOW));
        let body = read_body(answer).await;
        let json = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        assert_described(method, path, status, &json);
        Answer { status, kind: kind.unwrap_or_default(), allow, json }
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        self.ask("GET", path, key, None).await
    }

    fn of(test: &TestDb, journal: &Journal) -> Self {
        Self {
            app: web::Data::new(http::App::new(
                test.db.clone(),
                journal.clone(),
                Arc::new(test.config()),
                test.secret(),
                test.clock(),
            )),
        }
    }
}

/// Every answer of every test is one that the API's description allows, member by member.
fn assert_described(method: &str, path: &str, status: StatusCode, answer: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let Some((operation, place)) = described(path).and_then(|(item, name)| {
        let method = method.to_lowercase();
        Some((item.get(&method)?, format!("{method} {name} {status}")))
    }) else {
        assert!([404, 405].contains(&status.as_u16()), "{method} {path} is not described");
        return;
    };
    let response = resolved(&operation["responses"][status.as_str()]);
    let content =
        response["content"].as_object().unwrap_or_else(|| panic!("{place} is not described"));
    let schema = &content.values().next().expect("one form of the answer")["schema"];
    if let Err(wrong) = fits(answer, schema) {
        panic!("{place}: {wrong}");
    }
}

fn document() -> &'static Value {
    static DOCUMENT: std::sync::LazyLock<Value> =
        std::sync::LazyLock::new(|| serde_json::from_str(http::api::openapi::TEXT).unwrap());
    &DOCUMENT
}

/// The path item for `path`, and its name there.
fn described(path: &str) -> Option<(&'static Value, &'static str)> {
    let parts: Vec<&str> = path.split('/').collect();
    let paths = document()["paths"].as_object().unwrap();
    let mut found = paths.iter().filter(|(name, _)| {
        let names: Vec<&str> = name.split('/').collect();
        let same = |(name, part): (&&str, &&str)| name == part || name.starts_with('{');
        names.len() == parts.len() && names.iter().zip(&parts).all(same)
    });
    found.next().map(|(name, item)| (item, name.as_str()))
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(to) => {
            document().pointer(to.trim_start_matches('#')).unwrap_or_else(|| panic!("{to}"))
        }
        None => value,
    }
}

/// As far as the description's own schemas go. Stricter than JSON Schema: a member that is not named is wrong.
fn fits(value: &Value, schema: &'static Value) -> Result<(), String> {
    let schema = resolved(schema);
    for key in ["oneOf", "anyOf"] {
        if let Some(several) = schema[key].as_array() {
            let tried: Vec<_> = several.iter().map(|one| fits(value, one)).collect();
            let matching = tried.iter().filter(|tried| tried.is_ok()).count();
            if matching == 0 || (key == "oneOf" && matching > 1) {
                return Err(format!("{value} fits {matching} of {several:?}: {tried:?}"));
            }
        }
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is not one of {words:?}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |told: &Value| told == kind || (told == "number" && kind == "integer");
    let right = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        told => is(told),
    };
    if !right {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if schema["format"] == "date-time"
        && let Some(text) = value.as_str()
        && text.parse::<Timestamp>().is_err()
    {
        return Err(format!("{text} is no instant"));
    }
    if let Value::Array(items) = value {
        items.iter().try_for_each(|item| fits(item, &schema["items"]))?;
    }
    let Value::Object(members) = value else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing in {value}"));
        }
    }
    for (name, member) in members {
        let named = &schema["properties"][name.as_str()];
        let others = &schema["additionalProperties"];
        match (named.is_null(), others) {
            (false, _) => fits(member, named),
            (true, Value::Bool(true)) => Ok(()),
            (true, Value::Object(_)) => fits(member, others),
            // A choice of several shapes names its members there.
            (true, _) if schema["properties"].is_null() => Ok(()),
            (true, _) => Err(format!("`{name}` is not described")),
        }
        .map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    Ok(())
}

fn make_key(test: &TestDb, scope: Scope) -> String {
    let key = keys::new_key(scope);
    let row = keys::store::NewKey {
        id: KeyId(scope as i64 + 1),
        store: StoreId(1),
        hash: KeyHash::of(&key),
        scope,
        trust: Trust::Server,
        name: "test".to_owned(),
        created_at: test.now,
    };
    test.db.write_here(|conn| keys::store::insert(conn, &row).map_err(DbError::from)).unwrap();
    key
}

fn store(db: &Db) -> Store {
    db.read_here(|conn| stores::store::find(conn, StoreId(1)).map_err(DbError::from)).unwrap()
}

fn fact(key: &str, at: Timestamp, who: &str, body: Body) -> NewFact {
    NewFact {
        source: Source::Csv,
        source_key: key.to_owned(),
        occurred_at: at,
        live: false,
        identifiers: Identifiers {
            external_id: Some(who.to_owned()),
            email: Some(format!("{who}@Shop.example").parse().unwrap()),
            ..Identifiers::default()
        },
        body,
        context: Context::default(),
    }
}

fn order(key: &str, at: Timestamp, who: &str, total: i64) -> NewFact {
    let order = OrderStated {
        order_id: key.to_owned(),
        status: OrderStatus::Paid,
        placed_at: Some(at),
        total,
        currency: "EUR".parse().unwrap(),
        refunded: None,
        coupon: None,
        channel: None,
        lines: vec![],
    };
    fact(key, at, who, Body::OrderStated(order))
}

/// Ten customers: the n-th ordered n + 1 times, every 20 days, the last time 10 n days ago.
async fn fill(test: &TestDb, journal: &Journal) {
    let mut facts = Vec::new();
    for n in 1..=10_i64 {
        let who = format!("c{n:02}");
        let traits = Traits {
            name: Some(format!("Customer {n:02}")),
            consent: (n == 10).then(|| ConsentTold {
                granted: true,
                at: None,
                channel: Some("csv".to_owned()),
            }),
            ..Traits::default()
        };
        let first = test.now.0 - (n * 10 + n * 20) * DAY;
        let named = Body::Identified { traits: Box::new(traits) };
        facts.push(fact(&format!("{who}-name"), Timestamp(first), &who, named));
        // Under fifty repeat orders in all: forecasts are then what is usual in shops, whatever ids the customers got.
        for k in 0..n.max(2) {
            let at = Timestamp(test.now.0 - (n * 10 + k * 20) * DAY);
            facts.push(order(&format!("{who}-{k}"), at, &who, 1_000 * n));
        }
    }
    journal.append(StoreId(1), facts).await.unwrap();
}

/// Ids are made anew in each run: the n-th that appears reads `id-n`.
fn without_ids(mut json: Value) -> Value {
    fn walk(value: &mut Value, seen: &mut Vec<String>) {
        match value {
            Value::String(text) if text.len() >= 18 && text.bytes().all(|b| b.is_ascii_digit()) => {
                let place = seen.iter().position(|id| id == text).unwrap_or_else(|| {
                    seen.push(text.clone());
                    seen.len() - 1
                });
                *text = format!("id-{place}");
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, seen)),
            Value::Object(map) => map.values_mut().for_each(|item| walk(item, seen)),
        }
    }
    walk(&mut json, &mut Vec::new());
    json
}

fn snapshot(name: &str, json: Value) {
    let pretty = serde_json::to_string_pretty(&without_ids(json)).unwrap();
    insta::allow_duplicates! { insta::assert_snapshot!(name, pretty) }
}

on_both_backends! {
    async fn the_lists_and_the_customer_are_answered_in_the_contract_s_shape(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        fill(&test, &journal).await;
        scoring::score_store(&test.db, &store(&test.db), test.now).unwrap();
        let api = Api::of(&test, &journal);
        let key = make_key(&test, Scope::Read);
        for (name, path) in [
            ("at-risk", "/api/v1/at-risk?limit=2"),
            ("segments", "/api/v1/segments"),
            ("customers", "/api/v1/customers?limit=2"),
            ("customer", "/api/v1/customers/c10@SHOP.example"),
            ("timeline", "/api/v1/customers/ext:c02/timeline"),
            ("decisions", "/api/v1/customers/ext:c02/decisions"),
            ("settings", "/api/v1/settings"),
            ("templates", "/api/v1/templates"),
            ("messages", "/api/v1/messages"),
            ("rules", "/api/v1/rules"),
        ] {
            let mut answer = api.get(path, &key).await;
            assert_eq!((answer.status.as_u16(), answer.kind.as_str()), (200, "application/json"), "{path}: {}", answer.json);
            // A cursor holds an id, which each run makes anew; the paging test follows it.
            if let Some(cursor) = answer.json.get_mut("next_cursor").filter(|cursor| cursor.is_string()) {
                *cursor = "…".into();
            }
            snapshot(name, answer.json);
        }
        drop((api, journal));
        writer.finish();
    }

    async fn pages_follow_each_other_without_gap_or_repeat(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        fill(&test, &journal).await;
        scoring::score_store(&test.db, &store(&test.db), test.now).unwrap();
        let api = Api::of(&test, &journal);
        let key = make_key(&test, Scope::Read);
        for (path, expected) in [
            ("/api/v1/customers?", 10), ("/api/v1/customers?sort=last_order&", 10), ("/api/v1/customers?segment=need_attention&", 2),
            ("/api/v1/at-risk?", 6), ("/api/v1/customers/ext:c10/timeline?", 11),
        ] {
            let whole = api.get(&format!("{path}limit=500"), &key).await.json;
            let whole = whole["items"].as_array().unwrap_or_else(|| panic!("{path}: {whole}")).clone();
            assert_eq!(whole.len(), expected, "{path}");
            let (mut paged, mut cursor) = (Vec::new(), String::new());
            for _ in 0..20 {
                let page = api.get(&format!("{path}limit=3{cursor}"), &key).await.json;
                paged.extend(page["items"].as_array().unwrap().iter().cloned());
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(paged, whole, "{path}");
        }
        let found = api.get("/api/v1/customers?q=customer%2003", &key).await.json;
        assert_eq!(found["items"][0]["external_id"], "c03");
        drop((api, journal));
        writer.finish();
    }

    async fn what_cannot_be_answered_is_a_problem_that_says_why(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let api = Api::of(&test, &journal);
        let (read, ingest) = (make_key(&test, Scope::Read), make_key(&test, Scope::Ingest));
        for (method, path, key, status, kind) in [
            ("GET", "/api/v1/at-risk", "", 401, "/problems/no-key"),
            ("GET", "/api/v1/at-risk", "homing_read_wrong", 401, "/problems/unknown-key"),
            ("GET", "/api/v1/at-risk", ingest.as_str(), 403, "/problems/wrong-scope"),
            ("POST", "/api/v1/suppressions", read.as_str(), 403, "/problems/wrong-scope"),
            ("GET", "/api/v1/nothing", read.as_str(), 404, "/problems/no-such-path"),
            ("DELETE", "/api/v1/at-risk", read.as_str(), 405, "/problems/wrong-method"),
            ("GET", "/api/v1/at-risk?limit=ten", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/at-risk?cursor=x", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/at-risk?segment=vips", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/segments/movements?from=soon", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/segments/movements?from=2030-01-01&to=2029-01-01", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/products/rhythm", read.as_str(), 404, "/problems/not-scored-yet"),
            ("GET", "/api/v1/at-risk?min_value=NaN", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/customers?sort=age", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/customers?limit=1&limit=2", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/customers/ext:nobody", read.as_str(), 404, "/problems/unknown-customer"),
            ("GET", "/api/v1/customers/%00/timeline", read.as_str(), 404, "/problems/unknown-customer"),
            ("GET", "/api/v1/rules/none", read.as_str(), 404, "/problems/unknown-rule"),
            ("GET", "/api/v1/messages/7", read.as_str(), 404, "/problems/unknown-message"),
            ("GET", "/api/v1/messages?status=lost", read.as_str(), 400, "/problems/bad-request"),
            ("GET", "/api/v1/messages?rule=none", read.as_str(), 400, "/problems/bad-request"),
        ] {
            let body = (method == "POST").then(|| serde_json::json!({ "email": "a@b.example" }));
            let answer = api.ask(method, path, key, body).await;
            let told = (answer.status.as_u16(), answer.kind.as_str(), answer.json["type"].as_str());
            assert_eq!(told, (status, "application/problem+json", Some(kind)), "{method} {path}: {}", answer.json);
            assert_eq!(answer.json["status"], status);
            assert!(answer.json["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
            assert_eq!(answer.allow.is_some(), status == 405);
        }
        // Before anything is scored, the lists are empty, not wrong.
        let list = api.get("/api/v1/at-risk?limit=9999", &read).await.json;
        assert_eq!(list, serde_json::json!({ "as_of": null, "historic": false, "items": [], "next_cursor": null }));
        assert_eq!(api.get("/api/v1/segments", &read).await.json["customers"], 0);
        drop((api, journal));
        writer.finish();
    }

    async fn what_is_described_is_there_and_answers(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let api = Api::of(&test, &journal);
        for (path, item) in document()["paths"].as_object().unwrap() {
            for method in ["get", "post", "put", "patch", "delete"] {
                let asked = path.replace(['{', '}'], "");
                let answer = api.ask(&method.to_uppercase(), &asked, "", None).await;
                // Nobody is let in without a key, and a path says which methods it knows.
                let tracking = !path.starts_with("/api/");
                match item.get(method) {
                    Some(_) if tracking && method == "post" => assert_eq!(answer.status, 400, "{method} {path}"),
                    Some(_) => assert_eq!(answer.status, 401, "{method} {path}"),
                    None if tracking => assert!(answer.status.is_client_error(), "{method} {path}"),
                    None => assert_eq!(answer.status, 405, "{method} {path}"),
                }
            }
        }
        drop((api, journal));
        writer.finish();
    }

    async fn an_address_is_suppressed_once_however_it_is_written(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let api = Api::of(&test, &journal);
        let key = make_key(&test, Scope::Manage);
        let post = |email: &'static str| serde_json::json!({ "email": email, "note": "asked by phone" });
        let path = "/api/v1/suppressions";
        assert_eq!(api.ask("POST", path, &key, Some(post("Ann@Shop.example"))).await.status, 201);
        assert_eq!(api.ask("POST", path, &key, Some(post("ann@shop.example"))).await.status, 200);
        assert_eq!(api.ask("POST", path, &key, Some(post("no address"))).await.status, 400);
        assert_eq!(api.ask("POST", path, &key, Some(serde_json::json!({ "mail": "x" }))).await.status, 400);
        assert_eq!(api.ask("POST", path, &key, Some(post("bob@shop.example"))).await.status, 201);
        let list = api.get(path, &key).await.json;
        snapshot("suppressions", list);
        drop((api, journal));
        writer.finish();
    }

    async fn a_look_into_the_past_is_shown_by_every_list_and_the_forgotten_by_none(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        fill(&test, &journal).await;
        let store = store(&test.db);
        scoring::score_store(&test.db, &store, test.now).unwrap();
        let api = Api::of(&test, &journal);
        let (read, manage) = (make_key(&test, Scope::Read), make_key(&test, Scope::Manage));
        let then = Timestamp(test.now.0 - 90 * DAY);
        scoring::score_as_of(&test.db, &store, then, test.now).unwrap();
        let customer = api.get("/api/v1/customers/ext:c09", &read).await.json;
        assert_eq!((&customer["days_since_last_order"], &customer["scored_as_of"]), (&0.0.into(), &then.to_string().into()));
        assert_eq!((&customer["segment"], &customer["segment_since"]), (&"loyal_customers".into(), &Value::Null));
        let loyal = api.get("/api/v1/customers?segment=loyal_customers", &read).await.json;
        assert!(loyal["items"].as_array().unwrap().iter().any(|item| item["external_id"] == "c09"), "{loyal}");
        assert_eq!(api.get("/api/v1/segments", &read).await.json["historic"], true);

        let path = "/api/v1/customers/ext:c09/erase";
        assert_eq!(api.ask("POST", path, &read, None).await.status, 403);
        let erased = api.ask("POST", path, &manage, None).await;
        assert_eq!((erased.status.as_u16(), &erased.json["erased_at"]), (200, &test.now.to_string().into()));
        let id = erased.json["id"].as_str().unwrap();
        let again = api.ask("POST", &format!("/api/v1/customers/{id}/erase"), &manage, None).await;
        assert_eq!((again.status.as_u16(), &again.json), (200, &erased.json));
        assert_eq!(api.ask("POST", path, &manage, None).await.status, 404);
        let tombstone = api.get(&format!("/api/v1/customers/{id}"), &read).await.json;
        assert_eq!((&tombstone["email"], &tombstone["name"], &tombstone["segment"]), (&Value::Null, &Value::Null, &Value::Null));
        let list = api.get("/api/v1/at-risk", &read).await.json;
        assert!(list["items"].as_array().unwrap().iter().all(|item| item["customer"]["id"] != id));
        drop((api, journal));
        writer.finish();
    }

    async fn a_rule_put_as_json_is_read_as_strictly_as_a_file_and_comes_back_the_same(test: TestDb) {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let api = Api::of(&test, &journal);
        let (key, reader) = (make_key(&test, Scope::Manage), make_key(&test, Scope::Read));
        let path = "/api/v1/rules/tea-lovers";
        let rule = serde_json::json!({
            "trigger": { "kind": "order", "after": "7d" },
            "audience": { "all": [
                { "did": "bought", "category": "Tea", "at_least": 2, "within": "90d" },
                { "not": { "received": "tea-lovers", "within": "30d" } },
                { "tag": "vip" },
                { "trait": "plan", "op": "eq", "value": "gold" },
            ] },
            "steps": [ { "template": "win-back", "subject": null } ],
        });
        assert_eq!(api.ask("PUT", path, &reader, Some(rule.clone())).await.status, 403);
        let made = api.ask("PUT", path, &key, Some(rule.clone())).await;
        assert_eq!((made.status.as_u16(), &made.json["version"]), (201, &1.into()));
        let shown = api.get(path, &reader).await.json;
        assert_eq!(shown, made.json);
        let same = api.ask("PUT", path, &key, Some(shown.clone())).await;
        assert_eq!((same.status.as_u16(), &same.json), (200, &shown), "nothing changed");
        let mut changed = shown;
        changed["priority"] = 70.into();
        let second = api.ask("PUT", path, &key, Some(changed)).await.json;
        assert_eq!((&second["version"], &second["priority"]), (&2.into(), &70.into()));

        let history = api.get("/api/v1/rules/tea-lovers/versions", &reader).await.json;
        assert_eq!(history["items"][0]["changes"], serde_json::json!([{ "name": "priority", "from": "50", "to": "70" }]));
        assert_eq!((&history["items"][1]["version"], &history["items"][1]["changes"]), (&1.into(), &serde_json::json!([])));
        assert_eq!(api.get("/api/v1/rules/none/versions", &reader).await.status, 404);
        let moved = api.ask("POST", "/api/v1/rules/tea-lovers/move", &key, None).await;
        assert_eq!((moved.status.as_u16(), moved.json), (200, serde_json::json!({ "moved": 0, "ended": 0 })));
        assert_eq!(api.ask("POST", "/api/v1/rules/none/move", &key, None).await.status, 404);
        assert_eq!(api.ask("POST", "/api/v1/rules/tea-lovers/move", &reader, None).await.status, 403);

        let mut wrong = rule;
        wrong["audience"] = serde_json::json!({ "did": "purchased" });
        wrong["steps"][0]["template"] = "no-such".into();
        let refused = api.ask("PUT", path, &key, Some(wrong)).await;
        let said = refused.json["detail"].as_str().unwrap();
        assert_eq!(refused.status, 400);
        assert!(said.contains("`purchased` is not one of: bought,") && said.contains("unknown template `no-such`"), "{said}");
        let elsewhere = api.ask("PUT", "/api/v1/rules/other", &key, Some(second)).await;
        assert!(elsewhere.json["detail"].as_str().unwrap().contains("it was put at `other`"));
        assert_eq!(api.ask("DELETE", path, &key, None).await.json["status"], "paused");
        assert_eq!(api.ask("DELETE", "/api/v1/rules/none", &key, None).await.status, 404);

        let count = |body: Value| { let (api, key) = (&api, &key); async move { api.ask("POST", "/api/v1/audience/count", key, Some(body)).await } };
        let all = count(serde_json::json!({ "audience": null })).await.json;
        assert_eq!(all, serde_json::json!({ "customers": 0, "audience": null }));
        let asked = count(serde_json::json!({ "audience": { "did": "bought" }, "explain": true })).await.json;
        assert_eq!(asked["audience"], "bought");
        assert!(!asked["plan"].as_array().unwrap().is_empty());
        let wrong = count(serde_json::json!({ "audience": { "field": "spend", "op": "gt", "value": 1 } })).await;
        assert_eq!(wrong.status, 400);
        assert!(wrong.json["detail"].as_str().unwrap().contains("`spend` is not one of: orders_count,"));
        drop((api, journal));
        writer.finish();
    }

    async fn a_rule_is_shown_with_its_status_in_force(test: TestDb) {
        let shop: ShopDocument = ShopDocument::parse("shop.toml", r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
locale = "zh-CN"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[[rule]]
key = "back-again"
name = "Back again"
status = "live"
trigger = { kind = "win_back", after = "60d", until = "90d" }
audience = { all = [ { field = "orders_count", op = "gte", value = 2 } ] }
[[rule.step]]
template = "win-back"
"#, &["win-back".to_owned()]).unwrap();
        let now = test.now;
        test.db.write_here(|conn| homing::rules::store::put(conn, StoreId(1), &shop.rules[0], now).map_err(DbError::from)).unwrap();
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let api = Api::of(&test, &journal);
        let key = make_key(&test, Scope::Read);
        let rule = api.get("/api/v1/rules/back-again", &key).await;
        assert_eq!(rule.status, 200);
        snapshot("rule", rule.json.clone());
        let all = api.get("/api/v1/rules", &key).await.json;
        assert_eq!(all["items"], Value::Array(vec![rule.json.clone()]));

        // What it earned, with somebody held out; the shape is held against the description.
        fill(&test, &journal).await;
        let draw = |conn: &mut homing::db::Conn| -> Result<(), DbError> {
            use diesel::prelude::*;
            use homing::db::schema::{assignments, customers};
            let all: Vec<i64> = customers::table.select(customers::id).load(conn)?;
            for (n, id) in all.into_iter().enumerate() {
                diesel::insert_into(assignments::table)
                    .values((
                        assignments::customer_id.eq(id),
                        assignments::experiment.eq("back-again"),
                        assignments::arm.eq(if n % 2 == 0 { "treatment" } else { "holdout" }),
                        assignments::assigned_at.eq(now.0 - 80 * DAY),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        };
        test.db.write_here(draw).unwrap();
        let report = api.get("/api/v1/reports/rules", &key).await;
        assert_eq!(report.status, 200);
        let experiment = &report.json["rules"][0]["experiment"];
        assert_eq!(experiment["treatment"]["customers"], 5);
        assert_eq!(experiment["caused_revenue"]["answer"], "unknown");
        assert_eq!(experiment["caused_revenue"]["amount"], Value::Null);
        let mut behind = Vec::new();
        for figure in ["credited", "treatment", "holdout"] {
            let path = format!("/api/v1/reports/rules/back-again/orders?figure={figure}");
            let orders = api.get(&path, &key).await;
            assert_eq!(orders.status, 200, "{figure}");
            behind.push(orders.json["items"].as_array().map_or(0, Vec::len));
        }
        assert_eq!((behind[0], behind[1] + behind[2]), (0, 3), "80 to 66 days ago");
        let mut people = Vec::new();
        for figure in ["treatment", "holdout", "treatment&converted=true", "holdout&converted=true"] {
            let path = format!("/api/v1/reports/rules/back-again/customers?figure={figure}");
            let customers = api.get(&path, &key).await;
            assert_eq!(customers.status, 200, "{figure}");
            people.push(customers.json["items"].as_array().map_or(0, Vec::len));
        }
        assert_eq!((people[0], people[1]), (5, 5));
        assert!(people[2] + people[3] > 0 && people[2] + people[3] <= 3);
        let page = api.get("/api/v1/reports/rules/back-again/customers?figure=treatment&limit=3", &key).await;
        let next = page.json["next_cursor"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/reports/rules/back-again/customers?figure=treatment&limit=3&cursor={next}");
        assert_eq!(api.get(&path, &key).await.json["items"].as_array().map(Vec::len), Some(2));
        for path in ["orders?figure=treatment", "customers?figure=holdout", "orders?figure=variant&step=1&variant=warm"] {
            let key_of = if path.contains("variant") { "back-again" } else { "global" };
            let none = api.get(&format!("/api/v1/reports/rules/{key_of}/{path}"), &key).await;
            assert_eq!((none.status.as_u16(), none.json["items"].as_array().map(Vec::len)), (200, Some(0)));
        }
        for (path, said) in [
            ("?from=2026-05-02&to=2026-05-01", "not after `from`"),
            ("?from=May", "`May` is no date"),
            ("/back-again/orders?figure=all", "`all` is not one of: credited, treatment, holdout, variant"),
            ("/back-again/orders?figure=variant", "needs `step`"),
            ("/back-again/customers", "behind `credited` are orders"),
            ("/back-again/customers?figure=holdout&converted=yes", "`yes` is neither true nor false"),
            ("/global/orders?figure=variant", "credited, treatment and holdout alone"),
        ] {
            let wrong = api.get(&format!("/api/v1/reports/rules{path}"), &key).await;
            assert_eq!(wrong.status, 400);
            assert!(wrong.json["detail"].as_str().unwrap().contains(said), "{}", wrong.json);
        }
        assert_eq!(api.get("/api/v1/reports/rules/none/orders", &key).await.status, 404);

        // Of days in shadow there is nothing to compare before one is whole.
        let never = api.get("/api/v1/reports/rules/back-again/shadow", &key).await;
        assert_eq!(never.status, 409, "{}", never.json);
        assert!(never.json["detail"].as_str().unwrap().contains("never was in shadow"));
        assert_eq!(api.get("/api/v1/reports/rules/none/shadow", &key).await.status, 404);
        let try_out = |conn: &mut homing::db::Conn| -> Result<(), DbError> {
            use homing::rules::{Rule, RuleStatus, store};
            let stored = store::find_by_key(conn, StoreId(1), "back-again")?.expect("the rule");
            let other = Rule { key: "tried".into(), status: RuleStatus::Shadow, ..stored.rule };
            store::put(conn, StoreId(1), &other, Timestamp(now.0 - 3 * DAY))?;
            Ok(())
        };
        test.db.write_here(try_out).unwrap();
        let compared = api.get("/api/v1/reports/rules/tried/shadow", &key).await;
        assert_eq!(compared.status, 200, "{}", compared.json);
        assert_eq!(compared.json["per_day"].as_array().map(Vec::len), Some(2));
        assert_eq!((&compared.json["in_shadow"], &compared.json["entered"]["shadow"]), (&true.into(), &0.into()));
        let untry = |conn: &mut homing::db::Conn| -> Result<(), DbError> {
            use homing::rules::store;
            let stored = store::find_by_key(conn, StoreId(1), "tried")?.expect("the rule");
            Ok(store::retire(conn, stored.id, now)?)
        };
        test.db.write_here(untry).unwrap();

        // What it would have done; and what another, that nobody saved, would have.
        let manage = make_key(&test, Scope::Manage);
        let path = "/api/v1/rules/back-again/backtest";
        assert_eq!(api.ask("POST", path, &key, None).await.status, 403);
        let done = api.ask("POST", path, &manage, None).await;
        assert_eq!(done.status, 200);
        assert_eq!((&done.json["from"], &done.json["to"]), (&"2026-03-03".into(), &"2026-06-01".into()));
        let ask = |body: Value| api.ask("POST", path, &manage, Some(body));
        let text = "[[rule]]\nkey = \"back-again\"\ntrigger = { kind = \"order\" }\n[[rule.step]]\ntemplate = \"win-back\"\n";
        let days = serde_json::json!({"from": "2026-05-01", "to": "2026-05-08", "rule": text});
        let unsaved = ask(days).await;
        assert_eq!((unsaved.status.as_u16(), unsaved.json["per_day"].as_array().map(Vec::len)), (200, Some(7)));
        let mut shown = rule.json.clone();
        shown["holdout"] = 0.5.into();
        assert_eq!(ask(serde_json::json!({"rule": shown})).await.status, 200);
        for (body, said) in [
            (serde_json::json!({"from": "May"}), "`May` is no date"),
            (serde_json::json!({"from": "2026-05-08", "to": "2026-05-01"}), "not after its first day"),
            (serde_json::json!({"till": "2026-05-08"}), "unknown field `till`"),
            (serde_json::json!({"rule": text.replace("order", "ordered")}), "rule:3: unknown kind `ordered`"),
            (serde_json::json!({"rule": text.replace("back-again", "other")}), "no rule with the key `back-again`"),
        ] {
            let refused = ask(body).await;
            assert_eq!(refused.status, 400);
            let detail = refused.json["detail"].as_str().unwrap();
            assert!(detail.contains(said), "{detail}");
        }
        assert_eq!(api.ask("POST", "/api/v1/rules/nope/backtest", &manage, None).await.status, 404);
        drop((api, journal));
        writer.finish();
    }
}
