//! Puts the addresses by which clicks and opens are told in a mail's links and in its foot. Pure: whoever can sign
//! makes the addresses.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::MailContext;
use super::context::is_web_address;
use super::templates::{Rendered, escape_html};

/// How a mail tells of clicks and opens; by default it does not.
#[derive(Default)]
pub struct Tracking<'a> {
    /// Makes the address that stands in a link's place.
    pub click: Option<&'a dyn Fn(Link<'_>) -> String>,
    /// The address of a picture that nobody sees.
    pub pixel: Option<String>,
}

/// A link of a mail: of the web, and not the way to unsubscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    pub target: &'a str,
    /// Which of the mail's different targets, from 0: the text's link and the page's to one place are one.
    pub number: u16,
    /// How many different targets the mail has: who asks for them all at once is no reader.
    pub of: u16,
}

/// Longer ones stay as they are: their signed form would be too long for some mail programs.
const LONGEST: usize = 2_000;
/// The rest stay as they are: no mail for readers has so many.
const MOST: usize = 500;

/// `(where, target)` of each link that is to be tracked, in one part.
type Found<'t> = Vec<(Range<usize>, Cow<'t, str>)>;

impl Tracking<'_> {
    pub fn apply(&self, mut mail: Rendered, context: &MailContext) -> Rendered {
        if let Some(click) = self.click {
            let kept = [context.unsubscribe_url.as_deref(), context.preferences_url.as_deref()];
            let is_tracked = |target: &str| {
                target.len() <= LONGEST && is_web_address(target) && !kept.contains(&Some(target))
            };
            let links = |mut found: Found<'_>| -> Vec<(Range<usize>, String)> {
                found.retain(|(_, target)| is_tracked(target));
                found.into_iter().map(|(place, target)| (place, target.into_owned())).collect()
            };
            let (page, text) = (links(hrefs(&mail.html)), links(addresses(&mail.text)));
            let mut seen = HashSet::new();
            let mut targets: Vec<&str> = page
                .iter()
                .chain(&text)
                .map(|(_, target)| target.as_str())
                .filter(|target| seen.insert(*target))
                .collect();
            targets.truncate(MOST);
            let instead = |target: &str| {
                let number = targets.iter().position(|known| *known == target)?;
                Some(click(Link { target, number: number as u16, of: targets.len() as u16 }))
            };
            mail.html = replaced(&mail.html, &page, |target| {
                instead(target).map(|url| escape_html(&url).into_owned())
            });
            mail.text = replaced(&mail.text, &text, instead);
        }
        if let Some(pixel) = &self.pixel {
            let picture = format!(
                "<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block;border:0\">",
                escape_html(pixel)
            );
            let end = mail.html.rfind("</body>").unwrap_or(mail.html.len());
            mail.html.insert_str(end, &picture);
        }
        mail
    }
}

fn replaced(
    part: &str,
    links: &[(Range<usize>, String)],
    instead: impl Fn(&str) -> Option<String>,
) -> String {
    let mut whole = String::with_capacity(part.len() + links.len() * 120);
    let mut at = 0;
    for (place, target) in links {
        if let Some(url) = instead(target) {
            whole.push_str(&part[at..place.start]);
            whole.push_str(&url);
            at = place.end;
        }
    }
    whole + &part[at..]
}

/// What `<a>` and `<area>` point at, also within comments for Outlook: the values' places, and what they mean.
fn hrefs(html: &str) -> Found<'_> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = html[at..].find('<').map(|open| at + open + 1) {
        let is_link = ["a", "area"].iter().any(|name| {
            html.get(open..open + name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name))
                && html.as_bytes().get(open + name.len()).is_some_and(u8::is_ascii_whitespace)
        });
        at = if is_link { attributes(html, open, &mut found) } else { open };
    }
    found
}

/// Reads a tag's attributes from its name on; returns where it ends.
fn attributes<'t>(html: &'t str, name: usize, found: &mut Found<'t>) -> usize {
    let bytes = html.as_bytes();
    let skip = |mut at: usize, is_more: &dyn Fn(u8) -> bool| {
        while bytes.get(at).is_some_and(|byte| is_more(*byte)) {
            at += 1;
        }
        at
    };
    let mut at = skip(name, &|b| !b.is_ascii_whitespace());
    loop {
        at = skip(at, &|b| b.is_ascii_whitespace() || b == b'/');
        if bytes.get(at).is_none_or(|byte| matches!(byte, b'>' | b'<')) {
            return at;
        }
        let from = at;
        at = skip(at + 1, &|b| !b.is_ascii_whitespace() && !matches!(b, b'=' | b'>' | b'/'));
        let attribute = &html[from..at];
        at = skip(at, &|b| b.is_ascii_whitespace());
        if bytes.get(at) != Some(&b'=') {
            continue;
        }
        at = skip(at + 1, &|b| b.is_ascii_whitespace());
        let quote = bytes.get(at).copied().filter(|b| matches!(b, b'"' | b'\''));
        let start = at + usize::from(quote.is_some());
        let end = match quote {
            Some(quote) => skip(start, &|b| b != quote),
            None => skip(start, &|b| !b.is_ascii_whitespace() && b != b'>'),
        };
        at = end + usize::from(quote.is_some() && end < bytes.len());
        if attribute.eq_ignore_ascii_case("href") {
            found.push((start..end, unescape(html[start..end].trim())));
        }
    }
}

