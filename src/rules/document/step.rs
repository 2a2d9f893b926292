//! Reads `[[rule.step]]`: its message, its time, its question and exits, its variants.

use super::node::{Fields, Node, Problems, Value, shorten};
use super::sections::positive;
use crate::primitives::Delay;
use crate::rules::{Condition, Exit, Otherwise, Step, StepEvent, Variant, Wording};

const MAX_STEPS: usize = 20;
const MAX_VARIANTS: usize = 10;
const MAX_WEIGHT: u32 = 1_000;

pub fn read_steps(
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
    let steps: Option<Vec<Step>> = nodes
        .iter()
        .enumerate()
        .map(|(n, node)| read_step(node, &format!("step {} of {rule}", n + 1), templates, problems))
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    if let Some([first, ..]) = steps.as_deref()
        && first.wait_until == Some(StepEvent::Click)
    {
        let said = "waits for a click, and no mail goes before it whose link could be clicked";
        problems.add(nodes[0].at, format!("step 1 of {rule} {said}"));
    }
    steps
}

const KEYS: [&str; 11] = [
    "wait",
    "template",
    "subject",
    "coupon",
    "send_at",
    "if",
    "wait_until",
    "at_most",
    "then",
    "else",
    "variants",
];

fn read_step(
    node: &Node,
    place: &str,
    templates: &[String],
    problems: &mut Problems,
) -> Option<Step> {
    let fields = Fields::open(node, place, &KEYS, &[], problems)?;
    let wait = fields.parsed("wait", problems).unwrap_or(Delay::ZERO);
    let template = read_template(&fields, templates, problems);
    if template.is_none() {
        fields.require("template", problems);
    }
    let subject = optional(&fields, "subject", 200, problems);
    let coupon = optional(&fields, "coupon", 100, problems);
    let send_at = fields.parsed_or_none("send_at", problems).flatten();
    let only_if = match fields.get("if") {
        None => None,
        Some(node) => Some(Condition::read(node, &format!("`if` of {place}"), problems)?),
    };
    let wait_until = match fields.get("wait_until") {
        None => None,
        Some(_) => Some(fields.parsed("wait_until", problems)?),
    };
    let at_most = match (wait_until, fields.get("at_most")) {
        (Some(_), Some(_)) => Some(positive("at_most", &fields, problems)?),
        (Some(_), None) => {
            let said = "has `wait_until` and no `at_most`: say how long it waits for that";
            problems.add(fields.at, format!("{place} {said}"));
            return None;
        }
        (None, Some(node)) => {
            let said = "takes `at_most` beside `wait_until` alone; a plain wait is `wait`";
            problems.add(node.at, format!("{place} {said}"));
            return None;
        }
        (None, None) => None,
    };
    if let (Some(_), Some(node)) = (wait_until, fields.get("wait"))
        && wait != Delay::ZERO
    {
        problems.add(node.at, format!("{place} has `wait` and `wait_until`: keep one of them"));
    }
    if let (Some(_), Some(node)) = (&only_if, fields.get("wait_until")) {
        let said = "asks two questions, `if` and `wait_until`: make two steps of it";
        problems.add(node.at, format!("{place} {said}"));
    }
    let asks = only_if.is_some() || wait_until.is_some();
    for key in ["then", "else"] {
        if let (false, Some(node)) = (asks, fields.get(key)) {
            problems.add(node.at, format!("{place} has `{key}`, but no `if` or `wait_until`"));
        }
    }
    let then = fields.parsed("then", problems).unwrap_or_default();
    let otherwise = match fields.get("else") {
        None => Otherwise::default(),
        Some(node) => read_otherwise(node, place, templates, problems)?,
    };
    if then != Exit::Send && matches!(otherwise, Otherwise::Go(_)) {
        let said = "sends nothing, whichever the answer: let `then` or `else` send";
        problems.add(node.at, format!("{place} {said}"));
    }
    let variants = match fields.get("variants") {
        None => Vec::new(),
        Some(_) => read_variants(&fields, templates, problems)?,
    };
    Some(Step {
        wait,
        template: template?,
        subject: subject?,
        coupon: coupon?,
        send_at,
        only_if,
        wait_until,
        at_most,
        then,
        otherwise,
        variants,
    })
}

