//! Why a customer is on the at-risk list, in one sentence an operator can act on. Pure.

/// The languages that the console and the worklist speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

impl Language {
    /// By a locale such as `zh-CN`; English for all that is not Chinese.
    pub fn of_locale(locale: &str) -> Self {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("zh") { Self::Chinese } else { Self::English }
    }
}

/// What the sentence is built from; all as of the scoring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silence {
    pub order_days: i32,
    pub days_since_last_order: f64,
    pub usual_gap_days: Option<f64>,
    pub p_order_90d: Option<f64>,
}

/// One sentence: the rhythm, the silence, how late that is, and the chance of a return where it is known.
pub fn why_now(silence: Silence, language: Language) -> String {
    let days = whole(silence.days_since_last_order);
    let gap = silence.usual_gap_days;
    let times = gap.map(|gap| silence.days_since_last_order / gap).filter(|times| *times >= 1.05);
    let chance = silence.p_order_90d.map(|p| whole(p * 100.0));
    match language {
        Language::English => {
            let ago = match days {
                0 => "today".to_owned(),
                1 => "yesterday".to_owned(),
                days => format!("{days} days ago"),
            };
            let mut text = match (silence.order_days, gap) {
                (..=1, None) => format!("Ordered once, {ago}"),
                (..=1, Some(gap)) => {
                    format!(
                        "Ordered once, {ago}; customers here come back after about {}",
                        counted_days(gap)
                    )
                }
                (n, None) => format!("Ordered on {n} days, last {ago}"),
                (_, Some(gap)) => format!("Buys every {}, last {ago}", day_or_days(gap)),
            };
            if let Some(times) = times {
                text += &format!(": {} times the usual gap", tenths(times));
            }
            if let Some(chance) = chance {
                text += &format!("; {chance} % likely to return within 90 days");
            }
            text + "."
        }
        Language::Chinese => {
            let ago = match days {
                0 => "今天".to_owned(),
                days => format!(" {days} 天前"),
            };
            let mut text = match (silence.order_days, gap) {
                (..=1, None) => format!("只买过一次，在{ago}"),
                (..=1, Some(gap)) => {
                    format!("只买过一次，在{ago}；本店顾客一般 {} 天左右回购", whole(gap).max(1))
                }
                (n, None) => format!("共有 {n} 天下过单，上次在{ago}"),
                (_, Some(gap)) => format!("一般每 {} 天购买一次，上次在{ago}", whole(gap).max(1)),
            };
            if let Some(times) = times {
                text += &format!("，已是平常间隔的 {} 倍", tenths(times));
            }
            if let Some(chance) = chance {
                text += &format!("；90 天内回购的可能性为 {chance}%");
            }
            text + "。"
        }
    }
}

fn day_or_days(days: f64) -> String {
    match whole(days) {
        ..=1 => "day".to_owned(),
        days => format!("{days} days"),
    }
}

fn counted_days(days: f64) -> String {
    match whole(days) {
        ..=1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn whole(value: f64) -> i64 {
    value.round().max(0.0) as i64
}

/// One decimal below ten, none above: more would feign precision.
fn tenths(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(order_days: i32, days: f64, gap: Option<f64>, p_order_90d: Option<f64>) -> Silence {
        Silence { order_days, days_since_last_order: days, usual_gap_days: gap, p_order_90d }
    }

    #[test]
    fn the_sentence_tells_rhythm_silence_and_chance_in_both_languages() {
        let cases = [
            (
                silence(7, 61.2, Some(23.0), Some(0.31)),
                "Buys every 23 days, last 61 days ago: 2.7 times the usual gap; 31 % likely to return within 90 days.",
                "一般每 23 天购买一次，上次在 61 天前，已是平常间隔的 2.7 倍；90 天内回购的可能性为 31%。",
            ),
            (
                silence(1, 300.0, Some(20.0), None),
                "Ordered once, 300 days ago; customers here come back after about 20 days: 15 times the usual gap.",
                "只买过一次，在 300 天前；本店顾客一般 20 天左右回购，已是平常间隔的 15 倍。",
            ),
            (
                silence(3, 12.0, Some(23.0), None),
                "Buys every 23 days, last 12 days ago.",
                "一般每 23 天购买一次，上次在 12 天前。",
            ),
            (silence(1, 0.3, None, None), "Ordered once, today.", "只买过一次，在今天。"),
        ];
        for (silence, english, chinese) in cases {
            assert_eq!(why_now(silence, Language::English), english);
            assert_eq!(why_now(silence, Language::Chinese), chinese);
        }
    }

    #[test]
    fn a_locale_says_the_language() {
        assert_eq!(Language::of_locale("zh-CN"), Language::Chinese);
        assert_eq!(Language::of_locale("zh_Hant_TW"), Language::Chinese);
        assert_eq!(Language::of_locale("en-GB"), Language::English);
        assert_eq!(Language::of_locale("zhx"), Language::English);
    }
}
