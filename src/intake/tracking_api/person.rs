//! Traits: who somebody is, as the shop tells it.

use super::instant;
use super::json::{Fields, Json};
use crate::journal::{ConsentTold, Traits};
use crate::primitives::{EmailAddress, Timestamp};

/// Traits with a place of their own; all others are kept as told.
const KNOWN: [&str; 15] = [
    "id",
    "email",
    "name",
    "phone",
    "locale",
    "language",
    "timezone",
    "country",
    "city",
    "address",
    "tags",
    "email_consent",
    "email_consent_at",
    "anonymousId",
    "userId",
];

pub fn email(traits: &Fields<'_>) -> Option<EmailAddress> {
    traits.get("email")?.text()?.parse().ok()
}

/// In the international form alone: digits that may be any country's name nobody.
pub fn phone(traits: &Fields<'_>) -> Option<String> {
    international(&traits.get("phone")?.text()?)
}

/// `received_at` bounds the time of a consent: nobody agreed later than we heard of it.
pub fn traits(traits: Fields<'_>, received_at: Timestamp) -> Traits {
    let address = traits.fields("address");
    let text = |name: &str, max_chars: usize| traits.clean(name, max_chars);
    Traits {
        name: text("name", 200).or_else(|| full_name(&traits)),
        phone: phone(&traits).or_else(|| text("phone", 40)),
        locale: text("locale", 35).or_else(|| text("language", 35)),
        timezone: text("timezone", 60),
        country: text("country", 100).or_else(|| address.clean("country", 100)),
        city: text("city", 100).or_else(|| address.clean("city", 100)),
        tags: traits.get("tags").and_then(tags),
        consent: consent(&traits, received_at),
        other: traits.into_values(|name| !KNOWN.contains(&name)),
    }
}

fn full_name(traits: &Fields<'_>) -> Option<String> {
    let part = |names: [&str; 2]| traits.first(&names).and_then(|json| json.clean(100));
    match (part(["firstName", "first_name"]), part(["lastName", "last_name"])) {
        (Some(first), Some(last)) => Some(format!("{first} {last}")),
        (first, last) => first.or(last),
    }
}

/// A list, or one text with commas.
fn tags(json: Json<'_>) -> Option<Vec<String>> {
    let tags: Vec<String> = match json.items() {
        Some(items) => items.into_iter().take(50).filter_map(|tag| tag.clean(50)).collect(),
        None => json
            .text()?
            .split(',')
            .take(50)
            .filter_map(|tag| crate::primitives::clean_text(tag, 50))
            .collect(),
    };
    Some(tags)
}

/// Only a clear yes or no is one: a word that cannot be read grants nothing.
fn consent(traits: &Fields<'_>, received_at: Timestamp) -> Option<ConsentTold> {
    let granted = traits.get("email_consent")?.boolean()?;
    let at = traits.get("email_consent_at").and_then(instant::lenient);
    Some(ConsentTold {
        granted,
        at: at.map(|at| at.min(received_at)),
        channel: Some("trait".to_owned()),
    })
}

fn international(raw: &str) -> Option<String> {
    let kept: String = raw.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let digits = kept.strip_prefix('+').or_else(|| kept.strip_prefix("00"))?;
    // E.164: at most 15 digits; fewer than 7 reach nobody.
    let plausible = (7..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    plausible.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Traits {
        let received = "2026-06-01T12:00:00Z".parse().unwrap();
        traits(Json::parse(json).unwrap().fields(), received)
    }

    #[test]
    fn traits_find_their_places() {
        let told = read(
            r#"{"id":"7","email":"a@b.example","firstName":"Ann","lastName":"Li","phone":"+86 138-0000-0001",
                "address":{"city":"杭州","country":"CN"},"tags":"vip, tea,,","plan":"gold","age":31,"createdAt":"2020-01-01"}"#,
        );
        assert_eq!(told.name.as_deref(), Some("Ann Li"));
        assert_eq!(told.phone.as_deref(), Some("+8613800000001"));
        assert_eq!((told.city.as_deref(), told.country.as_deref()), (Some("杭州"), Some("CN")));
        assert_eq!(told.tags.unwrap(), ["vip", "tea"]);
        let mut other: Vec<&String> = told.other.keys().collect();
        other.sort();
        assert_eq!(other, ["age", "createdAt", "firstName", "lastName", "plan"]);
    }

    #[test]
    fn consent_is_never_guessed() {
        let granted = |json: &str| read(json).consent.map(|told| told.granted);
        assert_eq!(granted(r#"{"email_consent":true}"#), Some(true));
        assert_eq!(granted(r#"{"email_consent":"false"}"#), Some(false));
        for unclear in ["\"maybe\"", "{}", "[true]", "2", "null", "\"\""] {
            assert_eq!(granted(&format!("{{\"email_consent\":{unclear}}}")), None, "{unclear}");
        }
        let told = read(r#"{"email_consent":true,"email_consent_at":"2031-01-01T00:00:00Z"}"#);
        assert_eq!(told.consent.unwrap().at.unwrap().to_string(), "2026-06-01T12:00:00Z");
    }

    #[test]
    fn only_international_numbers_name_somebody() {
        assert_eq!(international("0049 (170) 123.45.67").as_deref(), Some("+491701234567"));
        for raw in ["13800000001", "+1", "+1234567890123456", "+49abc1234567", "+0491234567", ""] {
            assert_eq!(international(raw), None, "{raw}");
        }
    }
}
