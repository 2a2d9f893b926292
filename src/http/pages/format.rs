//! Numbers, money and times as the console writes them, in the reader's language and the store's zone.

use std::sync::Arc;

use jiff::civil::{Date, DateTime};

use super::catalogue::{Catalogue, Lang};
use super::html::Html;
use crate::primitives::{Currency, Timestamp, Zone};

/// What it takes to write a figure down for one reader of one store.
#[derive(Clone)]
pub struct Format {
    pub words: Arc<Catalogue>,
    pub zone: Zone,
    pub currency: Currency,
    pub now: Timestamp,
}

/// What stands where nothing is known. Never 0, never blank.
pub const UNKNOWN: &str = "–";

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const LONG_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const WEEKDAYS_ZH: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];

impl Format {
    pub fn lang(&self) -> Lang {
        self.words.lang
    }

    pub fn text(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.words.text(key, values)
    }

    pub fn html(&self, key: &str, values: &[(&str, &str)]) -> Html {
        self.words.html(key, values)
    }

    /// `key.one` or `key.other`, with the number written as `{n}`.
    pub fn count(&self, key: &str, n: i64) -> String {
        self.words.text(&self.words.plural(key, n), &[("n", &self.number(n))])
    }

    /// 1,284
    pub fn number(&self, n: i64) -> String {
        let mut out = if n < 0 { "−".to_owned() } else { String::new() };
        out.push_str(&thousands(&n.unsigned_abs().to_string()));
        out
    }

    /// A count that stopped at `cap`: 10,000+
    pub fn capped(&self, n: i64, cap: i64) -> String {
        if n > cap { format!("{}+", self.number(cap)) } else { self.number(n) }
    }

    /// One decimal at most, none from ten up: 0.8, 23
    pub fn decimal(&self, x: f64) -> String {
        if x.abs() >= 9.95 || (x - x.round()).abs() < 0.05 {
            self.number(x.round() as i64)
        } else {
            let sign = if x < 0.0 { "−" } else { "" };
            format!("{sign}{:.1}", x.abs())
        }
    }

    /// A share of one, in per cent: 2.31 % in English with a narrow space, 2.31% in Chinese.
    pub fn percent(&self, share: f64, decimals: usize) -> String {
        let sign = if share < 0.0 { "−" } else { "" };
        let space = if self.lang() == Lang::En { "\u{202f}" } else { "" };
        format!("{sign}{:.decimals$}{space}%", share.abs() * 100.0)
    }

    /// Whole units: ¥36,162; with its decimals where there are fewer than ten.
    pub fn money(&self, minor: i64) -> String {
        let unit = 10_i64.pow(self.currency.decimals());
        if minor.abs() < 10 * unit && minor % unit != 0 {
            return self.money_exact(minor);
        }
        let whole = (minor.abs() + unit / 2) / unit;
        self.with_symbol(minor < 0, &thousands(&whole.to_string()))
    }

    /// With all decimals: ¥186.40
    pub fn money_exact(&self, minor: i64) -> String {
        self.money_of(minor, &self.currency.clone())
    }

