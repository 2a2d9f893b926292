//! A reader clicks, a scanner clicks, and whose a click was is known; nobody is led anywhere that no mail pointed to.

use std::sync::Arc;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::{test as http, web};
use homing::clicks::store::Event;
use homing::db::DbError;
use homing::http::App;
use homing::journal::{Body, Journal, ProductRef, Writer};
use homing::primitives::{Clock, CustomerId, Delay, Timestamp};
use homing::privacy;

use diesel::prelude::*;
use homing::db::schema::messages;

use crate::on_both_backends;
use crate::support::TestDb;
use crate::support::shop::{NO_GUARDRAILS, Shop, consents, fact, rule};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0";
const BROWSE: &str = "kind = \"visited_without_buying\", after = \"4h\"";

struct House {
    app: web::Data<App>,
    _writer: Writer,
}

impl House {
    /// The service as it stands at `now`.
    fn at(test: &TestDb, now: Timestamp) -> Self {
        let clock = Clock::Fixed(now);
        let (journal, writer) = Journal::start(test.db.clone(), test.secret(), clock);
        let app = App::new(test.db.clone(), journal, Arc::new(test.config()), test.secret(), clock);
        Self { app: web::Data::new(app), _writer: writer }
    }

    async fn ask(&self, method: Method, url: &str, agent: &str) -> ServiceResponse {
        let service = actix_web::App::new()
            .wrap(from_fn(homing::http::server::head_like_get))
            .app_data(self.app.clone())
            .configure(homing::http::routes);
        let service = http::init_service(service).await;
        let path = url.strip_prefix("https://shop.example").expect("a link of ours");
        let request = http::TestRequest::with_uri(path)
            .method(method)
            .insert_header((header::USER_AGENT, agent));
        let answer = service.call(request.to_request()).await.expect("an answer");
        self.app.clicks.write(self.app.clock.now()).await;
        answer.map_into_boxed_body()
    }

    async fn get(&self, url: &str, agent: &str) -> (StatusCode, String) {
        let answer = self.ask(Method::GET, url, agent).await;
        let location = answer.headers().get(header::LOCATION);
        (answer.status(), location.map_or("", |to| to.to_str().unwrap()).to_owned())
    }
}

fn views(who: &str, at: Timestamp, product: &str, url: &str) -> homing::journal::NewFact {
    let product = ProductRef {
        id: product.to_owned(),
        name: Some(format!("Tea {product}")),
        url: Some(url.to_owned()),
        ..ProductRef::default()
    };
    fact(who, at, Body::ProductViewed { product, currency: None })
}

/// Ann looked at two teas and was written to; when it left, and its clicks' and picture's addresses.
async fn mailed(shop: &Shop<'_>) -> (Timestamp, Vec<String>, Vec<String>) {
    let now = shop.test.now;
    shop.tell(vec![
        consents("ann", now.minus(Delay::days(1)), true),
        views("ann", now, "1", "https://tea.example/p/1?utm_source=mail&q=茶"),
        views("ann", now.plus(Delay::seconds(1)), "2", "https://tea.example/p/2"),
    ]);
    let sent = now.plus(Delay::hours(5));
    shop.tick(sent).await;
    let mail = shop.memory.accepted().pop().expect("a mail");
    (sent, addresses(&mail.bytes, "/t/c/"), addresses(&mail.bytes, "/t/o/"))
}

/// Each once, in their order, of the decoded parts.
fn addresses(mail: &[u8], kind: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(mail).replace("=\r\n", "").replace("=3D", "=");
    let mut found: Vec<String> = Vec::new();
    for (at, _) in text.match_indices(&format!("https://shop.example{kind}")) {
        let is_end = |c: char| c.is_whitespace() || "\"<>'".contains(c);
        let url = text[at..].split(is_end).next().unwrap_or_default().to_owned();
        if !found.contains(&url) {
            found.push(url);
        }
    }
    found
}

fn events(test: &TestDb, customer: CustomerId) -> Vec<Event> {
    let read = |conn: &mut _| {
        let id = messages::table
            .filter(messages::customer_id.eq(customer))
            .select(messages::id)
            .first(conn)?;
        homing::clicks::store::of_message(conn, customer, id).map_err(DbError::from)
    };
    test.db.read_here(read).expect("events")
}

fn said(test: &TestDb, customer: CustomerId) -> Vec<String> {
    let words = |event: Event| {
        let reason = event.reason.map_or_else(String::new, |reason| format!(" {reason}"));
        format!("{} {}{reason}", event.kind, event.verdict)
    };
    events(test, customer).into_iter().map(words).collect()
}

