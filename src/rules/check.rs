//! Is a document sensible? What is allowed but hardly meant, in words for the operator. Pure.

use super::{Class, Rule, RuleStatus, ShopDocument, StepEvent, StopOn, TriggerKind};
use crate::primitives::Delay;
use crate::stores::{QuietHours, Sending};

/// What the operator should know before the document goes in force; each names its rule.
pub fn check(document: &ShopDocument) -> Vec<String> {
    let mut warnings = Vec::new();
    if document.sending.holdout >= 1.0 {
        warnings.push(
            "[sending] holdout = 1 holds everybody out: nobody ever gets marketing mail".to_owned(),
        );
    } else if document.sending.holdout > 0.5 {
        warnings.push(format!(
            "[sending] holdout = {} keeps most customers from ever getting marketing mail",
            document.sending.holdout
        ));
    }
    for rule in document.rules.iter().filter(|rule| rule.status != RuleStatus::Paused) {
        let mut said = check_rule(rule, &document.sending);
        said.extend(mail_of_others(rule, &document.rules));
        warnings.extend(said.into_iter().map(|warning| format!("rule {}: {warning}", rule.key)));
    }
    warnings
}

fn check_rule(rule: &Rule, sending: &Sending) -> Vec<String> {
    let mut warnings = Vec::new();
    if rule.class == Class::Marketing {
        check_guards(rule, sending, &mut warnings);
    }
    if rule.class == Class::Service && !follows_an_order(&rule.trigger.kind) {
        warnings.push(
            "class = \"service\" sends without marketing consent, outside caps and quiet hours: it is meant for what \
             a customer is owed after an order"
                .to_owned(),
        );
    }
    if rule.steps.len() > 1
        && !rule.stop_on.contains(&StopOn::Order)
        && !follows_an_order(&rule.trigger.kind)
    {
        warnings.push(
            "it goes on writing to customers who have bought: stop_on lacks \"order\"".to_owned(),
        );
    }
    check_steps(rule, sending, &mut warnings);
    warnings.extend(audience_of_nobody(rule));
    if rule.holdout >= 1.0 {
        warnings.push("holdout = 1 holds everybody out: nobody ever gets its mail".to_owned());
    } else if rule.holdout > 0.5 {
        warnings.push(format!("holdout = {} keeps most of its customers out", rule.holdout));
    }
    warnings.extend(check_trigger(rule));
    warnings
}

/// What quiet hours, the gap between two messages, and the cap would hold back for too long.
fn check_guards(rule: &Rule, sending: &Sending, warnings: &mut Vec<String>) {
    let useful_for = rule.trigger.useful_for;
    if let Some(quiet) = sending.quiet_hours
        && useful_for <= length(quiet)
    {
        warnings.push(format!(
            "what falls due at the beginning of quiet hours ({quiet}) is given up before they end, since it is \
             useful for {useful_for} only"
        ));
    }
    if let Some(gap) = sending.min_gap {
        for (n, step) in rule.steps.iter().enumerate().skip(1) {
            if step.delay().as_seconds() + useful_for.as_seconds() < gap.as_seconds() {
                warnings.push(format!(
                    "step {} comes {} after the one before, is useful for {useful_for}, and min_gap ({gap}) holds it \
                     back for longer: it never goes out",
                    n + 1,
                    step.delay()
                ));
            }
        }
    }
    if let Some(cap) = sending.cap
        && let Some(crowded) = crowded(rule, cap.within)
        && crowded > cap.messages as usize
    {
        warnings.push(format!(
            "{crowded} of its steps fall within {}, more than the cap ({cap}) lets through",
            cap.within
        ));
    }
}

fn check_steps(rule: &Rule, sending: &Sending, warnings: &mut Vec<String>) {
    for (n, step) in rule.steps.iter().enumerate().skip(1) {
        if step.wait_until == Some(StepEvent::Click) && !sending.track_clicks {
            warnings.push(format!(
                "step {} waits for a click, and [sending] track_clicks = false: nobody is ever seen to click",
                n + 1
            ));
        }
        if step.delay() == Delay::ZERO {
            warnings.push(format!(
                "step {} has no `wait`: it falls due together with the step before",
                n + 1
            ));
        }
    }
}

