//! What a message costs: to compose it, and to hand it to a mail server (Postfix's smtp-sink, where installed).
//!
//! `cargo bench --bench mail`. Beside the second figure stands what smtp-source, written in C and sending one ready
//! text, reaches on the same machine: `smtp-source -s 8 -m 20000 -l 24000 127.0.0.1:PORT`.

mod support;

use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{StreamExt, stream};
use homing::config::SmtpUrl;
use homing::mail::{Composer, Delivery, Headers, MailContext, ReadyMail, Transport};
use homing::rules::Class;
use support::Sink;

fn headers() -> Headers {
    Headers {
        from: "Lakeside Tea <hello@lakeside.example>".parse().expect("a sender"),
        reply_to: Some("care@lakeside.example".parse().expect("an address")),
        to: "ann@mail.example".parse().expect("an address"),
        to_name: Some("Ann Lindqvist".to_owned()),
        message_id: "<17.a0b1c2d3e4f5@lakeside.example>".to_owned(),
        now: "2026-03-01T12:30:00Z".parse().expect("an instant"),
        class: Class::Marketing,
        campaign: "browsed-not-bought".to_owned(),
        store_key: "default".to_owned(),
    }
}

fn composed(composer: &Composer, locale: &str, context: &MailContext) -> ReadyMail {
    composer
        .compose(
            "browse-reminder",
            &[locale],
            context,
            &headers(),
            &homing::mail::Tracking::default(),
        )
        .expect("a message")
}

fn compose(criterion: &mut Criterion) {
    criterion.bench_function("load all templates", |b| b.iter(|| Composer::load(None)));
    let composer = Composer::load(None).expect("the built-in templates");
    for locale in ["en", "zh-CN"] {
        let context = MailContext::samples(locale).remove(0);
        criterion.bench_function(&format!("render words, {locale}"), |b| {
            b.iter(|| composer.render("browse-reminder", &[locale], &context));
        });
        criterion.bench_function(&format!("compose a message, {locale}"), |b| {
            b.iter(|| composed(&composer, locale, &context));
        });
    }
}

fn hand_over(criterion: &mut Criterion) {
    const MESSAGES: usize = 2_000;
    let Some(sink) = Sink::start() else {
        eprintln!("SKIPPED: smtp-sink is not installed (Debian: apt-get install postfix)");
        return;
    };
    let url = SmtpUrl(sink.url());
    let transport = Transport::from_url(&url).expect("a transport");
    let composer = Composer::load(None).expect("the built-in templates");
    let context = MailContext::samples("en").remove(0);
    let mail = composed(&composer, "en", &context);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    let mut group = criterion.benchmark_group("hand over to smtp-sink");
    group.sample_size(10).throughput(Throughput::Elements(MESSAGES as u64));
    for connections in [1, 8] {
        let send_all = |each_composed: bool| {
            let begun = Instant::now();
            runtime.block_on(async {
                let sent = stream::iter(0..MESSAGES).map(|_| async {
                    let delivery = if each_composed {
                        transport.hand_over(&composed(&composer, "en", &context)).await
                    } else {
                        transport.hand_over(&mail).await
                    };
                    assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
                });
                sent.buffer_unordered(connections).collect::<()>().await;
            });
            begun.elapsed()
        };
        for (name, each_composed) in [("ready", false), ("composed", true)] {
            group.bench_function(format!("{name} messages, {connections} at once"), |b| {
                b.iter_custom(|rounds| (0..rounds).map(|_| send_all(each_composed)).sum());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compose, hand_over);
criterion_main!(benches);
