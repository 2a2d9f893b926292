//! Settings of the process: environment first, then `homing.toml`; read once, checked once, handed down in parts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::db::DatabaseUrl;
use crate::primitives::Delay;

#[derive(Debug, Clone)]
pub struct Config {
    pub database: DatabaseUrl,
    pub listen: SocketAddr,
    /// Base of the links in mails, without a slash at its end.
    pub public_url: String,
    pub templates: Option<PathBuf>,
    /// Read by `mail::Transport`; may hold a password, so it is never printed.
    pub smtp_url: Option<SmtpUrl>,
    pub secret: Option<String>,
    pub tick: Duration,
    pub log: String,
    pub log_format: LogFormat,
}

/// Where mail goes, password and all; shows itself without.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl(pub String);

impl std::fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.0.split(':').next().unwrap_or_default();
        let place = self
            .0
            .rsplit_once('@')
            .map_or_else(|| self.0.split_once("//").map_or("", |(_, p)| p), |(_, p)| p);
        write!(f, "{scheme}://{place}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the settings file {path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the settings file {path} is not valid: {message}")]
    Invalid { path: PathBuf, message: String },
    #[error("{name} is not valid: {message}")]
    Value { name: &'static str, message: String },
}

/// The file's form; the names are those of the environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(non_snake_case, reason = "the file uses the environment's names")]
struct File {
    HOMING_DATABASE_URL: Option<String>,
    HOMING_LISTEN: Option<String>,
    HOMING_PUBLIC_URL: Option<String>,
    HOMING_TEMPLATES: Option<String>,
    HOMING_SMTP_URL: Option<String>,
    HOMING_SECRET: Option<String>,
    HOMING_TICK: Option<String>,
    HOMING_LOG: Option<String>,
    HOMING_LOG_FORMAT: Option<String>,
}

impl Config {
    /// Reads `HOMING_CONFIG` (default `homing.toml`, which may be absent), then the environment over it.
    ///
    /// # Errors
    /// Names the file or the variable, what is wrong with it, and what may stand there.
    pub fn load(env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let file = match env("HOMING_CONFIG") {
            Some(path) => read_file(Path::new(&path))?,
            None if Path::new("homing.toml").exists() => read_file(Path::new("homing.toml"))?,
            None => File::default(),
        };
        let pick = |name: &str, from_file: Option<String>| {
            env(name).or(from_file).filter(|v| !v.trim().is_empty())
        };
        let value = |name: &'static str, message: String| ConfigError::Value { name, message };

        let database = pick("HOMING_DATABASE_URL", file.HOMING_DATABASE_URL)
            .unwrap_or_else(|| "sqlite:homing.db".to_owned())
            .parse()
            .map_err(|e: crate::db::InvalidDatabaseUrl| {
                value("HOMING_DATABASE_URL", e.to_string())
            })?;
        let listen: SocketAddr = pick("HOMING_LISTEN", file.HOMING_LISTEN)
            .unwrap_or_else(|| "127.0.0.1:8080".to_owned())
            .parse()
            .map_err(|_| {
                value(
                    "HOMING_LISTEN",
                    "write an address and a port, such as 127.0.0.1:8080".to_owned(),
                )
            })?;
        let public_url = pick("HOMING_PUBLIC_URL", file.HOMING_PUBLIC_URL)
            .unwrap_or_else(|| format!("http://{listen}"))
            .trim_end_matches('/')
            .to_owned();
        if !public_url.starts_with("http://") && !public_url.starts_with("https://") {
            return Err(value(
                "HOMING_PUBLIC_URL",
                "it must begin with http:// or https://".to_owned(),
            ));
        }
        let tick: Delay = pick("HOMING_TICK", file.HOMING_TICK)
            .unwrap_or_else(|| "5s".to_owned())
            .parse()
            .map_err(|e: crate::primitives::InvalidDelay| value("HOMING_TICK", e.to_string()))?;
        if tick == Delay::ZERO {
            return Err(value("HOMING_TICK", "it must be at least 1s".to_owned()));
        }
        let log_format = match pick("HOMING_LOG_FORMAT", file.HOMING_LOG_FORMAT).as_deref() {
            None | Some("pretty") => LogFormat::Pretty,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(value(
                    "HOMING_LOG_FORMAT",
                    format!("`{other}` is not one of: pretty, json"),
                ));
            }
        };
        Ok(Self {
            database,
            listen,
            public_url,
            templates: pick("HOMING_TEMPLATES", file.HOMING_TEMPLATES).map(PathBuf::from),
            smtp_url: pick("HOMING_SMTP_URL", file.HOMING_SMTP_URL).map(SmtpUrl),
            secret: pick("HOMING_SECRET", file.HOMING_SECRET),
            tick: Duration::from_secs(tick.as_seconds().unsigned_abs()),
            log: pick("HOMING_LOG", file.HOMING_LOG).unwrap_or_else(|| "info".to_owned()),
            log_format,
        })
    }
}

fn read_file(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|e| ConfigError::Invalid { path: path.to_owned(), message: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Config::load(move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    }

    #[test]
    fn defaults_need_nothing() {
        let config = load(&[]).unwrap();
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
        assert_eq!((config.tick, config.smtp_url.is_none()), (Duration::from_secs(5), true));
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        for (name, raw) in
            [("HOMING_LISTEN", "8080"), ("HOMING_TICK", "soon"), ("HOMING_LOG_FORMAT", "xml")]
        {
            assert!(load(&[(name, raw)]).unwrap_err().to_string().starts_with(name));
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = load(&[("HOMING_SMTP_URL", "smtp://me:hush@mail.example:587")]).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
