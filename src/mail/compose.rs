//! Composes a message: words from a template, headers from the facts. Pure: the same input gives the same bytes.

use std::time::{Duration, SystemTime};

use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use super::context::is_web_address;
use super::templates::{Composer, RenderError, Rendered};
use super::{MailContext, ReadyMail, Tracking};
use crate::primitives::{EmailAddress, MessageId, StoreId, Timestamp, clean_text};
use crate::rules::Class;
use crate::secret::Secret;
use crate::stores::Sender;

/// What the headers say, apart from the subject.
#[derive(Debug, Clone)]
pub struct Headers {
    pub from: Sender,
    pub reply_to: Option<EmailAddress>,
    pub to: EmailAddress,
    pub to_name: Option<String>,
    /// See [`message_id_for`].
    pub message_id: String,
    pub now: Timestamp,
    /// Marketing mail offers to unsubscribe in its headers too.
    pub class: Class,
    /// The rule's key: what mailbox providers count complaints by.
    pub campaign: String,
    pub store_key: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Permanent for this recipient.
    #[error("the recipient's address needs SMTPUTF8 (RFC 6531), which is not supported")]
    AddressNotAscii,
    #[error("marketing mail needs {0}")]
    Incomplete(&'static str),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the message cannot be built: {0}")]
    Unbuildable(String),
}

/// The Message-ID of a message of the outbox: the same on every attempt, and not to be guessed from the number,
/// so that a bounce that carries it is an answer to a mail of ours.
pub fn message_id_for(
    secret: &Secret,
    store: StoreId,
    message: MessageId,
    from: &EmailAddress,
) -> String {
    let hash =
        secret.keyed_hash("mail message-id", &[&store.0.to_be_bytes(), &message.0.to_be_bytes()]);
    let proof: String = hash[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<{message}.{proof}@{}>", from.domain())
}

impl Composer {
    /// Words and headers together. `locales`: the customer's, then the store's.
    pub fn compose(
        &self,
        template: &str,
        locales: &[&str],
        context: &MailContext,
        headers: &Headers,
        tracking: &Tracking<'_>,
    ) -> Result<ReadyMail, ComposeError> {
        let unsubscribe =
            context.unsubscribe_url.as_deref().filter(|url| url.is_ascii() && is_web_address(url));
        if headers.class == Class::Marketing {
            if unsubscribe.is_none() {
                return Err(ComposeError::Incomplete("an unsubscribe link"));
            }
            if context.store.postal_address.trim().is_empty() {
                return Err(ComposeError::Incomplete("the store's postal address"));
            }
        }
        if !headers.to.is_ascii() {
            return Err(ComposeError::AddressNotAscii);
        }
        let rendered = tracking.apply(self.render(template, locales, context)?, context);
        let subject = rendered.subject.clone();
        let bytes = build(rendered, context, headers, unsubscribe)
            .map_err(|e| ComposeError::Unbuildable(e.to_string()))?;
        Ok(ReadyMail {
            envelope_from: headers.from.address().clone(),
            envelope_to: headers.to.clone(),
            message_id: headers.message_id.clone(),
            subject,
            bytes,
        })
    }
}

fn build(
    rendered: Rendered,
    context: &MailContext,
    headers: &Headers,
    unsubscribe: Option<&str>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let from = &headers.from;
    let mailbox = |name: Option<&str>, address: &EmailAddress| -> Result<Mailbox, _> {
        let name = name.and_then(|name| clean_text(name, 100));
        address.as_str().parse::<Address>().map(|address| Mailbox::new(name, address))
    };
    let date =
        SystemTime::UNIX_EPOCH + Duration::from_secs(headers.now.0.max(0) as u64 / 1_000_000);
    let mut message = Message::builder()
        .from(mailbox(from.name(), from.address())?)
        .to(mailbox(headers.to_name.as_deref(), &headers.to)?)
        .subject(rendered.subject)
        .date(date)
        .message_id(Some(headers.message_id.clone()));
    if let Some(reply_to) = &headers.reply_to {
        message = message.reply_to(mailbox(None, reply_to)?);
    }
    for (name, value) in more_headers(context, headers, unsubscribe) {
        message = message.raw_header(value.into_header(name)?);
    }
    // The envelope is the transport's; lettre only wants one.
    let envelope = Envelope::new(None, vec![headers.to.as_str().parse()?])?;
    // A boundary of the message's own: chance would make two attempts differ.
    let boundary: String =
        headers.message_id.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
    let body = MultiPart::alternative()
        .boundary(format!("=_{boundary}"))
        .singlepart(SinglePart::plain(rendered.text))
        .singlepart(SinglePart::html(rendered.html));
    Ok(message.envelope(envelope).multipart(body)?.formatted())
}

enum Value {
    /// Encoded and folded where it needs to be.
    Text(String),
    /// ASCII that must not be broken apart, such as a link.
    Verbatim(String),
}

impl Value {
    fn into_header(self, name: &'static str) -> Result<HeaderValue, Box<dyn std::error::Error>> {
        let name = HeaderName::new_from_ascii(name.to_owned())?;
        Ok(match self {
            Self::Text(text) => HeaderValue::new(name, text),
            Self::Verbatim(text) => {
                HeaderValue::dangerous_new_pre_encoded(name, text.clone(), text)
            }
        })
    }
}

fn more_headers(
    context: &MailContext,
    headers: &Headers,
    unsubscribe: Option<&str>,
) -> Vec<(&'static str, Value)> {
    let word = |text: &str| -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        text.chars().map(|c| if is_plain(c) { c } else { '-' }).take(60).collect()
    };
    let domain = headers.from.address().domain();
    let mut more = vec![
        // RFC 2919.
        (
            "List-Id",
            match clean_text(&context.store.name.replace(['<', '>', '"', '\\'], " "), 60) {
                Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') => {
                    Value::Verbatim(format!("{name} <followup.{domain}>"))
                }
                Some(name) => Value::Text(format!("{name} <followup.{domain}>")),
                None => Value::Verbatim(format!("<followup.{domain}>")),
            },
        ),
        // The last field never changes for a sender; none of them names a person.
        (
            "Feedback-ID",
            Value::Verbatim(format!(
                "{}:{}:{}:homing",
                word(&headers.campaign),
                headers.class,
                word(&headers.store_key)
            )),
        ),
        // RFC 3834: no vacation notices, please; the second is Exchange's word for it.
        ("Auto-Submitted", Value::Verbatim("auto-generated".to_owned())),
        ("X-Auto-Response-Suppress", Value::Verbatim("All".to_owned())),
    ];
    if let (Class::Marketing, Some(url)) = (headers.class, unsubscribe) {
        more.push(("List-Unsubscribe", Value::Verbatim(format!("<{url}>"))));
        more.push((
            "List-Unsubscribe-Post",
            Value::Verbatim("List-Unsubscribe=One-Click".to_owned()),
        ));
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        Headers {
            from: "Lakeside Tea <hello@lakeside.example>".parse().unwrap(),
            reply_to: Some("care@lakeside.example".parse().unwrap()),
            to: "Ann@mail.example".parse().unwrap(),
            to_name: Some("Ann Lindqvist".to_owned()),
            message_id: "<17.a0b1c2d3e4f5@lakeside.example>".to_owned(),
            now: "2026-03-01T12:30:00Z".parse().unwrap(),
            class: Class::Marketing,
            campaign: "browsed-not-bought".to_owned(),
            store_key: "default".to_owned(),
        }
    }

