//! A step as a value: what it sends, when, to whom of those who are in the rule, and in which wording.
//!
//! A step may ask one question when its time comes: a condition, or whether something happened meanwhile. Either
//! answer has its exit. The question is asked at the door, so that every step is planned from the beginning and
//! makes one message at most.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::AmbiguousOffset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::condition::Condition;
use crate::primitives::{Delay, Timestamp, Zone};
use crate::text_enum;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// After the step before; for the first, after the trigger's delay.
    pub wait: Delay,
    pub template: String,
    pub subject: Option<String>,
    pub coupon: Option<String>,
    /// The time of day, where the customer is, that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<LocalTime>,
    /// Asked when its time comes.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Condition>,
    /// Its time comes with this event, or after `at_most`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<StepEvent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Delay>,
    /// The exit of a yes: the condition holds, the event came.
    #[serde(default, skip_serializing_if = "Exit::is_send")]
    pub then: Exit,
    /// The exit of a no.
    #[serde(default, rename = "else", skip_serializing_if = "Otherwise::is_skip")]
    pub otherwise: Otherwise,
    /// Wordings that are tried against each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

text_enum! {
    /// What a step can wait for.
    pub enum StepEvent {
        Order = "order",
        /// A visit that begins after the step before left.
        Visit = "visit",
        /// A person's click on a link of the mail of the step before, or on an earlier one's after that left.
        Click = "click",
    }
}

text_enum! {
    /// What a yes leads to.
    #[derive(Default)]
    pub enum Exit {
        #[default]
        Send = "send",
        /// Nothing is sent; the next step has its turn.
        Skip = "skip",
        /// Nothing more is sent.
        End = "end",
    }
}

impl Exit {
    fn is_send(&self) -> bool {
        *self == Self::Send
    }
}

/// What a no leads to: nothing, the end, or other words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Otherwise {
    Go(Exit),
    Send(Wording),
}

impl Default for Otherwise {
    fn default() -> Self {
        Self::Go(Exit::Skip)
    }
}

impl Otherwise {
    fn is_skip(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    pub template: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
}

/// What it says in place of the step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    pub name: String,
    /// Its share is this part of the sum of all weights.
    pub weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
}

impl Step {
    /// A step that only sends.
    pub fn sends(template: &str) -> Self {
        Self {
            wait: Delay::ZERO,
            template: template.to_owned(),
            subject: None,
            coupon: None,
            send_at: None,
            only_if: None,
            wait_until: None,
            at_most: None,
            then: Exit::Send,
            otherwise: Otherwise::default(),
            variants: Vec::new(),
        }
    }

    /// How long after the step before its time has come, whatever happens.
    pub fn delay(&self) -> Delay {
        self.at_most.unwrap_or(self.wait)
    }

    pub fn asks(&self) -> bool {
        self.only_if.is_some() || self.wait_until.is_some()
    }

    /// The variant that a lot from 0 to 1 falls on; `None` where there are none.
    pub fn variant_of(&self, lot: f64) -> Option<&Variant> {
        let all: f64 = self.variants.iter().map(|variant| f64::from(variant.weight)).sum();
        let mut upto = 0.0;
        let drawn = self.variants.iter().find(|variant| {
            upto += f64::from(variant.weight);
            lot * all < upto
        });
        drawn.or(self.variants.last())
    }

    /// What it says: by its own words, the variant's, or those of its other exit.
    pub fn wording(&self, variant: Option<&str>, by_other_exit: bool) -> Wording {
        if let (true, Otherwise::Send(wording)) = (by_other_exit, &self.otherwise) {
            return wording.clone();
        }
        let variant = self.variants.iter().find(|known| Some(known.name.as_str()) == variant);
        let own =
            |of: fn(&Variant) -> &Option<String>| variant.and_then(|variant| of(variant).clone());
        Wording {
            template: own(|v| &v.template).unwrap_or_else(|| self.template.clone()),
            subject: own(|v| &v.subject).or_else(|| self.subject.clone()),
            coupon: own(|v| &v.coupon).or_else(|| self.coupon.clone()),
        }
    }

