//! What it costs to read tracking events: the API's share of ingest that no database speeds up.
//!
//! `cargo bench --bench tracking`. Events per second are of one core; storing them is the journal's bench.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homing::intake::tracking_api::{Arrival, Call, Envelope, unpack};
use homing::keys::Trust;
use homing::primitives::StoreId;
use homing::secret::Secret;
use serde_json::{Value, json};

/// As analytics-next sends it: about 700 bytes, most of them context.
fn viewed(n: usize) -> Value {
    json!({
        "type": "track", "event": "Product Viewed", "messageId": format!("ajs-next-1795315836007-{n}"),
        "anonymousId": "84df3b37-132f-481a-9d66-4a44b7cb6c33", "userId": format!("u-{}", n % 50),
        "timestamp": "2026-06-01T11:59:58.004Z",
        "properties": { "product_id": format!("p-{}", n % 300), "name": "Oolong, spring picking", "price": 19.99, "currency": "CNY" },
        "context": {
            "page": { "path": "/tea", "referrer": "https://www.google.com/", "search": "?utm_source=weibo&utm_campaign=618",
                      "title": "Oolong", "url": "https://shop.example/tea?utm_source=weibo&utm_campaign=618" },
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            "locale": "zh-CN", "timezone": "Asia/Shanghai", "campaign": { "source": "weibo", "name": "618" },
            "library": { "name": "analytics.js", "version": "npm:next-1.84.3" },
        },
    })
}

fn ordered(n: usize) -> Value {
    let product = |n: usize| json!({ "product_id": format!("p-{n}"), "name": "Oolong", "price": "19.99", "quantity": 2 });
    json!({
        "type": "track", "event": "Order Completed", "messageId": n.to_string(), "userId": format!("u-{n}"),
        "timestamp": "2026-06-01T11:59:58.004Z", "context": { "library": { "name": "analytics-python" } },
        "properties": { "order_id": format!("A-{n}"), "total": 119.94, "currency": "CNY", "products": [product(1), product(2), product(3)] },
    })
}

fn batch(event: fn(usize) -> Value) -> String {
    json!({ "sentAt": "2026-06-01T12:00:00Z", "batch": (0..100).map(event).collect::<Vec<_>>() })
        .to_string()
}

fn read(criterion: &mut Criterion) {
    let key = Secret::new("a secret for benches only").identify_key(StoreId(1));
    let currency = "CNY".parse().expect("a currency");
    let arrival = Arrival {
        received_at: "2026-06-01T12:00:01Z".parse().expect("an instant"),
        trust: Trust::Server,
        currency: &currency,
        identify_key: &key,
        user_agent: None,
        nonce: 1,
    };
    let mut group = criterion.benchmark_group("read a batch of 100 events");
    group.throughput(Throughput::Elements(100));
    for (name, text) in
        [("product views", batch(viewed)), ("orders of three lines", batch(ordered))]
    {
        let bytes = text.len() / 100;
        group.bench_function(format!("{name}, {bytes} bytes each"), |b| {
            b.iter(|| {
                let text = unpack(text.clone().into_bytes(), false).expect("text");
                let outcome = Envelope::open(&text, Call::Batch).expect("a batch").read(&arrival);
                assert_eq!(outcome.facts.len(), 100);
                outcome
            });
        });
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
