//! One conversation with a mail server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lettre::address::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::Timeouts;
use super::address::{Security, ServerAddress};
use super::counted::{Counted, Encrypted};
use crate::mail::Delivery;
use crate::mail::reply::{Reply, Stage, judge};
use crate::primitives::clean_text;

pub struct Envelope {
    pub from: Address,
    pub to: Address,
}

/// Why a conversation came to no message.
pub enum Trouble {
    Refused(Stage, Reply),
    /// The connection, or the sense of it, is gone.
    Lost(String),
}

/// An open connection, greeted, and encrypted and signed in as its address asks.
pub struct Line {
    smtp: AsyncSmtpConnection,
    /// Bytes the kernel took from us so far, as they go over the wire.
    taken: Arc<AtomicU64>,
    pipelining: bool,
    pub encrypted: bool,
    pub messages: u32,
    pub idle_since: Instant,
}

/// `CRLF.CRLF`: only with its last byte does a server hold the message.
const FINAL_DOT: u64 = 5;

impl Line {
    /// The error says in one line what stood in the way.
    pub async fn connect(
        server: &ServerAddress,
        hello: &ClientId,
        timeouts: Timeouts,
    ) -> Result<Self, String> {
        let at = |what: &dyn fmt::Display| format!("{server}: {what}");
        let connected =
            timeout(timeouts.connect, TcpStream::connect((server.host.as_str(), server.port)));
        let tcp = match connected.await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(e)) => return Err(at(&e)),
            Err(_) => return Err(at(&"no connection in time")),
        };
        tcp.set_nodelay(true).map_err(|e| at(&e))?;
        match timeout(timeouts.command, Self::greet(tcp, server, hello)).await {
            Ok(greeted) => greeted.map_err(|why| at(&why)),
            Err(_) => Err(at(&"connected, but no greeting in time")),
        }
    }

    async fn greet(
        tcp: TcpStream,
        server: &ServerAddress,
        hello: &ClientId,
    ) -> Result<Self, String> {
        let (counted, taken) = Counted::new(tcp);
        let stream: Box<dyn AsyncTokioStream> = match server.security {
            Security::Implicit => Box::new(encrypt(counted, &server.host).await?),
            Security::IfOffered | Security::Required => Box::new(counted),
        };
        let mut smtp =
            AsyncSmtpConnection::connect_with_transport(stream, hello).await.map_err(words)?;
        let mut encrypted = server.security == Security::Implicit;
        if !encrypted {
            let checked = server.security == Security::Required;
            if smtp.can_starttls() {
                let tls = TlsParameters::builder(server.host.clone())
                    .dangerous_accept_invalid_certs(!checked)
                    .dangerous_accept_invalid_hostnames(!checked)
                    .build_rustls()
                    .map_err(words)?;
                smtp.starttls(tls, hello).await.map_err(words)?;
                encrypted = true;
            } else if checked {
                return Err("STARTTLS is not offered, so the password is kept back".to_owned());
            }
        }
        // lettre read the same list, but keeps only the extensions that it uses itself.
        let extensions = smtp.command(Ehlo::new(hello.clone())).await.map_err(words)?;
        let pipelining = extensions.message().any(|line| line.eq_ignore_ascii_case("PIPELINING"));
        if let Some(credentials) = &server.credentials {
            smtp.auth(DEFAULT_MECHANISMS, credentials)
                .await
                .map_err(|e| format!("sign-in refused: {}", words(e)))?;
        }
        Ok(Self { smtp, taken, pipelining, encrypted, messages: 0, idle_since: Instant::now() })
    }

    /// MAIL, RCPT, DATA. `Ok`: the server waits for the message.
    pub async fn open(&mut self, envelope: &Envelope, patience: Duration) -> Result<(), Trouble> {
        match timeout(patience, self.open_patiently(envelope)).await {
            Ok(opened) => opened,
            Err(_) => Err(Trouble::Lost("no answer in time before the message".to_owned())),
        }
    }

    async fn open_patiently(&mut self, envelope: &Envelope) -> Result<(), Trouble> {
        let mail = Mail::new(Some(envelope.from.clone()), vec![]);
        let rcpt = Rcpt::new(envelope.to.clone(), vec![]);
        if !self.pipelining {
            heard(Stage::Sender, self.smtp.command(mail).await)?;
            heard(Stage::Recipient, self.smtp.command(rcpt).await)?;
            return heard(Stage::Content, self.smtp.command(Data).await);
        }
        let opening = Opening { mail, rcpt };
        // Each of the three is answered, whatever became of the ones before it (RFC 2920 §3.1), unless the
        // server hangs up. The first refusal is the one that counts.
        let mut opened = heard(Stage::Sender, self.smtp.command(opening).await);
        for stage in [Stage::Recipient, Stage::Content] {
            if matches!(opened, Err(Trouble::Lost(_))) {
                break;
            }
            let answer = heard(stage, self.smtp.read_response().await);
            if stage == Stage::Content && opened.is_err() && answer.is_ok() {
                // It waits for a message to nobody: give it an empty one. Its answer adds nothing.
                let _ = self.smtp.message(b"").await;
            }
            opened = opened.and(answer);
        }
        opened
    }

    /// The message and its final dot.
    pub async fn deliver(&mut self, bytes: &[u8], timeouts: Timeouts) -> Delivery {
        const NOT_YET: u64 = u64::MAX;
        let before_dot = AtomicU64::new(NOT_YET);
        let taken = Arc::clone(&self.taken);
        let dot_needs = if self.encrypted { 1 } else { FINAL_DOT };
        let dot_may_be_out = || {
            let mark = before_dot.load(Ordering::Relaxed);
            mark != NOT_YET && taken.load(Ordering::Relaxed) - mark >= dot_needs
        };
        let result = {
            // lettre writes and flushes each part before it asks for the next: when it learns that there is none,
            // all bytes before the dot are with the kernel, and none of the dot.
            let body = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
            let end = std::iter::from_fn(|| {
                before_dot.store(taken.load(Ordering::Relaxed), Ordering::Relaxed);
                None
            });
            let mut sending =
                std::pin::pin!(self.smtp.message_iter(std::iter::once(body).chain(end)));
            match timeout(timeouts.body, &mut sending).await {
                Ok(result) => Some(result),
                Err(_) if dot_may_be_out() => timeout(timeouts.answer, &mut sending).await.ok(),
                Err(_) => None,
            }
        };
        match result {
            Some(Ok(response)) => {
                self.messages += 1;
                let text = response.message().collect::<Vec<_>>().join(" ");
                let code = response.code();
                Delivery::Accepted {
                    reply: format!("{code} {}", clean_text(&text, 500).unwrap_or_default()),
                }
            }
            Some(Err(error)) => match refusal(&error) {
                Some(reply) => judge(Stage::Content, &reply),
                None if dot_may_be_out() => Delivery::InDoubt {
                    why: format!("no answer to the complete message: {}", words(error)),
                },
                None => self.parting_words(error).await,
            },
            None if dot_may_be_out() => {
                Delivery::InDoubt { why: "no answer to the complete message in time".to_owned() }
            }
            None => {
                Delivery::NotSent { why: "the message could not be written in time".to_owned() }
            }
        }
    }

    /// A server that hangs up amid the message may have said why.
    async fn parting_words(&mut self, error: Error) -> Delivery {
        let last = timeout(Duration::from_secs(1), self.smtp.read_response()).await;
        match last.ok().and_then(Result::err).and_then(|e| refusal(&e)) {
            Some(reply) => judge(Stage::Content, &reply),
            None => Delivery::NotSent {
                why: format!("the connection was lost amid the message: {}", words(error)),
            },
        }
    }

    /// Whether the line is fit for another message after a refusal.
    pub async fn reset(&mut self, patience: Duration) -> bool {
        matches!(timeout(patience, self.smtp.command(Rset)).await, Ok(Ok(_)))
    }

    pub async fn quit(&mut self, patience: Duration) {
        // The server's farewell changes nothing.
        let _ = timeout(patience, self.smtp.command(Quit)).await;
    }
}

/// The three commands in one write.
struct Opening {
    mail: Mail,
    rcpt: Rcpt,
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{Data}", self.mail, self.rcpt)
    }
}

async fn encrypt(tcp: Counted, host: &str) -> Result<Encrypted, String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    stream.map(Encrypted).map_err(|e| format!("TLS: {e}"))
}

fn heard<T>(stage: Stage, answer: Result<T, Error>) -> Result<(), Trouble> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) => Err(match refusal(&error) {
            Some(reply) => Trouble::Refused(stage, reply),
            None => Trouble::Lost(words(error)),
        }),
    }
}

fn refusal(error: &Error) -> Option<Reply> {
    let code = u16::from(error.status()?);
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Some(Reply { code, text })
}

/// The server's words where there are any, else lettre's.
fn words(error: Error) -> String {
    refusal(&error).map_or_else(|| error.to_string(), |reply| reply.to_string())
}
