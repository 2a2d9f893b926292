//! Settings as values. `[sending]` and `[scoring]` of shop.toml; see the contract for their text form.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Dkim, Pause};
use crate::primitives::{Currency, Delay, EmailAddress, StoreId, Timestamp, Zone};
use crate::text_enum;

/// A store with its settings in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    pub id: StoreId,
    pub key: String,
    pub name: String,
    pub timezone: Zone,
    pub currency: Currency,
    pub locale: String,
    /// `Name <address>`; `None` until settings are applied: nothing is planned or sent before.
    pub mail_from: Option<String>,
    pub reply_to: Option<String>,
    pub postal_address: Option<String>,
    pub sending: Sending,
    pub scoring: Scoring,
    pub retention: Retention,
    /// Set where the program paused all marketing mail.
    pub pause: Option<Pause>,
    /// When an operator last lifted such a pause: what was before is settled.
    pub resumed_at: Option<Timestamp>,
}

impl Store {
    /// `[store]` of shop.toml; `None` until settings are applied.
    pub fn details(&self) -> Option<Details> {
        Some(Details {
            name: self.name.clone(),
            timezone: self.timezone.clone(),
            currency: self.currency.clone(),
            locale: self.locale.clone(),
            from: self.mail_from.as_deref()?.parse().ok()?,
            reply_to: self.reply_to.as_deref().and_then(|raw| raw.parse().ok()),
            postal_address: self.postal_address.clone()?,
        })
    }
}

/// `[store]`: who writes, and in which zone, currency and language.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    pub name: String,
    pub timezone: Zone,
    pub currency: Currency,
    /// A BCP 47 tag: `zh-CN`.
    pub locale: String,
    pub from: Sender,
    pub reply_to: Option<EmailAddress>,
    /// What the law wants under marketing mail.
    pub postal_address: String,
}

/// Who a mail is from. Text form `Lakeside Tea <hello@lakeside.example>`, or the address alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Without line breaks and angle brackets, so that it cannot add a header.
    name: Option<String>,
    address: EmailAddress,
}

impl Sender {
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }
}

text_enum! {
    /// Who may get marketing mail.
    pub enum ConsentMode {
        /// Only customers who agreed.
        OptIn = "opt_in",
        /// All but those who refused.
        OptOut = "opt_out",
    }
}

text_enum! {
    /// What becomes of marketing mail that is in doubt; service mail is always sent again.
    pub enum InDoubtPolicy {
        Hold = "hold",
        Resend = "resend",
    }
}

/// `[sending]`: the guardrails and the rate. `None` = the guardrail is off (written `""`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sending {
    #[serde(with = "empty_is_none")]
    pub quiet_hours: Option<QuietHours>,
    #[serde(with = "empty_is_none")]
    pub cap: Option<Cap>,
    #[serde(with = "empty_is_none")]
    pub min_gap: Option<Delay>,
    pub consent: ConsentMode,
    pub rate: Rate,
    pub in_doubt: InDoubtPolicy,
    /// Share of all customers who get no marketing mail at all, 0 to 1.
    pub holdout: f64,
    /// Marketing messages that may leave on one day of the store's zone.
    pub daily_budget: Option<u32>,
    /// Mail that an order would make pointless waits while the newest order known is older than this.
    #[serde(with = "empty_is_none")]
    pub feed_max_age: Option<Delay>,
    /// Links of mails lead through a signed address of ours, so that clicks are known.
    pub track_clicks: bool,
    /// Mails hold a picture whose loading is noted; it triggers nothing, and counts as no success.
    pub track_opens: bool,
    /// Mail is signed where this is set, and not sent where it cannot be.
    pub dkim: Option<Dkim>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            quiet_hours: Some(QuietHours {
                from: Time::constant(21, 0, 0, 0),
                until: Time::constant(9, 0, 0, 0),
            }),
            cap: Some(Cap { messages: 2, within: Delay::days(7) }),
            min_gap: Some(Delay::hours(16)),
            consent: ConsentMode::OptIn,
            rate: Rate { per_second: 20 },
            in_doubt: InDoubtPolicy::Hold,
            holdout: 0.0,
            daily_budget: None,
            feed_max_age: None,
            track_clicks: true,
            track_opens: true,
            dkim: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scoring {
    /// How far ahead value at risk looks.
    pub risk_horizon: Delay,
}

