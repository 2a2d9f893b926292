//! Decides what a mail server's refusal means: try again, give this message up, or never write there again.
//!
//! Codes: RFC 5321 §4.2, RFC 3463, RFC 5248. In doubt a refusal is not held against the recipient: a good
//! address suppressed is a customer lost, a bad one tried again is one more bounce.

use super::Delivery;
use crate::primitives::clean_text;

/// What the server was asked when it refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// MAIL FROM: about us, never about the recipient.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA and the message itself.
    Content,
}

/// A refusal, 4xx or 5xx, in the server's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, clean_text(&self.text, 500).unwrap_or_default())
    }
}

pub fn judge(stage: Stage, reply: &Reply) -> Delivery {
    let words = reply.to_string();
    let status = enhanced_status(&reply.text);
    match reply.code {
        // "Sign in first", "sign-in refused", "encrypt first": our settings are wrong, not this message.
        530 | 534 | 535 | 538 => Delivery::NotSent { why: words },
        400..=499 => Delivery::Temporary { reply: words },
        // RFC 5321 §4.5.3.1.10: old servers say "too many recipients" so.
        552 if stage == Stage::Recipient && status.is_none() => {
            Delivery::Temporary { reply: words }
        }
        _ => Delivery::Permanent { hard: is_hard(stage, status, &reply.text), reply: words },
    }
}

/// Whether nobody can be reached at this address, now or later.
fn is_hard(stage: Stage, status: Option<(u16, u16)>, text: &str) -> bool {
    if stage == Stage::Sender {
        return false;
    }
    let text = text.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|words| text.contains(words));
    let nobody_there = says(&[
        "user unknown",
        "unknown user",
        "no such user",
        "no such recipient",
        "no such mailbox",
        "user not found",
        "recipient not found",
        "mailbox not found",
        "does not exist",
        "doesn't exist",
        "invalid recipient",
        "unknown recipient",
        "recipient unknown",
        "用户不存在",
        "收件人不存在",
    ]);
    let about_us = says(&[
        "blocked",
        "block list",
        "blocklist",
        "blacklist",
        "spam",
        "sender",
        "relay",
        "dmarc",
        "reputation",
    ]);
    match status {
        Some((1, 1..=3 | 6 | 10) | (2, 1) | (4, 4)) => true,
        // 5.1.0 is "address, otherwise", and used for senders as well.
        Some((1, 0)) => !about_us,
        // Only these two say so little that the words decide.
        Some((7, 1) | (0, 0)) | None => nobody_there && !about_us,
        Some(_) => false,
    }
}

/// `(1, 1)` of a text that begins with `5.1.1`.
fn enhanced_status(text: &str) -> Option<(u16, u16)> {
    let first = text.split_whitespace().next()?.trim_start_matches('#');
    let mut parts = first.splitn(3, '.');
    let class = parts.next()?;
    let (subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    matches!(class, "4" | "5").then_some((subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(stage: Stage, code: u16, text: &str) -> Delivery {
        judge(stage, &Reply { code, text: text.to_owned() })
    }

    #[test]
    fn an_address_where_nobody_is_is_a_hard_bounce() {
        for text in [
            "5.1.1 <x@y.example>: Recipient address rejected: User unknown in virtual mailbox table",
            "5.1.1 User blocked from existing", // The status is trusted before the words.
            "5.1.10 Recipient has null MX",
            "5.1.2 no such domain",
            "5.2.1 The mailbox is disabled",
            "5.4.4 host not found",
            "5.7.1 no such user here",
            "5.0.0 Requested action not taken: mailbox unavailable, user not found",
            "No such user here",
        ] {
            for stage in [Stage::Recipient, Stage::Content] {
                let delivery = judged(stage, 550, text);
                assert!(matches!(delivery, Delivery::Permanent { hard: true, .. }), "{text}");
            }
        }
    }

    #[test]
    fn a_refusal_of_us_is_never_held_against_the_recipient() {
        for (stage, code, text) in [
            (Stage::Sender, 550, "5.1.1 User unknown"),
            (Stage::Sender, 553, "5.1.8 Sender address rejected: domain not found"),
            (
                Stage::Recipient,
                550,
                "5.7.1 Service unavailable; client host blocked using a blocklist",
            ),
            (Stage::Recipient, 554, "5.7.1 Relay access denied"),
            (Stage::Recipient, 550, "5.1.0 Sender rejected"),
            (Stage::Content, 550, "5.7.26 Unauthenticated e-mail is not accepted"),
            (Stage::Content, 554, "Message rejected as spam; the user does not exist for you"),
            (Stage::Recipient, 552, "5.2.2 Mailbox full"),
            (Stage::Content, 554, "Transaction failed"),
        ] {
            let delivery = judged(stage, code, text);
            assert!(
                matches!(delivery, Delivery::Permanent { hard: false, .. }),
                "{text}: {delivery:?}"
            );
        }
    }

    #[test]
    fn what_may_pass_is_temporary() {
        for (stage, code, text) in [
            (Stage::Recipient, 450, "4.2.0 Greylisted, see https://…"),
            (Stage::Recipient, 452, "4.2.2 Mailbox full"),
            (Stage::Content, 421, "4.3.0 Shutting down"),
            (Stage::Recipient, 552, "Too many recipients"),
        ] {
            assert!(matches!(judged(stage, code, text), Delivery::Temporary { .. }), "{text}");
        }
    }

    #[test]
    fn our_own_wrong_settings_lose_no_message() {
        let delivery = judged(Stage::Sender, 530, "5.7.0 Must issue a STARTTLS command first");
        assert!(matches!(delivery, Delivery::NotSent { .. }));
    }

    #[test]
    fn the_words_are_kept_but_neither_control_characters_nor_a_novel() {
        let Delivery::Temporary { reply } = judged(Stage::Content, 451, &"no\r\n\u{7}".repeat(900))
        else {
            panic!("4xx is temporary")
        };
        assert!(reply.starts_with("451 no ") && reply.chars().count() <= 504, "{reply}");
        assert!(!reply.contains(char::is_control));
    }
}