/// The entities that templates and people write into addresses.
fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::from(value);
    }
    let named =
        [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&#x2f;", "/")];
    let mut text = value.to_owned();
    for (entity, meant) in named {
        text = text.replace(entity, meant);
    }
    // The last, or `&amp;quot;` would mean a quote.
    Cow::from(text.replace("&#38;", "&").replace("&amp;", "&"))
}

/// Addresses of the web within plain text, without the full stop or bracket after them.
fn addresses(text: &str) -> Found<'_> {
    const ENDS: &str = "<>\"，。；：！？、）」』》】”’";
    let mut found: Found<'_> = Vec::new();
    for (start, _) in text.match_indices("http") {
        let rest = &text[start..];
        let is_new = found.last().is_none_or(|(place, _)| place.end <= start);
        if !is_new || !(rest.starts_with("https://") || rest.starts_with("http://")) {
            continue;
        }
        let is_end = |c: char| c.is_whitespace() || c.is_control() || ENDS.contains(c);
        let mut url = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        loop {
            let shorter = url.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*']);
            let is_bracketed = |open, close| shorter.ends_with(close) && !shorter.contains(open);
            let shorter = match is_bracketed('(', ')') || is_bracketed('[', ']') {
                true => &shorter[..shorter.len() - 1],
                false => shorter,
            };
            if shorter.len() == url.len() {
                break;
            }
            url = shorter;
        }
        found.push((start..start + url.len(), Cow::from(url)));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tracked(html: &str, text: &str) -> (Rendered, Vec<String>) {
        let context = MailContext {
            unsubscribe_url: Some("https://m.example/u/A".to_owned()),
            ..MailContext::default()
        };
        let mail = Rendered {
            locale: "en".to_owned(),
            subject: String::new(),
            text: text.to_owned(),
            html: html.to_owned(),
        };
        let made = std::cell::RefCell::new(Vec::new());
        let click = |link: Link<'_>| {
            made.borrow_mut().push(format!("{}/{} {}", link.number, link.of, link.target));
            format!("T{}", link.number)
        };
        let tracking = Tracking { click: Some(&click), pixel: None };
        let mail = tracking.apply(mail, &context);
        (mail, made.into_inner())
    }

    #[test]
    fn every_link_of_the_web_is_tracked_and_no_other() {
        let (mail, made) = tracked(
            "<a href=\"https://s.example/p?a=1&amp;utm_source=x\">1</a> <A class=x HREF='http://s.example/q' id=2>\
             <a href=https://s.example/r><a href=\"mailto:a@b.example\"><a href=\"tel:1\"><a href=\"#top\">\
             <a href=\"https://m.example/u/A\">out</a><abbr href=\"https://no.example\"><link href=\"https://no.example\">\
             <img src=\"https://no.example/i.png\"><a data-href=\"https://no.example\" href = \"javascript:x\">",
            "See https://s.example/p?a=1&utm_source=x. Or (http://s.example/q), or https://s.example/only，then \
             https://m.example/u/A",
        );
        assert_eq!(
            mail.html,
            "<a href=\"T0\">1</a> <A class=x HREF='T1' id=2>\
             <a href=T2><a href=\"mailto:a@b.example\"><a href=\"tel:1\"><a href=\"#top\">\
             <a href=\"https://m.example/u/A\">out</a><abbr href=\"https://no.example\"><link href=\"https://no.example\">\
             <img src=\"https://no.example/i.png\"><a data-href=\"https://no.example\" href = \"javascript:x\">"
        );
        assert_eq!(mail.text, "See T0. Or (T1), or T3，then https://m.example/u/A");
        assert_eq!(made[0], "0/4 https://s.example/p?a=1&utm_source=x");
        assert_eq!(made.last().unwrap(), "3/4 https://s.example/only");
    }

    #[test]
    fn the_pixel_stands_at_the_end_of_the_page_alone() {
        let tracking = Tracking { click: None, pixel: Some("https://m.example/t/o/x".to_owned()) };
        let mail = Rendered {
            locale: String::new(),
            subject: String::new(),
            text: "https://s.example".to_owned(),
            html: "<body>Hello</body></html>".to_owned(),
        };
        let mail = tracking.apply(mail, &MailContext::default());
        assert_eq!(mail.text, "https://s.example");
        assert!(mail.html.ends_with("style=\"display:block;border:0\"></body></html>"));
        assert!(mail.html.starts_with("<body>Hello<img src=\"https://m.example/t/o/x\""));
    }

    proptest! {
        #[test]
        fn no_page_breaks_the_reader(html in "(<a |<A\thref|href|=|\"|'|>|/|&amp;|https://s.example/茶|[ a-z<é]){0,40}") {
            let (mail, _) = tracked(&html, &html);
            prop_assert!(mail.html.len() < html.len() + 100);
        }
    }
}
