//! The console: signing in and what it guards, every page on both databases, and the keyboard in a real browser.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::dev::Service;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{test as http, web};
use diesel::prelude::*;
use homing::customers::Traits;
use homing::db::{DbError, schema};
use homing::http::App;
use homing::http::pages::{self, Pages};
use homing::journal::{
    Appended, Body, Context, Identifiers, Journal, NewFact, OrderStated, OrderStatus, Source,
    Writer,
};
use homing::primitives::{Clock, CustomerId, Delay, StoreId, Timestamp, UserId};
use homing::reports::today::{self as report, PERIODS};
use homing::stores;
use homing::users::{self, PasswordHash, Role, User};

use crate::on_both_backends;
use crate::support::{Browser, Program, TestDb, on_sqlite};

const STORE: StoreId = StoreId(1);
const PASSWORD: &str = "a password for tests";

const SHOP: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
locale = "en"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[[rule]]
key = "refill"
name = "Refill reminder"
status = "draft"
holdout = 0.1
at_most_every = "30d"
trigger = { kind = "repurchase_due", after = "20d" }
audience = { all = [{ field = "orders_count", op = "gte", value = 2 }, { not = { field = "segment", op = "eq", value = "lost" } }] }

[[rule.step]]
template = "repurchase-nudge"
"#;

/// A store with thirty buyers of different rhythms, scored; one message in doubt; an operator and a viewer.
struct Console {
    app: web::Data<App>,
    pages: web::Data<Pages>,
    customers: Vec<CustomerId>,
    _writer: Writer,
}

impl Console {
    async fn open(test: &TestDb, clock: Clock) -> Self {
        Program::on(test).write_and_apply(SHOP);
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), clock);
        let config = test.config();
        let pages = web::Data::new(Pages::new(&config, &test.secret()).expect("sound templates"));
        let app = App::new(test.db.clone(), journal, Arc::new(config), test.secret(), clock);
        let app = web::Data::new(app);
        let customers = buy(&app, clock.now()).await;
        let store = test
            .db
            .read_here(|conn| stores::store::find(conn, STORE).map_err(DbError::from))
            .expect("the store");
        homing::scoring::score_store(&test.db, &store, clock.now()).expect("scores");
        add_user(test, "operator@lakeside.example", Role::Operator, clock.now());
        add_user(test, "viewer@lakeside.example", Role::Viewer, clock.now());
        Self { app, pages, customers, _writer: writer }
    }

    /// A message that was handed over and never answered for, to the first customer.
    fn doubt(&self, now: Timestamp) -> i64 {
        let id = 77;
        let customer = self.customers[0].0;
        let done: Result<_, DbError> = self.app.db.write_here(|conn| {
            let (at, later) = (now.0 - 3_600_000_000, now.0 + 86_400_000_000);
            for sql in [
                format!(
                    "INSERT INTO enrolments (customer_id, id, store_id, rule_id, rule_version, episode, episode_until, due_at, \
                     useful_until, status, stops_after, created_at) SELECT {customer}, 5, 1, id, version, {at}, {at}, {at}, \
                     {later}, 'active', {at}, {at} FROM rules"
                ),
                format!(
                    "INSERT INTO messages (customer_id, id, store_id, rule_id, rule_version, enrolment_id, step, class, status, \
                     scheduled_at, useful_until, planned_for, attempts, claimed_at, last_reply) \
                     SELECT {customer}, {id}, 1, id, version, 5, 1, 'marketing', 'in_doubt', {at}, {later}, {at}, 1, {at}, \
                     'connection lost <after> the final dot' FROM rules"
                ),
            ] {
                diesel::sql_query(sql).execute(conn)?;
            }
            Ok(())
        });
        done.expect("a message in doubt");
        id
    }

    fn browser(&self) -> Visitor<'_> {
        Visitor { console: self, cookies: BTreeMap::new(), language: "en" }
    }

    async fn signed_in(&self, email: &str) -> Visitor<'_> {
        let mut visitor = self.browser();
        let answer = visitor.sign_in(email, PASSWORD, "/").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        visitor
    }
}

/// Someone with a cookie jar.
struct Visitor<'a> {
    console: &'a Console,
    cookies: BTreeMap<String, String>,
    language: &'static str,
}

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

