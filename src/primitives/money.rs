//! Money: integer minor units and a currency. A float never holds money before `scoring` makes it one.

use std::fmt;
use std::str::FromStr;

use diesel_derive_newtype::DieselNewType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An ISO 4217 code: three capital letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, DieselNewType)]
pub struct Currency(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    #[error("`{0}` is no currency: write a three-letter ISO 4217 code such as \"CNY\"")]
    Currency(String),
    #[error("`{0}` is no amount: write a plain decimal number such as \"12.40\"")]
    Amount(String),
    #[error("`{0}` is more money than an order can hold")]
    TooLarge(String),
}

impl Currency {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Decimal digits of the minor unit (ISO 4217, amendment 177): 0 for JPY, 3 for KWD, else 2.
    pub fn decimals(&self) -> u32 {
        match self.0.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF"
            | "UGX" | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = InvalidMoney;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let code = raw.trim().to_ascii_uppercase();
        if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self(code))
        } else {
            Err(InvalidMoney::Currency(raw.chars().take(40).collect()))
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in minor units of its currency. In JSON: `{"amount":"12.40","currency":"CNY"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

/// Nothing sold costs more: keeps a thousand million orders' sum within an `i64`.
const LARGEST_MINOR: i64 = 1_000_000_000_000;

impl Money {
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads a plain decimal (`12.4`, `-3`, `1e2`, `19.990000000000002`), rounded half away from zero to the minor unit.
    ///
    /// # Errors
    /// Not a finite decimal number, or beyond 10^12 minor units either way.
    pub fn parse(raw: &str, currency: &Currency) -> Result<Self, InvalidMoney> {
        let shown = || raw.chars().take(40).collect::<String>();
        let minor = decimal_to_minor(raw.trim(), currency.decimals())
            .ok_or_else(|| InvalidMoney::Amount(shown()))?;
        if minor.unsigned_abs() > LARGEST_MINOR as u64 {
            return Err(InvalidMoney::TooLarge(shown()));
        }
        Ok(Self { minor, currency: currency.clone() })
    }

    /// The amount alone, with all its decimals: `12.40`.
    pub fn amount(&self) -> String {
        let decimals = self.currency.decimals() as usize;
        let digits = format!("{:0width$}", self.minor.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        let sign = if self.minor < 0 { "-" } else { "" };
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
    }
}

/// Exact decimal arithmetic on the digits: no float in between. Saturates far beyond what `parse` accepts.
fn decimal_to_minor(raw: &str, decimals: u32) -> Option<i64> {
    let (negative, text) = match raw.as_bytes().first()? {
        b'-' => (true, &raw[1..]),
        b'+' => (false, &raw[1..]),
        _ => (false, raw),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + part.len() == 0
        || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let digits: Vec<i64> = whole.bytes().chain(part.bytes()).map(|b| i64::from(b - b'0')).collect();
    // How many of the digits stand before the end of the minor unit.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(decimals);
    let mut minor: i64 = 0;
    for place in 0..kept.clamp(0, 400) {
        minor = minor
            .saturating_mul(10)
            .saturating_add(digits.get(place as usize).copied().unwrap_or(0));
    }
    let rounds_up = kept >= 0 && digits.get(kept as usize).is_some_and(|digit| *digit >= 5);
    minor = minor.saturating_add(i64::from(rounds_up));
    Some(if negative { -minor } else { minor })
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    amount: String,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { amount: self.amount(), currency: self.currency.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Self::parse(&wire.amount, &wire.currency).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cny() -> Currency {
        "cny".parse().unwrap()
    }

    #[test]
    fn decimals_become_minor_units_without_a_float() {
        for (raw, minor) in [
            ("12.40", 1240),
            ("12.4", 1240),
            ("-3", -300),
            (".5", 50),
            ("1e2", 10_000),
            ("1.5e-1", 15),
            ("19.990000000000002", 1999),
            ("0.005", 1),
            ("0.0049", 0),
            ("-0.005", -1),
            ("1e-400", 0),
            ("5e-3", 1),
        ] {
            assert_eq!(Money::parse(raw, &cny()).map(|m| m.minor), Ok(minor), "{raw}");
        }
        assert_eq!(Money::parse("1234.5", &"JPY".parse().unwrap()).unwrap().amount(), "1235");
        assert_eq!(Money::parse("0.0015", &"KWD".parse().unwrap()).unwrap().amount(), "0.002");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for raw in [
            "",
            "-",
            ".",
            "NaN",
            "inf",
            "1,000",
            "12 kr",
            "0x10",
            "1e",
            "--3",
            "1e999999999999",
            "９",
        ] {
            assert!(matches!(Money::parse(raw, &cny()), Err(InvalidMoney::Amount(_))), "{raw}");
        }
        for raw in ["1e300", "99999999999999999999999999"] {
            assert!(matches!(Money::parse(raw, &cny()), Err(InvalidMoney::TooLarge(_))), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_as_itself(minor in -LARGEST_MINOR..=LARGEST_MINOR, code in "CNY|JPY|KWD") {
            let money = Money::new(minor, code.parse().unwrap());
            prop_assert_eq!(Money::parse(&money.amount(), &money.currency).unwrap(), money);
        }

        #[test]
        fn no_text_makes_the_reader_panic(raw in ".{0,40}") {
            let _ = Money::parse(&raw, &cny());
        }
    }
}
