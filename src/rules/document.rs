//! Reads `shop.toml`: strictly, with the line of every mistake, and all mistakes at once.
//!
//! Knows the text form alone; what is sensible is asked by `check`, what is stored by `store`.

use std::collections::HashMap;
use std::fmt;

use toml::de::DeTable;

use super::node::{Fields, Node, Problems, Value, shorten};
use super::{Class, Condition, Rule, RuleStatus, Step, StopOn, Trigger, TriggerKind, condition};
use crate::primitives::Delay;
use crate::stores::{Details, Scoring, Sending};

/// A store's settings and rules, as one text holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopDocument {
    pub store: Details,
    pub sending: Sending,
    pub scoring: Scoring,
    /// In the order of the text; no key twice.
    pub rules: Vec<Rule>,
}

/// What holds where a rule says nothing.
pub mod defaults {
    use super::{Class, Delay, RuleStatus};

    pub const CLASS: Class = Class::Marketing;
    pub const STATUS: RuleStatus = RuleStatus::Draft;
    pub const PRIORITY: u8 = 50;
    pub const USEFUL_FOR: Delay = Delay::hours(72);
    pub const MIN_VISITS: u32 = 1;
    pub const MIN_PRODUCT_VIEWS: u32 = 0;
    pub const LOCALE: &str = "en";
}

const MAX_STEPS: usize = 20;
const MAX_COUNT: u32 = 1_000_000;
/// More mistakes than that are one: the wrong file.
const MAX_PROBLEMS: usize = 50;

/// All that is wrong with a document, one line each: `shop.toml:17: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentErrors {
    pub file: String,
    /// In the order of the text; at least one.
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl std::error::Error for DocumentErrors {}

/// The lines after the first begin with `error:` too, as the command line's do.
impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { line, message }) in self.problems.iter().enumerate() {
            let lead = if n == 0 { "" } else { "\nerror: " };
            write!(f, "{lead}{}:{line}: {message}", self.file)?;
        }
        Ok(())
    }
}

impl ShopDocument {
    /// Larger than any shop's settings; keeps a wrong file from filling the memory.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads a document. `file` is how messages name it; `templates` are the ones a step may use.
    ///
    /// # Errors
    /// Every mistake with its line, the wrong value, and what may stand there instead.
    pub fn parse(file: &str, text: &str, templates: &[String]) -> Result<Self, DocumentErrors> {
        let errors = |problems: Problems| DocumentErrors {
            file: file.to_owned(),
            problems: in_lines(text, problems),
        };
        let mut problems = Problems::default();
        if text.len() > Self::MAX_BYTES {
            let most = Self::MAX_BYTES;
            problems.add(0, format!("the file is larger than {most} bytes: is it the right one?"));
            return Err(errors(problems));
        }
        let (table, mistakes) = DeTable::parse_recoverable(text);
        if !mistakes.is_empty() {
            // What cannot be read as TOML would be misread as missing settings: say only what is sure.
            for mistake in mistakes {
                let at = mistake.span().map_or(0, |span| span.start);
                problems.add(at, format!("not valid TOML: {}", mistake.message()));
            }
            return Err(errors(problems));
        }
        let root = Node::from_toml(&table);
        let document = read_document(&root, templates, &mut problems);
        match document {
            Some(document) if problems.0.is_empty() => Ok(document),
            _ => Err(errors(problems)),
        }
    }
}

fn in_lines(text: &str, mut problems: Problems) -> Vec<Problem> {
    problems.0.sort();
    problems.0.dedup();
    let more = problems.0.len().saturating_sub(MAX_PROBLEMS);
    let (mut line, mut from) = (1, 0);
    let mut placed: Vec<Problem> = problems
        .0
        .into_iter()
        .take(MAX_PROBLEMS)
        .map(|(at, message)| {
            let at = at.min(text.len());
            line += text.as_bytes()[from..at].iter().filter(|b| **b == b'\n').count();
            from = at;
            Problem { line, message }
        })
        .collect();
    if more > 0 {
        placed.push(Problem { line, message: format!("and {more} more mistakes") });
    }
    placed
}

