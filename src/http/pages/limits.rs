//! How often someone may try to sign in: by where they come from, and by whose account it is.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::HttpRequest;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Behind one address an office; behind one account one person. A guesser gets 2,880 tries a day at an account.
const PER_ADDRESS: (u32, Duration) = (30, Duration::from_secs(4));
const PER_EMAIL: (u32, Duration) = (10, Duration::from_secs(30));
/// When this many keys are held, those that are whole again are let go.
const KEYS: usize = 10_000;

pub struct SignInLimits {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_email: DefaultKeyedRateLimiter<String>,
}

/// Too many tries: not before `PER_EMAIL`'s pace allows.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            by_address: RateLimiter::keyed(quota(PER_ADDRESS)),
            by_email: RateLimiter::keyed(quota(PER_EMAIL)),
        }
    }
}

fn quota((burst, pace): (u32, Duration)) -> Quota {
    Quota::with_period(pace)
        .expect("the pace is not zero")
        .allow_burst(NonZeroU32::new(burst).expect("the burst is not zero"))
}

impl SignInLimits {
    /// Counts a try. Nothing is hashed for one that is refused.
    pub fn admit(&self, address: IpAddr, email: &str) -> Result<(), TooMany> {
        if self.by_address.len() > KEYS {
            self.by_address.retain_recent();
        }
        if self.by_email.len() > KEYS {
            self.by_email.retain_recent();
        }
        self.by_address.check_key(&subnet(address)).map_err(|_| TooMany)?;
        self.by_email.check_key(&email.to_owned()).map_err(|_| TooMany)
    }
}

/// One subscriber of IPv6 has at least a /64 to try from.
fn subnet(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Where a request comes from. A proxy is believed only on this machine, and only its own word, the last one.
pub fn client_address(request: &HttpRequest) -> IpAddr {
    let peer =
        request.peer_addr().map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = request.headers().get("x-forwarded-for").and_then(|v| v.to_str().ok());
    forwarded
        .and_then(|list| list.rsplit(',').next())
        .and_then(|last| last.trim().parse().ok())
        .unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_guarded_whatever_the_address() {
        let limits = SignInLimits::default();
        let from = |n: u8| IpAddr::from([203, 0, 113, n]);
        for n in 0..10 {
            assert_eq!(limits.admit(from(n), "mei@lakeside.example"), Ok(()));
        }
        assert_eq!(limits.admit(from(99), "mei@lakeside.example"), Err(TooMany));
        assert_eq!(limits.admit(from(99), "jun@lakeside.example"), Ok(()));
    }

    #[test]
    fn an_address_is_held_whatever_the_account() {
        let limits = SignInLimits::default();
        let refused = (0..40)
            .filter(|n| {
                let address = format!("2001:db8::{n:x}").parse().unwrap();
                limits.admit(address, &format!("{n}@lakeside.example")).is_err()
            })
            .count();
        assert_eq!(refused, 10, "one subscriber's many IPv6 addresses count as one");
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        use actix_web::test::TestRequest;
        let request = |peer: &str, forwarded: &'static str| {
            let request = TestRequest::default()
                .peer_addr(peer.parse().unwrap())
                .insert_header(("x-forwarded-for", forwarded));
            client_address(&request.to_http_request()).to_string()
        };
        assert_eq!(request("127.0.0.1:9", "10.0.0.1, 203.0.113.7"), "203.0.113.7");
        assert_eq!(request("198.51.100.2:9", "203.0.113.7"), "198.51.100.2");
        assert_eq!(request("127.0.0.1:9", "nonsense"), "127.0.0.1");
    }
}
