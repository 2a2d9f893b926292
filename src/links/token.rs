//! Tokens of links. Pure: a token holds what it speaks of and an HMAC over it, so none is stored and none expires.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::primitives::{CustomerId, MessageId, StoreId};
use crate::secret::Secret;

/// Lets whoever holds it withdraw this customer's marketing consent, or give it again; nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsubscribeToken {
    pub store: StoreId,
    pub customer: CustomerId,
    /// The mail that carries it.
    pub message: MessageId,
}

/// Tells of a click on a link of this mail, and knows where to: whoever holds it can go nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickToken {
    pub store: StoreId,
    pub message: MessageId,
    /// Which of the mail's targets, from 0, and how many it has.
    pub link: u16,
    pub links: u16,
    /// An address of the web, as it stood in the mail.
    pub target: String,
}

/// Tells that the pictures of this mail were loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenToken {
    pub store: StoreId,
    pub message: MessageId,
}

/// What a token is for is part of its signature, so that none passes for another. The words never change, as links
/// in old mails must work for years.
const UNSUBSCRIBE: &str = "unsubscribe link";
const CLICK: &str = "click link";
const OPEN: &str = "open pixel";
/// 96 bits: nobody guesses one of 2^96 over the network.
const SIGNATURE: usize = 12;
const IDS: usize = 24;

impl UnsubscribeToken {
    /// 48 characters, safe in URLs.
    pub fn sign(&self, secret: &Secret) -> String {
        seal(secret, UNSUBSCRIBE, self.ids().to_vec())
    }

    /// `None` for anything that was not signed with this secret.
    pub fn verify(raw: &str, secret: &Secret) -> Option<Self> {
        let ids = unseal(secret, UNSUBSCRIBE, raw).filter(|ids| ids.len() == IDS)?;
        Some(Self {
            store: StoreId(id(&ids, 0)?),
            customer: CustomerId(id(&ids, 8)?),
            message: MessageId(id(&ids, 16)?),
        })
    }

    /// The address for mails' headers and bodies. `public_url` has no slash at its end.
    pub fn url(&self, public_url: &str, secret: &Secret) -> String {
        format!("{public_url}/u/{}", self.sign(secret))
    }

    fn ids(&self) -> [u8; IDS] {
        let mut ids = [0; IDS];
        for (place, id) in
            ids.chunks_exact_mut(8).zip([self.store.0, self.customer.0, self.message.0])
        {
            place.copy_from_slice(&id.to_be_bytes());
        }
        ids
    }
}

impl ClickToken {
    /// The address for mails' links. `public_url` has no slash at its end.
    pub fn url(&self, public_url: &str, secret: &Secret) -> String {
        let mut bytes = two_ids(self.store, self.message);
        bytes.extend_from_slice(&self.link.to_be_bytes());
        bytes.extend_from_slice(&self.links.to_be_bytes());
        bytes.extend_from_slice(self.target.as_bytes());
        format!("{public_url}/t/c/{}", seal(secret, CLICK, bytes))
    }

    /// `None` for anything that was not signed with this secret.
    pub fn verify(raw: &str, secret: &Secret) -> Option<Self> {
        let bytes = unseal(secret, CLICK, raw)?;
        let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        Some(Self {
            store: StoreId(id(&bytes, 0)?),
            message: MessageId(id(&bytes, 8)?),
            link: number(16)?,
            links: number(18)?,
            target: String::from_utf8(bytes.get(20..)?.to_vec()).ok()?,
        })
    }
}

impl OpenToken {
    /// The address of the mail's pixel. `public_url` has no slash at its end.
    pub fn url(&self, public_url: &str, secret: &Secret) -> String {
        format!("{public_url}/t/o/{}", seal(secret, OPEN, two_ids(self.store, self.message)))
    }

    /// `None` for anything that was not signed with this secret.
    pub fn verify(raw: &str, secret: &Secret) -> Option<Self> {
        let bytes = unseal(secret, OPEN, raw)?;
        Some(Self { store: StoreId(id(&bytes, 0)?), message: MessageId(id(&bytes, 8)?) })
    }
}

