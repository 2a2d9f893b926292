//! Who a customer is, and whether they may be written to.

use super::Loaded;
use crate::http::pages::format::Format;
use crate::http::pages::words::{self, Pair};
use crate::primitives::Zone;
use crate::reports::customer::{Counts, Profile};

pub fn identity(format: &Format, profile: &Profile, counts: Counts) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.push(Pair { name: format.text(&format!("identity.{key}"), &[]), value });
        }
    };
    add("email", profile.email.clone());
    add("external_id", profile.external_id.clone());
    add("phone", profile.phone.as_deref().map(half_hidden));
    add("devices", (counts.devices > 0).then(|| format.number(counts.devices)));
    add("locale", profile.locale.clone());
    let place = [&profile.city, &profile.country];
    let place: Vec<&str> = place.iter().filter_map(|part| part.as_deref()).collect();
    add("place", Some(place.join(", ")));
    let zone = profile.timezone.as_deref().and_then(|raw| raw.parse::<Zone>().ok());
    add(
        "local_time",
        zone.map(|zone| {
            let local = zone.tz().to_datetime(format.now.to_jiff());
            format!("{:02}:{:02}, {}", local.hour(), local.minute(), zone.name())
        }),
    );
    let tags: Vec<String> = serde_json::from_str(&profile.tags).unwrap_or_default();
    add("tags", Some(tags.join(", ")));
    add("known_since", Some(format.day(profile.first_seen_at.unwrap_or(profile.created_at))));
    add("id", Some(profile.id.to_string()));
    pairs
}

/// A phone number is not needed to do the work on this page: its middle stays out of sight.
fn half_hidden(phone: &str) -> String {
    let chars: Vec<char> = phone.chars().collect();
    if chars.len() < 9 {
        return "••••".to_owned();
    }
    let (head, tail): (String, String) =
        (chars[..chars.len() - 8].iter().collect(), chars[chars.len() - 4..].iter().collect());
    format!("{head} •••• {tail}")
}

pub fn consent_text(format: &Format, profile: &Profile) -> String {
    let mut parts = Vec::new();
    if let Some(at) = profile.consent_at {
        parts.push(format.day(at));
    }
    if let Some(source) = &profile.consent_source {
        parts.push(words::known(format, "consent_source", source));
    }
    parts.join(&format.text("list_comma", &[]))
}

pub fn reach(format: &Format, loaded: &Loaded) -> Vec<Pair> {
    let profile = &loaded.profile;
    let last_sent = loaded.messages.iter().filter_map(|m| m.sent_at).max();
    vec![
        Pair {
            name: format.text("reach.last_sent", &[]),
            value: last_sent.map_or_else(|| format.text("reach.never", &[]), |at| format.when(at)),
        },
        Pair {
            name: format.text("reach.suppressed", &[]),
            value: match &profile.suppressed {
                Some(reason) => words::known(format, "suppression", reason),
                None => format.text("no", &[]),
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_phone_number_stays_out_of_sight() {
        assert_eq!(half_hidden("+8613812342206"), "+86138 •••• 2206");
        assert_eq!(half_hidden("12345"), "••••");
    }
}
