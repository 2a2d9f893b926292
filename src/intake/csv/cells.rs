//! One cell's text made a value: what spreadsheets and platforms do to ids, money and times, undone.
//!
//! Reasons are told to people: they say what the cell holds and what may stand there.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use crate::primitives::{Currency, InvalidMoney, Money, Timestamp, Zone};

/// Without the spaces and invisible characters around it, and without the armour in which platforms
/// dress long numbers so that Excel keeps their digits: `="123"`, `=123`, `'123`.
pub fn bare(raw: &str) -> Cow<'_, str> {
    let text = raw.trim_matches(is_padding);
    if let Some(inner) = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')) {
        return match inner.contains("\"\"") {
            true => Cow::Owned(inner.replace("\"\"", "\"").trim_matches(is_padding).to_owned()),
            false => Cow::Borrowed(inner.trim_matches(is_padding)),
        };
    }
    // An apostrophe that is part of the text ('s-Gravenhage) stays; before what a spreadsheet would
    // calculate with it is armour, and our own rejects file sets it.
    if let Some(rest) = text.strip_prefix('\'')
        && rest.starts_with(|c: char| c.is_ascii_digit() || "=+-@".contains(c))
    {
        return bare(rest);
    }
    match text.strip_prefix('=') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Cow::Borrowed(digits)
        }
        _ => Cow::Borrowed(text),
    }
}

/// Spaces of every width (U+3000 among them), byte-order marks, and characters of no width.
fn is_padding(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

/// Nothing is written, in one of the ways exports write nothing.
pub fn is_absent(text: &str) -> bool {
    matches!(text, "" | "-" | "--" | "—" | "\\N")
}

/// `王**`, `138****0001`: the platform hides it from the shop, and many people share the same rest.
pub fn is_masked(text: &str) -> bool {
    text.contains(['*', '＊'])
}

/// `1.93068E+15`: a spreadsheet rounded a long number. Its digits are gone; two orders can look like one.
pub fn is_rounded(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    digits(whole) && digits(part) && exponent.strip_prefix('+').is_some_and(digits)
}

/// An amount: `1,234.50`, `¥12.00`, `12.00元`, `１２．００`; `None` where none is written.
///
/// A lone comma that could be a decimal sign (`12,40`) is refused rather than read as twelve hundred.
pub fn money(text: &str, currency: &Currency) -> Result<Option<i64>, String> {
    if is_absent(text) {
        return Ok(None);
    }
    let narrow: Cow<'_, str> = match text.is_ascii() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.chars().map(narrow).collect()),
    };
    let (sign, rest) = match narrow.strip_prefix('-') {
        Some(rest) => ("-", rest.trim_start()),
        None => ("", &*narrow),
    };
    let amount = without_unit(rest, currency);
    let plain = without_groups(amount).ok_or_else(|| {
        format!("`{}` is no amount: write a plain decimal number such as 1234.50", shown(text))
    })?;
    if is_absent(&plain) && sign.is_empty() {
        return Ok(None);
    }
    match Money::parse(&format!("{sign}{plain}"), currency) {
        Ok(money) => Ok(Some(money.minor)),
        Err(error @ InvalidMoney::TooLarge(_)) => Err(error.to_string()),
        Err(_) => {
            Err(format!("`{}` is no amount: write a decimal number such as 12.40", shown(text)))
        }
    }
}

/// The ASCII twin of a full-width sign.
fn narrow(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        '￥' => '¥',
        '\u{A0}' | '\u{3000}' | '\u{202F}' => ' ',
        '\u{2212}' => '-',
        other => other,
    }
}

/// Without a currency's sign or code on either side.
fn without_unit<'t>(text: &'t str, currency: &Currency) -> &'t str {
    let mut rest = text.trim();
    for unit in [currency.as_str(), "¥", "元", "$", "€", "£", "RMB"] {
        rest = rest.strip_prefix(unit).or_else(|| rest.strip_suffix(unit)).unwrap_or(rest).trim();
    }
    rest
}