impl Default for Scoring {
    fn default() -> Self {
        Self { risk_horizon: Delay::days(365) }
    }
}

/// `[retention]`: how long what was decided, sent and clicked is kept. `None`: for ever (written `""`).
///
/// What the journal holds, and what is folded from it, has no limit: rollups would no longer be what facts make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// The ledger's lines, but for those about someone who is still in the rule.
    #[serde(with = "empty_is_none")]
    pub decisions: Option<Delay>,
    /// Messages that are settled, with their clicks and opens.
    #[serde(with = "empty_is_none")]
    pub messages: Option<Delay>,
    /// Clicks and opens alone.
    #[serde(with = "empty_is_none")]
    pub clicks: Option<Delay>,
}

impl Retention {
    /// Nothing younger is ever deleted: credit and effect are looked at over 90 days, each order with the week before.
    pub const LEAST: Delay = Delay::days(100);
}

/// Local times of day between which no marketing mail goes out; may span midnight. Text form `21:00-09:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    pub from: Time,
    pub until: Time,
}

/// At most so many marketing messages within a span. Text form `2 per 7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    pub messages: u32,
    pub within: Delay,
}

/// Messages per second, over the whole store. Text form `20/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    #[error("`{0}` are no quiet hours: write \"21:00-09:00\", or \"\" for none")]
    QuietHours(String),
    #[error("`{0}` is no cap: write \"2 per 7d\", or \"\" for none")]
    Cap(String),
    #[error(
        "`{0}` is no sender: write a name and an address, such as \"Lakeside Tea <hello@lakeside.example>\""
    )]
    Sender(String),
    #[error("`{0}` is no rate: write messages a second, from \"1/s\" to \"10000/s\"")]
    Rate(String),
}

impl FromStr for Sender {
    type Err = InvalidSetting;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSetting::Sender(raw.to_owned());
        let text = raw.trim();
        let (name, address) = match text.rsplit_once('<') {
            None => ("", text),
            Some((name, rest)) => (name.trim(), rest.strip_suffix('>').ok_or_else(invalid)?),
        };
        let name = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => unescape(quoted),
            None => name.to_owned(),
        };
        let name = name.trim();
        let fits = |c: char| !c.is_control() && !matches!(c, '<' | '>' | '\u{202A}'..='\u{202E}');
        if name.chars().count() > 100 || !name.chars().all(fits) {
            return Err(invalid());
        }
        Ok(Self {
            name: (!name.is_empty()).then(|| name.to_owned()),
            address: address.parse().map_err(|_| invalid())?,
        })
    }
}

/// A quoted string's content: a backslash stands for the character after it (RFC 5322 §3.2.4).
fn unescape(quoted: &str) -> String {
    let mut chars = quoted.chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

/// As RFC 5322 §3.4 wants it: a name with punctuation stands in quotes.
impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_atom = |c: char| {
            c.is_alphanumeric() || c == ' ' || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c)
        };
        match &self.name {
            None => self.address.fmt(f),
            Some(name) if name.chars().all(is_atom) => write!(f, "{name} <{}>", self.address),
            Some(name) => {
                let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{quoted}\" <{}>", self.address)
            }
        }
    }
}

impl FromStr for QuietHours {
    type Err = InvalidSetting;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSetting::QuietHours(raw.to_owned());
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':').ok_or_else(invalid)?;
            let number = |s: &str| {
                if s.len() == 2 { s.parse::<i8>().map_err(|_| invalid()) } else { Err(invalid()) }
            };
            Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| invalid())
        };
        let (from, until) = raw.split_once('-').ok_or_else(invalid)?;
        let (from, until) = (time(from)?, time(until)?);
        if from == until { Err(invalid()) } else { Ok(Self { from, until }) }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from.hour(),
            from.minute(),
            until.hour(),
            until.minute()
        )
    }
}

