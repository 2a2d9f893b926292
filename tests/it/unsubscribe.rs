//! A recipient unsubscribes: by the mail program's button, by the page's, again and again, and back.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::{test as http, web};
use homing::customers::{ConsentState, Traits};
use homing::db::{DbError, schema};
use homing::http::App;
use homing::journal::{Body, ConsentTold, Context, Identifiers, Journal, NewFact, Source, Writer};
use homing::links::UnsubscribeToken;
use homing::primitives::{CustomerId, MessageId, StoreId, Timestamp};

use crate::on_both_backends;
use crate::support::TestDb;

use diesel::prelude::*;

const STORE: StoreId = StoreId(1);
const ONE_CLICK: (&str, &str) = ("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click");
const MULTIPART: (&str, &str) = (
    "multipart/form-data; boundary=b",
    "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n",
);
const WITHDRAW: (&str, &str) = ("application/x-www-form-urlencoded", "wish=withdraw");
const AGREE: (&str, &str) = ("application/x-www-form-urlencoded", "wish=agree");

struct House {
    app: web::Data<App>,
    _writer: Writer,
}

impl House {
    fn open(test: &TestDb) -> Self {
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), test.clock());
        let app = App::new(
            test.db.clone(),
            journal,
            Arc::new(test.config()),
            test.secret(),
            test.clock(),
        );
        Self { app: web::Data::new(app), _writer: writer }
    }

    /// A customer who agreed to marketing mail yesterday.
    async fn customer(&self, test: &TestDb, identifiers: Identifiers, locale: &str) -> CustomerId {
        let yesterday = Timestamp(test.now.0 - 86_400_000_000);
        let consent = ConsentTold { granted: true, at: Some(yesterday), channel: None };
        let traits =
            Traits { locale: Some(locale.to_owned()), consent: Some(consent), ..Traits::default() };
        let fact = NewFact {
            source: Source::Tracking,
            source_key: format!("{identifiers:?}"),
            occurred_at: yesterday,
            live: true,
            identifiers,
            body: Body::Identified { traits: Box::new(traits) },
            context: Context::default(),
        };
        let appended = self.app.journal.append(STORE, vec![fact]).await.expect("a stored fact");
        match appended[..] {
            [homing::journal::Appended::New { customer, .. }] => customer,
            _ => panic!("{appended:?}"),
        }
    }

    fn url(&self, customer: CustomerId) -> String {
        let token = UnsubscribeToken { store: STORE, customer, message: MessageId(7) };
        token.url("", &self.app.secret)
    }

    async fn ask(&self, method: Method, url: &str, form: (&str, &str), speaks: &str) -> Answer {
        let service = actix_web::App::new()
            .wrap(from_fn(homing::http::server::head_like_get))
            .app_data(self.app.clone())
            .configure(homing::http::routes);
        let service = http::init_service(service).await;
        let mut request = http::TestRequest::with_uri(url).method(method);
        if !speaks.is_empty() {
            request = request.insert_header((header::ACCEPT_LANGUAGE, speaks));
        }
        if !form.0.is_empty() {
            request = request
                .insert_header((header::CONTENT_TYPE, form.0))
                .set_payload(form.1.to_owned());
        }
        let response = service.call(request.to_request()).await.expect("an answer");
        Answer::of(response).await
    }

    async fn get(&self, url: &str) -> Answer {
        self.ask(Method::GET, url, ("", ""), "").await
    }

    async fn post(&self, url: &str, form: (&str, &str)) -> Answer {
        self.ask(Method::POST, url, form, "").await
    }

    fn consent(&self, id: CustomerId) -> ConsentState {
        use schema::customers;
        let found: Result<_, DbError> = self.app.db.read_here(|conn| {
            Ok(customers::table
                .filter(customers::id.eq(id))
                .select(customers::consent)
                .first(conn)?)
        });
        found.expect("the customer")
    }

    fn consent_facts(&self) -> i64 {
        use schema::facts;
        let found: Result<_, DbError> = self.app.db.read_here(|conn| {
            Ok(facts::table.filter(facts::kind.eq("consent_changed")).count().get_result(conn)?)
        });
        found.expect("a count")
    }
}

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

impl Answer {
    async fn of(response: ServiceResponse<impl MessageBody>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = http::read_body(response).await;
        Self { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }
}

fn ann() -> Identifiers {
    Identifiers { email: "ann@mail.example".parse().ok(), ..Identifiers::default() }
}

on_both_backends! {
    async fn one_click_acts_at_once_and_as_often_as_it_is_asked(test: TestDb) {
        let house = House::open(&test);
        let id = house.customer(&test, ann(), "en").await;
        let url = house.url(id);
        for form in [ONE_CLICK, MULTIPART, ONE_CLICK] {
            let answer = house.post(&url, form).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.headers.contains_key(header::SET_COOKIE));
            assert!(!answer.headers.contains_key(header::LOCATION));
            assert_eq!(house.consent(id), ConsentState::Withdrawn);
        }
        assert!(house.consent_facts() <= 2, "what holds already is noted once an hour at most");
    }

