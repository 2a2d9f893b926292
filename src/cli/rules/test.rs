//! `homing rules test FILE`: runs the `[[rule.test]]` blocks of a shop.toml. Opens no database: fit for anyone's CI.

use std::path::Path;

use crate::backtest::case;
use crate::cli::{CliError, apply};
use crate::config::Config;

pub fn run(file: &Path, config: &Config) -> Result<(), CliError> {
    let (document, tests) = apply::read_with_tests(file, config)?;
    let mut failed = 0;
    for test in &tests {
        let name = match &test.name {
            Some(name) => format!("{} (line {}): {name}", test.rule, test.line),
            None => format!("{} (line {})", test.rule, test.line),
        };
        let tested = case::judge(&document, test);
        if tested.passed {
            println!("ok      {name}");
            continue;
        }
        failed += 1;
        let wanted = match &test.reason {
            Some(reason) => format!("{} ({reason})", test.outcome),
            None => test.outcome.clone(),
        };
        let came = match tested.came.as_slice() {
            [] => "no decision".to_owned(),
            came => came.join(", then "),
        };
        println!("FAILED  {name}: expected {wanted}, came {came}");
    }
    if tests.is_empty() {
        eprintln!("{} holds no [[rule.test]].", file.display());
    }
    if failed > 0 {
        return Err(CliError::text(format!("{failed} of {} tests failed", tests.len())));
    }
    Ok(())
}