    fn context(locale: &str) -> MailContext {
        MailContext::samples(locale).remove(0)
    }

    fn composer() -> Composer {
        Composer::load(None).unwrap()
    }

    fn composed(context: &MailContext, headers: &Headers) -> String {
        let mail = composer()
            .compose("browse-reminder", &["en"], context, headers, &Tracking::default())
            .unwrap();
        String::from_utf8(mail.bytes).expect("ASCII")
    }

    /// The header's value, unfolded; panics unless it stands there exactly once.
    fn header(mail: &str, name: &str) -> Option<String> {
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let start = format!("{name}: ");
        let mut values = unfolded.split("\r\n").filter_map(|line| line.strip_prefix(&start));
        let value = values.next().map(str::to_owned);
        assert_eq!(values.next(), None, "{name} stands there twice");
        value
    }

    #[test]
    fn the_headers_are_as_promised() {
        let mail = composed(&context("en"), &headers());
        for (name, value) in [
            ("From", "\"Lakeside Tea\" <hello@lakeside.example>"),
            ("Reply-To", "care@lakeside.example"),
            ("To", "\"Ann Lindqvist\" <Ann@mail.example>"),
            ("Subject", "Still thinking about West Lake Longjing, first flush, 100 g?"),
            ("Date", "Sun, 01 Mar 2026 12:30:00 +0000"),
            ("Message-ID", "<17.a0b1c2d3e4f5@lakeside.example>"),
            ("List-Unsubscribe", "<https://mail.lakeside.example/u/SAMPLE>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", "Lakeside Tea <followup.lakeside.example>"),
            ("Feedback-ID", "browsed-not-bought:marketing:default:homing"),
            ("Auto-Submitted", "auto-generated"),
            ("MIME-Version", "1.0"),
        ] {
            let found = header(&mail, name).unwrap_or_else(|| panic!("no {name} in\n{mail}"));
            assert_eq!(found.replace('"', ""), value.replace('"', ""), "{name}");
        }
        let kind = header(&mail, "Content-Type").unwrap();
        assert!(kind.starts_with("multipart/alternative;"), "{kind}");
        let (text, html) = (mail.find("text/plain"), mail.find("text/html"));
        assert!(text.unwrap() < html.unwrap(), "the text part comes first");
        assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 998));
        assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "every line ends with CRLF");
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        assert_eq!(composed(&context("en"), &headers()), composed(&context("en"), &headers()));
    }

    #[test]
    fn service_mail_is_no_list_mail() {
        let service = Headers { class: Class::Service, ..headers() };
        let mail = composed(&context("en"), &service);
        assert_eq!(header(&mail, "List-Unsubscribe"), None);
        assert_eq!(header(&mail, "List-Unsubscribe-Post"), None);
    }

    #[test]
    fn chinese_headers_are_encoded_words_and_short() {
        let mut headers = headers();
        headers.from = "湖畔茶舍 <hello@lakeside.example>".parse().unwrap();
        headers.to_name = Some("李婉清".to_owned());
        let composer = composer();
        let mail = composer
            .compose("win-back", &["zh-CN"], &context("zh-CN"), &headers, &Tracking::default())
            .unwrap();
        assert_eq!(mail.subject, "好久不见，李婉清");
        let text = String::from_utf8(mail.bytes).unwrap();
        assert!(text.is_ascii());
        for name in ["From", "To", "Subject", "List-Id"] {
            let value = header(&text, name).unwrap();
            assert!(value.contains("=?utf-8?b?"), "{name}: {value}");
            assert!(value.split(' ').all(|word| word.len() <= 75), "{name}: {value}");
        }
        assert!(header(&text, "From").unwrap().ends_with("<hello@lakeside.example>"));
        assert!(header(&text, "List-Id").unwrap().ends_with("<followup.lakeside.example>"));
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.split("\r\n").all(|line| line.len() <= 78), "{head}");
    }

    #[test]
    fn nothing_from_outside_can_add_a_header() {
        let evil = "x\r\nBcc: victim@mail.example\r\n\r\n<html>";
        let mut headers = headers();
        assert!(format!("{evil} <hello@lakeside.example>").parse::<Sender>().is_err());
        headers.to_name = Some(evil.to_owned());
        headers.campaign = evil.to_owned();
        headers.store_key = evil.to_owned();
        let mut context = context("en");
        context.store.name = evil.to_owned();
        context.customer.name = Some(evil.to_owned());
        for subject in [None, Some(evil.to_owned())] {
            context.subject = subject;
            context.products[0].name = evil.to_owned();
            let mail = composed(&context, &headers);
            let head = mail.split("\r\n\r\n").next().unwrap();
            assert!(!head.to_lowercase().contains("\r\nbcc:"), "{head}");
            assert_eq!(header(&mail, "Bcc"), None);
            assert!(header(&mail, "Content-Type").unwrap().starts_with("multipart/alternative"));
        }
        context.unsubscribe_url = Some("https://x.example/>\r\nBcc: y@z.example".to_owned());
        let refused =
            composer().compose("win-back", &["en"], &context, &headers, &Tracking::default());
        assert!(matches!(refused, Err(ComposeError::Incomplete(_))));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_in_words() {
        let composer = composer();
        let compose = |context: &MailContext, headers: &Headers, name: &str| {
            composer
                .compose(name, &["en"], context, headers, &Tracking::default())
                .unwrap_err()
                .to_string()
        };
        let foreign = Headers { to: "用户@例子.example".parse().unwrap(), ..headers() };
        assert!(compose(&context("en"), &foreign, "win-back").contains("SMTPUTF8"));
        let mut bare = context("en");
        bare.store.postal_address = " ".to_owned();
        assert!(compose(&bare, &headers(), "win-back").contains("postal address"));
        let unknown = compose(&context("en"), &headers(), "no-such");
        assert!(unknown.contains("`no-such`") && unknown.contains("win-back"), "{unknown}");
    }

    #[test]
    fn the_operators_subject_stands_as_it_is() {
        let mut context = context("en");
        context.subject = Some("Still thinking it over? {{ 7 * 7 }}".to_owned());
        let mail = composed(&context, &headers());
        assert_eq!(header(&mail, "Subject").unwrap(), "Still thinking it over? {{ 7 * 7 }}");
    }

    #[test]
    fn a_message_id_is_the_same_each_time_and_another_for_each_message() {
        let secret = Secret::new("0123456789abcdef");
        let from = "hello@lakeside.example".parse().unwrap();
        let id =
            |store, message| message_id_for(&secret, StoreId(store), MessageId(message), &from);
        assert_eq!(id(1, 17), id(1, 17));
        assert!(id(1, 17).starts_with("<17.") && id(1, 17).ends_with("@lakeside.example>"));
        assert_ne!(id(1, 17)[4..], id(2, 17)[4..]);
    }
}
