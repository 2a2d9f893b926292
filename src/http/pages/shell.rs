//! What stands around every page: rooms, reader, language, theme.

use serde::Serialize;

use super::catalogue::Catalogue;

/// The rooms there are, in the order of an operator's morning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Today,
    AtRisk,
    Customers,
    Rules,
    Outbox,
}

impl Room {
    const ALL: [Self; 5] = [Self::Today, Self::AtRisk, Self::Customers, Self::Rules, Self::Outbox];

    pub fn href(self) -> &'static str {
        match self {
            Self::Today => "/",
            Self::AtRisk => "/at-risk",
            Self::Customers => "/customers",
            Self::Rules => "/rules",
            Self::Outbox => "/outbox",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::AtRisk => "at-risk",
            Self::Customers => "customers",
            Self::Rules => "rules",
            Self::Outbox => "outbox",
        }
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Shell {
    pub lang: &'static str,
    /// `light`, `dark`, or empty: the system decides.
    pub theme: String,
    pub store: String,
    /// Empty where nobody is signed in: then there is no navigation.
    pub who: String,
    pub role: String,
    pub may_act: bool,
    pub csrf: String,
    /// Where the preferences' form comes back to.
    pub here: String,
    pub version: String,
    pub rooms: Vec<RoomLink>,
    /// Said once above the page, after an act.
    pub said: Option<Said>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Said {
    /// `good` or `warn`
    pub tone: &'static str,
    pub text: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct RoomLink {
    pub href: &'static str,
    pub name: &'static str,
    pub label: String,
    pub current: bool,
    /// Empty where there is nothing to count.
    pub count: String,
    /// What the count is, when it is an alarm.
    pub alarm: String,
    /// Behind "More" on phones.
    pub rest: bool,
}

/// The numbers beside the rooms.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub alarms: usize,
    pub at_risk: String,
    pub in_doubt: i64,
}

pub fn rooms(words: &Catalogue, current: Option<Room>, counts: &Counts) -> Vec<RoomLink> {
    let mut links = Vec::new();
    for room in Room::ALL {
        let (count, alarm) = match room {
            Room::Today if counts.alarms > 0 => {
                let key = words.plural("nav.alarms", counts.alarms as i64);
                let n = counts.alarms.to_string();
                (n.clone(), words.text(&key, &[("n", &n)]))
            }
            Room::AtRisk => (counts.at_risk.clone(), String::new()),
            Room::Outbox if counts.in_doubt > 0 => {
                let key = words.plural("nav.in_doubt", counts.in_doubt);
                let n = counts.in_doubt.to_string();
                (n.clone(), words.text(&key, &[("n", &n)]))
            }
            _ => (String::new(), String::new()),
        };
        links.push(RoomLink {
            href: room.href(),
            name: room.name(),
            label: words.text(&format!("nav.{}", room.name()), &[]),
            current: current == Some(room),
            count,
            alarm,
            rest: room == Room::Outbox,
        });
    }
    links
}

impl Shell {
    /// Signed in and not.
    pub fn samples(words: &Catalogue) -> Vec<Self> {
        let counts = Counts { alarms: 2, at_risk: "1,284".into(), in_doubt: 1 };
        let out = Self { lang: words.lang.code(), ..Self::default() };
        let signed_in = Self {
            theme: "dark".into(),
            store: "Lakeside Tea".into(),
            who: "mei@lakeside.example".into(),
            role: words.text("role.operator", &[]),
            may_act: true,
            csrf: "token".into(),
            here: "/at-risk?segment=at_risk".into(),
            version: "0".into(),
            rooms: rooms(words, Some(Room::AtRisk), &counts),
            said: Some(Said { tone: "good", text: "Done".into() }),
            ..out.clone()
        };
        vec![out, signed_in]
    }
}
