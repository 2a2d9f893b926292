//! The files that the pages are made of: built into the binary, each replaceable by name from a folder.

use std::borrow::Cow;
use std::path::Path;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::Pages;

#[derive(RustEmbed)]
#[folder = "templates/pages/"]
#[prefix = "pages/"]
struct PageFiles;

#[derive(RustEmbed)]
#[folder = "templates/static/"]
#[prefix = "static/"]
struct StaticFiles;

/// The names of the built-in templates, such as `pages/today.html`.
pub fn templates() -> impl Iterator<Item = Cow<'static, str>> {
    PageFiles::iter().filter(|name| name.ends_with(".html"))
}

/// A built-in text.
///
/// # Panics
/// When the build left it out: the first page would otherwise fail in front of an operator.
pub fn built_in(name: &str) -> String {
    let file = PageFiles::get(name).or_else(|| StaticFiles::get(name));
    let file = file.unwrap_or_else(|| panic!("templates/{name} was not built in"));
    String::from_utf8(file.data.into_owned()).expect("templates are UTF-8")
}

/// The folder's file of that name, if there is one.
///
/// # Errors
/// It is there and cannot be read.
pub fn from_folder(folder: Option<&Path>, name: &str) -> std::io::Result<Option<String>> {
    let Some(path) = folder.map(|folder| folder.join(name)) else { return Ok(None) };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Style, script and icon, read once at start.
pub struct Static {
    files: Vec<(&'static str, &'static str, String)>,
    /// Changes with their content: part of their address, so that a browser may keep them for ever.
    pub version: String,
}

impl Static {
    pub fn load(folder: Option<&Path>) -> std::io::Result<Self> {
        let mut files = Vec::new();
        let mut hash = Sha256::new();
        for (name, kind) in [
            ("console.css", "text/css; charset=utf-8"),
            ("console.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
        ] {
            let path = format!("static/{name}");
            let text = from_folder(folder, &path)?.unwrap_or_else(|| built_in(&path));
            hash.update(&text);
            files.push((name, kind, text));
        }
        let version = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { files, version })
    }
}

/// `GET /static/{version}/{name}`
pub async fn serve(path: web::Path<(String, String)>, pages: web::Data<Pages>) -> HttpResponse {
    let (version, name) = path.into_inner();
    let Some((_, kind, text)) = pages.statics.files.iter().find(|(known, ..)| *known == name)
    else {
        return HttpResponse::NotFound().finish();
    };
    let keep = if version == pages.statics.version {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, *kind))
        .insert_header((header::CACHE_CONTROL, keep))
        .body(text.clone())
}
