//! `GET /t/c/{token}` and `GET /t/o/{token}`: a click goes on to where the mail pointed, an open gets its picture.
//!
//! Neither waits for the database. The token itself says where to, so that a link works for as long as the shop's page
//! does, whatever became of the customer; a token that is not ours goes nowhere. HEAD is answered alike, and kept
//! nowhere: nobody reads by HEAD.

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::page::Page;
use crate::clicks::{Agent, Hit, What};
use crate::http::App;
use crate::http::server::AskedHead;
use crate::links::{ClickToken, OpenToken};

/// A transparent GIF of one pixel: the smallest that all mail programs draw.
const PIXEL: [u8; 43] = [
    b'G', b'I', b'F', b'8', b'9', b'a', 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, b'!',
    0xf9, 4, 1, 0, 0, 0, 0, b',', 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0, b';',
];

/// `GET /t/c/{token}`
pub async fn click(request: HttpRequest, token: Path<String>, app: Data<App>) -> HttpResponse {
    let Some(token) = ClickToken::verify(&token, &app.secret) else {
        return Page::unknown(request.headers()).respond();
    };
    let location = ascii(&token.target);
    let (link, links, target) = (token.link, token.links, token.target);
    keep(&request, &app, |at, agent| Hit {
        store: token.store,
        message: token.message,
        at,
        agent,
        what: What::Click { link, links, target },
    });
    HttpResponse::Found()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Robots-Tag", "noindex, nofollow"))
        .finish()
}

/// `GET /t/o/{token}`
pub async fn open(request: HttpRequest, token: Path<String>, app: Data<App>) -> HttpResponse {
    let Some(token) = OpenToken::verify(&token, &app.secret) else {
        return Page::unknown(request.headers()).respond();
    };
    keep(&request, &app, |at, agent| Hit {
        store: token.store,
        message: token.message,
        at,
        agent,
        what: What::Open,
    });
    HttpResponse::Ok()
        .content_type("image/gif")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(PIXEL.as_slice())
}

fn keep(
    request: &HttpRequest,
    app: &App,
    hit: impl FnOnce(crate::primitives::Timestamp, Agent) -> Hit,
) {
    if request.extensions().get::<AskedHead>().is_some() {
        return;
    }
    let headers = request.headers();
    let purpose = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
    let purpose = purpose.iter().find_map(|name| word(headers, name));
    let agent = Agent::of(word(headers, "user-agent"), purpose);
    app.clicks.take(hit(app.clock.now(), agent));
}

fn word<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// An address as a header takes it: letters beyond ASCII as their UTF-8, percent-encoded (RFC 3987 §3.1). All else
/// stays as the mail had it.
fn ascii(url: &str) -> String {
    let mut text = String::with_capacity(url.len());
    for c in url.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_all_but_foreign_letters() {
        assert_eq!(
            ascii("https://s.example/p?q=茶&utm_source=a%20b#x"),
            "https://s.example/p?q=%E8%8C%B6&utm_source=a%20b#x"
        );
    }
}
