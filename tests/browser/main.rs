//! The console as a person meets it: Chromium against the real program.

#[path = "../it/support/mod.rs"]
mod support;

use fantoccini::{Client, Locator};
use support::{Browser, Program, Serving, TestDb, on_sqlite};

const PASSWORD: &str = "a tea a day";
const ROOMS: [&str; 5] = ["/", "/at-risk", "/customers", "/rules", "/outbox"];

#[test]
fn an_operator_signs_in_and_reads_every_room_without_a_request_to_another_host() {
    on_sqlite(async |test: TestDb| {
        let Some(browser) = Browser::start().await else { return };
        let browser = &browser.client;
        let program = Program::on(&test);
        let add = ["user", "add", "mei@lakeside.example", "--role", "owner", "--password-stdin"];
        program.must_read(&add, &format!("{PASSWORD}\n"));
        let server = program.serve();

        sign_in(browser, &server).await;
        for room in ROOMS {
            browser.goto(&server.at(room)).await.unwrap();
            let heading = browser.find(Locator::Css("h1")).await.unwrap();
            assert!(!heading.text().await.unwrap().is_empty(), "{room} has a heading");
            assert_eq!(foreign_requests(browser, &server).await, Vec::<String>::new(), "{room}");
            assert!(!scrolls_sideways(browser).await, "{room} fits a laptop");
        }
        browser.set_window_size(390, 844).await.unwrap();
        for room in ROOMS {
            browser.goto(&server.at(room)).await.unwrap();
            assert!(!scrolls_sideways(browser).await, "{room} fits a phone");
        }
    });
}

async fn sign_in(browser: &Client, server: &Serving) {
    browser.goto(&server.at("/")).await.unwrap();
    let email = browser.wait().for_element(Locator::Css("input[name=email]")).await.unwrap();
    email.send_keys("mei@lakeside.example").await.unwrap();
    let password = browser.find(Locator::Css("input[type=password]")).await.unwrap();
    password.send_keys(PASSWORD).await.unwrap();
    browser.find(Locator::Css("form button")).await.unwrap().click().await.unwrap();
    browser.wait().for_element(Locator::Css("nav a[href='/at-risk']")).await.unwrap();
}

/// What the page loaded from anywhere but the server.
async fn foreign_requests(browser: &Client, server: &Serving) -> Vec<String> {
    let script = "return performance.getEntriesByType('resource').map(entry => entry.name)";
    let loaded = browser.execute(script, Vec::new()).await.unwrap();
    let own = server.at("/");
    let names = loaded.as_array().unwrap().iter().filter_map(|name| name.as_str());
    let foreign = names.filter(|name| !name.starts_with(&own) && !name.starts_with("data:"));
    foreign.map(str::to_owned).collect()
}

async fn scrolls_sideways(browser: &Client) -> bool {
    let script =
        "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    browser.execute(script, Vec::new()).await.unwrap().as_bool().unwrap()
}