fn read_document(
    root: &Node,
    templates: &[String],
    problems: &mut Problems,
) -> Option<ShopDocument> {
    let allowed = ["store", "sending", "scoring", "rule"];
    let fields = Fields::open(root, "the document", &allowed, &["sources"], problems)?;
    let store = match fields.get("store") {
        Some(node) => read_store(node, problems),
        None => {
            problems.add(0, "the document has no [store], which is required");
            None
        }
    };
    let sending = fields
        .get("sending")
        .map_or_else(|| Some(Sending::default()), |node| read_sending(node, problems));
    let scoring = fields
        .get("scoring")
        .map_or_else(|| Some(Scoring::default()), |node| read_scoring(node, problems));
    let rules = match fields.get("rule") {
        None => Some(Vec::new()),
        Some(Node { value: Value::List(nodes), .. }) => read_rules(nodes, templates, problems),
        Some(node) => {
            problems.add(node.at, "a rule begins with [[rule]], in two pairs of brackets");
            None
        }
    };
    Some(ShopDocument { store: store?, sending: sending?, scoring: scoring?, rules: rules? })
}

fn read_store(node: &Node, problems: &mut Problems) -> Option<Details> {
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

fn read_sending(node: &Node, problems: &mut Problems) -> Option<Sending> {
    let allowed = ["quiet_hours", "cap", "min_gap", "consent", "rate", "in_doubt", "holdout"];
    let later = ["return_path_domain", "daily_budget", "feed_max_age", "dkim"];
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
    })
}

fn read_scoring(node: &Node, problems: &mut Problems) -> Option<Scoring> {
    let fields = Fields::open(node, "[scoring]", &["risk_horizon"], &[], problems)?;
    let usual = Scoring::default();
    let risk_horizon = positive("risk_horizon", &fields, problems).unwrap_or(usual.risk_horizon);
    Some(Scoring { risk_horizon })
}

