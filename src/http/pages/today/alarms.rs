//! What is wrong, in words, and where to mend it.

use serde::Serialize;

use crate::http::pages::format::Format;
use crate::http::pages::words;
use crate::reports::alarms::Alarm;

#[derive(Debug, Default, Serialize)]
pub struct AlarmLine {
    pub tone: &'static str,
    pub title: String,
    pub text: String,
    pub href: &'static str,
    pub link: String,
    /// What to write where, when the page itself can do nothing.
    pub code: &'static str,
}

pub fn alarm_lines(format: &Format, alarms: &[Alarm]) -> Vec<AlarmLine> {
    alarms
        .iter()
        .map(|alarm| {
            let (key, tone, n, href, code) = match alarm {
                Alarm::Restored(_) => ("restored", "risk", 0, "", "homing resume"),
                Alarm::InDoubt(n) => ("in_doubt", "warn", *n, "/outbox?status=in_doubt", ""),
                Alarm::FailedToday(n) => ("failed", "risk", *n, "/outbox?status=failed", ""),
                Alarm::RulesPaused(n) => ("rules_paused", "risk", *n, "/rules", ""),
                Alarm::SendingPaused(_) => {
                    ("sending_paused", "risk", 0, "", "homing rules resume --sending")
                }
                Alarm::NoSender => ("no_sender", "risk", 0, "", "homing apply shop.toml"),
                Alarm::NoPostalAddress => ("no_postal", "risk", 0, "", "homing apply shop.toml"),
                Alarm::NoSmtp => ("no_smtp", "risk", 0, "", "HOMING_SMTP_URL"),
                Alarm::NeverScored => ("never_scored", "warn", 0, "", "homing score"),
                Alarm::ScoresOld(_) => ("scores_old", "warn", 0, "", "homing score"),
                Alarm::ScoresHistoric(_) => ("scores_historic", "warn", 0, "", "homing score"),
            };
            let title = match alarm {
                Alarm::InDoubt(_) | Alarm::FailedToday(_) | Alarm::RulesPaused(_) => {
                    format.count(&format!("alarm.{key}.title"), n)
                }
                _ => format.text(&format!("alarm.{key}.title"), &[]),
            };
            let text = match alarm {
                Alarm::ScoresOld(at) | Alarm::ScoresHistoric(at) => {
                    format.text(&format!("alarm.{key}.text"), &[("when", &format.day(*at))])
                }
                Alarm::SendingPaused(reason) => {
                    let why = words::known(format, "pause_reason", reason.as_str());
                    format.text(&format!("alarm.{key}.text"), &[("why", &why)])
                }
                Alarm::Restored(at) => {
                    format.text(&format!("alarm.{key}.text"), &[("when", &format.exact(*at))])
                }
                _ => format.text(&format!("alarm.{key}.text"), &[]),
            };
            let link = if href.is_empty() {
                String::new()
            } else {
                format.text(&format!("alarm.{key}.link"), &[])
            };
            AlarmLine { tone, title, text, href, link, code }
        })
        .collect()
}
