//! Reads `[store]`, `[sending]`, `[scoring]` and `[retention]`.

use super::defaults;
use super::node::{Fields, Node, Problems};
use crate::primitives::Delay;
use crate::stores::{Details, Dkim, Retention, Scoring, Sending};

pub fn read_store(node: &Node, problems: &mut Problems) -> Option<Details> {
    let allowed = ["name", "timezone", "currency", "locale", "from", "reply_to", "postal_address"];
    let fields = Fields::open(node, "[store]", &allowed, &[], problems)?;
    for key in ["name", "timezone", "currency", "from", "postal_address"] {
        fields.require(key, problems);
    }
    let name = fields.line("name", 200, problems);
    let timezone = fields.parsed("timezone", problems);
    let currency = fields.parsed("currency", problems);
    let locale = match fields.get("locale") {
        None => Some(defaults::LOCALE.to_owned()),
        Some(_) => fields.parsed::<Locale>("locale", problems).map(|locale| locale.0),
    };
    let from = fields.parsed("from", problems);
    let reply_to = fields.parsed_or_none("reply_to", problems);
    let postal_address = fields.line("postal_address", 500, problems);
    Some(Details {
        name: name?,
        timezone: timezone?,
        currency: currency?,
        locale: locale?,
        from: from?,
        reply_to: reply_to.flatten(),
        postal_address: postal_address?,
    })
}

/// The shape of a BCP 47 language tag.
struct Locale(String);

impl std::str::FromStr for Locale {
    type Err = String;
    fn from_str(raw: &str) -> Result<Self, String> {
        let tag = raw.trim().replace('_', "-");
        let mut parts = tag.split('-');
        let language = parts.next().unwrap_or_default();
        let is_language =
            (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
        let is_part = |part: &str| {
            (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if is_language && parts.all(is_part) && tag.len() <= 35 {
            Ok(Self(tag))
        } else {
            Err(format!("`{raw}` is no locale: write a language tag such as \"en\" or \"zh-CN\""))
        }
    }
}

pub fn read_sending(node: &Node, problems: &mut Problems) -> Option<Sending> {
    let allowed = [
        "quiet_hours",
        "cap",
        "min_gap",
        "consent",
        "rate",
        "in_doubt",
        "holdout",
        "daily_budget",
        "feed_max_age",
        "track_clicks",
        "track_opens",
        "dkim",
    ];
    let later = ["return_path_domain"];
    let fields = Fields::open(node, "[sending]", &allowed, &later, problems)?;
    let usual = Sending::default();
    // A wrong value is reported and falls back here; the document as a whole is refused then.
    Some(Sending {
        quiet_hours: fields.parsed_or_none("quiet_hours", problems).unwrap_or(usual.quiet_hours),
        cap: fields.parsed_or_none("cap", problems).unwrap_or(usual.cap),
        min_gap: fields.parsed_or_none("min_gap", problems).unwrap_or(usual.min_gap),
        consent: fields.parsed("consent", problems).unwrap_or(usual.consent),
        rate: fields.parsed("rate", problems).unwrap_or(usual.rate),
        in_doubt: fields.parsed("in_doubt", problems).unwrap_or(usual.in_doubt),
        holdout: fields.number("holdout", 0.0, 1.0, problems).unwrap_or(usual.holdout),
        daily_budget: fields
            .get("daily_budget")
            .and_then(|_| fields.whole("daily_budget", 1, 100_000_000, problems)),
        feed_max_age: fields.parsed_or_none("feed_max_age", problems).unwrap_or(usual.feed_max_age),
        track_clicks: fields.yes_or_no("track_clicks", problems).unwrap_or(usual.track_clicks),
        track_opens: fields.yes_or_no("track_opens", problems).unwrap_or(usual.track_opens),
        dkim: fields.get("dkim").and_then(|node| read_dkim(node, problems)),
    })
}

fn read_dkim(node: &Node, problems: &mut Problems) -> Option<Dkim> {
    let keys = ["domain", "selector", "key_file"];
    let fields = Fields::open(node, "`dkim` of [sending]", &keys, &[], problems)?;
    for key in keys {
        fields.require(key, problems);
    }
    let domain = fields.parsed("domain", problems);
    let selector = fields.parsed("selector", problems);
    let key_file = fields.line("key_file", 1_000, problems);
    Some(Dkim { domain: domain?, selector: selector?, key_file: key_file? })
}

pub fn read_scoring(node: &Node, problems: &mut Problems) -> Option<Scoring> {
    let fields = Fields::open(node, "[scoring]", &["risk_horizon"], &[], problems)?;
    let usual = Scoring::default();
    let risk_horizon = positive("risk_horizon", &fields, problems).unwrap_or(usual.risk_horizon);
    Some(Scoring { risk_horizon })
}

pub fn read_retention(node: &Node, problems: &mut Problems) -> Option<Retention> {
    let keys = ["decisions", "messages", "clicks"];
    let fields = Fields::open(node, "[retention]", &keys, &[], problems)?;
    let mut kept = |key: &'static str| {
        let delay: Delay = fields.parsed_or_none(key, problems).flatten()?;
        if delay < Retention::LEAST {
            let node = fields.get(key)?;
            let least = format!("at least `{}`, or \"\" for ever", Retention::LEAST);
            fields.refuse(key, node, &least, problems);
            return None;
        }
        Some(delay)
    };
    let (decisions, messages, clicks) = (kept("decisions"), kept("messages"), kept("clicks"));
    Some(Retention { decisions, messages, clicks })
}

/// A duration longer than nothing.
pub fn positive(key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Delay> {
    let delay: Delay = fields.parsed(key, problems)?;
    if delay == Delay::ZERO {
        let node = fields.get(key)?;
        fields.refuse(key, node, "longer than `0s`", problems);
        return None;
    }
    Some(delay)
}
