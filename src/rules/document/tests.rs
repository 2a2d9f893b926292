use proptest::prelude::*;

use super::trigger::KINDS;
use super::*;
use crate::primitives::Delay;
use crate::rules::samples::{any_document, any_rule, templates};
use crate::rules::{Class, RuleStatus, StopOn};

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
    format!("[[rule]]\nkey = \"a\"\ntrigger = {trigger}\n[[rule.step]]\ntemplate = \"win-back\"\n")
}

#[test]
fn the_example_is_read_and_uses_every_built_in_template() {
    let document =
        parse(include_str!("../../../examples/shop.toml")).unwrap_or_else(|e| panic!("{e}"));
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
    assert_eq!((rule.class, rule.status, rule.priority), (Class::Marketing, RuleStatus::Draft, 50));
    assert_eq!((rule.holdout, rule.name.as_str(), &rule.stop_on), (0.0, "a", &vec![StopOn::Order]));
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
        ("[sources.shopify]\nshop = \"x\"\n", "1: `sources` in the document"),
        ("[sending]\n\nreturn_path_domain = \"x\"\n", "3: `return_path_domain` in [sending]"),
    ] {
        let found = mistakes(body);
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
        ("[sending]\ndkim = \"key.pem\"\n", "2: `dkim` of [sending] must be a table"),
        (
            "[sending]\ndkim = { domain = \"a b\", selector = \"s\", key_file = \"k\" }\n",
            "`domain` in `dkim` of [sending]: `a b` is no DNS name",
        ),
        (
            "[sending]\ndkim = { domain = \"a.example\", selector = \"s\" }\n",
            "2: `dkim` of [sending] has no `key_file`, which is required",
        ),
        (
            "[retention]\ndecisions = \"30d\"\n",
            "2: `decisions` in [retention] must be at least `100d`, or \"\" for ever, not `30d`",
        ),
        ("[sending]\nrate = 20\n", "2: `rate` in [sending] must be a text in quotes, not `20`"),
        ("[scoring]\nrisk_horizon = \"0s\"\n", "longer than `0s`"),
        ("[scoring]\nrisk_horizon = 1979-05-27\n", "not `1979-05-27`"),
        ("[rule]\nkey = \"a\"\n", "begins with [[rule]]"),
        ("[[rule]]\nkey = \"global\"\n", "kept for the holdout"),
        ("[[rule]]\nkey = \"Win Back\"\n", "`Win Back` is no rule key"),
        ("[[rule]]\nkey = \"a\\u0000\"\n", "`a\\u{0}` is no rule key"),
        ("[[rule]]\nkey = \"a\"\npriority = 101\n", "a whole number from 0 to 100, not `101`"),
        ("[[rule]]\nkey = \"a\"\npriority = 99999999999999999999\n", "not `99999999999999999999`"),
        ("[[rule]]\nkey = \"a\"\nname = \"a\\nb\"\n", "must be one line"),
        (
            "[[rule]]\nkey = \"a\"\nstop_on = [\"order\", \"click\"]\n",
            "`click` is not one of: order, visit",
        ),
        ("[[rule]]\nkey = \"a\"\nat_most_every = \"monthly\"\n", "`monthly` is no duration"),
        ("[[rule]]\nkey = \"a\"\nkey = \"b\"\n", "3: not valid TOML: duplicate key"),
        ("[sending]\n[sending]\n", "2: not valid TOML: duplicate key"),
        ("[[rule]]\nkey = \"a\"\n\n[[rule]]\nkey = \"a\"\n", "5: the rule key `a` is given twice"),
        (
            "[[rule]]\nkey = \"a\"\naudience = { alll = [] }\n",
            "unknown key `alll`; allowed: all, any, not, or field, op, value, or did, ",
        ),
        ("[[rule]]\nkey = \"a\"\naudience = { any = [] }\n", "must hold at least one condition"),
        ("[[rule]]\nkey = \"a\"\naudience = []\n", "must be a table"),
        (
            "[[rule]]\nkey = \"a\"\naudience = { all = [\n  { did = \"purchased\" },\n] }\n",
            "4: `did` in the audience of [[rule]] \"a\": `purchased` is not one of: bought, ordered, viewed, carted, ",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { did = \"visited\", product = \"P\" }\n",
            "`visited` asks for no product or category",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { never = \"bought\", at_least = 2 }\n",
            "`never` takes no `at_least`",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { did = \"bought\", at_least = 0 }\n",
            "`at_least` in the audience of [[rule]] \"a\" must be a whole number from 1 to 10000, not `0`",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { did = \"bought\", whithin = \"30d\" }\n",
            "unknown key `whithin` in the audience of [[rule]] \"a\"; allowed: did, never, product, category, at_least, within",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { received = \"b\", within = \"0d\" }\n",
            "must be longer than `0s`",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { trait = \"plan\", op = \"gt\", value = \"gold\" }\n",
            "`value` in the audience of [[rule]] \"a\" must be a number for `gt`, not `gold`",
        ),
        (
            "[[rule]]\nkey = \"a\"\naudience = { trait = \"a'b\", op = \"eq\", value = 1 }\n",
            "a name of letters, digits",
        ),
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
        ("{ kind = \"cart_abandoned\", after = \"1h\", until = \"2h\" }", "unknown key `until`"),
        ("{ kind = \"segment_entered\" }", "has no `segment`"),
        ("{ kind = \"segment_entered\", segment = \"vip\" }", "must be one of: champions"),
        ("{ kind = \"birthday\" }", "unknown kind `birthday`"),
        ("{ kind = \"date\" }", "(date) has no `field`"),
        (
            "{ kind = \"date\", field = \"birthday\", offset = \"-3h\" }",
            "`-3h` is no offset: write whole days, such as \"-3d\"",
        ),
        (
            "{ kind = \"date\", field = \"birthday\", after = \"1d\" }",
            "unknown key `after` in the trigger of [[rule]] \"a\" (date); allowed: kind, field, offset, useful_for",
        ),
        ("{ kind = \"schedule\" }", "(schedule) has no `cron`"),
        (
            "{ kind = \"schedule\", cron = \"0 9 31 2 *\" }",
            "`0 9 31 2 *` is no schedule: no such day ever comes",
        ),
        ("{ kind = \"at_risk\", p_alive_below = 1.5 }", "a number from 0 to 1, not `1.5`"),
        ("{ kind = \"at_risk\", p_alive_below = 0 }", "must be more than 0"),
        ("{ kind = \"at_risk\", value_above = -1 }", "`value_above` in the trigger of"),
        ("{ kind = \"at_risk\", value_above = \"much\" }", "must be a number from 0 to"),
        ("{ kind = \"at_risk\", after = \"1h\" }", "unknown key `after`"),
        ("{ after = \"1h\" }", "has no `kind`"),
        ("\"order\"", "must be a table such as"),
    ] {
        let found = mistakes(&one_rule(trigger));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("3: ") && found[0].contains(said), "{said}\n{found:#?}");
    }
}

#[test]
fn wrong_steps_name_what_may_stand_there() {
    for (lines, said) in [
        ("send_at = \"10am\"", "`10am` is no time of day: write hours and minutes"),
        ("then = \"skip\"", "has `then`, but no `if` or `wait_until`"),
        ("wait_until = \"visit\"", "has `wait_until` and no `at_most`"),
        ("at_most = \"3d\"", "takes `at_most` beside `wait_until` alone"),
        ("wait_until = \"open\"\nat_most = \"3d\"", "`open` is not one of: order, visit, click"),
        (
            "wait_until = \"click\"\nat_most = \"3d\"",
            "waits for a click, and no mail goes before it",
        ),
        (
            "wait_until = \"visit\"\nat_most = \"3d\"\nif = { tag = \"vip\" }",
            "asks two questions, `if` and `wait_until`",
        ),
        ("if = { tag = \"vip\" }\nelse = \"go\"", "must be \"skip\", \"end\", or a table such as"),
        ("if = { tag = \"vip\" }\nthen = \"end\"", "sends nothing, whichever the answer"),
        ("if = { tags = \"vip\" }", "unknown key `tags`"),
        (
            "if = { tag = \"vip\" }\nelse = { template = \"none\" }",
            "unknown template `none` in `else` of step 1",
        ),
        ("variants = [ { name = \"a\" } ]", "must be 2 to 10, not 1"),
        ("variants = [ { name = \"a\" }, { name = \"a\" } ]", "has the name of another"),
        ("variants = [ { name = \"a\" }, { weight = 2 } ]", "has no `name`, which is required"),
    ] {
        let found = mistakes(&format!("{}{lines}\n", one_rule("{ kind = \"order\" }")));
        assert!(found.iter().any(|found| found.contains(said)), "{said}\n{found:#?}");
    }
}

#[test]
fn every_kind_of_trigger_is_read() {
    for (kind, _) in KINDS {
        let own = match kind {
            "segment_entered" => "segment = \"at_risk\", after = \"1h\"",
            "at_risk" => "p_alive_below = 0.35, value_above = 500",
            "date" => "field = \"birthday\", offset = \"-3d\"",
            "schedule" => "cron = \"0 9 * * MON\"",
            _ => "after = \"1h\"",
        };
        let rule = one_rule(&format!("{{ kind = \"{kind}\", {own} }}"));
        let document = parse(&format!("{HEAD}{rule}")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(document.rules[0].trigger.kind.name(), kind);
    }
}

#[test]
fn hostile_files_are_refused_in_a_line_or_two() {
    let huge = format!("{HEAD}# {}\n", "x".repeat(10 << 20));
    let deep = |n| {
        format!("[[rule]]\nkey = \"a\"\naudience = {}1{}\n", "{ not = ".repeat(n), " }".repeat(n))
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
        prop_assert_eq!(&serde_json::from_str::<Rule>(&json).unwrap(), &rule);
        let given_out = serde_json::to_value(&rule).unwrap();
        prop_assert_eq!(Rule::from_json(&rule.key, &given_out, &templates()), Ok(rule));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(\\[\\[?(store|rule|rule\\.step)\\]?\\]\n|(key|trigger|audience|name) = [\\[\\]{}\"a0.\n]{0,9}\n){0,8}") {
        let _ = parse(&text);
    }
}