    /// An amount of another currency than the store's keeps its own sign.
    pub fn money_of(&self, minor: i64, currency: &Currency) -> String {
        let decimals = currency.decimals() as usize;
        let digits = format!("{:0width$}", minor.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        let mut text = thousands(whole);
        if decimals > 0 {
            text.push('.');
            text.push_str(part);
        }
        with_symbol(currency, minor < 0, &text)
    }

    /// In running text; Chinese counts from ten thousand up in 万: ¥61.24 万
    pub fn money_in_text(&self, minor: i64) -> String {
        let unit = 10_i64.pow(self.currency.decimals());
        if self.lang() == Lang::Zh && minor.abs() >= 10_000 * unit {
            let wan = minor.abs() as f64 / (10_000 * unit) as f64;
            let text =
                if wan < 100.0 { format!("{wan:.2}") } else { thousands(&format!("{wan:.0}")) };
            return self.with_symbol(minor < 0, &format!("{text} 万"));
        }
        self.money(minor)
    }

    /// +¥2,232 or −¥3,145
    pub fn money_change(&self, minor: i64) -> String {
        let text = self.money(minor);
        if minor > 0 { format!("+{text}") } else { text }
    }

    fn with_symbol(&self, negative: bool, digits: &str) -> String {
        with_symbol(&self.currency, negative, digits)
    }

    pub fn local(&self, at: Timestamp) -> DateTime {
        self.zone.tz().to_datetime(at.to_jiff())
    }

    pub fn today(&self) -> Date {
        self.now.day_in(&self.zone)
    }

    /// 10:42
    pub fn clock(&self, at: Timestamp) -> String {
        let local = self.local(at);
        format!("{:02}:{:02}", local.hour(), local.minute())
    }

    /// 24 Nov; with the year when it is another one.
    pub fn day(&self, at: Timestamp) -> String {
        self.date(self.local(at).date())
    }

    pub fn date(&self, day: Date) -> String {
        let same_year = day.year() == self.today().year();
        match (self.lang(), same_year) {
            (Lang::En, true) => format!("{} {}", day.day(), month(day)),
            (Lang::En, false) => format!("{} {} {}", day.day(), month(day), day.year()),
            (Lang::Zh, true) => format!("{}月{}日", day.month(), day.day()),
            (Lang::Zh, false) => format!("{}年{}月{}日", day.year(), day.month(), day.day()),
        }
    }

    /// Tuesday 24 November, 11月24日周二
    pub fn date_long(&self, day: Date) -> String {
        match self.lang() {
            Lang::En => format!(
                "{} {} {}",
                WEEKDAYS[weekday(day)],
                day.day(),
                LONG_MONTHS[day.month() as usize - 1]
            ),
            Lang::Zh => {
                format!("{}月{}日{}", day.month(), day.day(), WEEKDAYS_ZH[weekday(day)])
            }
        }
    }

    /// Tue 17 Nov, 11月17日周二
    pub fn date_with_weekday(&self, day: Date) -> String {
        match self.lang() {
            Lang::En => format!("{} {} {}", &WEEKDAYS[weekday(day)][..3], day.day(), month(day)),
            Lang::Zh => self.date_long(day),
        }
    }

    /// Tuesday, 周二
    pub fn weekday(&self, day: Date) -> &'static str {
        match self.lang() {
            Lang::En => WEEKDAYS[weekday(day)],
            Lang::Zh => WEEKDAYS_ZH[weekday(day)],
        }
    }

    /// Tue, 周二
    pub fn weekday_short(&self, day: Date) -> &'static str {
        match self.lang() {
            Lang::En => &WEEKDAYS[weekday(day)][..3],
            Lang::Zh => WEEKDAYS_ZH[weekday(day)],
        }
    }

    /// Nov, 11月
    pub fn month(&self, day: Date) -> String {
        match self.lang() {
            Lang::En => month(day).to_owned(),
            Lang::Zh => format!("{}月", day.month()),
        }
    }

    /// Today 06:10, Thu 10:00 within the coming days, 22 Nov 20:14, 3 Sep 2025
    pub fn when(&self, at: Timestamp) -> String {
        let day = self.local(at).date();
        let ahead = at.day_number(&self.zone) - self.now.day_number(&self.zone);
        let clock = self.clock(at);
        match ahead {
            0 => self.text("when.today", &[("clock", &clock)]),
            1 => self.text("when.tomorrow", &[("clock", &clock)]),
            2..=6 => match self.lang() {
                Lang::En => format!("{} {clock}", &WEEKDAYS[weekday(day)][..3]),
                Lang::Zh => format!("{} {clock}", WEEKDAYS_ZH[weekday(day)]),
            },
            _ if day.year() != self.today().year() => self.date(day),
            _ => format!("{} {clock}", self.date(day)),
        }
    }

    /// The instant as the machine reads it, for `datetime` and titles.
    pub fn exact(&self, at: Timestamp) -> String {
        let local = self.local(at);
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}, {}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
            self.zone.name()
        )
    }
}