    /// The templates that it may use.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        let other = match &self.otherwise {
            Otherwise::Send(wording) => Some(wording.template.as_str()),
            Otherwise::Go(_) => None,
        };
        let variants = self.variants.iter().filter_map(|variant| variant.template.as_deref());
        [self.template.as_str()].into_iter().chain(other).chain(variants)
    }
}

/// A time of day, wherever it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime(Time);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time of day: write hours and minutes, such as \"10:00\"")]
pub struct NoTime(String);

impl FromStr for LocalTime {
    type Err = NoTime;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let read = raw.trim().split_once(':').and_then(|(hour, minute)| {
            let number = |part: &str| part.parse::<i8>().ok().filter(|_| part.len() == 2);
            Time::new(number(hour)?, number(minute)?, 0, 0).ok()
        });
        read.map(Self).ok_or_else(|| NoTime(raw.to_owned()))
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl LocalTime {
    /// The first instant from `at` on at which clocks in `zone` show it. Where they skip it, the end of the skip;
    /// where they show it twice, the first.
    pub fn from_on(self, at: Timestamp, zone: &Zone) -> Timestamp {
        let tz = zone.tz();
        let first = at.day_in(zone).yesterday().unwrap_or_default();
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(4);
        let shown = days.filter_map(|day| {
            let local = day.to_datetime(self.0);
            match tz.to_ambiguous_zoned(local).offset() {
                AmbiguousOffset::Unambiguous { offset }
                | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(local).ok(),
                AmbiguousOffset::Gap { after, .. } => {
                    let before = after.to_timestamp(local).ok()?;
                    tz.following(before).next().map(|transition| transition.timestamp())
                }
            }
        });
        shown.map(Timestamp::from).find(|shown| *shown >= at).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_the_next_one_where_the_customer_is() {
        let on = |at: &str, zone: &str| {
            let time: LocalTime = "10:00".parse().unwrap();
            time.from_on(at.parse().unwrap(), &zone.parse().unwrap()).to_string()
        };
        assert_eq!(
            on("2026-06-01T02:00:00Z", "Asia/Shanghai"),
            "2026-06-01T02:00:00Z",
            "ten to the second"
        );
        assert_eq!(on("2026-06-01T02:00:01Z", "Asia/Shanghai"), "2026-06-02T02:00:00Z");
        assert_eq!(on("2026-06-01T13:59:00Z", "America/New_York"), "2026-06-01T14:00:00Z");
        let time: LocalTime = "02:30".parse().unwrap();
        let berlin = "Europe/Berlin".parse().unwrap();
        let at = |at: &str| time.from_on(at.parse().unwrap(), &berlin).to_string();
        assert_eq!(
            at("2026-03-28T23:30:00Z"),
            "2026-03-29T01:00:00Z",
            "skipped: the end of the skip"
        );
        assert_eq!(at("2026-10-24T23:30:00Z"), "2026-10-25T00:30:00Z", "twice: the first");
        for raw in ["10", "24:00", "9:00", "10:60", "10:00:00", ""] {
            assert!(raw.parse::<LocalTime>().is_err(), "{raw}");
        }
    }

    #[test]
    fn lots_fall_on_variants_by_their_weights() {
        let variant = |name: &str, weight| Variant {
            name: name.into(),
            weight,
            template: None,
            subject: Some(format!("subject {name}")),
            coupon: None,
        };
        let step = Step { variants: vec![variant("a", 3), variant("b", 1)], ..Step::sends("t") };
        let drawn = |lot| step.variant_of(lot).map(|v| v.name.as_str());
        assert_eq!(
            (drawn(0.0), drawn(0.749), drawn(0.75), drawn(1.0)),
            (Some("a"), Some("a"), Some("b"), Some("b"))
        );
        assert_eq!(step.wording(Some("b"), false).subject.as_deref(), Some("subject b"));
        assert_eq!(step.wording(Some("gone"), false).subject, None);
        assert_eq!(Step::sends("t").variant_of(0.5), None);
    }
}
