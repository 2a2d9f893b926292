//! Mails on their way out: composed, handed to a real SMTP server, and there as they were.

use homing::config::SmtpUrl;
use homing::mail::{Composer, Delivery, Headers, MailContext, ReadyMail, Transport};
use homing::rules::Class;

use crate::support::{Answer, MailSink};

fn mail(composer: &Composer, template: &str, locale: &str) -> ReadyMail {
    let headers = Headers {
        from: "湖畔茶舍 Lakeside Tea <hello@lakeside.example>".parse().expect("a sender"),
        reply_to: Some("care@lakeside.example".parse().expect("an address")),
        to: "Ann@mail.example".parse().expect("an address"),
        to_name: Some("李婉清, \"Ann\"".to_owned()),
        message_id: format!("<17.{template}.{locale}@lakeside.example>"),
        now: "2026-03-01T12:30:00Z".parse().expect("an instant"),
        class: Class::Marketing,
        campaign: "browsed-not-bought".to_owned(),
        store_key: "default".to_owned(),
    };
    let context = MailContext::samples(locale).remove(0);
    composer
        .compose(template, &[locale], &context, &headers, &homing::mail::Tracking::default())
        .expect("a message")
}

fn transport(url: &str) -> Transport {
    Transport::from_url(&SmtpUrl(url.to_owned())).expect("a transport")
}

#[tokio::test]
async fn every_mail_arrives_byte_for_byte() {
    let Some(sink) = MailSink::start(Answer::Accepts) else { return };
    let transport = transport(&sink.url());
    let composer = Composer::load(None).expect("the built-in templates");
    let names: Vec<&str> = composer.names().collect();
    let mut sent = Vec::new();
    for locale in ["en", "zh-CN"] {
        for name in &names {
            let mut mail = mail(&composer, name, locale);
            // A line that begins with a dot must not end the message, nor lose its dot.
            mail.bytes.extend_from_slice(b"\r\n.\r\n..\r\n.dot\r\n");
            let delivery = transport.hand_over(&mail).await;
            assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
            sent.push(mail);
        }
    }
    transport.close().await;
    let arrived = sink.mails();
    assert_eq!(arrived.len(), sent.len());
    for mail in &sent {
        let text = String::from_utf8_lossy(&mail.bytes).replace("\r\n", "\n");
        let found: Vec<_> = arrived.iter().filter(|a| a.contains(&mail.message_id)).collect();
        let [arrived] = found[..] else {
            panic!("{} arrived {} times", mail.message_id, found.len())
        };
        assert!(arrived.contains(text.trim_end()), "{}", mail.message_id);
        assert!(arrived.contains("X-Mail-Args: <hello@lakeside.example>"), "{arrived}");
        assert!(arrived.contains("X-Rcpt-Args: <Ann@mail.example>"), "the local part as given");
    }
}

#[tokio::test]
async fn a_folder_gets_the_same_mails() {
    let folder = tempfile::tempdir().expect("a folder");
    let transport = transport(&format!("file:{}", folder.path().display()));
    let composer = Composer::load(None).expect("the built-in templates");
    for name in composer.names() {
        let mail = mail(&composer, name, "zh-CN");
        assert!(matches!(transport.hand_over(&mail).await, Delivery::Accepted { .. }));
        let file = mail.message_id.trim_matches(['<', '>']).to_owned() + ".eml";
        let written = std::fs::read(folder.path().join(&file)).expect("a file named by its id");
        assert_eq!(written, mail.bytes);
        // For looking at them with other programs.
        if let Ok(previews) = std::env::var("HOMING_TEST_PREVIEWS") {
            std::fs::write(std::path::Path::new(&previews).join(file), written).expect("a copy");
        }
    }
}