/// Without the commas between thousands; `None` where a comma stands anywhere else.
fn without_groups(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(',') {
        return Some(Cow::Borrowed(text));
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let mut groups = whole.split(',');
    let head_fits = groups.next().is_some_and(|head| (1..=3).contains(&head.len()));
    let fits = head_fits && groups.all(|group| group.len() == 3) && !part.contains(',');
    fits.then(|| Cow::Owned(text.replace(',', "")))
}

/// A number of pieces: zero or more, with a fraction where goods are weighed.
pub fn quantity(text: &str) -> Result<Option<f64>, String> {
    if is_absent(text) {
        return Ok(None);
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(number) if is_plain && number <= 1e9 => Ok(Some(number)),
        _ => Err(format!("`{}` is no quantity: write a number such as 2 or 0.5", shown(text))),
    }
}

/// An instant: `2016-05-23 22:02:10`, `2016/5/23 22:02`, `2026-05-04 08:59:12 +0800`, ISO 8601, or a day alone,
/// which means its start. Without a zone it is local time in `zone`.
///
/// Day and month in another order are refused: nobody can tell 3/4 from 4/3.
pub fn instant(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    let invalid = || {
        format!(
            "`{}` is no time: write year-month-day, such as 2026-05-23 22:02:10, with +08:00 or Z after it if it has a zone",
            shown(text)
        )
    };
    let (local, offset) = local_time(text).ok_or_else(invalid)?;
    let at = match offset {
        Some(offset) => offset.to_timestamp(local).map_err(|_| invalid())?.into(),
        None => match zone.tz().to_ambiguous_zoned(local).compatible() {
            Ok(zoned) => Timestamp::from(zoned.timestamp()),
            Err(_) => return Err(invalid()),
        },
    };
    if at < Timestamp::MIN {
        Err(format!("`{}` lies before 1970", shown(text)))
    } else if at > Timestamp::MAX {
        Err(format!("`{}` lies after the year 9998", shown(text)))
    } else {
        Ok(at)
    }
}

/// As [`instant`], and not later than `now`.
///
/// A clock may be a few minutes off; hours mean that the file's zone is not the store's.
pub fn past_instant(text: &str, zone: &Zone, now: Timestamp) -> Result<Timestamp, String> {
    let at = instant(text, zone)?;
    let leeway = crate::primitives::Delay::seconds(600);
    if at <= now.plus(leeway) {
        return Ok(at);
    }
    Err(format!(
        "`{}` lies in the future (times without a zone are read in the store's, {})",
        shown(text),
        zone.name()
    ))
}

fn local_time(text: &str) -> Option<(DateTime, Option<Offset>)> {
    let text = text.as_bytes();
    let (year, text) = number(text, 4, 4)?;
    let separator = *text.first().filter(|b| matches!(b, b'-' | b'/' | b'.'))?;
    let (month, text) = number(&text[1..], 1, 2)?;
    let text = text.strip_prefix(&[separator])?;
    let (day, text) = number(text, 1, 2)?;
    let date = Date::new(year as i16, month as i8, day as i8).ok()?;
    if text.is_empty() {
        return Some((date.at(0, 0, 0, 0), None));
    }
    let text = text.strip_prefix(b" ").or_else(|| text.strip_prefix(b"T"))?.trim_ascii_start();
    let (hour, text) = number(text, 1, 2)?;
    let (minute, mut text) = number(text.strip_prefix(b":")?, 2, 2)?;
    let (mut second, mut nanosecond) = (0, 0);
    if let Some(rest) = text.strip_prefix(b":") {
        (second, text) = number(rest, 2, 2)?;
        if let Some(rest) = text.strip_prefix(b".") {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let (fraction, _) = number(&rest[..digits.min(9)], 1, 9)?;
            nanosecond = fraction * 10_i32.pow(9 - digits.min(9) as u32);
            text = &rest[digits..];
        }
    }
    // A leap second is the last moment of its minute: no other clock here knows it.
    let time = Time::new(hour as i8, minute as i8, second.min(59) as i8, nanosecond).ok()?;
    if second > 60 {
        return None;
    }
    Some((date.to_datetime(time), offset(text.trim_ascii())?))
}

/// What follows the seconds: nothing, `Z`, `UTC`, `+08:00`, `+0800`, `+08`. The outer `None`: something else.
fn offset(text: &[u8]) -> Option<Option<Offset>> {
    let sign = match text {
        b"" => return Some(None),
        b"Z" | b"z" | b"UTC" | b"GMT" => return Some(Some(Offset::UTC)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, rest) = number(&text[1..], 2, 2)?;
    let minutes = match rest.strip_prefix(b":").unwrap_or(rest) {
        b"" => 0,
        rest => number(rest, 2, 2).filter(|(_, rest)| rest.is_empty())?.0,
    };
    let fits = hours <= 18 && minutes < 60;
    fits.then(|| Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok())
        .flatten()
        .map(Some)
}

/// Between `least` and `most` digits at the head of the text, and what follows them.
fn number(text: &[u8], least: usize, most: usize) -> Option<(i32, &[u8])> {
    let digits = text.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    let value = text[..digits].iter().fold(0_i32, |sum, b| sum * 10 + i32::from(b - b'0'));
    (digits >= least).then_some((value, &text[digits..]))
}

/// A telephone number as an identity: `+` and digits. `None` where its country is not told.
///
/// Chinese exports leave out +86; eleven digits from 13 to 19 are their mobile numbers.
pub fn phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || "+()-. /".contains(c));
    let chinese = digits.len() == 11 && matches!(digits.as_bytes(), [b'1', b'3'..=b'9', ..]);
    let international = match text.strip_prefix('+') {
        Some(_) => Some(digits.as_str()),
        None if digits.starts_with("00") => Some(&digits[2..]),
        None => None,
    };
    let number = match international {
        Some(number) => number.to_owned(),
        None if chinese => format!("86{digits}"),
        None => return None,
    };
    (is_plain && (7..=15).contains(&number.len()) && !number.starts_with('0'))
        .then(|| format!("+{number}"))
}

