//! What kind of program asks, by its own words. The words themselves are not kept: they can tell people apart.

use crate::intake::tracking_api::is_bot;
use crate::text_enum;

text_enum! {
    pub enum Agent {
        Browser = "browser",
        /// A crawler, a previewer, a script, a scanner of mail that says so.
        Robot = "robot",
        /// Loads pictures in the recipient's stead, whether or not the mail is read.
        MailProxy = "mail_proxy",
        /// A browser that only makes ready for what might be wanted.
        Prefetch = "prefetch",
        /// It does not say.
        Unnamed = "unnamed",
    }
}

/// Programs that look into links of mails and name themselves; most of their kind pass for browsers.
const SCANNERS: [&str; 16] = [
    "barracuda",
    "bitdefender",
    "cloudmark",
    "fireeye",
    "forcepoint",
    "ironport",
    "kaspersky",
    "mimecast",
    "proofpoint",
    "safelinks",
    "sophos",
    "symantec",
    "trendmicro",
    "urlscan",
    "virustotal",
    "zscaler",
];
/// HTTP libraries that the list of crawlers does not have.
const LIBRARIES: [&str; 7] =
    ["java/", "okhttp", "axios/", "node-fetch", "undici", "guzzlehttp", "aiohttp"];
const PROXIES: [&str; 3] = ["googleimageproxy", "ggpht.com", "yahoomailproxy"];

impl Agent {
    /// `purpose`: what a `Sec-Purpose`, `Purpose` or `X-Purpose` header says.
    pub fn of(user_agent: Option<&str>, purpose: Option<&str>) -> Self {
        let said = purpose.unwrap_or_default().to_ascii_lowercase();
        if said.contains("prefetch") || said.contains("preview") || said.contains("prerender") {
            return Self::Prefetch;
        }
        let raw = user_agent.unwrap_or_default().trim();
        let agent = raw.to_ascii_lowercase();
        let names = |list: &[&str]| list.iter().any(|name| agent.contains(name));
        if raw.is_empty() {
            Self::Unnamed
        // Apple's Mail Privacy Protection says nothing but this; every browser says more.
        } else if raw == "Mozilla/5.0" || names(&PROXIES) {
            Self::MailProxy
        } else if names(&SCANNERS) || names(&LIBRARIES) || is_bot(raw) {
            Self::Robot
        } else {
            Self::Browser
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_what_they_say() {
        for (agent, class) in [
            ("", Agent::Unnamed),
            ("Mozilla/5.0", Agent::MailProxy),
            (
                "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
                Agent::MailProxy,
            ),
            (
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
                Agent::MailProxy,
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1)", Agent::Robot),
            ("curl/8.5.0", Agent::Robot),
            ("python-requests/2.31", Agent::Robot),
            ("Mozilla/5.0 (Barracuda Sentinel)", Agent::Robot),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
                Agent::Browser,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36",
                Agent::Browser,
            ),
        ] {
            assert_eq!(Agent::of(Some(agent), None), class, "{agent}");
        }
        assert_eq!(Agent::of(None, None), Agent::Unnamed);
        assert_eq!(
            Agent::of(Some("Mozilla/5.0 (X11) Firefox/125.0"), Some("prefetch;prerender")),
            Agent::Prefetch
        );
    }
}