fn month(day: Date) -> &'static str {
    MONTHS[day.month() as usize - 1]
}

fn weekday(day: Date) -> usize {
    day.weekday().to_monday_zero_offset() as usize
}

fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, c) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn with_symbol(currency: &Currency, negative: bool, digits: &str) -> String {
    let symbol = match currency.as_str() {
        "CNY" | "JPY" => "¥",
        "EUR" => "€",
        "GBP" => "£",
        "USD" => "$",
        "HKD" => "HK$",
        "TWD" => "NT$",
        "SGD" => "S$",
        "AUD" => "A$",
        "CAD" => "C$",
        "KRW" => "₩",
        "INR" => "₹",
        code => return format!("{}{code}\u{a0}{digits}", if negative { "−" } else { "" }),
    };
    format!("{}{symbol}{digits}", if negative { "−" } else { "" })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn format(lang: Lang, currency: &str) -> Format {
        Format {
            words: Arc::new(
                Catalogue::parse(lang, &super::super::assets::built_in(lang.file())).unwrap(),
            ),
            zone: "Asia/Shanghai".parse().unwrap(),
            currency: currency.parse().unwrap(),
            now: "2026-11-24T02:42:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn money_is_short_where_it_is_much_and_exact_where_it_is_little() {
        let en = format(Lang::En, "CNY");
        let shown = |minor| en.money(minor);
        assert_eq!(shown(3_616_249), "¥36,162");
        assert_eq!(shown(430), "¥4.30");
        assert_eq!(shown(-314_500), "−¥3,145");
        assert_eq!(shown(0), "¥0");
        assert_eq!(en.money_exact(18_640), "¥186.40");
        assert_eq!(en.money_change(223_200), "+¥2,232");
        assert_eq!(format(Lang::En, "JPY").money_exact(18_640), "¥18,640");
        assert_eq!(format(Lang::En, "CHF").money(18_650), "CHF\u{a0}187");
        let zh = format(Lang::Zh, "CNY");
        assert_eq!(zh.money_in_text(61_240_000), "¥61.24 万");
        assert_eq!(zh.money_in_text(940_000), "¥9,400");
    }

    #[test]
    fn a_share_has_a_narrow_space_in_english_only() {
        assert_eq!(format(Lang::En, "CNY").percent(0.0231, 2), "2.31\u{202f}%");
        assert_eq!(format(Lang::Zh, "CNY").percent(-0.31, 0), "−31%");
    }

    #[test]
    fn times_are_the_stores_and_as_near_as_they_need_to_be() {
        let en = format(Lang::En, "CNY");
        let when = |raw: &str| en.when(raw.parse().unwrap());
        assert_eq!(when("2026-11-23T22:10:00Z"), "Today 06:10");
        assert_eq!(when("2026-11-22T12:14:00Z"), "22 Nov 20:14");
        assert_eq!(when("2026-11-26T02:00:00Z"), "Thu 10:00");
        assert_eq!(when("2025-09-03T02:00:00Z"), "3 Sep 2025");
        assert_eq!(
            format(Lang::Zh, "CNY").when("2026-11-26T02:00:00Z".parse().unwrap()),
            "周四 10:00"
        );
        assert_eq!(en.date_long("2026-11-24".parse().unwrap()), "Tuesday 24 November");
    }

    #[test]
    fn small_decimals_keep_one_place() {
        let en = format(Lang::En, "CNY");
        assert_eq!([0.84, 23.4, 1.0, -0.5].map(|x| en.decimal(x)), ["0.8", "23", "1", "−0.5"]);
    }
}
