//! How a command fails: one line that says what is wrong and where, its causes, and a hint what to do.

use std::process::ExitCode;

pub struct CliError {
    error: anyhow::Error,
    hint: Option<String>,
    usage: bool,
}

impl CliError {
    /// Wrong usage or input: exit 2.
    pub fn usage(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { error: error.into(), hint: None, usage: true }
    }

    /// Wrong usage or input, in words: exit 2.
    pub fn usage_text(text: impl Into<String>) -> Self {
        Self { error: anyhow::anyhow!(text.into()), hint: None, usage: true }
    }

    /// Failed work, in words: exit 1.
    pub fn text(text: impl Into<String>) -> Self {
        Self { error: anyhow::anyhow!(text.into()), hint: None, usage: false }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the error, its causes and the hint on stderr.
    pub fn report(self) -> ExitCode {
        eprintln!("error: {}", self.error);
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let text = cause.to_string();
            if !said.contains(&text) {
                eprintln!("  caused by: {text}");
                said = text;
            }
        }
        if let Some(hint) = self.hint {
            eprintln!("\nhint: {hint}");
        }
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

/// Failed work: exit 1.
impl<E: Into<anyhow::Error>> From<E> for CliError {
    fn from(error: E) -> Self {
        Self { error: error.into(), hint: None, usage: false }
    }
}
