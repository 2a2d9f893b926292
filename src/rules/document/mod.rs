//! Reads `shop.toml`: strictly, with the line of every mistake, and all mistakes at once.
//!
//! Knows the text form alone; what is sensible is asked by `check`, what is stored by `store`.

mod case;
mod errors;
mod json;
pub(super) mod node;
pub(super) mod print;
mod rule;
pub(super) mod sections;
mod step;
#[cfg(test)]
mod tests;
mod trigger;

use toml::de::DeTable;

pub use case::Words;
pub use errors::{DocumentErrors, Problem};
use node::{Fields, Node, Problems, Value};

use super::{Class, Rule, RuleStatus, RuleTest};
use crate::primitives::Delay;
use crate::stores::{Details, Retention, Scoring, Sending};

/// A store's settings and rules, as one text holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopDocument {
    pub store: Details,
    pub sending: Sending,
    pub scoring: Scoring,
    pub retention: Retention,
    /// In the order of the text; no key twice.
    pub rules: Vec<Rule>,
}

/// What holds where a rule says nothing.
pub mod defaults {
    use super::{Class, Delay, RuleStatus};

    pub const CLASS: Class = Class::Marketing;
    pub const STATUS: RuleStatus = RuleStatus::Draft;
    pub const PRIORITY: u8 = 50;
    pub const USEFUL_FOR: Delay = Delay::hours(72);
    pub const MIN_VISITS: u32 = 1;
    pub const MIN_PRODUCT_VIEWS: u32 = 0;
    pub const LOCALE: &str = "en";
}

impl ShopDocument {
    /// Larger than any shop's settings; keeps a wrong file from filling the memory.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads a document. `file` is how messages name it; `templates` are the ones a step may use.
    ///
    /// # Errors
    /// Every mistake with its line, the wrong value, and what may stand there instead.
    pub fn parse(file: &str, text: &str, templates: &[String]) -> Result<Self, DocumentErrors> {
        parse_with(file, text, |root, problems| read_document(root, templates, problems))
    }

    /// As [`ShopDocument::parse`], with the tests of its rules.
    ///
    /// # Errors
    /// As [`ShopDocument::parse`].
    pub fn parse_with_tests(
        file: &str,
        text: &str,
        templates: &[String],
        words: Words,
    ) -> Result<(Self, Vec<RuleTest>), DocumentErrors> {
        parse_with(file, text, |root, problems| {
            let document = read_document(root, templates, problems)?;
            let tests = case::read_tests(root, text, &document, words, problems);
            Some((document, tests))
        })
    }

    /// Reads rules alone, as they stand in a document: for one that is not saved yet.
    ///
    /// # Errors
    /// As [`ShopDocument::parse`].
    pub fn parse_rules(
        file: &str,
        text: &str,
        templates: &[String],
    ) -> Result<Vec<Rule>, DocumentErrors> {
        parse_with(file, text, |root, problems| {
            let fields = Fields::open(root, "the text", &["rule"], &[], problems)?;
            read_rules(fields.require("rule", problems)?, templates, problems)
        })
    }
}

fn parse_with<T>(
    file: &str,
    text: &str,
    read: impl FnOnce(&Node, &mut Problems) -> Option<T>,
) -> Result<T, DocumentErrors> {
    let errors = |problems: Problems| DocumentErrors::of(file, text, problems);
    let mut problems = Problems::default();
    if text.len() > ShopDocument::MAX_BYTES {
        let most = ShopDocument::MAX_BYTES;
        problems.add(0, format!("the file is larger than {most} bytes: is it the right one?"));
        return Err(errors(problems));
    }
    let (table, mistakes) = DeTable::parse_recoverable(text);
    if !mistakes.is_empty() {
        // What cannot be read as TOML would be misread as missing settings: say only what is sure.
        for mistake in mistakes {
            let at = mistake.span().map_or(0, |span| span.start);
            problems.add(at, format!("not valid TOML: {}", mistake.message()));
        }
        // Within a line, what follows the first mistake is mostly its consequence.
        let mut errors = errors(problems);
        errors.problems.dedup_by_key(|problem| problem.line);
        return Err(errors);
    }
    let root = Node::from_toml(&table);
    match read(&root, &mut problems) {
        Some(document) if problems.0.is_empty() => Ok(document),
        _ => Err(errors(problems)),
    }
}

fn read_document(
    root: &Node,
    templates: &[String],
    problems: &mut Problems,
) -> Option<ShopDocument> {
    let allowed = ["store", "sending", "scoring", "retention", "rule"];
    let fields = Fields::open(root, "the document", &allowed, &["sources"], problems)?;
    let store = match fields.get("store") {
        Some(node) => sections::read_store(node, problems),
        None => {
            problems.add(0, "the document has no [store], which is required");
            None
        }
    };
    let sending = match fields.get("sending") {
        Some(node) => sections::read_sending(node, problems),
        None => Some(Sending::default()),
    };
    let scoring = match fields.get("scoring") {
        Some(node) => sections::read_scoring(node, problems),
        None => Some(Scoring::default()),
    };
    let retention = match fields.get("retention") {
        Some(node) => sections::read_retention(node, problems),
        None => Some(Retention::default()),
    };
    let rules = match fields.get("rule") {
        Some(node) => read_rules(node, templates, problems),
        None => Some(Vec::new()),
    };
    Some(ShopDocument {
        store: store?,
        sending: sending?,
        scoring: scoring?,
        retention: retention?,
        rules: rules?,
    })
}

fn read_rules(node: &Node, templates: &[String], problems: &mut Problems) -> Option<Vec<Rule>> {
    let Value::List(nodes) = &node.value else {
        problems.add(node.at, "a rule begins with [[rule]], in two pairs of brackets");
        return None;
    };
    rule::read_rules(nodes, templates, problems)
}
