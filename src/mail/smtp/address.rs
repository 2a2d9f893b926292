//! A mail server's URL, taken apart.

use std::fmt;

use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::mail::InvalidSmtpUrl;

#[derive(Clone)]
pub struct ServerAddress {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// STARTTLS if the server offers it. Its certificate is not checked: whoever could forge one could as well
    /// hide the offer, and a local relay's is seldom signed by anyone.
    IfOffered,
    /// STARTTLS with a good certificate, or nothing: a password is at stake.
    Required,
    /// TLS from the first byte, with a good certificate.
    Implicit,
}

/// Host and port: never the password.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl ServerAddress {
    /// `smtp://[user:password@]host[:port]` or `smtps://…`. Ports: 465 for smtps, 587 with a user, else 25.
    pub fn parse(raw: &str) -> Result<Self, InvalidSmtpUrl> {
        let url = Url::parse(raw).map_err(|_| {
            InvalidSmtpUrl("it is no URL (special characters in a password are written as %XX)")
        })?;
        let implicit = match url.scheme() {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(InvalidSmtpUrl("it begins with none of smtp://, smtps://, file:")),
        };
        let host = match url.host() {
            Some(Host::Domain("")) | None => return Err(InvalidSmtpUrl("the host is missing")),
            Some(Host::Domain(name)) => name.to_ascii_lowercase(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSmtpUrl("something follows the port"));
        }
        let decoded = |part: &str| {
            let text = percent_decode_str(part).decode_utf8();
            text.map(String::from).map_err(|_| InvalidSmtpUrl("the user or password is not UTF-8"))
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            ("", _) | (_, None) => {
                return Err(InvalidSmtpUrl("a user needs a password, and a password a user"));
            }
            (user, Some(password)) => Some(Credentials::new(decoded(user)?, decoded(password)?)),
        };
        let security = match (implicit, &credentials) {
            (true, _) => Security::Implicit,
            (false, Some(_)) => Security::Required,
            (false, None) => Security::IfOffered,
        };
        let port = url.port().unwrap_or(match security {
            Security::Implicit => 465,
            Security::Required => 587,
            Security::IfOffered => 25,
        });
        Ok(Self { host, port, security, credentials })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_security_follow_from_the_form() {
        let parsed = |raw: &str| {
            let server = ServerAddress::parse(raw).unwrap();
            (server.to_string(), server.security, server.credentials.is_some())
        };
        let cases = [
            ("smtp://127.0.0.1:2525", "127.0.0.1:2525", Security::IfOffered, false),
            ("smtp://Relay.Example", "relay.example:25", Security::IfOffered, false),
            ("smtp://[::1]:2525/", "[::1]:2525", Security::IfOffered, false),
            ("smtp://me:a%40b@relay.example", "relay.example:587", Security::Required, true),
            ("smtps://me:hush@relay.example", "relay.example:465", Security::Implicit, true),
            ("smtps://relay.example:2465", "relay.example:2465", Security::Implicit, false),
        ];
        for (raw, place, security, signs_in) in cases {
            assert_eq!(parsed(raw), (place.to_owned(), security, signs_in), "{raw}");
        }
    }
}
