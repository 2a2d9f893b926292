//! SMTP over lettre's connection, with a pool of our own.
//!
//! lettre 0.11.23's pool asks NOOP before each reuse and leaves Nagle's algorithm on, which costs 44 ms a message
//! (it waits for the peer's delayed ACK). Here: TCP_NODELAY, pipelining (RFC 2920), reuse without asking. And lettre
//! does not tell whether a lost connection had already carried the final dot, which is what decides between
//! "try again" and "in doubt" (RFC 5321 §6.1): so every byte the socket took is counted.

mod address;
mod counted;
mod line;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::address::Address;
use lettre::transport::smtp::extension::ClientId;
use tokio::time::Instant;

use self::address::ServerAddress;
use self::line::{Envelope, Line, Trouble};
use super::reply::judge;
use super::{Delivery, InvalidSmtpUrl, ReadyMail};
use crate::primitives::EmailAddress;

/// How long to wait for what. RFC 5321 §4.5.3.2 asks for minutes, as the other side may be busy, and most of all
/// after the final dot, where giving up leaves the message in doubt.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    /// For greeting, EHLO, TLS and sign-in together, and for MAIL, RCPT and DATA together.
    command: Duration,
    body: Duration,
    answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            command: Duration::from_secs(60),
            body: Duration::from_secs(180),
            answer: Duration::from_secs(300),
        }
    }
}

/// A connection is kept this long without work; servers hang up after one to five minutes.
const KEPT_IDLE: Duration = Duration::from_secs(20);
/// Many relays refuse more than a hundred messages on one connection.
const MESSAGES_PER_CONNECTION: u32 = 100;

/// A mail server, and the connections to it that wait for more.
pub struct Smtp {
    server: ServerAddress,
    hello: ClientId,
    timeouts: Timeouts,
    idle: Mutex<Vec<Line>>,
}

impl Smtp {
    pub(super) fn from_url(url: &str) -> Result<Self, InvalidSmtpUrl> {
        Ok(Self {
            server: ServerAddress::parse(url)?,
            hello: ClientId::default(),
            timeouts: Timeouts::default(),
            idle: Mutex::default(),
        })
    }

    pub(super) async fn hand_over(&self, mail: &ReadyMail) -> Delivery {
        let Some(envelope) = envelope(mail) else {
            let reply = "the address needs SMTPUTF8 (RFC 6531), which is not supported".to_owned();
            return Delivery::Permanent { reply, hard: false };
        };
        // The server may have closed a kept connection meanwhile. Nothing of the message was sent then: once more.
        if let Some(mut line) = self.take_idle() {
            match line.open(&envelope, self.timeouts.command).await {
                Ok(()) => return self.deliver(line, mail).await,
                Err(Trouble::Refused(stage, reply)) if reply.code != 421 => {
                    self.keep_after_refusal(line).await;
                    return judge(stage, &reply);
                }
                Err(_) => drop(line),
            }
        }
        let mut line = match Line::connect(&self.server, &self.hello, self.timeouts).await {
            Ok(line) => line,
            Err(why) => return Delivery::NotSent { why },
        };
        match line.open(&envelope, self.timeouts.command).await {
            Ok(()) => self.deliver(line, mail).await,
            Err(Trouble::Refused(stage, reply)) => {
                if reply.code != 421 {
                    self.keep_after_refusal(line).await;
                }
                judge(stage, &reply)
            }
            Err(Trouble::Lost(why)) => Delivery::NotSent { why },
        }
    }

    async fn deliver(&self, mut line: Line, mail: &ReadyMail) -> Delivery {
        let delivery = line.deliver(&mail.bytes, self.timeouts).await;
        // Only an acceptance leaves no doubt about where the conversation stands.
        if matches!(delivery, Delivery::Accepted { .. }) {
            self.keep(line);
        }
        delivery
    }

    async fn keep_after_refusal(&self, mut line: Line) {
        if line.reset(self.timeouts.command).await {
            self.keep(line);
        }
    }

    fn keep(&self, mut line: Line) {
        if line.messages >= MESSAGES_PER_CONNECTION {
            tokio::spawn(async move { line.quit(Duration::from_secs(5)).await });
            return;
        }
        line.idle_since = Instant::now();
        self.idle().push(line);
    }

    /// The connection used last: the others grow old and go.
    fn take_idle(&self) -> Option<Line> {
        let mut idle = self.idle();
        idle.retain(|line| line.idle_since.elapsed() < KEPT_IDLE);
        idle.pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) async fn probe(&self) -> Result<String, String> {
        let mut line = Line::connect(&self.server, &self.hello, self.timeouts).await?;
        let encrypted = if line.encrypted { "encrypted" } else { "not encrypted" };
        let signed_in = if self.server.credentials.is_some() { ", signed in" } else { "" };
        line.quit(self.timeouts.command).await;
        Ok(format!("{} answers ({encrypted}{signed_in})", self.server))
    }

    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        let goodbyes = idle.into_iter().map(|mut line| async move {
            line.quit(Duration::from_secs(2)).await;
        });
        futures::future::join_all(goodbyes).await;
    }
}

/// `None` when an address cannot travel without SMTPUTF8.
fn envelope(mail: &ReadyMail) -> Option<Envelope> {
    let address = |a: &EmailAddress| -> Option<Address> {
        if a.is_ascii() { a.as_str().parse().ok() } else { None }
    };
    Some(Envelope { from: address(&mail.envelope_from)?, to: address(&mail.envelope_to)? })
}

/// So that `Transport` can be shared between threads.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Arc<Smtp>>();
};