/// A duration longer than nothing.
fn positive(key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Delay> {
    let delay: Delay = fields.parsed(key, problems)?;
    if delay == Delay::ZERO {
        let node = fields.get(key)?;
        fields.refuse(key, node, "longer than `0s`", problems);
        return None;
    }
    Some(delay)
}

fn read_rules(nodes: &[Node], templates: &[String], problems: &mut Problems) -> Option<Vec<Rule>> {
    let mut first_of: HashMap<String, usize> = HashMap::new();
    let mut rules = Vec::new();
    for node in nodes {
        let rule = read_rule(node, templates, problems);
        if let Some((key, at)) = key_of(node)
            && first_of.insert(key.clone(), at).is_some()
        {
            problems.add(
                at,
                format!("the rule key `{}` is given twice: each rule needs its own", shorten(&key)),
            );
        }
        rules.push(rule);
    }
    rules.into_iter().collect()
}

fn key_of(node: &Node) -> Option<(String, usize)> {
    let Value::Table(entries) = &node.value else { return None };
    let entry = entries.iter().find(|entry| entry.key == "key")?;
    match &entry.node.value {
        Value::Text(text) => Some((text.clone(), entry.node.at)),
        _ => None,
    }
}

const RULE_KEYS: [&str; 12] = [
    "key",
    "name",
    "class",
    "status",
    "priority",
    "holdout",
    "at_most_every",
    "include_past",
    "stop_on",
    "trigger",
    "audience",
    "step",
];

fn read_rule(node: &Node, templates: &[String], problems: &mut Problems) -> Option<Rule> {
    let place = key_of(node).map_or_else(
        || "[[rule]]".to_owned(),
        |(key, _)| format!("[[rule]] \"{}\"", shorten(&key)),
    );
    let fields = Fields::open(node, place, &RULE_KEYS, &["test"], problems)?;
    fields.require("key", problems);
    let key = fields.parsed::<RuleKey>("key", problems).map(|key| key.0);
    let name = match fields.get("name") {
        None => key.clone(),
        Some(_) => fields.line("name", 200, problems),
    };
    let class = fields.parsed("class", problems).unwrap_or(defaults::CLASS);
    let status = fields.parsed("status", problems).unwrap_or(defaults::STATUS);
    let priority = fields.whole("priority", 0, 100, problems);
    let holdout = fields.number("holdout", 0.0, 1.0, problems).unwrap_or(0.0);
    let at_most_every = fields.parsed_or_none("at_most_every", problems).flatten();
    let include_past = fields.parsed_or_none("include_past", problems).flatten();
    let stop_on = read_stop_on(&fields, problems);
    let trigger = fields
        .require("trigger", problems)
        .and_then(|node| read_trigger(node, &format!("the trigger of {}", fields.place), problems));
    let audience = fields
        .get("audience")
        .map(|node| Condition::read(node, &format!("the audience of {}", fields.place), problems));
    let steps = read_steps(&fields, templates, problems);
    let audience = match audience {
        None => None,
        Some(read) => Some(read?),
    };
    Some(Rule {
        key: key?,
        name: name?,
        class,
        status,
        priority: priority.and_then(|n| u8::try_from(n).ok()).unwrap_or(defaults::PRIORITY),
        holdout,
        at_most_every,
        include_past,
        stop_on,
        trigger: trigger?,
        audience,
        steps: steps?,
    })
}

/// A rule's name in URLs, commands and experiments.
struct RuleKey(String);

impl std::str::FromStr for RuleKey {
    type Err = String;
    fn from_str(raw: &str) -> Result<Self, String> {
        let is_part =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let begins =
            raw.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !begins || raw.len() > 64 || !raw.bytes().all(is_part) {
            return Err(format!(
                "`{raw}` is no rule key: write lower-case letters, digits, `-` and `_`, at most 64, such as \"win-back\""
            ));
        }
        // The store-wide holdout is an experiment of that name.
        if raw == "global" {
            return Err(format!("`{raw}` is kept for the holdout of the whole store"));
        }
        Ok(Self(raw.to_owned()))
    }
}

fn read_stop_on(fields: &Fields<'_>, problems: &mut Problems) -> Vec<StopOn> {
    if fields.get("stop_on").is_none() {
        return vec![StopOn::Order];
    }
    let mut stops = Vec::new();
    for item in fields.list("stop_on", problems).unwrap_or_default() {
        let allowed = StopOn::ALL.iter().map(|stop| stop.as_str()).collect::<Vec<_>>().join(", ");
        let stop = match &item.value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        match stop {
            Some(stop) if !stops.contains(&stop) => stops.push(stop),
            Some(_) => {}
            None => problems.add(
                item.at,
                format!("`stop_on` in {}: {} is not one of: {allowed}", fields.place, item.shown()),
            ),
        }
    }
    stops
}

/// Which fields each kind of trigger takes, besides `kind` and `useful_for`.
const KINDS: [(&str, &[&str]); 8] = [
    ("visited_without_buying", &["after", "min_visits", "min_product_views"]),
    ("cart_abandoned", &["after"]),
    ("checkout_abandoned", &["after"]),
    ("first_order", &["after"]),
    ("order", &["after"]),
    ("repurchase_due", &["after"]),
    ("win_back", &["after", "until"]),
    ("segment_entered", &["segment", "after"]),
];

const LATER_KINDS: [&str; 3] = ["at_risk", "date", "schedule"];

fn read_trigger(node: &Node, place: &str, problems: &mut Problems) -> Option<Trigger> {
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
    if LATER_KINDS.contains(&kind) {
        problems.add(
            at,
            format!(
                "the kind `{kind}` in {place} is not available in this version; available: {}",
                names()
            ),
        );
        return None;
    }
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
    // What follows an event may follow it at once; what waits for something not to happen must say how long.
    let at_once = matches!(kind, "first_order" | "order" | "segment_entered");
    let after = match fields.get("after") {
        None if at_once => Some(Delay::ZERO),
        None if kind == "repurchase_due" => {
            problems.add(
                fields.at,
                format!(
                    "{} without `after` would learn each customer's rhythm, which is not available in this version; \
                     write a fixed `after`, such as \"30d\"",
                    fields.place
                ),
            );
            None
        }
        None => fields.require("after", problems).and(None),
        Some(_) if at_once => fields.parsed("after", problems),
        Some(_) => positive("after", fields, problems),
    };
    match kind {
        "visited_without_buying" => {
            let count = |key, usual, problems: &mut Problems| match fields.get(key) {
                None => Some(usual),
                Some(_) => fields.whole(key, 0, MAX_COUNT, problems),
            };
            let min_visits = count("min_visits", defaults::MIN_VISITS, problems);
            let min_product_views =
                count("min_product_views", defaults::MIN_PRODUCT_VIEWS, problems);
            Some(TriggerKind::VisitedWithoutBuying {
                after: after?,
                min_visits: min_visits?,
                min_product_views: min_product_views?,
            })
        }
        "cart_abandoned" => Some(TriggerKind::CartAbandoned { after: after? }),
        "checkout_abandoned" => Some(TriggerKind::CheckoutAbandoned { after: after? }),
        "first_order" => Some(TriggerKind::FirstOrder { after: after? }),
        "order" => Some(TriggerKind::Order { after: after? }),
        "repurchase_due" => Some(TriggerKind::RepurchaseDue { after: after? }),
        "win_back" => {
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
        "segment_entered" => {
            let node = fields.require("segment", problems)?;
            let segment = match &node.value {
                Value::Text(text) if condition::SEGMENTS.contains(&text.as_str()) => text.clone(),
                _ => {
                    let wanted = format!("one of: {}", condition::SEGMENTS.join(", "));
                    fields.refuse("segment", node, &wanted, problems);
                    return None;
                }
            };
            Some(TriggerKind::SegmentEntered { segment, after: after? })
        }
        // `KINDS` and this list are one: a test reads every kind.
        _ => None,
    }
}

fn read_steps(
    fields: &Fields<'_>,
    templates: &[String],
    problems: &mut Problems,
) -> Option<Vec<Step>> {
    let rule = &fields.place;
    let nodes = match fields.get("step") {
        Some(Node { value: Value::List(nodes), .. }) => nodes.as_slice(),
        Some(node) => {
            problems.add(
                node.at,
                format!("a step of {rule} begins with [[rule.step]], in two pairs of brackets"),
            );
            return None;
        }
        None => &[],
    };
    if nodes.is_empty() || nodes.len() > MAX_STEPS {
        let message = if nodes.is_empty() {
            format!("{rule} has no [[rule.step]]: at least one is required")
        } else {
            format!("{rule} has {} steps: at most {MAX_STEPS} are allowed", nodes.len())
        };
        problems.add(fields.at, message);
        return None;
    }
    let steps: Vec<Option<Step>> = nodes
        .iter()
        .enumerate()
        .map(|(n, node)| read_step(node, &format!("step {} of {rule}", n + 1), templates, problems))
        .collect();
    steps.into_iter().collect()
}

fn read_step(
    node: &Node,
    place: &str,
    templates: &[String],
    problems: &mut Problems,
) -> Option<Step> {
    let allowed = ["wait", "template", "subject", "coupon"];
    let fields = Fields::open(node, place, &allowed, &[], problems)?;
    let wait = fields.parsed("wait", problems).unwrap_or(Delay::ZERO);
    fields.require("template", problems);
    let template = fields.line("template", 100, problems);
    if let (Some(template), Some(node)) = (&template, fields.get("template"))
        && !templates.contains(template)
    {
        problems.add(
            node.at,
            format!(
                "unknown template `{}` in {place}; known: {}",
                shorten(template),
                templates.join(", ")
            ),
        );
    }
    let optional = |key, max, problems: &mut Problems| match fields.get(key) {
        None => Some(None),
        Some(Node { value: Value::Text(text), .. }) if text.trim().is_empty() => Some(None),
        Some(_) => fields.line(key, max, problems).map(Some),
    };
    let subject = optional("subject", 200, problems);
    let coupon = optional("coupon", 100, problems);
    Some(Step { wait, template: template?, subject: subject?, coupon: coupon? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{any_document, any_rule, templates};
    use super::*;

    const HEAD: &str = r#"[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"
"#;

    fn parse(text: &str) -> Result<ShopDocument, DocumentErrors> {
        ShopDocument::parse("shop.toml", text, &templates())
    }

    /// The mistakes in `body`, which stands after a good [store]; its first line is number 1.
    fn mistakes(body: &str) -> Vec<String> {
        let head = HEAD.lines().count();
        let errors = parse(&format!("{HEAD}{body}")).expect_err("a mistake is expected");
        errors.problems.iter().map(|p| format!("{}: {}", p.line - head, p.message)).collect()
    }

    fn one_rule(trigger: &str) -> String {
        format!(
            "[[rule]]\nkey = \"a\"\ntrigger = {trigger}\n[[rule.step]]\ntemplate = \"win-back\"\n"
        )
    }

    #[test]
    fn the_example_is_read_and_uses_every_built_in_template() {
        let document =
            parse(include_str!("../../examples/shop.toml")).unwrap_or_else(|e| panic!("{e}"));
        let used: Vec<&str> =
            document.rules.iter().map(|rule| rule.steps[0].template.as_str()).collect();
        assert_eq!(used, templates());
        assert_eq!(document.sending, Sending::default(), "the example shows the defaults");
    }

    #[test]
    fn a_rule_needs_a_key_a_trigger_and_a_step_and_the_rest_has_defaults() {
        let text = format!("{HEAD}{}", one_rule("{ kind = \"win_back\", after = \"60d\" }"));
        let document = parse(&text).unwrap();
        let rule = &document.rules[0];
        assert_eq!(
            (rule.class, rule.status, rule.priority),
            (Class::Marketing, RuleStatus::Draft, 50)
        );
        assert_eq!(
            (rule.holdout, rule.name.as_str(), &rule.stop_on),
            (0.0, "a", &vec![StopOn::Order])
        );
        assert_eq!(rule.trigger.useful_for, Delay::hours(72));
        assert_eq!((document.sending, document.store.locale.as_str()), (Sending::default(), "en"));
    }

    #[test]
    fn every_mistake_of_a_file_is_reported_with_its_line() {
        let text = r#"[[rule]]
key = "browsed-not-bought"
holdouts = 0.1
status = "on"
trigger = { kind = "visited_without_buying", after = "4 hours", p_alive_below = 0.5 }
audience = { all = [
  { field = "order_count", op = "eq", value = 0 },
  { field = "p_alive", op = "contains", value = 0.5 },
  { field = "p_alive", op = "lt", value = 50 },
  { field = "segment", op = "in", value = ["vip"] },
] }

[[rule.step]]
template = "browse-remainder"
"#;
        let found = mistakes(text);
        let begins = [
            "3: unknown key `holdouts` in [[rule]] \"browsed-not-bought\"; allowed: key, name, class, ",
            "4: `status` in [[rule]] \"browsed-not-bought\": `on` is not one of: draft, shadow, live, paused",
            "5: `after` in the trigger of [[rule]] \"browsed-not-bought\" (visited_without_buying): `4 hours` is no duration",
            "5: unknown key `p_alive_below` in the trigger of [[rule]] \"browsed-not-bought\" (visited_without_buying); allowed: kind, after, min_visits, min_product_views, useful_for",
            "7: `field` in the audience of [[rule]] \"browsed-not-bought\": `order_count` is not one of: orders_count, ",
            "8: `contains` cannot be asked of `p_alive` in the audience of [[rule]] \"browsed-not-bought\"; allowed: eq, ne, lt, lte, gt, gte, is_set",
            "9: `p_alive` in the audience of [[rule]] \"browsed-not-bought\" is compared with `50`, but must be a number from 0 to 1",
            "10: `segment` in the audience of [[rule]] \"browsed-not-bought\" is compared with `vip`, but must be one of: champions, ",
            "14: unknown template `browse-remainder` in step 1 of [[rule]] \"browsed-not-bought\"; known: browse-reminder, ",
        ];
        assert_eq!(found.len(), begins.len(), "{found:#?}");
        for (found, begin) in found.iter().zip(begins) {
            assert!(found.starts_with(begin), "{found}\n{begin}");
        }
    }

    #[test]
    fn what_is_missing_is_said_at_the_table_that_misses_it() {
        let errors = parse("[store]\nname = \"Tea\"\n\n[[rule]]\nname = \"x\"\n").unwrap_err();
        assert_eq!(
            errors.to_string(),
            "shop.toml:1: [store] has no `currency`, which is required\n\
             error: shop.toml:1: [store] has no `from`, which is required\n\
             error: shop.toml:1: [store] has no `postal_address`, which is required\n\
             error: shop.toml:1: [store] has no `timezone`, which is required\n\
             error: shop.toml:4: [[rule]] has no [[rule.step]]: at least one is required\n\
             error: shop.toml:4: [[rule]] has no `key`, which is required\n\
             error: shop.toml:4: [[rule]] has no `trigger`, which is required"
        );
        assert_eq!(
            parse("").unwrap_err().problems[0].message,
            "the document has no [store], which is required"
        );
    }

    #[test]
    fn what_later_versions_do_is_refused_as_such() {
        for (body, begin) in [
            (
                one_rule("{ kind = \"at_risk\", p_alive_below = 0.5 }"),
                "3: the kind `at_risk` in the trigger of",
            ),
            (one_rule("{ kind = \"date\", field = \"birthday\" }"), "3: the kind `date`"),
            (one_rule("{ kind = \"schedule\", cron = \"0 9 * * *\" }"), "3: the kind `schedule`"),
            (
                one_rule("{ kind = \"repurchase_due\" }"),
                "3: the trigger of [[rule]] \"a\" (repurchase_due) without `after`",
            ),
            ("[sources.shopify]\nshop = \"x\"\n".into(), "1: `sources` in the document"),
            ("[sending]\ndaily_budget = 100\n".into(), "2: `daily_budget` in [sending]"),
            ("[sending]\n\ndkim = { domain = \"x\" }\n".into(), "3: `dkim` in [sending]"),
            (
                format!("{}[[rule.test]]\nat = \"2026-01-01\"\n", one_rule("{ kind = \"order\" }")),
                "6: `test` in [[rule]] \"a\"",
            ),
        ] {
            let found = mistakes(&body);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].starts_with(begin), "{}\n{begin}", found[0]);
            assert!(found[0].contains("not available in this version"), "{}", found[0]);
        }
    }

    #[test]
    fn wrong_values_name_what_may_stand_there() {
        for (body, said) in [
            ("[sending]\ncap = \"two a week\"\n", "2: `cap` in [sending]: `two a week` is no cap"),
            (
                "[sending]\nholdout = 1.5\n",
                "2: `holdout` in [sending] must be a number from 0 to 1, not `1.5`",
            ),
            ("[sending]\nholdout = nan\n", "not `NaN`"),
            ("[sending]\nrate = 20\n", "2: `rate` in [sending] must be a text in quotes, not `20`"),
            ("[scoring]\nrisk_horizon = \"0s\"\n", "longer than `0s`"),
            ("[scoring]\nrisk_horizon = 1979-05-27\n", "not `1979-05-27`"),
            ("[rule]\nkey = \"a\"\n", "begins with [[rule]]"),
            ("[[rule]]\nkey = \"global\"\n", "kept for the holdout"),
            ("[[rule]]\nkey = \"Win Back\"\n", "`Win Back` is no rule key"),
            ("[[rule]]\nkey = \"a\\u0000\"\n", "`a\\u{0}` is no rule key"),
            ("[[rule]]\nkey = \"a\"\npriority = 101\n", "a whole number from 0 to 100, not `101`"),
            (
                "[[rule]]\nkey = \"a\"\npriority = 99999999999999999999\n",
                "not `99999999999999999999`",
            ),
            ("[[rule]]\nkey = \"a\"\nname = \"a\\nb\"\n", "must be one line"),
            (
                "[[rule]]\nkey = \"a\"\nstop_on = [\"order\", \"click\"]\n",
                "`click` is not one of: order, visit",
            ),
            ("[[rule]]\nkey = \"a\"\nat_most_every = \"monthly\"\n", "`monthly` is no duration"),
            ("[[rule]]\nkey = \"a\"\nkey = \"b\"\n", "3: not valid TOML: duplicate key"),
            ("[sending]\n[sending]\n", "2: not valid TOML: duplicate key"),
            (
                "[[rule]]\nkey = \"a\"\n\n[[rule]]\nkey = \"a\"\n",
                "5: the rule key `a` is given twice",
            ),
            (
                "[[rule]]\nkey = \"a\"\naudience = { alll = [] }\n",
                "unknown key `alll`; allowed: all, any, not, or field, op, value",
            ),
            (
                "[[rule]]\nkey = \"a\"\naudience = { any = [] }\n",
                "must hold at least one condition",
            ),
            ("[[rule]]\nkey = \"a\"\naudience = []\n", "must be a table"),
        ] {
            let found = mistakes(body);
            assert!(found.iter().any(|found| found.contains(said)), "{said}\n{found:#?}");
        }
        for (trigger, said) in [
            (
                "{ kind = \"win_back\", after = \"60d\", until = \"30d\" }",
                "must be longer than `after` (60d), not `30d`",
            ),
            ("{ kind = \"win_back\" }", "(win_back) has no `after`, which is required"),
            ("{ kind = \"cart_abandoned\", after = \"0s\" }", "must be longer than `0s`"),
            (
                "{ kind = \"cart_abandoned\", after = \"1h\", useful_for = \"0h\" }",
                "must be longer than `0s`",
            ),
            (
                "{ kind = \"cart_abandoned\", after = \"1h\", until = \"2h\" }",
                "unknown key `until`",
            ),
            ("{ kind = \"segment_entered\" }", "has no `segment`"),
            ("{ kind = \"segment_entered\", segment = \"vip\" }", "must be one of: champions"),
            ("{ kind = \"birthday\" }", "unknown kind `birthday`"),
            ("{ after = \"1h\" }", "has no `kind`"),
            ("\"order\"", "must be a table such as"),
        ] {
            let found = mistakes(&one_rule(trigger));
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].starts_with("3: ") && found[0].contains(said), "{said}\n{found:#?}");
        }
    }

    #[test]
    fn every_kind_of_trigger_is_read() {
        for (kind, _) in KINDS {
            let segment = if kind == "segment_entered" { ", segment = \"at_risk\"" } else { "" };
            let rule = one_rule(&format!("{{ kind = \"{kind}\", after = \"1h\"{segment} }}"));
            let document = parse(&format!("{HEAD}{rule}")).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(document.rules[0].trigger.kind.name(), kind);
        }
    }

    #[test]
    fn hostile_files_are_refused_in_a_line_or_two() {
        let huge = format!("{HEAD}# {}\n", "x".repeat(10 << 20));
        let deep = |n| {
            format!(
                "[[rule]]\nkey = \"a\"\naudience = {}1{}\n",
                "{ not = ".repeat(n),
                " }".repeat(n)
            )
        };
        let wide = format!("[[rule]]\nkey = \"{}\"\n", "k".repeat(900_000));
        let many: String = (0..60_000).map(|n| format!("k{n} = 1\n")).collect();
        for text in [
            huge,
            format!("{HEAD}{}", deep(40)),
            format!("{HEAD}{}", deep(100_000)),
            "[".repeat(500_000),
            format!("x = {}", "[".repeat(500_000)),
            format!("{}.x = 1", vec!["a"; 100_000].join(".")),
            format!("{HEAD}\0"),
            format!("{HEAD}{wide}"),
            many,
            "\u{feff}".to_owned(),
        ] {
            let said = parse(&text).expect_err("no such file is a shop").to_string();
            assert!(said.len() < 20_000, "{} bytes: {}", said.len(), &said[..400]);
            assert!(!said.contains('\0'));
        }
        let found = mistakes(&deep(40));
        assert!(found.iter().any(|m| m.contains("nested deeper than 16")), "{found:#?}");
    }

    proptest! {
        #[test]
        fn a_document_reads_back_as_it_prints(document in any_document()) {
            let text = document.print();
            match parse(&text) {
                Ok(read) => prop_assert_eq!(read, document),
                Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
            }
        }

        #[test]
        fn a_rule_reads_back_as_it_is_stored(rule in any_rule()) {
            let json = serde_json::to_string(&rule).unwrap();
            prop_assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(\\[\\[?(store|rule|rule\\.step)\\]?\\]\n|(key|trigger|audience|name) = [\\[\\]{}\"a0.\n]{0,9}\n){0,8}") {
            let _ = parse(&text);
        }
    }
}
