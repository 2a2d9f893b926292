//! `homing serve` from outside: what it acknowledged outlives it, however it ends, and its log names nobody.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::on_both_backends;
use crate::support::{Program, Serving};

/// Message ids of the facts that are stored.
fn stored(program: &Program) -> BTreeSet<String> {
    let facts = program.must(&["facts"]);
    let keys = facts.lines().map(|line| {
        let fact: serde_json::Value = serde_json::from_str(line).expect("a fact in JSON");
        fact["source_key"].as_str().expect("its key").to_owned()
    });
    keys.collect()
}

fn new_key(program: &Program) -> String {
    let key = program.must(&["key", "create", "--scope", "ingest", "--name", "test"]);
    assert_eq!(key.lines().count(), 1, "the key stands alone on stdout");
    key.trim().to_owned()
}

/// Posts one batch of two page views; `true` when it was acknowledged, `false` when the server was gone.
fn post(server: &str, key: &str, client: usize, n: usize) -> bool {
    let event = |part: &str| json!({ "type": "page", "anonymousId": format!("c{client}"), "messageId": format!("{client}-{n}-{part}") });
    let body = json!({ "writeKey": key, "batch": [event("a"), event("b")] }).to_string();
    match ureq::post(format!("{server}/v1/batch")).send(&body) {
        Ok(answer) => answer.status() == 200,
        Err(_) => false,
    }
}

/// Four clients post until `end` has ended the server; gives the message ids that were acknowledged.
fn acknowledged(serving: Serving, key: &str, end: impl FnOnce(Serving)) -> BTreeSet<String> {
    let server = serving.at("");
    let ending = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (server, ending) = (&server, &ending);
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for n in 0.. {
                        if post(server, key, client, n) {
                            kept.extend(["a", "b"].map(|part| format!("{client}-{n}-{part}")));
                        } else {
                            assert!(ending.load(Ordering::Relaxed), "refused before the end");
                            break;
                        }
                    }
                    kept
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400));
        ending.store(true, Ordering::Relaxed);
        end(serving);
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

on_both_backends! {
    async fn what_was_acknowledged_outlives_a_kill(test: TestDb) {
        let program = Program::on(&test);
        let key = new_key(&program);
        let known = acknowledged(program.serve(), &key, drop);
        assert!(!known.is_empty());
        let kept = stored(&program);
        assert!(kept.is_superset(&known), "lost: {:?}", known.difference(&kept).collect::<Vec<_>>());
        assert_eq!(kept.len() % 2, 0, "no half of a request");
        program.must(&["rebuild", "--check"]);
    }

    async fn a_stop_finishes_what_is_in_the_air(test: TestDb) {
        let program = Program::on(&test);
        let key = new_key(&program);
        let known = acknowledged(program.serve(), &key, |serving| {
            assert_eq!(serving.terminate(), Some(0));
        });
        assert_eq!(stored(&program), known, "all that is stored was acknowledged, and the reverse");
    }

    async fn the_log_names_nobody(test: TestDb) {
        let program = Program::on(&test).with("HOMING_LOG", "debug");
        let key = new_key(&program);
        let serving = program.serve();
        let body = json!({
            "userId": "ann-7", "traits": { "email": "ann@shop.example", "email_consent_at": "ann's day" },
        });
        let path = format!("/v1/identify?writeKey={key}");
        let answer = ureq::post(serving.at(&path)).header("user-agent", "AnnBrowser").send(body.to_string());
        assert_eq!(answer.expect("an answer").status(), 200);
        let odd = json!({ "writeKey": key, "userId": "ann-7", "event": "Order Completed",
            "properties": { "order_id": 1, "total": "ann's money" } });
        assert!(ureq::post(serving.at("/v1/track")).send(odd.to_string()).is_err());
        assert!(ureq::get(serving.at("/u/secret-token")).call().is_err());
        let log = serving.log();
        for told in ["ann", "Ann", "secret-token", key.as_str()] {
            let line = log.lines().find(|line| line.contains(told));
            assert_eq!(line, None, "`{told}` stands in the log");
        }
        assert!(log.contains("events refused"), "but what is wrong does");
    }

    async fn head_is_answered_like_get_without_a_body(test: TestDb) {
        let program = Program::on(&test);
        let key = program.must(&["key", "create", "--scope", "read", "--name", "test"]);
        let serving = program.serve();
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let ask = |method: &str, path: &str| {
            let request = ureq::http::Request::builder()
                .method(method)
                .uri(serving.at(path))
                .header("authorization", format!("Bearer {}", key.trim()))
                .body(())
                .expect("a request");
            let mut answer = agent.run(request).expect("an answer");
            let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().expect("text").to_owned());
            let told = ["content-type", "content-length", "location", "allow"].map(header);
            (answer.status().as_u16(), told, answer.body_mut().read_to_string().expect("text"))
        };
        for path in [
            "/healthz", "/readyz", "/", "/at-risk", "/sign-in", "/api/v1/at-risk", "/api/v1/customers/7",
            "/api/v1/customers/7/erase", "/v1/track", "/nothing",
        ] {
            let ((status, headers, _), (head, heads, body)) = (ask("GET", path), ask("HEAD", path));
            assert_eq!((status, &headers[0], &headers[2], &headers[3]), (head, &heads[0], &heads[2], &heads[3]), "{path}");
            assert_eq!(body, "", "{path}");
            // A page's form has a token of its own each time, but of one length.
            assert_eq!(headers[1], heads[1], "{path}");
        }
        assert_eq!(ask("HEAD", "/api/v1/segments").0, 200);
    }

    async fn it_says_how_it_is(test: TestDb) {
        let program = Program::on(&test);
        let serving = program.serve();
        assert!(serving.log().contains(&format!("Homing listens on http://127.0.0.1:{}", serving.port)));
        let text = |path: &str| {
            let mut answer = ureq::get(serving.at(path)).call().expect("an answer");
            answer.body_mut().read_to_string().expect("text")
        };
        assert_eq!(text("/healthz"), r#"{"status":"ok"}"#);
        assert_eq!(text("/readyz"), r#"{"database":"ok","journal":"ok","status":"ready"}"#);
        // An SDK takes a redirect, such as to the sign-in, for delivered.
        match ureq::post(serving.at("/v1/dance")).send("{}") {
            Err(ureq::Error::StatusCode(status)) => assert_eq!(status, 404),
            other => panic!("{other:?}"),
        }
        let metrics = text("/metrics");
        for name in ["homing_facts_total", "homing_http_requests_total", "homing_journal_waiting"] {
            assert!(metrics.contains(name), "{name}");
        }
    }
}

#[test]
fn a_taken_address_is_said_in_words() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("its address").to_string();
    let program = Program::alone().with("HOMING_LISTEN", &address);
    let finished = program.run(&["serve"]);
    assert_eq!(finished.code, 1);
    assert!(
        finished.stderr.contains(&format!("error: {address} cannot be listened on")),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains("hint: "), "{}", finished.stderr);
}

#[test]
fn a_schema_behind_is_not_served_unasked() {
    let program = Program::alone();
    let finished = program.run(&["serve", "--no-migrate"]);
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("homing migrate"), "{}", finished.stderr);
}
