//! The token that every form carries: a page elsewhere cannot know it, so it cannot post in an operator's name.

use actix_session::Session;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::LocalBoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::PageError;
use crate::secret::random_token;

const KEY: &str = "csrf";

/// The session's token, made when it has none, masked anew for each page: compression must not give it away (BREACH).
pub fn token(session: &Session) -> String {
    let token = match session.get::<String>(KEY) {
        Ok(Some(token)) => token,
        _ => renew(session),
    };
    mask(&token)
}

/// A new token: at sign-in, so that one known before is worth nothing after.
pub fn renew(session: &Session) -> String {
    let token = random_token();
    // A string always serialises.
    let _ = session.insert(KEY, &token);
    token
}

fn mask(token: &str) -> String {
    let pad = random_token();
    let mut bytes = pad.as_bytes().to_vec();
    bytes.extend(token.bytes().zip(pad.bytes()).map(|(t, p)| t ^ p));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unmask(masked: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(masked).ok()?;
    let (pad, token) = bytes.split_at_checked(bytes.len() / 2)?;
    (pad.len() == token.len()).then(|| token.iter().zip(pad).map(|(t, p)| t ^ p).collect())
}

fn matches(expected: &str, masked: &str) -> bool {
    let Some(given) = unmask(masked) else { return false };
    // All bytes are compared, whatever the first ones say.
    given.len() == expected.len()
        && given.iter().zip(expected.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// A posted form whose token was right. Handlers of POST take their fields through this, and in no other way.
pub struct Posted<T>(pub T);

#[derive(Deserialize)]
struct WithToken<T> {
    csrf: String,
    #[serde(flatten)]
    fields: T,
}

impl<T: DeserializeOwned + 'static> FromRequest for Posted<T> {
    type Error = PageError;
    type Future = LocalBoxFuture<'static, Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = Session::extract(request);
        let form = web::Form::<WithToken<T>>::from_request(request, payload);
        Box::pin(async move {
            let session = session.await.map_err(|_| PageError::Stale)?;
            let form = form.await.map_err(|_| PageError::Stale)?.into_inner();
            let expected = session.get::<String>(KEY).ok().flatten().ok_or(PageError::Stale)?;
            if matches(&expected, &form.csrf) {
                Ok(Self(form.fields))
            } else {
                Err(PageError::Stale)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_token_is_known_and_never_looks_the_same() {
        let token = random_token();
        let (one, two) = (mask(&token), mask(&token));
        assert_ne!(one, two);
        assert!(matches(&token, &one) && matches(&token, &two));
        for wrong in ["", "x", &mask(&random_token()), &token, &one[..one.len() - 2]] {
            assert!(!matches(&token, wrong), "{wrong}");
        }
    }
}