/// The head of a cell, fit to stand in a message.
pub fn shown(text: &str) -> String {
    let mut head: String =
        text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if head.len() < text.len() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cny() -> Currency {
        "CNY".parse().unwrap()
    }

    #[test]
    fn armour_and_padding_come_off() {
        for (raw, text) in [
            ("=\"123456789012345678\"", "123456789012345678"),
            ("=\"say \"\"hi\"\"\"", "say \"hi\""),
            ("'13800010001", "13800010001"),
            ("=20260101", "20260101"),
            ("\u{FEFF}\u{3000} a b\u{200B}\t", "a b"),
            ("'=1+1", "=1+1"),
            ("'s-Gravenhage", "'s-Gravenhage"),
            ("=SUM(A1)", "=SUM(A1)"),
            ("=", "="),
            ("=\"", "=\""),
            ("", ""),
        ] {
            assert_eq!(bare(raw), text, "{raw}");
        }
    }

    #[test]
    fn rounded_ids_are_noticed() {
        for raw in ["1.93068E+15", "1E+15", "2,1e+9"] {
            assert!(is_rounded(raw), "{raw}");
        }
        for raw in ["1.93068", "E+15", "A1E+15", "1E15", "1e-3", "19306800000000"] {
            assert!(!is_rounded(raw), "{raw}");
        }
    }

    #[test]
    fn amounts_are_read_as_exports_write_them() {
        for (raw, minor) in [
            ("1,234.50", 123_450),
            ("¥12.00", 1_200),
            ("￥12", 1_200),
            ("12.00元", 1_200),
            ("１２．００", 1_200),
            ("CNY 7.5", 750),
            ("1,234,567", 123_456_700),
            ("-5.00", -500),
            ("-¥5", -500),
            ("0", 0),
        ] {
            assert_eq!(money(raw, &cny()), Ok(Some(minor)), "{raw}");
        }
        for raw in ["", "-", "--", "¥"] {
            assert_eq!(money(raw, &cny()), Ok(None), "{raw}");
        }
        for raw in [
            "12,40",
            "1.234,50",
            ",5",
            "NaN",
            "inf",
            "12,34,567",
            "1e30",
            "twelve",
            "--5",
            "1,234,",
        ] {
            assert!(money(raw, &cny()).is_err(), "{raw}");
        }
    }

    #[test]
    fn times_are_read_as_exports_write_them() {
        let shanghai: Zone = "Asia/Shanghai".parse().unwrap();
        for (raw, at) in [
            ("2016-05-23 22:02:10", "2016-05-23T14:02:10Z"),
            ("2016/5/23 22:02", "2016-05-23T14:02:00Z"),
            ("2016/5/3 9:02", "2016-05-03T01:02:00Z"),
            ("2026-05-04 08:59:12 +0800", "2026-05-04T00:59:12Z"),
            ("2026-05-04 08:59:12 -05:30", "2026-05-04T14:29:12Z"),
            ("2026-05-04T08:59:12.5Z", "2026-05-04T08:59:12.5Z"),
            ("2026-05-04 08:59:12 UTC", "2026-05-04T08:59:12Z"),
            ("2026-05-04T08:59:12.123456789012+00", "2026-05-04T08:59:12.123456Z"),
            ("1997-09-30", "1997-09-29T16:00:00Z"),
            ("2016-12-31 23:59:60Z", "2016-12-31T23:59:59Z"),
        ] {
            assert_eq!(instant(raw, &shanghai), Ok(at.parse().unwrap()), "{raw}");
        }
        for raw in [
            "",
            "23.05.2016",
            "5/23/2016 22:02",
            "2016-13-01",
            "2016-02-30",
            "2016-05/23",
            "2016-05-23 25:00",
            "2016-05-23 22:02:61",
            "2016-05-23 22:02:10 +99",
            "2016-05-23 22:02:10 CEST",
            "1463983330",
            "20160523",
            "1969-12-31",
            "9999-12-31",
            "2016-05-23 22:02:10 +0800 x",
            "2016-05-23T",
            "0000-00-00 00:00:00",
            "NaN",
        ] {
            assert!(instant(raw, &shanghai).is_err(), "{raw}");
        }
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let skipped = instant("2026-03-29 02:30:00", &berlin).unwrap();
        assert_eq!(
            skipped.to_string(),
            "2026-03-29T01:30:00Z",
            "a skipped hour is read past the gap"
        );
    }

    #[test]
    fn a_time_to_come_is_refused() {
        let now: Timestamp = "2026-05-04T12:00:00Z".parse().unwrap();
        assert!(past_instant("2026-05-04 12:05", &Zone::utc(), now).is_ok(), "clocks differ");
        let reason = past_instant("2026-05-04 20:00", &Zone::utc(), now).unwrap_err();
        assert!(reason.contains("future") && reason.contains("UTC"), "{reason}");
    }

    #[test]
    fn a_phone_names_somebody_only_with_its_country() {
        for (raw, number) in [
            ("+44 20 7946 0958", Some("+442079460958")),
            ("0086-138-0001-0001", Some("+8613800010001")),
            ("13800010001", Some("+8613800010001")),
            ("020 7946 0958", None),
            ("138****0001", None),
            ("+1", None),
            ("+0123456789", None),
            ("call me", None),
        ] {
            assert_eq!(phone(raw).as_deref(), number, "{raw}");
        }
    }

    #[test]
    fn quantities_are_finite_and_not_negative() {
        assert_eq!(
            (quantity("2"), quantity("0.5"), quantity("")),
            (Ok(Some(2.0)), Ok(Some(0.5)), Ok(None))
        );
        for raw in ["-1", "NaN", "inf", "1e3", "9999999999", "two", ".", "1.2.3"] {
            assert!(quantity(raw).is_err(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(raw in ".{0,40}", tail in "[0-9:/. TZ+-]{0,30}") {
            for text in [&raw, &tail, &format!("2016-{tail}")] {
                let _ = (bare(text), is_rounded(text), quantity(text), phone(text), shown(text));
                let _ = (money(text, &cny()), instant(text, &Zone::utc()));
            }
        }

        #[test]
        fn an_instant_reads_back_as_it_prints(micros in 0..=Timestamp::MAX.0) {
            let at = Timestamp(micros);
            prop_assert_eq!(instant(&at.to_string(), &Zone::utc()), Ok(at));
        }
    }
}