fn check_trigger(rule: &Rule) -> Option<String> {
    let useful_for = rule.trigger.useful_for;
    match &rule.trigger.kind {
        // Facts less than 30 minutes apart are one visit (design: Visit).
        TriggerKind::VisitedWithoutBuying { after, .. } if *after < Delay::seconds(1_800) => {
            Some(format!(
                "after = \"{after}\" can reach someone still on the visit, which ends after 30m of silence"
            ))
        }
        TriggerKind::CartAbandoned { after } | TriggerKind::CheckoutAbandoned { after }
            if *after < Delay::seconds(900) =>
        {
            Some(format!("after = \"{after}\" can reach someone still at the checkout"))
        }
        TriggerKind::Schedule { .. } if rule.audience.is_none() => Some(
            "it has no audience: each firing writes to everybody who can be written to".to_owned(),
        ),
        TriggerKind::WinBack { after, until: Some(until) }
            if until.as_seconds() - after.as_seconds() < useful_for.as_seconds() =>
        {
            Some(format!(
                "useful_for ({useful_for}) reaches past until ({until}), which comes first"
            ))
        }
        _ => None,
    }
}

/// Why its audience can hold nobody, or asks what is not known yet.
fn audience_of_nobody(rule: &Rule) -> Vec<String> {
    let Some(audience) = &rule.audience else { return Vec::new() };
    let mut warnings = Vec::new();
    if let Some(both) = audience.contradiction() {
        warnings.push(format!("its audience contradicts itself ({both}): it reaches nobody"));
    }
    let of_buyers = matches!(
        rule.trigger.kind,
        TriggerKind::FirstOrder { .. }
            | TriggerKind::Order { .. }
            | TriggerKind::RepurchaseDue { .. }
            | TriggerKind::WinBack { .. }
            | TriggerKind::AtRisk { .. }
    );
    if of_buyers && audience.wants_no_orders() {
        warnings.push(format!(
            "its audience is who never ordered, but {} counts from an order: it reaches nobody",
            rule.trigger.kind.name()
        ));
    }
    warnings
}

/// What its audience asks of the mail of other rules that can never be.
fn mail_of_others(rule: &Rule, rules: &[Rule]) -> Vec<String> {
    let Some(audience) = &rule.audience else { return Vec::new() };
    let find = |key: &str| rules.iter().find(|other| other.key == key);
    let mut warnings: Vec<String> = { audience.rules_received().into_iter() }
        .filter(|key| find(key).is_none())
        .map(|key| {
            format!("its audience asks about mail of rule {key}, which is not in the settings")
        })
        .collect();
    // Whoever can be reached only after the mail of one who can be reached only after this one's.
    let mut before: Vec<&str> = audience.rules_demanded().into_iter().collect();
    let mut seen = 0;
    while let Some(key) = before.get(seen).copied() {
        seen += 1;
        let demands = find(key).and_then(|other| other.audience.as_ref());
        let demands = demands.map(|audience| audience.rules_demanded()).unwrap_or_default();
        before.extend(
            { demands.into_iter() }.filter(|key| !before.contains(key)).collect::<Vec<_>>(),
        );
    }
    if before.contains(&rule.key.as_str()) {
        warnings.push(format!(
            "its audience is who got mail of {}, which comes round to its own mail: nobody is ever first",
            before.join(" and ")
        ));
    }
    warnings
}

/// Triggers of which the customer's own order is the occasion.
fn follows_an_order(kind: &TriggerKind) -> bool {
    matches!(kind, TriggerKind::FirstOrder { .. } | TriggerKind::Order { .. })
}

