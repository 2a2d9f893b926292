//! Who the sample store's customers are: names, places, and by which habit they buy.

use super::chance::Chance;
use crate::primitives::EmailAddress;

/// How someone buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// The same tea every four weeks or so, almost to the day.
    Subscriber,
    /// A rhythm of their own, loosely kept.
    Regular,
    /// Now and then.
    Occasional,
    /// Bought once.
    Once,
    /// Before Spring Festival and Mid-Autumn, for others.
    Gifts,
    /// On 618 and Singles' Day, with a coupon.
    Sales,
    /// A café or an office: much, every fortnight.
    Trade,
    /// Signed up, looks around, has not bought.
    Browser,
    /// Never told who they are.
    Guest,
}

/// Shares of the known customers.
pub const HABITS: &[(f64, Habit)] = &[
    (0.05, Habit::Subscriber),
    (0.15, Habit::Regular),
    (0.17, Habit::Occasional),
    (0.20, Habit::Once),
    (0.06, Habit::Gifts),
    (0.05, Habit::Sales),
    (0.006, Habit::Trade),
    (0.314, Habit::Browser),
];

#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub name: String,
    pub locale: &'static str,
    pub place: &'static Place,
    pub email: Option<EmailAddress>,
    pub phone: Option<String>,
    /// Has an account, and with it an id of the shop; else known by e-mail alone.
    pub account: Option<String>,
    pub consent: Consent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    NotAsked,
    Granted,
    /// Granted first, taken back later.
    Withdrawn,
}

#[derive(Debug, PartialEq)]
pub struct Place {
    pub city: &'static str,
    pub country: &'static str,
    pub zone: &'static str,
}

impl Person {
    /// The `number`th known customer.
    pub fn draw(chance: &mut Chance, number: usize) -> Self {
        let chinese = chance.happens(0.84);
        let (name, mailbox) = if chinese {
            let (family, family_latin) = chance.weighted(FAMILIES);
            let (given, given_latin) = chance.pick(GIVEN);
            (format!("{family}{given}"), format!("{given_latin}.{family_latin}"))
        } else {
            let (first, last) = (chance.pick(FIRST), chance.pick(LAST));
            let ascii: String = last.chars().filter(char::is_ascii_alphabetic).collect();
            (format!("{first} {last}"), format!("{first}.{ascii}").to_lowercase())
        };
        let at_home = chinese && chance.happens(0.97);
        let place = if at_home { chance.weighted(AT_HOME) } else { chance.weighted(ABROAD) };
        let domain =
            chance.pick(&["mail.example", "post.example", "inbox.example", "qmail.example"]);
        let email = chance
            .happens(0.96)
            .then(|| format!("{mailbox}{number}@{domain}").parse().expect("a plain address"));
        let phone = format!("+861{}{:08}", chance.whole(30, 99), number * 7_919 % 100_000_000);
        let account =
            (email.is_none() || chance.happens(0.88)).then(|| format!("C{:05}", 10_000 + number));
        let consent = *chance.weighted(&[
            (0.66, Consent::Granted),
            (0.27, Consent::NotAsked),
            (0.07, Consent::Withdrawn),
        ]);
        Self {
            name,
            locale: if chinese { "zh-CN" } else { "en" },
            place,
            phone: (at_home && (email.is_none() || chance.happens(0.7))).then_some(phone),
            email,
            account,
            consent,
        }
    }
}

/// Where a visit comes from; `None` is typed in or bookmarked. New customers come from other places than old ones.
pub fn channel(chance: &mut Chance, known: bool) -> Option<&'static str> {
    let first: &[(f64, Option<&str>)] = &[
        (0.26, Some("douyin")),
        (0.22, Some("xiaohongshu")),
        (0.20, Some("wechat")),
        (0.20, Some("search")),
        (0.12, None),
    ];
    let later: &[(f64, Option<&str>)] = &[
        (0.34, Some("wechat")),
        (0.28, None),
        (0.14, Some("email")),
        (0.12, Some("search")),
        (0.07, Some("xiaohongshu")),
        (0.05, Some("douyin")),
    ];
    *chance.weighted(if known { later } else { first })
}

const fn place(city: &'static str, country: &'static str, zone: &'static str) -> Place {
    Place { city, country, zone }
}

