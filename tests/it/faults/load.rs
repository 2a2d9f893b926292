//! A shop under way: clients that tell of visitors and orders as SDKs do, and send again what got no answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Chance;

const CLIENTS: usize = 4;

/// What the clients know of what they told.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// Facts that were answered with 200, by their message ids, and how often each was handed in.
    pub acknowledged: BTreeMap<String, u32>,
    /// Facts that were handed in at least once, and of which no client ever heard.
    pub unheard: u64,
    pub requests: u64,
    /// Answers that asked to come again: 429 and 503.
    pub put_off: u64,
}

/// Clients at work; stopped by [`Clients::finish`].
pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    ports: Vec<u16>,
    key: String,
    chance: Chance,
    is_over: AtomicBool,
    told: Mutex<Told>,
}

/// One request: where to, what, and the facts in it.
struct Request {
    path: &'static str,
    body: Value,
    ids: Vec<String>,
}

impl Clients {
    /// They take any of the servers, and another one when it does not answer.
    pub fn start(ports: &[u16], key: &str, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            ports: ports.to_vec(),
            key: key.to_owned(),
            chance: Chance::new(seed),
            is_over: AtomicBool::new(false),
            told: Mutex::default(),
        });
        let work = |client| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work(client))
        };
        let threads = (0..CLIENTS).map(work).collect();
        Self { shared, threads }
    }

    pub fn acknowledged(&self) -> usize {
        self.shared.told().acknowledged.len()
    }

    /// Waits until each has brought home what it was at. The servers must answer by now.
    pub fn finish(self) -> Told {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client");
        }
        self.shared.told().clone()
    }
}

impl Shared {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn work(&self, client: usize) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        for n in 0.. {
            for request in self.visitor(&format!("{client}-{n}")) {
                self.tell(&agent, &request);
            }
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            self.chance.pause(10, 60);
        }
    }

    /// Somebody who agrees to mail and looks at a tea; one in eight comes back and orders it.
    fn visitor(&self, who: &str) -> Vec<Request> {
        let id = |part: &str| format!("{who}-{part}");
        let tea = json!({ "product_id": "longjing", "name": "Longjing", "price": 98.0, "currency": "CNY" });
        let traits = json!({ "email": format!("{who}@mail.example"), "email_consent": true });
        let batch = json!([
            { "type": "identify", "userId": who, "anonymousId": id("b"), "messageId": id("i"), "traits": traits },
            { "type": "page", "anonymousId": id("b"), "messageId": id("p"), "name": "Home" },
            { "type": "track", "userId": who, "messageId": id("v"), "event": "Product Viewed", "properties": tea },
        ]);
        let mut requests = vec![Request {
            path: "/v1/batch",
            body: json!({ "writeKey": self.key, "batch": batch }),
            ids: ["i", "p", "v"].map(id).to_vec(),
        }];
        let page = json!({ "writeKey": self.key, "anonymousId": id("b"), "messageId": id("q"), "name": "Tea" });
        requests.push(Request { path: "/v1/page", body: page, ids: vec![id("q")] });
        if self.chance.percent(12) {
            let order = json!({ "order_id": id("order"), "total": 98.0, "currency": "CNY",
                "products": [{ "product_id": "longjing", "quantity": 1, "price": 98.0 }] });
            let body = json!({ "writeKey": self.key, "userId": who, "messageId": id("o"),
                "event": "Order Completed", "properties": order });
            requests.push(Request { path: "/v1/track", body, ids: vec![id("o")] });
        }
        requests
    }

    /// Until somebody takes it, as an SDK does; now and then one loses patience and never comes back.
    fn tell(&self, agent: &ureq::Agent, request: &Request) {
        for tries in 1.. {
            let port = self.ports[self.chance.below(self.ports.len() as u64) as usize];
            let answer = agent
                .post(format!("http://127.0.0.1:{port}{}", request.path))
                .send_json(&request.body);
            let status = answer.map(|answer| answer.status().as_u16()).ok();
            let mut told = self.told();
            told.requests += 1;
            match status {
                Some(200) => {
                    for id in &request.ids {
                        *told.acknowledged.entry(id.clone()).or_default() += tries;
                    }
                    return;
                }
                Some(429 | 503) => told.put_off += 1,
                None => {}
                Some(other) => panic!("{} was answered {other}", request.path),
            }
            if self.chance.percent(3) {
                told.unheard += request.ids.len() as u64;
                return;
            }
            drop(told);
            self.chance.pause(10, 60);
        }
    }
}