/// The outer `None`: what stands there is wrong.
fn optional(
    fields: &Fields<'_>,
    key: &str,
    max: usize,
    problems: &mut Problems,
) -> Option<Option<String>> {
    match fields.get(key) {
        None => Some(None),
        Some(Node { value: Value::Text(text), .. }) if text.trim().is_empty() => Some(None),
        Some(_) => fields.line(key, max, problems).map(Some),
    }
}

/// `None` where there is none, or a wrong one, which is reported.
fn read_template(
    fields: &Fields<'_>,
    templates: &[String],
    problems: &mut Problems,
) -> Option<String> {
    let template = fields.line("template", 100, problems)?;
    if let Some(node) = fields.get("template")
        && !templates.contains(&template)
    {
        problems.add(
            node.at,
            format!(
                "unknown template `{}` in {}; known: {}",
                shorten(&template),
                fields.place,
                templates.join(", ")
            ),
        );
    }
    Some(template)
}

fn read_otherwise(
    node: &Node,
    place: &str,
    templates: &[String],
    problems: &mut Problems,
) -> Option<Otherwise> {
    match &node.value {
        Value::Text(word) if word == "skip" => Some(Otherwise::Go(Exit::Skip)),
        Value::Text(word) if word == "end" => Some(Otherwise::Go(Exit::End)),
        Value::Table(_) => {
            let place = format!("`else` of {place}");
            let allowed = ["template", "subject", "coupon"];
            let fields = Fields::open(node, place, &allowed, &[], problems)?;
            fields.require("template", problems);
            let template = read_template(&fields, templates, problems);
            let subject = optional(&fields, "subject", 200, problems)?;
            let coupon = optional(&fields, "coupon", 100, problems)?;
            Some(Otherwise::Send(Wording { template: template?, subject, coupon }))
        }
        _ => {
            let wanted = "\"skip\", \"end\", or a table such as { template = \"win-back\" }";
            let shown = node.shown();
            problems.add(node.at, format!("`else` of {place} must be {wanted}, not {shown}"));
            None
        }
    }
}

fn read_variants(
    fields: &Fields<'_>,
    templates: &[String],
    problems: &mut Problems,
) -> Option<Vec<Variant>> {
    let nodes = fields.list("variants", problems)?;
    if !(2..=MAX_VARIANTS).contains(&nodes.len()) {
        let node = fields.get("variants")?;
        let said = format!("must be 2 to {MAX_VARIANTS}, not {}", nodes.len());
        problems.add(node.at, format!("the variants of {} {said}", fields.place));
        return None;
    }
    let mut variants: Vec<Variant> = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        let place = format!("variant {} of {}", n + 1, fields.place);
        let allowed = ["name", "weight", "template", "subject", "coupon"];
        let own = Fields::open(node, place, &allowed, &[], problems)?;
        own.require("name", problems);
        let name = own.line("name", 40, problems)?;
        if variants.iter().any(|known| known.name == name) {
            problems.add(node.at, format!("{} has the name of another", own.place));
        }
        let weight = match own.get("weight") {
            None => 1,
            Some(_) => own.whole("weight", 1, MAX_WEIGHT, problems)?,
        };
        let template = match own.get("template") {
            None => None,
            Some(_) => Some(read_template(&own, templates, problems)?),
        };
        let subject = optional(&own, "subject", 200, problems)?;
        let coupon = optional(&own, "coupon", 100, problems)?;
        variants.push(Variant { name, weight, template, subject, coupon });
    }
    Some(variants)
}