const AT_HOME: &[(f64, Place)] = &[
    (18.0, place("上海", "CN", "Asia/Shanghai")),
    (16.0, place("杭州", "CN", "Asia/Shanghai")),
    (13.0, place("北京", "CN", "Asia/Shanghai")),
    (10.0, place("深圳", "CN", "Asia/Shanghai")),
    (9.0, place("广州", "CN", "Asia/Shanghai")),
    (8.0, place("成都", "CN", "Asia/Shanghai")),
    (7.0, place("南京", "CN", "Asia/Shanghai")),
    (6.0, place("苏州", "CN", "Asia/Shanghai")),
    (5.0, place("武汉", "CN", "Asia/Shanghai")),
    (4.0, place("西安", "CN", "Asia/Shanghai")),
    (4.0, place("厦门", "CN", "Asia/Shanghai")),
];
const ABROAD: &[(f64, Place)] = &[
    (6.0, place("Singapore", "SG", "Asia/Singapore")),
    (5.0, place("London", "GB", "Europe/London")),
    (5.0, place("Sydney", "AU", "Australia/Sydney")),
    (4.0, place("New York", "US", "America/New_York")),
    (4.0, place("Vancouver", "CA", "America/Vancouver")),
    (3.0, place("Berlin", "DE", "Europe/Berlin")),
];

const FAMILIES: &[(f64, (&str, &str))] = &[
    (7.9, ("王", "wang")),
    (7.7, ("李", "li")),
    (7.1, ("张", "zhang")),
    (5.4, ("刘", "liu")),
    (4.5, ("陈", "chen")),
    (3.1, ("杨", "yang")),
    (2.3, ("黄", "huang")),
    (2.3, ("赵", "zhao")),
    (2.1, ("吴", "wu")),
    (2.0, ("周", "zhou")),
    (1.9, ("徐", "xu")),
    (1.8, ("孙", "sun")),
    (1.6, ("马", "ma")),
    (1.5, ("朱", "zhu")),
    (1.4, ("胡", "hu")),
    (1.4, ("林", "lin")),
    (1.3, ("郭", "guo")),
    (1.3, ("何", "he")),
    (1.2, ("高", "gao")),
    (1.1, ("罗", "luo")),
    (1.0, ("郑", "zheng")),
    (0.9, ("梁", "liang")),
    (0.8, ("谢", "xie")),
    (0.8, ("宋", "song")),
    (0.7, ("唐", "tang")),
    (0.6, ("许", "xu")),
    (0.6, ("沈", "shen")),
    (0.1, ("欧阳", "ouyang")),
];

const GIVEN: &[(&str, &str)] = &[
    ("婉清", "wanqing"),
    ("思远", "siyuan"),
    ("雨桐", "yutong"),
    ("海涛", "haitao"),
    ("志强", "zhiqiang"),
    ("敏", "min"),
    ("晓燕", "xiaoyan"),
    ("浩然", "haoran"),
    ("佳怡", "jiayi"),
    ("丽华", "lihua"),
    ("子涵", "zihan"),
    ("俊杰", "junjie"),
    ("静怡", "jingyi"),
    ("文博", "wenbo"),
    ("芷若", "zhiruo"),
    ("建国", "jianguo"),
    ("秀英", "xiuying"),
    ("欣妍", "xinyan"),
    ("梓轩", "zixuan"),
    ("明", "ming"),
    ("洁", "jie"),
    ("天佑", "tianyou"),
    ("若曦", "ruoxi"),
    ("嘉豪", "jiahao"),
    ("诗涵", "shihan"),
    ("国华", "guohua"),
    ("雪梅", "xuemei"),
    ("一诺", "yinuo"),
    ("宇航", "yuhang"),
    ("晨曦", "chenxi"),
    ("慧", "hui"),
    ("立新", "lixin"),
    ("美玲", "meiling"),
    ("鹏飞", "pengfei"),
    ("可欣", "kexin"),
    ("云舒", "yunshu"),
];

const FIRST: &[&str] = &[
    "Margaret", "Hannah", "Daniel", "Priya", "Emily", "Lucas", "Sofia", "Tomasz", "Grace",
    "Oliver", "Amelia", "Noah", "Isla", "Ethan", "Chloe", "Marcus", "Ingrid", "Rahul", "Nadia",
    "Peter", "Claire", "Samuel",
];
const LAST: &[&str] = &[
    "O’Connell",
    "Lindqvist",
    "Okafor",
    "Raman",
    "Whitfield",
    "Moreau",
    "Marchetti",
    "Kowalski",
    "Mbeki",
    "Tan",
    "Harper",
    "Novak",
    "Fraser",
    "Silva",
    "Weber",
    "Bianchi",
    "Park",
    "Singh",
    "Dubois",
    "Carter",
    "Lim",
];
