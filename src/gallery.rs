//! Ready rules to begin with: eight that most shops need, each with its tests and with advice on when to use it.
//!
//! They are one file, `examples/gallery.toml`, which `homing rules test` takes as it is; this room cuts it into rules
//! and knows no table. Whoever takes one gets a draft.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::rules::{Rule, ShopDocument};

/// All of it: a whole shop.toml.
pub const FILE: &str = include_str!("../examples/gallery.toml");

/// The templates that these rules use, all built in.
pub const TEMPLATES: [&str; 8] = [
    "birthday",
    "browse-reminder",
    "cart-reminder",
    "first-order-thanks",
    "referral",
    "repurchase-nudge",
    "review-request",
    "win-back",
];

/// What is said of a rule in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    pub name: &'static str,
    /// When to use it.
    pub when: &'static str,
    /// What to look at before it goes live.
    pub care: &'static str,
}

#[derive(Debug, Clone)]
pub struct Ready {
    pub rule: Rule,
    en: Advice,
    zh: Advice,
    /// From its `[[rule]]` to the end of its tests.
    text: &'static str,
}

impl Ready {
    pub fn advice(&self, is_chinese: bool) -> Advice {
        if is_chinese { self.zh } else { self.en }
    }

    /// The rule with its tests, as one pastes it into shop.toml.
    pub fn text(&self, is_chinese: bool) -> String {
        let Advice { name, when, care } = self.advice(is_chinese);
        let mut text = String::new();
        for line in [when, care] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# {line}");
        }
        let own = format!("name = \"{}\"", self.en.name);
        text + &self.text.replacen(&own, &format!("name = \"{name}\""), 1)
    }

    /// The rule as a new one of a store.
    pub fn draft(&self, is_chinese: bool) -> Rule {
        Rule { name: self.advice(is_chinese).name.to_owned(), ..self.rule.clone() }
    }
}

/// In the order of a customer's life.
pub fn all() -> &'static [Ready] {
    static ALL: LazyLock<Vec<Ready>> = LazyLock::new(|| {
        let templates = TEMPLATES.map(str::to_owned);
        let document = ShopDocument::parse("examples/gallery.toml", FILE, &templates);
        let rules = document.expect("the gallery is held by tests").rules;
        let texts = FILE.split("\n# --- ").skip(1);
        texts.zip(rules).map(|(text, rule)| ready(text, rule)).collect()
    });
    &ALL
}

pub fn find(key: &str) -> Option<&'static Ready> {
    all().iter().find(|ready| ready.rule.key == key)
}

fn ready(text: &'static str, rule: Rule) -> Ready {
    let at = text.find("[[rule]]").unwrap_or(0);
    let [en, zh] = advice(&rule.key);
    Ready { rule, en, zh, text: text[at..].trim_end() }
}

