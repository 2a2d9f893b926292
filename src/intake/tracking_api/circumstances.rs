//! `context`: where a visit came from, on which page, and whether a person made it.

use super::json::Fields;
use crate::journal::Context;
use crate::primitives::clean_text;

const URL_CHARS: usize = 1_000;

/// Where buyers are sent to pay: coming back from there is no new visit from elsewhere.
const PAYMENT_HOSTS: [&str; 10] = [
    "paypal.com",
    "stripe.com",
    "alipay.com",
    "tenpay.com",
    "klarna.com",
    "adyen.com",
    "mollie.com",
    "afterpay.com",
    "amazonpay.com",
    "unionpay.com",
];

/// What a crawler's, previewer's or script's user agent contains, in lower case.
const BOTS: [&str; 21] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "headless",
    "lighthouse",
    "preview",
    "facebookexternalhit",
    "whatsapp/",
    "phantomjs",
    "puppeteer",
    "playwright",
    "selenium",
    "python-",
    "curl/",
    "wget/",
    "libwww",
    "go-http-client",
    "scrapy",
    "httpclient",
    "pingdom",
];

/// Reads the event's context and the page in it, with what `properties` say of that page.
///
/// `user_agent` is the request's own, to be given where the sender is a browser: what a server's HTTP library
/// calls itself says nothing of the visitor.
pub fn read(
    context: &Fields<'_>,
    page: &Fields<'_>,
    properties: &Fields<'_>,
    user_agent: Option<&str>,
) -> Context {
    let campaign = context.fields("campaign");
    let page_url = page
        .get("url")
        .or_else(|| properties.get("url"))
        .and_then(|url| clean_text(url.text()?.split('#').next()?, URL_CHARS));
    let search = page
        .clean("search", URL_CHARS)
        .or_else(|| page_url.as_deref()?.split_once('?').map(|(_, search)| search.to_owned()));
    let utm = |name: &str| search.as_deref().and_then(|search| query_value(search, name));
    let source = campaign.clean("source", 100).or_else(|| utm("utm_source"));
    let own = page_url.as_deref().and_then(host);
    let told = context.get("userAgent").and_then(|agent| agent.text());
    let agent = told.as_deref().or(user_agent);
    Context {
        channel: source
            .map(|source| source.to_lowercase())
            .or_else(|| referring_host(&referrer(page, properties)?, own.as_deref())),
        campaign: campaign
            .get("name")
            .and_then(|name| name.clean(200))
            .or_else(|| utm("utm_campaign")),
        page_url,
        locale: context.clean("locale", 35),
        timezone: context.clean("timezone", 60),
        bot: agent.is_some_and(is_bot)
            || context.get("bot").and_then(|bot| bot.boolean()).unwrap_or(false),
    }
}

/// The page that led here; `$direct` is one SDK's word for none.
pub fn referrer(page: &Fields<'_>, properties: &Fields<'_>) -> Option<String> {
    let referrer = page.get("referrer").or_else(|| properties.get("referrer"))?;
    referrer.clean(URL_CHARS).filter(|referrer| referrer != "$direct")
}

/// The host that sent the visitor; `None` for the shop's own pages and for payment pages.
fn referring_host(referrer: &str, own: Option<&str>) -> Option<String> {
    let from = host(referrer)?;
    let within = |inner: &str, outer: &str| {
        inner.strip_suffix(outer).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_own = own.is_some_and(|own| within(&from, own) || within(own, &from));
    let is_payment = PAYMENT_HOSTS.iter().any(|payment| within(&from, payment));
    (!is_own && !is_payment).then_some(from)
}

/// A URL's host in lower case, without port and leading `www.`.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit('@').next()?;
    let host = match place.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => place.split(':').next()?,
    };
    let host = host.trim_end_matches('.').to_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    (!host.is_empty()).then(|| host.chars().take(100).collect())
}

/// The value of a query parameter, its escapes undone.
fn query_value(search: &str, name: &str) -> Option<String> {
    let pairs = search.trim_start_matches('?').split('&');
    let raw = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| (byte? as char).to_digit(16);
        let mut ahead = rest.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    clean_text(&String::from_utf8_lossy(&bytes), 200)
}

/// An empty user agent is a script's. `CUBOT` makes telephones.
pub fn is_bot(agent: &str) -> bool {
    let agent = agent.to_ascii_lowercase().replace("cubot", "");
    agent.trim().is_empty() || BOTS.iter().any(|bot| agent.contains(bot))
}

#[cfg(test)]
mod tests {
    use super::super::json::Json;
    use super::*;
    use proptest::prelude::*;

    fn context(json: &str) -> Context {
        let context = Json::parse(json).unwrap().fields();
        read(&context, &context.fields("page"), &Fields::default(), None)
    }

    #[test]
    fn the_channel_is_the_campaign_else_who_sent_them() {
        let channel = |page: &str| context(&format!("{{\"page\":{page}}}")).channel;
        let from = |url: &str| {
            channel(&format!("{{\"url\":\"https://www.shop.example/a\",\"referrer\":\"{url}\"}}"))
        };
        assert_eq!(from("https://www.Google.com/search?q=tea").as_deref(), Some("google.com"));
        assert_eq!(
            from("android-app://com.google.android.gm/").as_deref(),
            Some("com.google.android.gm")
        );
        for none in [
            "$direct",
            "",
            "https://shop.example/b",
            "http://blog.shop.example:8080/",
            "https://checkout.stripe.com/x",
            "not a url",
        ] {
            assert_eq!(from(none), None, "{none}");
        }
        assert_eq!(from("https://notshop.example/").as_deref(), Some("notshop.example"));

        let told = context(
            r#"{"campaign":{"source":" Newsletter ","name":"Spring"},
                "page":{"referrer":"https://google.com/","url":"https://a.example/?utm_source=x"}}"#,
        );
        assert_eq!(told.channel.as_deref(), Some("newsletter"));
        assert_eq!(told.campaign.as_deref(), Some("Spring"));
        let url = context(
            r#"{"page":{"url":"https://a.example/p?a=1&utm_source=Wei%20Bo&utm_campaign=%E5%8F%8C+11#top"}}"#,
        );
        assert_eq!(url.channel.as_deref(), Some("wei bo"));
        assert_eq!(url.campaign.as_deref(), Some("双 11"));
        assert!(url.page_url.unwrap().ends_with("+11"), "the fragment is cut off");
    }

    #[test]
    fn crawlers_are_told_from_people() {
        for bot in [
            "",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36",
            "curl/8.1",
            "python-requests/2.31",
            "facebookexternalhit/1.1",
            "WhatsApp/2.23",
        ] {
            assert!(is_bot(bot), "{bot}");
        }
        for person in [
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0",
            "Mozilla/5.0 (Linux; Android 9; CUBOT_NOTE_S) Chrome/120 Mobile Safari/537.36",
        ] {
            assert!(!is_bot(person), "{person}");
        }
        assert!(!context("{}").bot, "a server's events need not name an agent");
        assert!(context(r#"{"bot":true}"#).bot);
        let nothing = Fields::default();
        assert!(read(&nothing, &nothing, &nothing, Some("")).bot);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in "\\PC{0,60}", search in "[%=&a-f0-9+?]{0,40}") {
            let _ = host(&url);
            let _ = query_value(&search, "a");
            let _ = is_bot(&url);
        }
    }
}
