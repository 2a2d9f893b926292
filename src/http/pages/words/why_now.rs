//! Why a customer is written to now: their rhythm and their silence.

use crate::http::pages::format::Format;
use crate::http::pages::html::Html;
use crate::reports::at_risk;

/// Why a customer is on the worklist: rhythm and silence, and the chance once one is known.
pub fn why_now(format: &Format, row: &at_risk::Row) -> Html {
    silence(format, row.days_since, row.frequency, row.usual_gap_days, row.p_order_90d)
}

pub fn silence(
    format: &Format,
    days_since: f64,
    order_days: i32,
    usual_gap: Option<f64>,
    p_order_90d: Option<f64>,
) -> Html {
    let days = days_since.floor() as i64;
    let days_text = format.number(days);
    let mut text = match usual_gap {
        Some(gap) if order_days > 1 => {
            let gap_text = format.decimal(gap);
            format.html("why.rhythm", &[("gap", &gap_text), ("days", &days_text)])
        }
        Some(gap) => {
            let gap_text = format.decimal(gap);
            format.html("why.once", &[("gap", &gap_text), ("days", &days_text)])
        }
        None => format.html("why.days", &[("days", &days_text)]),
    };
    if let Some(p) = p_order_90d {
        let chance = format.percent(p, 0);
        text.0.push_str(&format.html("why.chance", &[("chance", &chance)]).0);
    } else if let Some(gap) = usual_gap.filter(|gap| *gap > 0.0 && days_since >= 2.0 * gap) {
        let times = format.decimal(days_since / gap);
        text.0.push_str(&format.html("why.times", &[("times", &times)]).0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::catalogue::Lang;
    use crate::http::pages::format::tests::format;

    #[test]
    fn why_now_says_rhythm_and_silence_and_invents_no_chance() {
        let en = format(Lang::En, "CNY");
        let text = silence(&en, 61.4, 7, Some(23.0), None).0;
        assert!(text.contains("23 days") && text.contains("<b>61 days</b>"), "{text}");
        assert!(!text.contains('%'), "{text}");
        let zh = silence(&format(Lang::Zh, "CNY"), 61.4, 7, Some(23.0), Some(0.31)).0;
        assert!(zh.contains("31%"), "{zh}");
    }
}