fn length(quiet: QuietHours) -> Delay {
    let second =
        |time: jiff::civil::Time| i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60;
    Delay::seconds((second(quiet.until) - second(quiet.from)).rem_euclid(86_400))
}

/// The most steps that lie within one span of `within`.
fn crowded(rule: &Rule, within: Delay) -> Option<usize> {
    let due: Vec<i64> = rule
        .steps
        .iter()
        .scan(0, |at, step| {
            *at += step.delay().as_seconds();
            Some(*at)
        })
        .collect();
    let from = |start: i64| {
        due.iter().filter(|at| (start..start + within.as_seconds()).contains(*at)).count()
    };
    due.iter().map(|start| from(*start)).max()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{any_document, templates};
    use super::*;
    use proptest::prelude::*;

    fn example(edits: &[(&str, &str)]) -> Vec<String> {
        let mut text = include_str!("../../examples/shop.toml").to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        check(
            &ShopDocument::parse("shop.toml", &text, &templates())
                .unwrap_or_else(|e| panic!("{e}")),
        )
    }

    #[test]
    fn the_example_is_sensible() {
        assert_eq!(example(&[]), Vec::<String>::new());
    }

    #[test]
    fn what_is_hardly_meant_is_said() {
        for (edit, said) in [
            (
                ("useful_for = \"24h\", min", "useful_for = \"6h\", min"),
                "rule browsed-not-bought: what falls due at the beginning of quiet hours (21:00-09:00)",
            ),
            (("after = \"4h\"", "after = \"5m\""), "still on the visit"),
            (
                ("cap = \"2 per 7d\"", "cap = \"1 per 7d\""),
                "2 of its steps fall within 7d, more than the cap (1 per 7d)",
            ),
            (
                ("min_gap = \"16h\"", "min_gap = \"5d\""),
                "rule browsed-not-bought: step 2 comes 3d after",
            ),
            (
                ("key = \"win-back\"\n", "key = \"win-back\"\nclass = \"service\"\n"),
                "rule win-back: class = \"service\" sends without",
            ),
            (("wait = \"3d\"", "wait = \"0s\""), "step 2 has no `wait`"),
            (("holdout = 0.20", "holdout = 1.0"), "rule win-back: holdout = 1 holds everybody out"),
            (
                (
                    "{ field = \"order_days\", op = \"gte\", value = 2",
                    "{ received = \"repurchase\" }, { received = \"none\" }, { field = \"spent\", op = \"lt\", value = 0 }, { field = \"spent\", op = \"gt\", value = 2",
                ),
                "asks about mail of rule none, which is not in the settings",
            ),
            (
                (
                    "{ field = \"order_days\", op = \"gte\", value = 2",
                    "{ received = \"repurchase\" }, { field = \"order_days\", op = \"gte\", value = 2",
                ),
                "who got mail of repurchase, which comes round to its own mail",
            ),
            (
                (
                    "{ field = \"order_days\", op = \"gte\", value = 2",
                    "{ field = \"spent\", op = \"lt\", value = 0 }, { field = \"spent\", op = \"gt\", value = 2",
                ),
                "its audience contradicts itself (",
            ),
            (("until = \"365d\"", "until = \"91d\""), "reaches past until (91d)"),
            (
                (
                    "\"order_days\", op = \"gte\", value = 2",
                    "\"orders_count\", op = \"lt\", value = 1",
                ),
                "repurchase_due counts from an order: it reaches nobody",
            ),
            (("holdout = 0.20", "holdout = 0.9"), "rule win-back: holdout = 0.9 keeps most"),
            (
                ("at_most_every = \"180d\"", "stop_on = [\"visit\"]"),
                "goes on writing to customers who have bought",
            ),
        ] {
            let warnings = example(&[edit]);
            assert!(warnings.iter().any(|warning| warning.contains(said)), "{said}\n{warnings:#?}");
        }
    }

    proptest! {
        #[test]
        fn every_document_can_be_checked(document in any_document()) {
            check(&document);
        }
    }
}
