//! All that is wrong with a document, each mistake with its line.

use std::fmt;

use super::node::Problems;

/// More mistakes than that are one: the wrong file.
const MAX_PROBLEMS: usize = 50;

/// All that is wrong with a document, one line each: `shop.toml:17: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentErrors {
    pub file: String,
    /// In the order of the text; at least one.
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl DocumentErrors {
    /// Finds the lines of `problems` in `text`; the same mistake is said once.
    pub(super) fn of(file: &str, text: &str, problems: Problems) -> Self {
        Self { file: file.to_owned(), problems: in_lines(text, problems) }
    }
}

impl std::error::Error for DocumentErrors {}

/// The lines after the first begin with `error:` too, as the command line's do.
impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { line, message }) in self.problems.iter().enumerate() {
            let lead = if n == 0 { "" } else { "\nerror: " };
            write!(f, "{lead}{}:{line}: {message}", self.file)?;
        }
        Ok(())
    }
}

fn in_lines(text: &str, mut problems: Problems) -> Vec<Problem> {
    problems.0.sort();
    problems.0.dedup();
    let more = problems.0.len().saturating_sub(MAX_PROBLEMS);
    let (mut line, mut from) = (1, 0);
    let mut placed: Vec<Problem> = problems
        .0
        .into_iter()
        .take(MAX_PROBLEMS)
        .map(|(at, message)| {
            let at = at.min(text.len());
            line += text.as_bytes()[from..at].iter().filter(|b| **b == b'\n').count();
            from = at;
            Problem { line, message }
        })
        .collect();
    if more > 0 {
        placed.push(Problem { line, message: format!("and {more} more mistakes") });
    }
    placed
}
