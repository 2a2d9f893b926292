//! `homing rules gallery [KEY]`: ready rules, as text to paste into shop.toml. Opens no database.

use clap::{Args, ValueEnum};

use crate::cli::CliError;
use crate::gallery;

#[derive(Args)]
pub struct GalleryArgs {
    /// Which one to print; `all` prints a whole shop.toml with every one. Without it, what there is.
    key: Option<String>,
    #[arg(long, value_enum, default_value = "en")]
    lang: Lang,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Lang {
    En,
    #[value(name = "zh-CN", alias = "zh")]
    Zh,
}

pub fn run(args: &GalleryArgs) -> Result<(), CliError> {
    let is_chinese = args.lang == Lang::Zh;
    match args.key.as_deref() {
        None => {
            for ready in gallery::all() {
                let advice = ready.advice(is_chinese);
                println!("{:<12} {}", ready.rule.key, advice.name);
                println!("{:<12} {}", "", advice.when);
                println!("{:<12} {}\n", "", advice.care);
            }
            eprintln!("Print one with: homing rules gallery KEY");
        }
        Some("all") => print!("{}", gallery::FILE),
        Some(key) => {
            let ready = gallery::find(key).ok_or_else(|| {
                CliError::usage_text(format!("there is no ready rule `{}`", key.escape_debug()))
                    .hint("list them with: homing rules gallery")
            })?;
            println!("{}", ready.text(is_chinese));
        }
    }
    Ok(())
}
