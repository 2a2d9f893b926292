//! Templates and their typed contexts. All are parsed, and all samples rendered, at start.

use std::path::Path;
use std::sync::Arc;

use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::assets;
use super::catalogue::{Catalogue, CatalogueError, Lang};
use super::html::Html;
use super::shell::Shell;

/// A page's context: what its template may name, and nothing else.
pub trait Screen: Serialize + Sized {
    const TEMPLATE: &'static str;

    /// A few contexts, the empty one among them; all must render.
    fn samples() -> Vec<Self>;
}

#[derive(Debug, thiserror::Error)]
pub enum TemplatesError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("the file {name} of HOMING_TEMPLATES cannot be read: {source}")]
    Unreadable { name: String, source: std::io::Error },
    #[error("the template {name} is not valid: {message}")]
    Invalid { name: String, message: String },
}

/// One environment a language, with its catalogue bound to `t`.
pub struct Templates {
    languages: Vec<(Arc<Catalogue>, Environment<'static>)>,
}

#[derive(Serialize)]
struct Context<'a, S> {
    shell: &'a Shell,
    page: &'a S,
}

impl Templates {
    /// Built-in templates, each replaced by `folder`'s of the same name where there is one.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplatesError> {
        let read = |name: &str| {
            assets::from_folder(folder, name)
                .map_err(|source| TemplatesError::Unreadable { name: name.to_owned(), source })
        };
        let mut catalogues = Vec::new();
        for lang in Lang::ALL {
            let mut catalogue = Catalogue::parse(lang, &assets::built_in(lang.file()))?;
            if let Some(own) = read(lang.file())? {
                catalogue.overlay(Catalogue::parse(lang, &own)?);
            }
            catalogues.push(catalogue);
        }
        catalogues[0].check_against(&catalogues[1])?;
        catalogues[1].check_against(&catalogues[0])?;

        let mut languages = Vec::new();
        for catalogue in catalogues {
            let catalogue = Arc::new(catalogue);
            let mut environment = environment(&catalogue);
            for name in assets::templates() {
                let source = match read(&name)? {
                    Some(own) => own,
                    None => assets::built_in(&name),
                };
                let short = name.trim_start_matches("pages/").to_owned();
                environment.add_template_owned(short.clone(), source).map_err(|e| {
                    TemplatesError::Invalid { name: short, message: format!("{e:#}") }
                })?;
            }
            languages.push((catalogue, environment));
        }
        Ok(Self { languages })
    }

    pub fn words(&self, lang: Lang) -> Arc<Catalogue> {
        self.of(lang).0.clone()
    }

    fn of(&self, lang: Lang) -> &(Arc<Catalogue>, Environment<'static>) {
        self.languages.iter().find(|(words, _)| words.lang == lang).unwrap_or(&self.languages[0])
    }

    pub fn render<S: Screen>(
        &self,
        lang: Lang,
        shell: &Shell,
        page: &S,
    ) -> Result<String, TemplatesError> {
        let invalid = |e: minijinja::Error| TemplatesError::Invalid {
            name: S::TEMPLATE.to_owned(),
            message: format!("{e:#}"),
        };
        let template = self.of(lang).1.get_template(S::TEMPLATE).map_err(invalid)?;
        template.render(Serde(Context { shell, page })).map_err(invalid)
    }

    /// Renders all samples of a screen in both languages.
    pub fn check<S: Screen>(&self) -> Result<(), TemplatesError> {
        for lang in Lang::ALL {
            for shell in Shell::samples(&self.words(lang)) {
                for page in S::samples() {
                    self.render(lang, &shell, &page)?;
                }
            }
        }
        Ok(())
    }
}

fn environment(catalogue: &Arc<Catalogue>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    // `t('nav.today')`, `t('pager.of', n='25', all='1,284')`: a text of the catalogue.
    let words = catalogue.clone();
    environment.add_function(
        "t",
        move |key: &str, values: Kwargs| -> Result<Html, minijinja::Error> {
            if !words.has(key) {
                return Err(minijinja::Error::new(
                    minijinja::ErrorKind::InvalidOperation,
                    format!("there is no text `{key}`"),
                ));
            }
            let mut pairs: Vec<(String, String)> = Vec::new();
            for name in values.args() {
                let value: Value = values.get(name)?;
                pairs.push((name.to_owned(), value.to_string()));
            }
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            Ok(words.html(key, &pairs))
        },
    );
    environment
}

/// What `t` gives is markup of ours.
impl From<Html> for Value {
    fn from(html: Html) -> Self {
        Self::from_safe_string(html.0)
    }
}
