//! Reads a rule's trigger: the moment it counts from, and how long after.

use super::defaults;
use super::node::{Fields, Node, Problems, Value, shorten};
use super::sections::positive;
use crate::primitives::Delay;
use crate::rules::{DayOffset, Trigger, TriggerKind, condition};

const MAX_COUNT: u32 = 1_000_000;

/// Which fields each kind of trigger takes, besides `kind` and `useful_for`.
pub const KINDS: [(&str, &[&str]); 11] = [
    ("visited_without_buying", &["after", "min_visits", "min_product_views"]),
    ("cart_abandoned", &["after"]),
    ("checkout_abandoned", &["after"]),
    ("first_order", &["after"]),
    ("order", &["after"]),
    ("repurchase_due", &["after"]),
    ("win_back", &["after", "until"]),
    ("segment_entered", &["segment", "after"]),
    ("at_risk", &["p_alive_below", "value_above"]),
    ("date", &["field", "offset"]),
    ("schedule", &["cron"]),
];

pub fn read_trigger(node: &Node, place: &str, problems: &mut Problems) -> Option<Trigger> {
    let names = || KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Value::Table(entries) = &node.value else {
        problems.add(
            node.at,
            format!("{place} must be a table such as {{ kind = \"win_back\", after = \"60d\" }}"),
        );
        return None;
    };
    let kind = match entries.iter().find(|entry| entry.key == "kind").map(|entry| &entry.node) {
        None => {
            problems.add(node.at, format!("{place} has no `kind`; allowed: {}", names()));
            return None;
        }
        Some(Node { at, value: Value::Text(kind) }) => (kind.as_str(), *at),
        Some(other) => {
            problems.add(other.at, format!("`kind` in {place} must be one of: {}", names()));
            return None;
        }
    };
    let (kind, at) = kind;
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        problems
            .add(at, format!("unknown kind `{}` in {place}; allowed: {}", shorten(kind), names()));
        return None;
    };
    let allowed: Vec<&str> = [&["kind"], *own, &["useful_for"]].concat();
    let fields = Fields::open(node, format!("{place} ({kind})"), &allowed, &[], problems)?;
    let useful_for = match fields.get("useful_for") {
        None => Some(defaults::USEFUL_FOR),
        Some(_) => positive("useful_for", &fields, problems),
    };
    let kind = read_kind(kind, &fields, problems);
    Some(Trigger { kind: kind?, useful_for: useful_for? })
}

fn read_kind(kind: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<TriggerKind> {
    let after = read_after(kind, fields, problems);
    match kind {
        "visited_without_buying" => visited_without_buying(after, fields, problems),
        "cart_abandoned" => Some(TriggerKind::CartAbandoned { after: after? }),
        "checkout_abandoned" => Some(TriggerKind::CheckoutAbandoned { after: after? }),
        "first_order" => Some(TriggerKind::FirstOrder { after: after? }),
        "order" => Some(TriggerKind::Order { after: after? }),
        "repurchase_due" => {
            let after = after?;
            Some(TriggerKind::RepurchaseDue { after: fields.get("after").map(|_| after) })
        }
        "win_back" => win_back(after, fields, problems),
        "segment_entered" => segment_entered(after, fields, problems),
        "at_risk" => at_risk(fields, problems),
        "date" => date(fields, problems),
        "schedule" => {
            fields.require("cron", problems)?;
            Some(TriggerKind::Schedule { cron: fields.parsed("cron", problems)? })
        }
        // `KINDS` and this list are one: a test reads every kind.
        _ => None,
    }
}

/// What follows an event may follow it at once; what waits for something not to happen must say how long.
fn read_after(kind: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Delay> {
    let at_once = matches!(kind, "first_order" | "order" | "segment_entered");
    match fields.get("after") {
        _ if matches!(kind, "date" | "schedule") => Some(Delay::ZERO),
        None if at_once => Some(Delay::ZERO),
        // Without a fixed time it is the customer's own rhythm that tells; and a line is crossed at some scoring.
        None if matches!(kind, "repurchase_due" | "at_risk") => Some(Delay::ZERO),
        None => fields.require("after", problems).and(None),
        Some(_) if at_once => fields.parsed("after", problems),
        Some(_) => positive("after", fields, problems),
    }
}

fn visited_without_buying(
    after: Option<Delay>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<TriggerKind> {
    let mut count = |key, usual| match fields.get(key) {
        None => Some(usual),
        Some(_) => fields.whole(key, 0, MAX_COUNT, problems),
    };
    let min_visits = count("min_visits", defaults::MIN_VISITS);
    let min_product_views = count("min_product_views", defaults::MIN_PRODUCT_VIEWS);
    Some(TriggerKind::VisitedWithoutBuying {
        after: after?,
        min_visits: min_visits?,
        min_product_views: min_product_views?,
    })
}

fn win_back(
    after: Option<Delay>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<TriggerKind> {
    let until = match fields.get("until") {
        None => None,
        Some(_) => Some(fields.parsed::<Delay>("until", problems)?),
    };
    let after = after?;
    if let (Some(end), Some(node)) = (until, fields.get("until"))
        && end <= after
    {
        fields.refuse("until", node, &format!("longer than `after` ({after})"), problems);
        return None;
    }
    Some(TriggerKind::WinBack { after, until })
}

fn segment_entered(
    after: Option<Delay>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<TriggerKind> {
    let node = fields.require("segment", problems)?;
    match &node.value {
        Value::Text(text) if condition::SEGMENTS.contains(&text.as_str()) => {
            Some(TriggerKind::SegmentEntered { segment: text.clone(), after: after? })
        }
        _ => {
            let wanted = format!("one of: {}", condition::SEGMENTS.join(", "));
            fields.refuse("segment", node, &wanted, problems);
            None
        }
    }
}

fn at_risk(fields: &Fields<'_>, problems: &mut Problems) -> Option<TriggerKind> {
    let p_alive_below = match fields.get("p_alive_below") {
        None => None,
        Some(node) => {
            let line = fields.number("p_alive_below", 0.0, 1.0, problems)?;
            if line == 0.0 {
                let wanted = "more than 0: no chance is below it";
                fields.refuse("p_alive_below", node, wanted, problems);
                return None;
            }
            Some(line)
        }
    };
    let value_above = match fields.get("value_above") {
        None => None,
        Some(_) => Some(fields.number("value_above", 0.0, condition::LARGE, problems)?),
    };
    Some(TriggerKind::AtRisk { p_alive_below, value_above })
}

fn date(fields: &Fields<'_>, problems: &mut Problems) -> Option<TriggerKind> {
    let node = fields.require("field", problems)?;
    let field = fields.line("field", 100, problems)?;
    if !condition::is_trait_name(&field) {
        let wanted =
            "`first_order` or a trait's name, such as `birthday`: letters, digits, `_`, `-`";
        fields.refuse("field", node, wanted, problems);
        return None;
    }
    let offset = match fields.get("offset") {
        None => DayOffset::default(),
        Some(_) => fields.parsed("offset", problems)?,
    };
    Some(TriggerKind::Date { field, offset })
}