impl Answer {
    fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |to| to.to_str().expect("a plain header"))
    }

    fn token(&self) -> String {
        let rest = self.body.split("name=\"csrf\" value=\"").nth(1).expect("a form");
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

impl Visitor<'_> {
    async fn ask(&mut self, method: Method, path: &str, form: &str) -> Answer {
        let console = self.console.pages.clone();
        let service = actix_web::App::new()
            .app_data(self.console.app.clone())
            .configure(homing::http::routes)
            .configure(|config| pages::configure(config, console));
        let service = http::init_service(service).await;
        let jar: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let mut request = http::TestRequest::with_uri(path)
            .method(method)
            .peer_addr("203.0.113.9:4000".parse().expect("an address"))
            .insert_header((header::ACCEPT_LANGUAGE, self.language))
            .insert_header((header::COOKIE, jar.join("; ")));
        if !form.is_empty() {
            request = request
                .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
                .set_payload(form.to_owned());
        }
        let response = service.call(request.to_request()).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        for cookie in response.response().cookies() {
            self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        }
        let body = String::from_utf8_lossy(&http::read_body(response).await).into_owned();
        Answer { status, headers, body }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    /// Posts with the token that a page of the console carries.
    async fn post(&mut self, path: &str, form: &str) -> Answer {
        let token = self.get("/").await.token();
        self.ask(Method::POST, path, &format!("csrf={token}&{form}")).await
    }

    async fn sign_in(&mut self, email: &str, password: &str, next: &str) -> Answer {
        let token = self.get("/sign-in").await.token();
        let form = format!("csrf={token}&email={email}&password={password}&next={next}");
        self.ask(Method::POST, "/sign-in", &form).await
    }
}

trait WriteAndApply {
    fn write_and_apply(&self, shop: &str);
}

impl WriteAndApply for Program {
    fn write_and_apply(&self, shop: &str) {
        self.write("shop.toml", shop);
        self.must(&["apply", "shop.toml"]);
    }
}

fn add_user(test: &TestDb, email: &str, role: Role, now: Timestamp) {
    let user = User {
        id: UserId(role as i64 + 1),
        store: STORE,
        email: email.to_owned(),
        role,
        password: PasswordHash::of(PASSWORD).expect("long enough"),
    };
    let done: Result<(), DbError> =
        test.db.write_here(|conn| Ok(users::store::insert(conn, &user, now)?));
    done.expect("a user");
}

/// Thirty buyers: number n ordered every n + 5 days, and stopped n weeks ago.
async fn buy(app: &App, now: Timestamp) -> Vec<CustomerId> {
    let mut customers = Vec::new();
    for n in 1..=30_i64 {
        let who = Identifiers {
            external_id: Some(format!("C-{n:02}")),
            email: format!("buyer{n}@mail.example").parse().ok(),
            ..Identifiers::default()
        };
        let fact = |key: String, at: Timestamp, body| NewFact {
            source: Source::Csv,
            source_key: key,
            occurred_at: at,
            live: false,
            identifiers: who.clone(),
            body,
            context: Context::default(),
        };
        let name = if n == 7 { "<b>Bobby</b> 李".to_owned() } else { format!("Buyer {n}") };
        let traits = Traits { name: Some(name), ..Traits::default() };
        let mut facts = vec![fact(
            format!("who-{n}"),
            now.minus(Delay::days(400)),
            Body::Identified { traits: Box::new(traits) },
        )];
        for order in 0..(n % 6 + 1) {
            let at = now.minus(Delay::days(7 * n + (n + 5) * order));
            let order_id = format!("{n}-{order}");
            let body = Body::OrderStated(OrderStated {
                order_id: order_id.clone(),
                status: OrderStatus::Paid,
                placed_at: Some(at),
                total: 1_000 * n,
                currency: "CNY".parse().expect("a currency"),
                refunded: None,
                coupon: None,
                channel: None,
                lines: Vec::new(),
            });
            facts.push(fact(order_id, at, body));
        }
        let appended = app.journal.append(STORE, facts).await.expect("stored facts");
        match appended[0] {
            Appended::New { customer, .. } => customers.push(customer),
            other => panic!("{other:?}"),
        }
    }
    customers
}

on_both_backends! {
    async fn every_page_answers_in_both_languages(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let id = console.doubt(test.now);
        let customer = console.customers[6];
        for (language, word) in [("en", "At risk"), ("zh-CN", "流失预警")] {
            let mut operator = console.signed_in("operator@lakeside.example").await;
            operator.language = language;
            let paths = [
                "/".to_owned(),
                "/?days=7".to_owned(),
                "/?days=90".to_owned(),
                "/?days=-1".to_owned(),
                "/at-risk".to_owned(),
                "/at-risk?segment=at_risk&segment=cant_lose_them&min_spent=12.50".to_owned(),
                "/at-risk?min_spent=much".to_owned(),
                "/movements".to_owned(),
                "/movements?days=7".to_owned(),
                "/predictions".to_owned(),
                "/predictions?horizon=30".to_owned(),
                "/customers".to_owned(),
                "/customers?segment=at_risk".to_owned(),
                "/customers?q=buyer".to_owned(),
                "/customers?q=nobody%20like%20this".to_owned(),
                format!("/customers/{customer}"),
                format!("/customers/{customer}?view=ledger"),
                format!("/customers/{customer}?view=timeline"),
                format!("/customers/{customer}?view=orders"),
                format!("/customers/{customer}?view=messages"),
                "/rules".to_owned(),
                "/rules/refill".to_owned(),
                "/rules/refill?ask=live".to_owned(),
                "/rules/refill?ask=shadow".to_owned(),
                "/rules/refill/behind".to_owned(),
                "/rules/refill/behind?figure=treatment&rows=customers".to_owned(),
                "/rules/refill/behind?figure=variant&step=1&variant=a&rows=converted".to_owned(),
                "/rules/global/behind?figure=holdout".to_owned(),
                "/gallery".to_owned(),
                "/outbox".to_owned(),
                "/outbox?status=scheduled&rule=refill".to_owned(),
                "/outbox?status=sent".to_owned(),
                format!("/outbox/{id}"),
                format!("/outbox/{id}?ask=resend"),
            ];
            for path in paths {
                let answer = operator.get(&path).await;
                assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
                assert!(answer.body.contains(word), "{path} in {language}");
                let policy = answer.headers.get("content-security-policy").expect("a policy");
                let policy = policy.to_str().expect("a plain header");
                assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
                assert!(!answer.body.contains("style=\"") && !answer.body.contains("onclick"), "{path}");
                for link in local_links(&answer.body) {
                    assert!(!link.starts_with("http"), "{path} names another host: {link}");
                }
            }
        }
    }

    async fn the_days_of_a_span_add_up_to_its_figures(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let now = test.now;
        let done: Result<_, DbError> = console.app.db.read_here(|conn| {
            let store = stores::store::find(conn, STORE)?;
            for days in PERIODS {
                let (span, before) = report::spans(now, &store.timezone, days);
                for span in [span, before] {
                    let totals = report::totals(conn, &store, span.start(), span.until())?;
                    let by_day = report::gmv_by_day(conn, &store, span)?;
                    assert_eq!(by_day.len() as i64, days);
                    assert_eq!(by_day.iter().sum::<i64>(), totals.gmv, "{days} days from {}", span.first.date);
                    assert!(days < 30 || totals.gmv > 0, "{days} days hold orders");
                }
            }
            Ok(())
        });
        done.expect("figures");
        let mut operator = console.signed_in("operator@lakeside.example").await;
        let page = operator.get("/?days=30").await.body;
        assert!(page.contains("<h1>Last 30 days</h1>") && page.contains("the 30 days before"), "{page}");
        assert!(page.contains("href=\"/?days=30\" aria-current") || page.contains("days=30\" aria-current"), "{page}");
    }

    async fn every_link_on_a_page_leads_somewhere(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        console.doubt(test.now);
        let mut operator = console.signed_in("operator@lakeside.example").await;
        let mut to_visit = vec!["/".to_owned()];
        let mut seen: Vec<String> = Vec::new();
        while let Some(path) = to_visit.pop() {
            if seen.contains(&path) || seen.len() > 60 {
                continue;
            }
            let answer = operator.get(&path).await;
            assert!(answer.status.is_success() || answer.status.is_redirection(), "{path}: {}", answer.status);
            seen.push(path);
            to_visit.extend(local_links(&answer.body));
        }
        assert!(seen.iter().any(|path| path.starts_with("/outbox/")), "{seen:?}");
    }

    async fn names_from_outside_stay_text(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        console.doubt(test.now);
        let mut operator = console.signed_in("operator@lakeside.example").await;
        let page = operator.get(&format!("/customers/{}", console.customers[6])).await;
        assert!(page.body.contains("&lt;b&gt;Bobby&lt;&#x2f;b&gt;") || page.body.contains("&lt;b&gt;Bobby"), "{}", page.body);
        assert!(!page.body.contains("<b>Bobby"));
        let page = operator.get("/outbox/77").await;
        assert!(page.body.contains("&lt;after&gt;"));
    }

    async fn nobody_gets_in_without_signing_in(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let mut stranger = console.browser();
        for path in ["/", "/at-risk?segment=at_risk", "/customers", "/rules/refill", "/outbox"] {
            let answer = stranger.get(path).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
            assert!(answer.location().starts_with("/sign-in"), "{path}");
        }
        let wrong = stranger.sign_in("operator@lakeside.example", "not the password", "/").await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        let unknown = stranger.sign_in("nobody@lakeside.example", PASSWORD, "/").await;
        assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(stranger.get("/").await.status, StatusCode::SEE_OTHER);

        let back = stranger.sign_in("operator@lakeside.example", PASSWORD, "/at-risk").await;
        assert_eq!((back.status, back.location()), (StatusCode::SEE_OTHER, "/at-risk"));
        let cookie = back.headers.get_all(header::SET_COOKIE).map(|c| c.to_str().expect("plain"));
        let session = cookie.into_iter().find(|c| c.starts_with("homing_session=")).expect("a session");
        for guard in ["HttpOnly", "SameSite=Lax", "Secure"] {
            assert!(session.contains(guard), "{session}");
        }
        let away = stranger.sign_in("operator@lakeside.example", PASSWORD, "//evil.example").await;
        assert_eq!(away.location(), "/");
    }

    async fn guessing_is_slowed_down(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let mut guesser = console.browser();
        // Ten tries are had at once and one comes every half minute, in which a slow machine hashes few passwords.
        let mut tries = 0;
        while guesser.sign_in("operator@lakeside.example", "wrong again", "/").await.status
            != StatusCode::TOO_MANY_REQUESTS
        {
            tries += 1;
            assert!(tries < 40, "nobody is slowed down");
        }
        assert!(tries >= 10, "{tries}: a typing mistake or two locks nobody out");
        let right = guesser.sign_in("operator@lakeside.example", PASSWORD, "/").await;
        assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "the right password does not help then");
        let other = guesser.sign_in("viewer@lakeside.example", PASSWORD, "/").await;
        assert_eq!(other.status, StatusCode::SEE_OTHER, "another account is not locked out with it");
    }

    async fn a_rule_goes_live_by_an_operator_with_the_pages_token_alone(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let status = || {
            let found: Result<String, DbError> = test.db.read_here(|conn| {
                Ok(schema::rules::table.select(schema::rules::status).first(conn)?)
            });
            found.expect("the rule")
        };
        let mut operator = console.signed_in("operator@lakeside.example").await;
        for form in ["to=live", "csrf=&to=live", "csrf=nonsense&to=live"] {
            let answer = operator.ask(Method::POST, "/rules/refill/status", form).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
        }
        let mut viewer = console.signed_in("viewer@lakeside.example").await;
        let answer = viewer.post("/rules/refill/status", "to=live").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(status(), "draft");
        assert!(!viewer.get("/rules/refill").await.body.contains("?ask=live"), "no button that would refuse");

        let done = operator.post("/rules/refill/status", "to=live").await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/rules/refill"));
        assert_eq!(status(), "live");
        assert!(operator.get("/rules/refill").await.body.contains("Refill reminder is live."), "it is said");
        let again = operator.post("/rules/refill/status", "to=live").await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "twice is once");
        operator.post("/rules/refill/status", "to=paused").await;
        assert_eq!(status(), "paused");
    }

    async fn a_rule_is_tried_in_shadow_and_a_pause_of_its_own_is_not_lifted_here(test: TestDb) {
        use homing::rules::{PauseReason, store as rules};
        let console = Console::open(&test, test.clock()).await;
        let stored = || {
            let find = |conn: &mut homing::db::Conn| rules::find_by_key(conn, StoreId(1), "refill").map_err(DbError::from);
            test.db.read_here(find).unwrap().expect("the rule")
        };
        let mut operator = console.signed_in("operator@lakeside.example").await;
        let page = operator.get("/rules/refill").await.body;
        assert!(page.contains("?ask=shadow") && page.contains("?ask=live"), "a draft has both ways");
        assert!(operator.get("/rules/refill?ask=shadow").await.body.contains("name=\"to\" value=\"shadow\""));
        operator.post("/rules/refill/status", "to=shadow").await;
        assert_eq!(stored().status.as_str(), "shadow");
        let page = operator.get("/rules/refill").await.body;
        assert!(page.contains("id=\"shadow\"") && page.contains("whole day"), "nothing to compare yet");
        operator.post("/rules/refill/status", "to=live").await;
        assert_eq!(stored().status.as_str(), "live");
        let (id, now) = (stored().id, test.now);
        let pause = |conn: &mut homing::db::Conn| {
            rules::pause(conn, id, PauseReason::Complaints, now).map_err(DbError::from)
        };
        assert!(test.db.write_here(pause).unwrap());
        let page = operator.get("/rules/refill").await.body;
        assert!(page.contains("homing rules resume refill") && !page.contains("?ask=live"));
        operator.post("/rules/refill/status", "to=live").await;
        assert!(stored().pause.is_some(), "it stays paused");
    }

    async fn a_ready_rule_is_taken_once_as_a_draft_with_its_tests(test: TestDb) {
        use homing::rules::store as rules;
        let console = Console::open(&test, test.clock()).await;
        let mut operator = console.signed_in("operator@lakeside.example").await;
        operator.language = "zh-CN";
        let taken = operator.post("/gallery/birthday", "").await;
        assert_eq!((taken.status, taken.location()), (StatusCode::SEE_OTHER, "/rules/birthday"));
        let find = |conn: &mut homing::db::Conn| rules::find_by_key(conn, StoreId(1), "birthday").map_err(DbError::from);
        let stored = test.db.read_here(find).unwrap().expect("the rule");
        assert_eq!((stored.status.as_str(), stored.rule.name.as_str(), stored.version), ("draft", "生日祝福", 1));
        assert_eq!(stored.rule.tests.len(), 2);
        operator.language = "en";
        operator.post("/gallery/birthday", "").await;
        assert_eq!(test.db.read_here(find).unwrap().expect("the rule").version, 1, "what is there stays");
        assert_eq!(operator.post("/gallery/nothing", "").await.status, StatusCode::NOT_FOUND);
        let mut viewer = console.signed_in("viewer@lakeside.example").await;
        assert_eq!(viewer.post("/gallery/cart", "").await.status, StatusCode::FORBIDDEN);
        assert!(!viewer.get("/gallery").await.body.contains("<form method=\"post\" action=\"/gallery"));
    }

    async fn a_message_in_doubt_has_two_ways_out(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let id = console.doubt(test.now);
        let status = || {
            let found: Result<String, DbError> = test.db.read_here(|conn| {
                Ok(schema::messages::table.select(schema::messages::status).first(conn)?)
            });
            found.expect("the message")
        };
        let mut viewer = console.signed_in("viewer@lakeside.example").await;
        assert_eq!(viewer.post(&format!("/outbox/{id}/resend"), "").await.status, StatusCode::FORBIDDEN);
        assert_eq!(status(), "in_doubt");
        let mut operator = console.signed_in("operator@lakeside.example").await;
        assert_eq!(operator.post("/outbox/123456/close", "").await.status, StatusCode::NOT_FOUND);
        assert_eq!(operator.post(&format!("/outbox/{id}/resend"), "").await.status, StatusCode::SEE_OTHER);
        assert_eq!(status(), "scheduled");
        let late = operator.post(&format!("/outbox/{id}/close"), "").await;
        assert_eq!(late.status, StatusCode::SEE_OTHER);
        assert_eq!(status(), "scheduled", "what is not in doubt any more is left alone");
    }

    async fn a_new_password_or_a_sign_out_ends_the_session(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let mut operator = console.signed_in("operator@lakeside.example").await;
        assert_eq!(operator.get("/rules").await.status, StatusCode::OK);
        let done: Result<(), DbError> = test.db.write_here(|conn| {
            let user = users::store::find_by_email(conn, "operator@lakeside.example")?.expect("known");
            let password = PasswordHash::of("quite another one").expect("long enough");
            Ok(users::store::update(conn, &User { password, ..user })?)
        });
        done.expect("a new password");
        assert_eq!(operator.get("/rules").await.status, StatusCode::SEE_OTHER);

        let mut viewer = console.signed_in("viewer@lakeside.example").await;
        assert_eq!(viewer.post("/sign-out", "").await.location(), "/sign-in");
        assert_eq!(viewer.get("/rules").await.status, StatusCode::SEE_OTHER);
    }

    async fn the_worklist_leaves_as_a_file(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let mut operator = console.signed_in("operator@lakeside.example").await;
        let all = operator.get("/at-risk/export").await;
        assert!(all.body.starts_with("\u{feff}customer_id,"), "{}", all.body);
        let lines = all.body.lines().count();
        assert!(lines > 2, "{}", all.body);
        let first = all.body.lines().nth(1).expect("a row").split(',').next().expect("an id").to_owned();
        let one = operator.get(&format!("/at-risk/export?customer={first}")).await;
        assert_eq!(one.body.lines().count(), 2);
    }

    async fn a_customer_is_found_by_what_people_remember(test: TestDb) {
        let console = Console::open(&test, test.clock()).await;
        let mut operator = console.signed_in("operator@lakeside.example").await;
        let page = format!("/customers/{}", console.customers[10]);
        for q in ["Buyer%2011", "BUYER11@mail.example", "buyer11@", "C-11", "uyer%2011"] {
            let answer = operator.get(&format!("/customers?q={q}")).await;
            assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, page.as_str()), "{q}");
        }
        let gone = operator.get("/customers/12345").await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        assert!(gone.body.contains("aria-label=\"Rooms\""), "the navigation stays");
    }
}

