//! Templates: read and compiled once, rendered per recipient.
//!
//! A template is three files, `NAME.LOCALE.subject`, `.txt`, and `.mjml` or `.html`; MJML becomes HTML once, when it
//! is loaded, with the placeholders still in it. The built-in ones are in the binary; a folder adds to them and
//! overrides them file by file, the shared parts (`_head.mjml` …) too.

mod engine;
mod files;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use self::engine::{Page, environment};
use self::files::{compile_mjml, read_all, split_name};
use super::MailContext;
use crate::primitives::clean_text;

pub use engine::escape_html;

/// All templates, ready to render. Cheap per recipient; share one.
pub struct Composer {
    environment: Environment<'static>,
    /// Each template's locales.
    locales: BTreeMap<String, BTreeSet<String>>,
}

/// A mail's words, without its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub locale: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the templates' folder {} cannot be read", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("template {file}: {what}")]
    Invalid { file: String, what: String },
}

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("there is no template `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("template {file} cannot be rendered")]
    Failed { file: String, source: minijinja::Error },
}

impl Composer {
    /// The built-in templates, overridden and joined by those of `folder`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: no MJML, a syntax error, a variable that does not exist, a part
    /// that is missing, no unsubscribe link, no postal address. All are found now, none while sending.
    pub fn load(folder: Option<&Path>) -> Result<Self, LoadError> {
        let files = read_all(folder)?;
        let mut composer = Self { environment: environment(), locales: BTreeMap::new() };
        for (file, text) in files.iter().filter(|(file, _)| !file.starts_with('_')) {
            let invalid = |what: String| LoadError::Invalid { file: file.clone(), what };
            let Some((name, locale, kind)) = split_name(file) else {
                return Err(invalid(
                    "its name is not NAME.LOCALE.KIND, with a kind of subject, txt, mjml or html"
                        .to_owned(),
                ));
            };
            let (kind, source) = match kind {
                "mjml" => ("html", compile_mjml(text, &files).map_err(invalid)?),
                kind => (kind, text.clone()),
            };
            composer
                .environment
                .add_template_owned(format!("{name}.{locale}.{kind}"), source)
                .map_err(|e| invalid(in_one_line(&e)))?;
            composer.locales.entry(name.to_owned()).or_default().insert(locale.to_owned());
        }
        composer.try_all()?;
        Ok(composer)
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.locales.keys().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.locales.contains_key(name)
    }

    /// Renders in the first of `locales` (most wanted first) that the template speaks, else in English.
    pub fn render(
        &self,
        name: &str,
        locales: &[&str],
        context: &MailContext,
    ) -> Result<Rendered, RenderError> {
        let locale = self.locale(name, locales).ok_or_else(|| RenderError::Unknown {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })?;
        let values = minijinja::Value::from(Serde(&Values {
            context,
            first_name: context.customer.first_name(),
            link: context.link(),
        }));
        let part = |kind: &str| self.part(&format!("{name}.{locale}.{kind}"), &values);
        let subject = match &context.subject {
            Some(subject) => Cow::from(subject),
            None => Cow::from(part("subject")?),
        };
        Ok(Rendered {
            locale: locale.to_owned(),
            subject: clean_text(&subject, 200).unwrap_or_else(|| context.store.name.clone()),
            text: part("txt")?,
            html: part("html")?,
        })
    }

    fn part(&self, file: &str, values: &minijinja::Value) -> Result<String, RenderError> {
        let failed = |source| RenderError::Failed { file: file.to_owned(), source };
        let template = self.environment.get_template(file).map_err(failed)?;
        let mut page = Page::new();
        template.render_captured_to(values.clone(), &mut page).map_err(failed)?;
        Ok(page.into_text())
    }

    /// `zh`, `zh-Hans-CN` and `zh_TW` are all served by `zh-CN`: the language counts, then the region.
    fn locale(&self, name: &str, wanted: &[&str]) -> Option<&str> {
        let spoken = self.locales.get(name)?;
        let language =
            |tag: &str| tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let find = |wanted: &&str| {
            let exact = spoken.iter().find(|tag| tag.eq_ignore_ascii_case(wanted));
            exact.or_else(|| spoken.iter().find(|tag| language(tag) == language(wanted)))
        };
        let found = wanted.iter().find_map(find).or_else(|| find(&"en"));
        found.or_else(|| spoken.first()).map(String::as_str)
    }

    /// Renders everything with samples once: what would fail for a recipient fails here.
    fn try_all(&self) -> Result<(), LoadError> {
        for (name, locales) in &self.locales {
            for locale in locales {
                self.must_be_whole(name, locale)?;
                for context in MailContext::samples(locale) {
                    let rendered = self.render(name, &[locale], &context);
                    let rendered = rendered.map_err(|error| as_load_error(name, error))?;
                    must_offer_a_way_out(name, &context, &rendered)?;
                }
            }
        }
        Ok(())
    }

    fn must_be_whole(&self, name: &str, locale: &str) -> Result<(), LoadError> {
        let is_missing = |kind: &&str| {
            self.environment.get_template(&format!("{name}.{locale}.{kind}")).is_err()
        };
        let Some(kind) = ["subject", "txt", "html"].into_iter().find(is_missing) else {
            return Ok(());
        };
        let what = if kind == "html" { ".mjml or .html" } else { kind };
        let what = format!("the part {what} is missing");
        Err(LoadError::Invalid { file: format!("{name}.{locale}"), what })
    }
}

fn as_load_error(name: &str, error: RenderError) -> LoadError {
    match error {
        RenderError::Failed { file, source } => {
            LoadError::Invalid { file, what: in_one_line(&source) }
        }
        unknown => LoadError::Invalid { file: name.to_owned(), what: unknown.to_string() },
    }
}

/// The law's two demands on every marketing mail, and ours.
fn must_offer_a_way_out(
    name: &str,
    context: &MailContext,
    rendered: &Rendered,
) -> Result<(), LoadError> {
    let unsubscribe = context.unsubscribe_url.as_deref().unwrap_or_default();
    for (kind, part) in [("txt", &rendered.text), ("html", &rendered.html)] {
        for (placeholder, value) in [
            ("unsubscribe_url", unsubscribe),
            ("store.postal_address", context.store.postal_address.as_str()),
        ] {
            if !part.contains(value) {
                let what = format!("{{{{ {placeholder} }}}} must stand in it");
                return Err(LoadError::Invalid {
                    file: format!("{name}.{}.{kind}", rendered.locale),
                    what,
                });
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Values<'a> {
    #[serde(flatten)]
    context: &'a MailContext,
    first_name: Option<&'a str>,
    link: Option<&'a str>,
}

fn in_one_line(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    format!("{error}{line}")
}
