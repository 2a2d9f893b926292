//! Renders the pages for recipients.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// What the page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Gets marketing mail, as far as it is up to them.
    Subscribed,
    Unsubscribed,
    /// Erased: there is no address left to write to.
    Gone,
    /// No such link.
    Unknown,
    /// The database does not answer.
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh-CN")]
    Chinese,
}

#[derive(Debug, Clone, Serialize)]
pub struct Page {
    pub state: State,
    pub language: Language,
    /// Empty where no store is known.
    pub store: String,
    /// Enough of the address to recognise it.
    pub address: Option<String>,
    /// Something was done just now.
    pub done: bool,
}

impl Language {
    /// The first of these tags that names a language of ours.
    pub fn of<'a>(tags: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        tags.into_iter().find_map(|tag| {
            match tag.trim().split(['-', '_', ';']).next()?.to_ascii_lowercase().as_str() {
                "zh" => Some(Self::Chinese),
                "en" => Some(Self::English),
                _ => None,
            }
        })
    }
}

impl Page {
    /// No such link, in the language that the browser asks for.
    pub fn unknown(headers: &header::HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            state: State::Unknown,
            language: Language::of(accepted.split(',')).unwrap_or(Language::English),
            store: String::new(),
            address: None,
            done: false,
        }
    }

    pub fn respond(&self) -> HttpResponse {
        let status = match self.state {
            State::Unknown => StatusCode::NOT_FOUND,
            State::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            State::Subscribed | State::Unsubscribed | State::Gone => StatusCode::OK,
        };
        let mut response = HttpResponse::build(status);
        if self.state == State::Unavailable {
            response.insert_header((header::RETRY_AFTER, "30"));
        }
        response
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            // The address of this page is a key: it goes to no other host, and into no search engine.
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .insert_header(("X-Robots-Tag", "noindex, nofollow"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ))
            .body(self.html())
    }

    fn html(&self) -> String {
        let template = TEMPLATES.get_template("preferences.html");
        template.and_then(|t| t.render(Serde(self))).expect("a template of ours, tried by a test")
    }
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let source = include_str!("../../../templates/public/preferences.html");
    environment.add_template("preferences.html", source).expect("a template of ours");
    environment
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_renders_in_both_languages_and_escapes() {
        for language in [Language::English, Language::Chinese] {
            for state in [
                State::Subscribed,
                State::Unsubscribed,
                State::Gone,
                State::Unknown,
                State::Unavailable,
            ] {
                for done in [false, true] {
                    let page = Page {
                        state,
                        language,
                        store: "Tea <&> more".to_owned(),
                        address: Some("a…@mail.example".to_owned()),
                        done,
                    };
                    let html = page.html();
                    assert!(!html.contains("Tea <&>"), "{html}");
                    let buttons = html.matches("<button").count();
                    let acts = matches!(state, State::Subscribed | State::Unsubscribed);
                    assert_eq!(buttons, usize::from(acts), "{state:?}");
                    if let Ok(folder) = std::env::var("HOMING_TEST_PREVIEWS") {
                        let name = format!("public.{state:?}.{language:?}.{done}.html");
                        std::fs::write(std::path::Path::new(&folder).join(name), html).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn a_language_is_found_in_tags() {
        assert_eq!(Language::of(["fr", "zh-Hans-CN", "en"]), Some(Language::Chinese));
        assert_eq!(Language::of("de, en-GB;q=0.8, zh;q=0.5".split(',')), Some(Language::English));
        assert_eq!(Language::of(["fr", ""]), None);
    }
}
