//! Templates: read and compiled once, rendered per recipient.
//!
//! A template is three files, `NAME.LOCALE.subject`, `.txt`, and `.mjml` or `.html`; MJML becomes HTML once, when it
//! is loaded, with the placeholders still in it. The built-in ones are in the binary; a folder adds to them and
//! overrides them file by file, the shared parts (`_head.mjml` …) too.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use mrml::prelude::parser::ParserOptions;
use mrml::prelude::parser::memory_loader::MemoryIncludeLoader;
use mrml::prelude::render::RenderOptions;
use rust_embed::Embed;
use serde::Serialize;

use super::MailContext;
use crate::primitives::clean_text;

#[derive(Embed)]
#[folder = "templates/mail/"]
struct BuiltIn;

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

/// Steps of a template: loops over a hundred products end well before.
const FUEL: u64 = 200_000;
/// Gmail cuts a mail off at 102 KB; anything near this limit is a template gone wrong.
const LARGEST_PART: usize = 512 * 1024;

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
        let mut page = Page(Vec::with_capacity(32 * 1024));
        template.render_captured_to(values.clone(), &mut page).map_err(failed)?;
        Ok(String::from_utf8(page.0).unwrap_or_default())
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
                for kind in ["subject", "txt", "html"] {
                    let file = format!("{name}.{locale}.{kind}");
                    if self.environment.get_template(&file).is_err() {
                        let what = if kind == "html" { ".mjml or .html" } else { kind };
                        let what = format!("the part {what} is missing");
                        return Err(LoadError::Invalid { file: format!("{name}.{locale}"), what });
                    }
                }
                for context in MailContext::samples(locale) {
                    let rendered = self.render(name, &[locale], &context).map_err(|e| match e {
                        RenderError::Failed { file, source } => {
                            LoadError::Invalid { file, what: in_one_line(&source) }
                        }
                        unknown => {
                            LoadError::Invalid { file: name.clone(), what: unknown.to_string() }
                        }
                    })?;
                    must_offer_a_way_out(name, &context, &rendered)?;
                }
            }
        }
        Ok(())
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

/// Strict: a misspelt name is an error, not a gap in a mail.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let tidy = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(tidy.unwrap_or_default());
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
    });
    // The built-in escape turns `/` into `&#x2f;` as well, which bloats every link and serves nobody.
    environment.set_formatter(|out, state, value| match state.auto_escape() {
        AutoEscape::Html if !value.is_safe() && !value.is_undefined() && !value.is_none() => {
            let text = value.to_string();
            out.write_str(&escape_html(&text)).map_err(minijinja::Error::from)
        }
        _ if value.is_none() => Ok(()),
        _ => minijinja::escape_formatter(out, state, value),
    });
    // It makes a gigabyte of a dozen characters, within any fuel.
    environment.remove_filter("format");
    environment.add_filter("clip", |text: String, most: usize| clip(&text, most));
    environment.add_filter("initial", |text: String| -> String {
        let initial = text.chars().find(|c| c.is_alphanumeric());
        initial.map(|c| c.to_uppercase().to_string()).unwrap_or_default()
    });
    environment
}

pub(super) fn escape_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::from(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Cow::from(escaped)
}

/// At most so many characters, ended at a word's end and by `…` when cut.
fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    let whole_words = head.rfind(' ').filter(|end| *end > head.len() / 2);
    let head = &head[..whole_words.unwrap_or(head.len())];
    format!("{}…", head.trim_end_matches([' ', ',', '，', '、']))
}

/// Refuses to grow without end.
struct Page(Vec<u8>);