/// The local addresses that a page's links lead to.
fn local_links(body: &str) -> Vec<String> {
    body.split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| !link.starts_with('#') && !link.starts_with("/static/"))
        .map(|link| link.replace("&amp;", "&").replace("&#x2f;", "/"))
        .collect()
}

/// As WebDriver writes the keys.
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";

#[test]
fn the_keyboard_leads_from_sign_in_to_a_customer() {
    on_sqlite(async |test| {
        let Some(browser) = Browser::start().await else { return };
        let console = Console::open(&test, Clock::System).await;
        let server = Program::on(&test).serve();
        let client = &browser.client;
        use fantoccini::Locator::Css;

        client.goto(&server.at("/at-risk")).await.expect("a page");
        let field = async |css: &str| client.wait().for_element(Css(css)).await.expect("a field");
        field("#email").await.send_keys("operator@lakeside.example").await.expect("typing");
        field("#password").await.send_keys(PASSWORD).await.expect("typing");
        field("#password").await.send_keys(ENTER).await.expect("Enter");

        let body = field("body").await;
        field("tr.go").await;
        for key in ["j", "j", "k"] {
            client.active_element().await.expect("the focus").send_keys(key).await.expect("a key");
        }
        let focused = client.active_element().await.expect("the focus");
        let target = focused.attr("href").await.expect("an answer").expect("a link has the focus");
        assert!(target.starts_with("/customers/"), "{target}");
        focused.send_keys("x").await.expect("a key");
        let ticked =
            client.find_all(Css(".worklist tbody input:checked")).await.expect("an answer");
        assert_eq!(ticked.len(), 1, "x ticks the row");
        drop(body);

        focused.send_keys(ENTER).await.expect("Enter");
        client.wait().for_element(Css("dl.pairs")).await.expect("the customer's page");
        let at = client.current_url().await.expect("an address");
        assert_eq!(at.path(), target);

        // The find field, and the theme, by their keys; the theme stays.
        client.active_element().await.expect("the focus").send_keys("/").await.expect("a key");
        let find = client.active_element().await.expect("the focus");
        assert_eq!(find.attr("name").await.expect("an answer").as_deref(), Some("q"));
        find.send_keys(ESCAPE).await.expect("a key");
        field("body").await.send_keys("t").await.expect("a key");
        let theme = field("html").await.attr("data-theme").await.expect("an answer");
        client.refresh().await.expect("the page again");
        assert_eq!(field("html").await.attr("data-theme").await.expect("an answer"), theme);
        assert!(theme.is_some());
        assert!(!console.customers.is_empty());
    });
}