on_both_backends! {
    async fn a_reader_gets_to_the_shop_and_is_known_from_a_scanner(test: TestDb) {
        let shop = Shop::open(&test, &format!("{NO_GUARDRAILS}{}", rule("browse", BROWSE, "")));
        let (sent, clicks, pixels) = mailed(&shop).await;
        assert_eq!((clicks.len(), pixels.len()), (3, 1), "two teas and the shop: {clicks:?}");
        let ann = shop.customer("ann");

        let soon = House::at(&test, sent.plus(Delay::seconds(3)));
        assert_eq!(
            soon.get(&clicks[0], BROWSER).await,
            (StatusCode::FOUND, "https://tea.example/p/2".to_owned())
        );
        assert_eq!(said(&test, ann), ["click machine at_delivery"]);

        let later = House::at(&test, sent.plus(Delay::hours(1)));
        let (status, to) = later.get(&clicks[1], BROWSER).await;
        assert_eq!(status, StatusCode::FOUND);
        assert_eq!(to, "https://tea.example/p/1?utm_source=mail&q=%E8%8C%B6");
        later.get(&clicks[0], "curl/8.5.0").await;
        assert_eq!(later.ask(Method::HEAD, &clicks[0], BROWSER).await.status(), StatusCode::FOUND);
        let expected = ["click machine at_delivery", "click human", "click machine known_scanner"];
        assert_eq!(said(&test, ann), expected, "HEAD is kept nowhere");

        let evening = House::at(&test, sent.plus(Delay::hours(9)));
        evening.get(&clicks[0], BROWSER).await;
        evening.get(&clicks[1], BROWSER).await;
        assert_eq!(said(&test, ann)[3..], ["click human", "click human"]);
        evening.get(&clicks[2], BROWSER).await;
        assert_eq!(said(&test, ann)[3..], ["click machine all_links"; 3], "the third tells of all");
        assert_eq!(said(&test, ann)[1], "click human");
    }

    async fn a_picture_is_small_and_never_kept_by_caches(test: TestDb) {
        let shop = Shop::open(&test, &format!("{NO_GUARDRAILS}{}", rule("browse", BROWSE, "")));
        let (sent, _, pixels) = mailed(&shop).await;
        let house = House::at(&test, sent.plus(Delay::hours(1)));
        let answer = house.ask(Method::GET, &pixels[0], "Mozilla/5.0").await;
        let head = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(head(header::CACHE_CONTROL).as_deref(), Some("no-store"));
        assert_eq!(head(header::CONTENT_TYPE).as_deref(), Some("image/gif"));
        assert_eq!(http::read_body(answer).await.len(), 43);
        assert_eq!(said(&test, shop.customer("ann")), ["open machine mail_proxy"]);
    }

    async fn a_token_that_is_not_ours_leads_nowhere(test: TestDb) {
        let shop = Shop::open(&test, &format!("{NO_GUARDRAILS}{}", rule("browse", BROWSE, "")));
        let (sent, clicks, pixels) = mailed(&shop).await;
        let house = House::at(&test, sent.plus(Delay::hours(1)));
        let other_kind = clicks[0].replace("/t/c/", "/t/o/");
        let cut = &clicks[0][..clicks[0].len() - 1];
        for url in [
            "https://shop.example/t/c/x", "https://shop.example/t/c/https:%2F%2Fevil.example", cut,
            &other_kind, &pixels[0].replace("/t/o/", "/t/c/"),
        ] {
            assert_eq!(house.get(url, BROWSER).await, (StatusCode::NOT_FOUND, String::new()), "{url}");
        }
        let page = http::read_body(house.ask(Method::GET, cut, BROWSER).await).await;
        assert!(String::from_utf8_lossy(&page).contains("This link does not work"));
        assert_eq!(said(&test, shop.customer("ann")).len(), 0);
    }

    async fn the_erased_still_get_to_the_shop_and_nothing_is_kept(test: TestDb) {
        let shop = Shop::open(&test, &format!("{NO_GUARDRAILS}{}", rule("browse", BROWSE, "")));
        let (sent, clicks, _) = mailed(&shop).await;
        let (ann, at) = (shop.customer("ann"), sent.plus(Delay::hours(1)));
        House::at(&test, at).get(&clicks[0], BROWSER).await;
        assert_eq!(events(&test, ann).len(), 1);
        privacy::erase(&test.db, &test.secret(), &shop.store(), ann, at).expect("erasure");
        let (status, _) = House::at(&test, at.plus(Delay::days(900))).get(&clicks[0], BROWSER).await;
        assert_eq!(status, StatusCode::FOUND);
        assert_eq!(events(&test, ann), []);
    }

    async fn both_can_be_switched_off(test: TestDb) {
        let off = format!("{NO_GUARDRAILS}track_clicks = false\ntrack_opens = false\n");
        let shop = Shop::open(&test, &format!("{off}{}", rule("browse", BROWSE, "")));
        let (_, clicks, pixels) = mailed(&shop).await;
        assert_eq!((clicks.len(), pixels.len()), (0, 0));
        let mail = shop.memory.accepted().pop().expect("a mail");
        let plain = String::from_utf8_lossy(&mail.bytes).replace("=\r\n", "");
        assert!(plain.contains("https://tea.example/p/2"));
    }
}
