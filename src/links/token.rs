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

/// Part of every signature: never changes, as links in old mails must work for years.
const PURPOSE: &str = "unsubscribe link";
/// 96 bits: nobody guesses one of 2^96 over the network.
const SIGNATURE: usize = 12;
const IDS: usize = 24;

impl UnsubscribeToken {
    /// 48 characters, safe in URLs.
    pub fn sign(&self, secret: &Secret) -> String {
        let ids = self.ids();
        let mut bytes = ids.to_vec();
        bytes.extend_from_slice(&signature(secret, &ids));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for anything that was not signed with this secret.
    pub fn verify(raw: &str, secret: &Secret) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(raw).ok()?;
        let (ids, given) = bytes.split_first_chunk::<IDS>()?;
        let given: &[u8; SIGNATURE] = given.try_into().ok()?;
        // The time this takes tells nothing of how much of a guess was right.
        let differs = signature(secret, ids).iter().zip(given).fold(0, |d, (a, b)| d | (a ^ b));
        let id = |at: usize| ids[at..at + 8].try_into().map(i64::from_be_bytes).ok();
        (differs == 0).then_some(Self {
            store: StoreId(id(0)?),
            customer: CustomerId(id(8)?),
            message: MessageId(id(16)?),
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

fn signature(secret: &Secret, ids: &[u8; IDS]) -> [u8; SIGNATURE] {
    let hash = secret.keyed_hash(PURPOSE, &[ids]);
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