impl FromStr for Cap {
    type Err = InvalidSetting;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSetting::Cap(raw.to_owned());
        let (messages, within) = raw.split_once(" per ").ok_or_else(invalid)?;
        let cap = Self {
            messages: messages.trim().parse().map_err(|_| invalid())?,
            within: within.parse().map_err(|_| invalid())?,
        };
        if cap.messages == 0 || cap.within == Delay::ZERO { Err(invalid()) } else { Ok(cap) }
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.messages, self.within)
    }
}

impl FromStr for Rate {
    type Err = InvalidSetting;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSetting::Rate(raw.to_owned());
        let per_second =
            raw.strip_suffix("/s").ok_or_else(invalid)?.trim().parse().map_err(|_| invalid())?;
        if (1..=10_000).contains(&per_second) { Ok(Self { per_second }) } else { Err(invalid()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)
    }
}

/// Serde by the text form.
macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(QuietHours, Cap, Rate);

/// `""` in the document is `None` here.
pub mod empty_is_none {
    use super::{Deserialize, Deserializer, FromStr, Serializer, fmt};

    pub fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let raw = String::deserialize(deserializer)?;
        if raw.is_empty() {
            Ok(None)
        } else {
            raw.parse().map(Some).map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_as_they_print() {
        let defaults = Sending::default();
        let json = serde_json::to_string(&defaults).unwrap();
        assert_eq!(serde_json::from_str::<Sending>(&json).unwrap(), defaults);
        assert_eq!(serde_json::from_str::<Sending>("{}").unwrap(), defaults);
        assert_eq!(serde_json::from_str::<Sending>(r#"{"cap":""}"#).unwrap().cap, None);
    }

    #[test]
    fn senders_read_back_as_they_print_and_mail_software_understands_them() {
        for (raw, printed) in [
            ("Lakeside Tea <hello@Lakeside.example>", "Lakeside Tea <hello@lakeside.example>"),
            ("湖畔茶 <hello@lakeside.example>", "湖畔茶 <hello@lakeside.example>"),
            ("hello@lakeside.example", "hello@lakeside.example"),
            ("<hello@lakeside.example>", "hello@lakeside.example"),
            ("Tea, Lake & Co. <a@b.example>", "\"Tea, Lake & Co.\" <a@b.example>"),
            (r#""The \"Lake\"" <a@b.example>"#, r#""The \"Lake\"" <a@b.example>"#),
            (r#""back\\slash" <a@b.example>"#, r#""back\\slash" <a@b.example>"#),
        ] {
            let sender: Sender = raw.parse().unwrap();
            assert_eq!(sender.to_string(), printed);
            assert_eq!(printed.parse::<Sender>().unwrap(), sender);
            let mailbox: lettre::message::Mailbox = printed.parse().unwrap();
            assert_eq!(mailbox.name.as_deref(), sender.name(), "{printed}");
            assert_eq!(mailbox.email.to_string(), sender.address().as_str());
        }
        for raw in [
            "",
            "Lakeside",
            "A <a@b>",
            "A <a@b.example",
            "A\r\nBcc: x <a@b.example>",
            "A <b> <a@b.example>",
        ] {
            assert!(raw.parse::<Sender>().is_err(), "{raw}");
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for raw in ["", "21-9", "21:00", "25:00-09:00", "21:60-09:00", "09:00-09:00", "9:00-21:00"]
        {
            assert!(raw.parse::<QuietHours>().is_err(), "{raw}");
        }
        for raw in ["2", "0 per 7d", "2 per 0s", "2 per week", "-1 per 7d"] {
            assert!(raw.parse::<Cap>().is_err(), "{raw}");
        }
        for raw in ["20", "0/s", "20/m", "100000/s"] {
            assert!(raw.parse::<Rate>().is_err(), "{raw}");
        }
    }
}
