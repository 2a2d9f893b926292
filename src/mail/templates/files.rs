//! A template's files: the built-in ones and those of a folder, and MJML made HTML.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use mrml::prelude::parser::ParserOptions;
use mrml::prelude::parser::memory_loader::MemoryIncludeLoader;
use mrml::prelude::render::RenderOptions;
use rust_embed::Embed;

use super::LoadError;

#[derive(Embed)]
#[folder = "templates/mail/"]
struct BuiltIn;

/// File name to text.
pub fn read_all(folder: Option<&Path>) -> Result<BTreeMap<String, String>, LoadError> {
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
pub fn split_name(file: &str) -> Option<(&str, &str, &str)> {
    let (stem, kind) = file.rsplit_once('.')?;
    let (name, locale) = stem.split_once('.')?;
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let is_kind = matches!(kind, "subject" | "txt" | "mjml" | "html");
    (is_word(name) && is_word(locale) && is_kind).then_some((name, locale, kind))
}

/// HTML with the placeholders still in it, or what is wrong with the MJML.
pub fn compile_mjml(source: &str, files: &BTreeMap<String, String>) -> Result<String, String> {
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
