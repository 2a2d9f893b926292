//! `homing apply`: puts a `shop.toml` in force, and says what changed.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, open};
use crate::backtest::case::with_words;
use crate::config::Config;
use crate::db::DbError;
use crate::mail;
use crate::primitives::Clock;
use crate::rules::{self, Applied, DocumentErrors, RuleTest, ShopDocument};

#[derive(Args)]
pub struct Apply {
    /// The settings and rules: see examples/shop.toml.
    file: PathBuf,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
}

pub fn run(command: &Apply, config: &Config, store: &str, clock: Clock) -> Result<(), CliError> {
    check_store_key(store)?;
    let document = read(&command.file, config)
        .map_err(|e| e.hint("nothing was applied; mend the file and apply it again"))?;
    for warning in rules::check(&document) {
        eprintln!("warning: {warning}");
    }
    let db = open(config)?;
    db.migrate()?;
    let applied = if command.dry_run {
        db.read_here(|conn| rules::preview(conn, store, &document).map_err(DbError::from))?
    } else {
        let now = clock.now();
        db.write_here(|conn| rules::apply(conn, store, &document, now).map_err(DbError::from))?
    };
    report(&applied, command.dry_run);
    Ok(())
}

/// A `shop.toml`: read strictly, with the line of every mistake, those in its tests too: they are kept with their rules.
pub fn read(path: &Path, config: &Config) -> Result<ShopDocument, CliError> {
    read_with_tests(path, config).map(|(document, _)| document)
}

/// As [`read`], with the tests of its rules.
pub fn read_with_tests(
    path: &Path,
    config: &Config,
) -> Result<(ShopDocument, Vec<RuleTest>), CliError> {
    read_by(path, config, |name, text, templates| {
        with_words(|words| ShopDocument::parse_with_tests(name, text, templates, words))
    })
}

fn read_by<T>(
    path: &Path,
    config: &Config,
    parse: impl FnOnce(&str, &str, &[String]) -> Result<T, DocumentErrors>,
) -> Result<T, CliError> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    // One byte more than a document may have is enough for the reader to refuse it.
    std::fs::File::open(path)
        .and_then(|open| open.take(ShopDocument::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| CliError::usage_text(format!("{file} cannot be read: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        CliError::usage_text(format!("{file}:{line}: not UTF-8 text"))
            .hint("save the file as UTF-8")
    })?;
    let templates = mail::Composer::load(config.templates.as_deref())?;
    let known: Vec<String> = templates.names().map(str::to_owned).collect();
    parse(&file, &text, &known).map_err(CliError::usage)
}

/// A store's key stands in commands and file names.
fn check_store_key(key: &str) -> Result<(), CliError> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !key.is_empty() && key.len() <= 64 && key.bytes().all(fits) {
        return Ok(());
    }
    Err(CliError::usage_text(format!("`{}` is no store key", key.escape_debug()))
        .hint("write lower-case letters, digits, - and _, at most 64"))
}

fn report(applied: &Applied, dry_run: bool) {
    if applied.changes.is_empty() {
        println!("nothing to change");
    }
    for change in &applied.changes {
        println!("{change}");
    }
    if applied.needs_rebuild {
        eprintln!(
            "warning: timezone and currency decide how days and money are counted, and facts are counted already: \
             run `homing rebuild`{}",
            if dry_run { " after applying this" } else { "" }
        );
    }
    if dry_run && !applied.changes.is_empty() {
        eprintln!("nothing was applied: this was a dry run");
    }
}