/// In English and in Chinese.
fn advice(key: &str) -> [Advice; 2] {
    let both = |en: [&'static str; 3], zh: [&'static str; 3]| {
        [en, zh].map(|[name, when, care]| Advice { name, when, care })
    };
    match key {
        "browse" => both(
            [
                "Browsed, did not buy",
                "Use it once your pages are tracked and visitors leave their address: for goods that people think over.",
                "Mind the audience: who ordered in the last 30 days is left in peace.",
            ],
            [
                "看过未买",
                "接入页面跟踪、且访客留有邮箱之后即可使用；适合需要考虑一阵子的商品。",
                "留意人群：30 天内下过单的人不打扰。",
            ],
        ),
        "cart" => both(
            [
                "Left something in the cart",
                "Use it in every shop with a basket: nobody is nearer to buying than who filled one.",
                "Do not open with a coupon: you would teach people to leave their baskets.",
            ],
            [
                "购物车未结算",
                "凡有购物车的店铺都该用：离下单最近的，就是装了购物车的人。",
                "不要一上来就发优惠券：那等于教人把东西留在购物车里。",
            ],
        ),
        "first-order" => both(
            [
                "Thanks after the first order",
                "Use it from the first day: many buy once and no more, and this is the first word they hear after it.",
                "It has no holdout: if you want to know what it earns, set holdout = 0.1.",
            ],
            [
                "首单致谢",
                "开店第一天就用：许多人只买一次，这是首单之后的第一句话。",
                "没有对照组：想知道它带来多少，请设 holdout = 0.1。",
            ],
        ),
        "repurchase" => both(
            [
                "Time for a refill",
                "Use it for what runs out: tea, coffee, cosmetics, pet food. Leave `after` out once a few hundred customers came back: each is then asked on their own day.",
                "Look at the backtest: if many bought before the mail, it comes too late.",
            ],
            [
                "该补货了",
                "适合会用完的商品：茶叶、咖啡、护肤品、宠物粮。有几百位回头客之后去掉 after，就按每位客户自己的周期提醒。",
                "先看回测：若许多人在邮件之前就买了，说明提醒得太晚。",
            ],
        ),
        "win-back" => both(
            [
                "Win back good customers",
                "Use it when customers have a history of at least half a year; `after` should be about twice the usual gap between orders.",
                "Replace the coupon WELCOMEBACK by one of yours, or take the line out.",
            ],
            [
                "唤回老客户",
                "积累半年以上的订单之后使用；after 约为平常复购间隔的两倍。",
                "请把优惠券 WELCOMEBACK 换成您自己的，或删去这一行。",
            ],
        ),
        "birthday" => both(
            [
                "Happy birthday",
                "Use it when customers tell you their birthday (the trait `birthday`): a greeting that asks for nothing.",
                "Replace the coupon BIRTHDAY by one of yours, or take the line out. A greeting that everybody should get needs no holdout.",
            ],
            [
                "生日祝福",
                "客户填写过生日（属性 birthday）时使用：一份不求回报的祝福。",
                "请把优惠券 BIRTHDAY 换成您自己的，或删去这一行；人人都该收到，无需对照组。",
            ],
        ),
        "review" => both(
            [
                "Ask for a review",
                "Use it where people read what others say before they buy. Two weeks is right for what is used at once; furniture takes longer.",
                "Wait until it has arrived: count from your usual time of delivery.",
            ],
            [
                "邀请评价",
                "客户买前会看评价的店铺都适用。两周适合马上用得上的东西；家具要更久。",
                "等货到了再问：按您平常的送达时间来算。",
            ],
        ),
        _ => both(
            [
                "Ask the best to recommend you",
                "Use it when you have champions to ask: those who buy often, lately and much, and would recommend you gladly.",
                "It asks each of them once a year. Do not shorten that.",
            ],
            [
                "请老友推荐",
                "有了重要价值客户之后使用：他们常买、近来还买、买得多，也乐意推荐您。",
                "每人一年只问一次，请不要缩短。",
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eight_and_each_can_be_pasted_in_both_languages() {
        let keys: Vec<&str> = all().iter().map(|ready| ready.rule.key.as_str()).collect();
        let expected = [
            "browse",
            "cart",
            "first-order",
            "repurchase",
            "win-back",
            "birthday",
            "review",
            "referral",
        ];
        assert_eq!(keys, expected);
        let used: std::collections::BTreeSet<&str> = all()
            .iter()
            .flat_map(|ready| &ready.rule.steps)
            .flat_map(|step| step.templates())
            .collect();
        assert!(used.into_iter().eq(TEMPLATES), "each of its templates, and no other");
        let templates = TEMPLATES.map(str::to_owned);
        for ready in all() {
            assert_eq!(ready.rule.status.as_str(), "draft");
            for is_chinese in [false, true] {
                let text = ready.text(is_chinese);
                let read = ShopDocument::parse_rules("pasted", &text, &templates).unwrap();
                assert_eq!(read, [ready.draft(is_chinese)], "{text}");
                assert!(read[0].tests.len() >= 2, "{}", ready.rule.key);
            }
        }
    }
}