fn two_ids(store: StoreId, message: MessageId) -> Vec<u8> {
    [store.0.to_be_bytes(), message.0.to_be_bytes()].concat()
}

fn id(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn seal(secret: &Secret, purpose: &str, mut bytes: Vec<u8>) -> String {
    let signature = signature(secret, purpose, &bytes);
    bytes.extend_from_slice(&signature);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unseal(secret: &Secret, purpose: &str, raw: &str) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(raw).ok()?;
    let given = bytes.split_off(bytes.len().checked_sub(SIGNATURE)?);
    // The time this takes tells nothing of how much of a guess was right.
    let right = signature(secret, purpose, &bytes);
    let differs = right.iter().zip(&given).fold(0, |d, (a, b)| d | (a ^ b));
    (differs == 0).then_some(bytes)
}

fn signature(secret: &Secret, purpose: &str, bytes: &[u8]) -> [u8; SIGNATURE] {
    let hash = secret.keyed_hash(purpose, &[bytes]);
    std::array::from_fn(|n| hash[n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef")
    }

    fn token() -> UnsubscribeToken {
        UnsubscribeToken { store: StoreId(1), customer: CustomerId(20), message: MessageId(300) }
    }

    #[test]
    fn a_link_made_today_is_made_the_same_for_ever() {
        assert_eq!(
            token().url("https://shop.example", &secret()),
            "https://shop.example/u/AAAAAAAAAAEAAAAAAAAAFAAAAAAAAAEsmpL8kCMCqhHJh4iD"
        );
    }

    #[test]
    fn every_changed_character_and_every_other_secret_is_refused() {
        let good = token().sign(&secret());
        assert_eq!(UnsubscribeToken::verify(&good, &secret()), Some(token()));
        assert_eq!(UnsubscribeToken::verify(&good, &Secret::new("another secret 123")), None);
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(UnsubscribeToken::verify(&bad, &secret()), None, "{bad}");
        }
        for cut in 0..good.len() {
            assert_eq!(UnsubscribeToken::verify(&good[..cut], &secret()), None);
        }
        for bad in [format!("{good}A"), format!("{good}="), format!(" {good}"), good.to_uppercase()]
        {
            assert_eq!(UnsubscribeToken::verify(&bad, &secret()), None, "{bad}");
        }
    }

    #[test]
    fn a_click_goes_where_the_mail_pointed_and_nowhere_else() {
        let token = ClickToken {
            store: StoreId(1),
            message: MessageId(300),
            link: 2,
            links: 3,
            target: "https://shop.example/p?q=茶&utm_source=a".to_owned(),
        };
        let url = token.url("https://m.example", &secret());
        let raw = url.strip_prefix("https://m.example/t/c/").unwrap();
        assert_eq!(ClickToken::verify(raw, &secret()), Some(token.clone()));
        assert_eq!(ClickToken::verify(raw, &Secret::new("another secret 123")), None);
        for at in 0..raw.len() {
            let mut bad = raw.to_owned().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            // The last character may hold bits that mean nothing: these are refused, too.
            assert_eq!(ClickToken::verify(&bad, &secret()), None, "{bad}");
        }
        let open = OpenToken { store: StoreId(1), message: MessageId(300) };
        let pixel = open.url("", &secret());
        let pixel = pixel.strip_prefix("/t/o/").unwrap();
        assert_eq!(OpenToken::verify(pixel, &secret()), Some(open));
        assert_eq!(OpenToken::verify(raw, &secret()), None, "a click's token opens nothing");
        assert_eq!(ClickToken::verify(pixel, &secret()), None);
        assert_eq!(UnsubscribeToken::verify(pixel, &secret()), None);
    }

    proptest! {
        #[test]
        fn a_token_says_what_was_signed(store: i64, customer: i64, message: i64) {
            let token = UnsubscribeToken {
                store: StoreId(store), customer: CustomerId(customer), message: MessageId(message),
            };
            prop_assert_eq!(UnsubscribeToken::verify(&token.sign(&secret()), &secret()), Some(token));
        }

        #[test]
        fn no_text_is_a_token_by_chance(raw in "\\PC{0,80}") {
            prop_assert_eq!(UnsubscribeToken::verify(&raw, &secret()), None);
        }
    }
}