    async fn looking_changes_nothing(test: TestDb) {
        let house = House::open(&test);
        let id = house.customer(&test, ann(), "en").await;
        for method in [Method::GET, Method::HEAD] {
            let answer = house.ask(method, &house.url(id), ("", ""), "").await;
            assert_eq!(answer.status, StatusCode::OK);
        }
        let page = house.get(&house.url(id)).await;
        assert_eq!(page.body.matches("<button").count(), 1);
        assert!(page.body.contains("a…@mail.example") && !page.body.contains("ann@mail.example"));
        assert_eq!((house.consent(id), house.consent_facts()), (ConsentState::Granted, 0));
        let wrong = house.post(&house.url(id), ("text/plain", "List-Unsubscribe=One-Click")).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        assert_eq!(house.consent(id), ConsentState::Granted);
    }

    async fn the_page_withdraws_and_takes_back(test: TestDb) {
        let mut house = House::open(&test);
        let id = house.customer(&test, ann(), "en").await;
        let url = house.url(id);
        let gone = house.post(&url, WITHDRAW).await;
        assert!(gone.body.contains("You are unsubscribed"), "{}", gone.body);
        // At one and the same instant a withdrawal wins; people need a second to change their mind.
        house.app = later(&test, &house);
        let back = house.post(&url, AGREE).await;
        assert!(back.body.contains("Good to have you back"), "{}", back.body);
        assert_eq!(house.consent(id), ConsentState::Granted);
    }

    async fn an_older_consent_from_a_file_does_not_undo_it(test: TestDb) {
        let house = House::open(&test);
        let id = house.customer(&test, ann(), "en").await;
        house.post(&house.url(id), ONE_CLICK).await;
        let hour_ago = Timestamp(test.now.0 - 3_600_000_000);
        for (n, at) in [Some(hour_ago), None].into_iter().enumerate() {
            let consent = ConsentTold { granted: true, at, channel: Some("csv".to_owned()) };
            let traits = Traits { consent: Some(consent), ..Traits::default() };
            let fact = NewFact {
                source: Source::Csv,
                source_key: n.to_string(),
                occurred_at: test.now,
                live: false,
                identifiers: ann(),
                body: Body::Identified { traits: Box::new(traits) },
                context: Context::default(),
            };
            house.app.journal.append(STORE, vec![fact]).await.expect("a stored fact");
            assert_eq!(house.consent(id), ConsentState::Withdrawn);
        }
    }

    async fn a_link_follows_its_customer_through_a_merge(test: TestDb) {
        let house = House::open(&test);
        let first = house.customer(&test, ann(), "en").await;
        let both = Identifiers { external_id: Some("42".to_owned()), ..ann() };
        let owner = house.customer(&test, both, "en").await;
        assert_ne!(first, owner, "the address's customer became the shop's");
        assert_eq!(house.post(&house.url(first), ONE_CLICK).await.status, StatusCode::OK);
        assert_eq!(house.consent(owner), ConsentState::Withdrawn);
    }

    async fn an_erased_person_is_answered_like_anyone(test: TestDb) {
        let house = House::open(&test);
        let id = house.customer(&test, ann(), "en").await;
        let erased: Result<_, DbError> = house.app.db.write_here(|conn| {
            use schema::customers::dsl::*;
            diesel::update(customers.filter(id.eq(id)))
                .set((erased_at.eq(Some(test.now)), email.eq(None::<String>), email_key.eq(None::<String>)))
                .execute(conn)?;
            Ok(())
        });
        erased.expect("an erased customer");
        let answer = house.post(&house.url(id), ONE_CLICK).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(house.get(&house.url(id)).await.body.matches("<button").count(), 0);
        assert_eq!(house.get(&house.url(CustomerId(99))).await.status, StatusCode::OK);
    }

    async fn a_link_that_was_not_signed_is_not_found(test: TestDb) {
        let house = House::open(&test);
        let id = house.customer(&test, ann(), "en").await;
        let mut cut = house.url(id);
        cut.pop();
        for url in [cut.as_str(), "/u/x", "/u/AAAAAAAAAAEAAAAAAAAAFAAAAAAAAAEsmpL8kCMCqhHJh4iD"] {
            assert_eq!(house.get(url).await.status, StatusCode::NOT_FOUND);
            let answer = house.post(url, ONE_CLICK).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            assert!(!answer.body.contains("My store"), "a wrong link tells nothing");
        }
        assert_eq!(house.consent(id), ConsentState::Granted);
    }

    async fn the_page_speaks_the_customers_language_then_the_browsers(test: TestDb) {
        let house = House::open(&test);
        let chinese = house.customer(&test, ann(), "zh-Hans").await;
        let bob = Identifiers { email: "bob@mail.example".parse().ok(), ..Identifiers::default() };
        let french = house.customer(&test, bob, "fr").await;
        let ask = async |id, speaks: &str| {
            house.ask(Method::GET, &house.url(id), ("", ""), speaks).await.body
        };
        assert!(ask(chinese, "en").await.contains("<html lang=\"zh-CN\">"));
        assert!(ask(french, "fr, zh-CN;q=0.8").await.contains("<html lang=\"zh-CN\">"));
        assert!(ask(french, "").await.contains("<html lang=\"en\">"));
        let unknown = house.ask(Method::GET, "/u/x", ("", ""), "zh").await;
        assert!(unknown.body.contains("链接无效"));
    }
}

/// The same house a second later.
fn later(test: &TestDb, house: &House) -> web::Data<App> {
    let clock = homing::primitives::Clock::Fixed(Timestamp(test.now.0 + 1_000_000));
    let app = &house.app;
    web::Data::new(App::new(
        app.db.clone(),
        app.journal.clone(),
        Arc::clone(&app.config),
        app.secret.clone(),
        clock,
    ))
}