impl Write for Page {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + part.len() > LARGEST_PART {
            return Err(std::io::Error::other("it grew larger than 512 KiB"));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// File name to text.
fn read_all(folder: Option<&Path>) -> Result<BTreeMap<String, String>, LoadError> {
    let mut files = BTreeMap::new();
    for file in BuiltIn::iter() {
        let bytes = BuiltIn::get(&file).map(|f| f.data).unwrap_or_default();
        files.insert(file.to_string(), String::from_utf8_lossy(&bytes).into_owned());
    }
    let Some(folder) = folder else { return Ok(files) };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Folder { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let Some(file) = path.file_name().and_then(|f| f.to_str()) else { continue };
        let is_ours = ["subject", "txt", "mjml", "html"].iter().any(|kind| {
            file.strip_suffix(kind).is_some_and(|stem| stem.ends_with('.') && stem.len() > 1)
        });
        // Editors leave backups and hidden files beside what they edit.
        if !is_ours || file.starts_with('.') || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        // One body per template: an HTML file takes the place of the built-in MJML, and the other way round.
        for (kind, other) in [(".html", ".mjml"), (".mjml", ".html")] {
            if let Some(stem) = file.strip_suffix(kind) {
                files.remove(&format!("{stem}{other}"));
            }
        }
        files.insert(file.to_owned(), text);
    }
    Ok(files)
}

/// `(name, locale, kind)` of `NAME.LOCALE.KIND`.
fn split_name(file: &str) -> Option<(&str, &str, &str)> {
    let (stem, kind) = file.rsplit_once('.')?;
    let (name, locale) = stem.split_once('.')?;
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let is_kind = matches!(kind, "subject" | "txt" | "mjml" | "html");
    (is_word(name) && is_word(locale) && is_kind).then_some((name, locale, kind))
}

fn compile_mjml(source: &str, files: &BTreeMap<String, String>) -> Result<String, String> {
    let shared = files.iter().filter(|(file, _)| file.starts_with('_'));
    let shared: Vec<(&String, &String)> = shared.collect();
    let options = ParserOptions { include_loader: Box::new(MemoryIncludeLoader::from(shared)) };
    let parsed = mrml::parse_with_options(source, &options).map_err(|e| chain(&e))?;
    // No font of another host: opening a mail should tell nobody else.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let html = parsed.element.render(&options).map_err(|e| chain(&e))?;
    // mrml passes on what it does not know, and mail programs show nothing of it.
    match html.find("<mj-").map(|at| &html[at..]) {
        Some(unknown) => {
            let end = unknown.find([' ', '/', '>']).unwrap_or(unknown.len());
            Err(format!("{}> is no element of MJML, or stands where it may not", &unknown[..end]))
        }
        None => Ok(html),
    }
}

fn in_one_line(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    format!("{error}{line}")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composer() -> Composer {
        Composer::load(None).unwrap_or_else(|e| panic!("{e}"))
    }

    fn sample(locale: &str) -> MailContext {
        MailContext::samples(locale).remove(0)
    }

    fn overridden(files: &[(&str, &str)]) -> Result<Composer, LoadError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Composer::load(Some(folder.path()))
    }

    const WAY_OUT: &str = "{{ unsubscribe_url }} {{ store.postal_address }}";

    #[test]
    fn every_built_in_template_renders_in_both_languages() {
        let composer = composer();
        assert_eq!(
            composer.names().collect::<Vec<_>>(),
            [
                "birthday",
                "browse-reminder",
                "cart-reminder",
                "first-order-thanks",
                "referral",
                "repurchase-nudge",
                "review-request",
                "win-back"
            ]
        );
        for name in composer.names() {
            for locale in ["en", "zh-CN"] {
                for (context, full) in MailContext::samples(locale).iter().zip([true, false]) {
                    let mail = composer.render(name, &[locale], context).unwrap();
                    assert_eq!(mail.locale, locale);
                    assert!(!mail.subject.contains('\n') && mail.subject.chars().count() < 80);
                    for part in [&mail.text, &mail.html] {
                        assert!(part.contains(&context.store.postal_address), "{name} {locale}");
                        assert!(part.contains("https://mail.lakeside.example/u/SAMPLE"));
                        assert_eq!(part.contains("WELCOME-10"), full, "{name} {locale}");
                        assert!(!part.contains("{{") && !part.contains("{%"), "{name} {locale}");
                    }
                    assert!(!mail.text.contains("\n\n\n"), "{name} {locale}:\n{}", mail.text);
                    assert!(!mail.html.contains("src=\"\""), "no broken pictures");
                    assert!(mail.html.contains(&format!("lang=\"{locale}\"")));
                    assert!(mail.html.len() < 60_000, "Gmail cuts at 102 KB: {}", mail.html.len());
                    assert!(
                        !mail.html.contains("fonts.googleapis.com"),
                        "opening a mail tells no other host"
                    );
                }
            }
        }
    }

    #[test]
    fn what_customers_and_products_are_called_cannot_become_markup() {
        let mut context = sample("en");
        context.customer.name = Some("<script>alert(1)</script>".to_owned());
        context.store.name = "Tea & \"More\" <b>".to_owned();
        context.products[0].url = Some("javascript:alert(1)".to_owned());
        let mail = composer().render("first-order-thanks", &["en"], &context).unwrap();
        assert!(!mail.html.contains("<script>alert") && !mail.html.contains("javascript:"));
        assert!(mail.html.contains("Tea &amp; &quot;More&quot; &lt;b&gt;"));
        assert!(mail.text.contains("Tea & \"More\" <b>"), "plain text is not escaped");
        assert!(mail.html.contains("/p/longjing?from=mail&amp;size=100"));
    }

    #[test]
    fn the_customers_language_is_spoken_then_the_stores_then_english() {
        let composer = composer();
        let spoken = |wanted: &[&str]| composer.locale("win-back", wanted);
        for tag in ["zh", "zh-CN", "zh-Hans", "zh-Hans-CN", "zh_CN", "ZH-cn"] {
            assert_eq!(spoken(&[tag, "en"]), Some("zh-CN"), "{tag}");
        }
        assert_eq!(spoken(&["en-GB", "zh-CN"]), Some("en"));
        assert_eq!(spoken(&["fr", "zh-CN"]), Some("zh-CN"));
        assert_eq!(spoken(&["fr", "de"]), Some("en"));
        assert_eq!(spoken(&[]), Some("en"));
        assert_eq!(composer.locale("no-such", &["en"]), None);
    }

    #[test]
    fn a_folder_overrides_file_by_file_and_adds_templates() {
        let composer = overridden(&[
            ("win-back.en.subject", "Come back, {{ first_name or 'friend' }}"),
            ("_foot.en.mjml", "<mj-section><mj-column><mj-text>{{ store.postal_address }} <a href=\"{{ unsubscribe_url }}\">Stop</a></mj-text></mj-column></mj-section>"),
            ("spring.de.subject", "Frühling"),
            ("spring.de.txt", WAY_OUT),
            ("spring.de.html", WAY_OUT),
            ("notes.md", "not ours"),
        ])
        .unwrap_or_else(|e| panic!("{e}"));
        assert!(composer.has("spring") && composer.has("cart-reminder"));
        let mail = composer.render("win-back", &["en"], &sample("en")).unwrap();
        assert_eq!(mail.subject, "Come back, Ann");
        assert!(mail.html.contains(">Stop</a>"));
        assert_eq!(composer.render("spring", &["fr"], &sample("en")).unwrap().subject, "Frühling");
    }

    #[test]
    fn a_faulty_template_is_named_with_its_fault_before_anything_is_sent() {
        for (files, said) in [
            (&[("win-back.en.subject", "Hi {{ custmer.name }}")][..], "win-back.en.subject"),
            (&[("win-back.en.txt", "{% if %}")], "win-back.en.txt"),
            (
                &[("win-back.en.mjml", "<mjml><mj-body><mj-nonsense/></mj-body></mjml>")],
                "<mj-nonsense> is no element",
            ),
            (
                &[(
                    "win-back.en.mjml",
                    "<mjml><mj-body><mj-include path=\"gone\"/></mj-body></mjml>",
                )],
                "gone",
            ),
            (
                &[("win-back.en.txt", "Buy! {{ store.postal_address }}")],
                "{{ unsubscribe_url }} must stand in it",
            ),
            (
                &[("win-back.en.txt", "Buy! {{ unsubscribe_url }}")],
                "{{ store.postal_address }} must stand in it",
            ),
            (&[("spring.en.subject", "Spring")], "the part txt is missing"),
            (&[("spring.subject", "Spring")], "NAME.LOCALE.KIND"),
            (
                &[(
                    "win-back.en.txt",
                    "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
                )],
                "fuel",
            ),
        ] {
            let Err(error) = overridden(files) else { panic!("{files:?} was taken") };
            let text = error.to_string();
            assert!(text.contains(said) && !text.contains('\n'), "{files:?}: {text}");
        }
    }

    #[test]
    fn a_long_name_is_cut_at_a_word() {
        assert_eq!(clip("West Lake Longjing, first flush", 20), "West Lake Longjing…");
        assert_eq!(clip("明前西湖龙井特级一百克", 6), "明前西湖龙…");
        assert_eq!(clip("short", 20), "short");
    }

    /// Writes every mail as a file into the folder that this variable names, to be looked at in a browser.
    #[test]
    fn previews_are_written_where_asked() {
        let Ok(folder) = std::env::var("HOMING_TEST_PREVIEWS") else { return };
        let composer = composer();
        for name in composer.names() {
            for locale in ["en", "zh-CN"] {
                for (mut context, kind) in
                    MailContext::samples(locale).into_iter().zip(["full", "bare"])
                {
                    if let Ok(pictures) = std::env::var("HOMING_TEST_PICTURES") {
                        for (n, product) in context.products.iter_mut().enumerate() {
                            product.image_url =
                                product.image_url.as_ref().map(|_| format!("{pictures}/{n}.png"));
                        }
                    }
                    let mail = composer.render(name, &[locale], &context).unwrap();
                    let stem = Path::new(&folder).join(format!("{name}.{locale}.{kind}"));
                    std::fs::write(stem.with_extension(format!("{kind}.html")), mail.html).unwrap();
                    std::fs::write(
                        stem.with_extension(format!("{kind}.txt")),
                        format!("{}\n\n{}", mail.subject, mail.text),
                    )
                    .unwrap();
                }
            }
        }
    }
}
