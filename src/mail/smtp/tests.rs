//! Against a real server (Postfix's smtp-sink), and against small ones that fail at a chosen byte.

use std::io::Write;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

fn mail_of(size: usize) -> ReadyMail {
    let line = "x".repeat(70);
    let body = format!("{line}\r\n.a line that begins with a dot\r\n").repeat(size / 103 + 1);
    ReadyMail {
        envelope_from: "shop@lakeside.example".parse().unwrap(),
        envelope_to: "ann@mail.example".parse().unwrap(),
        message_id: "<17.a0b1@lakeside.example>".to_owned(),
        subject: "Tea".to_owned(),
        bytes: format!("Subject: Tea\r\n\r\n{body}").into_bytes(),
    }
}

fn mail() -> ReadyMail {
    mail_of(1_000)
}

fn smtp(url: &str) -> Smtp {
    let quick = Duration::from_secs(5);
    let timeouts = Timeouts { connect: quick, command: quick, body: quick, answer: quick };
    Smtp { timeouts, ..Smtp::from_url(url).unwrap() }
}

// ---- smtp-sink ----

struct Sink {
    child: Child,
    port: u16,
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`, said aloud, where smtp-sink is not installed; a failure where everything is required.
async fn sink(options: &[&str]) -> Option<Sink> {
    let path = ["/usr/sbin/smtp-sink", "/usr/libexec/postfix/smtp-sink"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    let Some(path) = path else {
        assert!(
            std::env::var("HOMING_TEST_REQUIRE").as_deref() != Ok("all"),
            "smtp-sink is not installed (Debian: apt-get install postfix), and HOMING_TEST_REQUIRE=all"
        );
        // Past the test runner's capture of output: a skip is to be seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED: smtp-sink is not installed (postfix)");
        return None;
    };
    let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = format!("127.0.0.1:{port}");
    // As root it wants to become someone else; as anyone else it cannot.
    let as_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let mut command = Command::new(path);
    if as_root {
        command.args(["-u", "nobody"]);
    }
    let child = command.args(options).args([&place, "100"]).stderr(Stdio::null()).spawn().unwrap();
    let sink = Sink { child, port };
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(&place).await.is_ok() {
            return Some(sink);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("smtp-sink does not answer on {place}");
}

async fn through_sink(options: &[&str]) -> Option<Delivery> {
    let sink = sink(options).await?;
    Some(smtp(&format!("smtp://127.0.0.1:{}", sink.port)).hand_over(&mail()).await)
}

#[tokio::test]
async fn a_real_server_takes_many_messages_on_few_connections() {
    for options in [&[][..], &["-p"][..]] {
        let Some(sink) = sink(options).await else { return };
        let smtp = smtp(&format!("smtp://127.0.0.1:{}", sink.port));
        assert_eq!(
            smtp.probe().await,
            Ok(format!("127.0.0.1:{} answers (not encrypted)", sink.port))
        );
        for _ in 0..3 {
            let mail = mail();
            let many = (0..8).map(|_| smtp.hand_over(&mail));
            for delivery in futures::future::join_all(many).await {
                assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
            }
        }
        assert_eq!(smtp.idle().len(), 8, "eight at once need eight connections, and keep them");
        smtp.close().await;
        assert!(smtp.idle().is_empty());
    }
}

#[tokio::test]
async fn a_temporary_refusal_at_any_command_is_a_retry() {
    for command in ["MAIL", "RCPT", "DATA", "."] {
        let Some(delivery) = through_sink(&["-r", command]).await else { return };
        let Delivery::Temporary { reply } = &delivery else { panic!("{command}: {delivery:?}") };
        assert!(reply.starts_with("450 4.3.0"), "{command}: {reply}");
    }
}

#[tokio::test]
async fn a_permanent_refusal_ends_the_message_in_the_servers_words() {
    for command in ["MAIL", "RCPT", "DATA", "."] {
        let Some(delivery) = through_sink(&["-f", command]).await else { return };
        let Delivery::Permanent { reply, hard: false } = &delivery else {
            panic!("{command}: {delivery:?}")
        };
        assert!(reply.starts_with("500 5.3.0"), "{command}: {reply}");
    }
    let unknown = ["-B", "550 5.1.1 User unknown", "-f", "RCPT"];
    let Some(delivery) = through_sink(&unknown).await else { return };
    assert_eq!(
        delivery,
        Delivery::Permanent { reply: "550 5.1.1 User unknown".to_owned(), hard: true }
    );
}

#[tokio::test]
async fn a_connection_lost_before_the_final_dot_is_a_retry_and_after_it_a_doubt() {
    for command in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"] {
        let Some(delivery) = through_sink(&["-q", command]).await else { return };
        assert!(matches!(delivery, Delivery::NotSent { .. }), "{command}: {delivery:?}");
    }
    let Some(delivery) = through_sink(&["-q", "."]).await else { return };
    assert!(matches!(delivery, Delivery::InDoubt { .. }), "{delivery:?}");
}

#[tokio::test]
async fn a_server_that_shuts_down_with_421_asks_for_a_retry() {
    for command in ["MAIL", "RCPT", "DATA", "."] {
        let Some(delivery) = through_sink(&["-Q", command]).await else { return };
        assert!(matches!(delivery, Delivery::Temporary { .. }), "{command}: {delivery:?}");
    }
    let Some(delivery) = through_sink(&["-Q", "CONNECT"]).await else { return };
    assert!(matches!(delivery, Delivery::NotSent { .. }), "{delivery:?}");
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let Some(delivery) = through_sink(&["-w", "1"]).await else { return };
    assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_retry() {
    let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let smtp = smtp(&format!("smtp://127.0.0.1:{port}"));
    let delivery = smtp.hand_over(&mail()).await;
    let Delivery::NotSent { why } = delivery else { panic!("{delivery:?}") };
    assert!(why.contains("refused"), "{why}");
    assert!(smtp.probe().await.is_err());
}

// ---- servers that fail at a chosen byte ----

/// What a server does, message by message; it hangs up after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Accept,
    /// Refuses the recipient, and still asks for the message.
    RefuseRecipient,
    /// Reads this much of the message, then hangs up.
    HangUpAmid(usize),
    /// Answers the message before its end, then hangs up.
    RefuseAmid,
    /// Reads all of the message, then hangs up.
    SwallowDot,
    /// Reads all of the message, then says nothing.
    SilentAfterDot,
    /// Stops reading amid the message.
    StopReading,
    /// Closes for want of work, before the next message.
    CloseIdle,
    /// The same, but says so.
    CloseIdleWith421,
}

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Plays `script[n]` on the nth connection.
async fn server(tls: bool, script: &'static [&'static [Act]]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), connections: Arc::default() };
    let connections = Arc::clone(&server.connections);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            let acts = script.get(number).copied().unwrap_or(&[]);
            tokio::spawn(async move {
                // The client hanging up first is part of the play.
                let _ =
                    if tls { play_encrypted(tcp, acts).await } else { play(tcp, acts, true).await };
            });
        }
    });
    server
}

async fn play_encrypted(mut tcp: tokio::net::TcpStream, acts: &[Act]) -> std::io::Result<()> {
    let mut text = BufReader::new(&mut tcp);
    text.write_all(b"220 test\r\n").await?;
    text.read_line(&mut String::new()).await?;
    text.write_all(b"250-test\r\n250 STARTTLS\r\n").await?;
    let mut command = String::new();
    text.read_line(&mut command).await?;
    assert_eq!(command, "STARTTLS\r\n");
    text.write_all(b"220 go\r\n").await?;
    let certificate =
        CertificateDer::from_pem_slice(include_bytes!("testdata/self-signed.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("testdata/self-signed.key")).unwrap();
    let ring = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await?;
    play(stream, acts, false).await
}

async fn play(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    acts: &[Act],
    greets: bool,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut acts = acts.iter().copied();
    let mut act = acts.next();
    if greets {
        stream.write_all(b"220 test\r\n").await?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250 PIPELINING\r\n",
            "RCPT" if act == Some(Act::RefuseRecipient) => "550 5.1.1 no such user\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        if !line.starts_with("DATA") {
            continue;
        }
        match act {
            Some(Act::HangUpAmid(bytes)) => {
                let mut part = vec![0; bytes];
                tokio::io::AsyncReadExt::read_exact(&mut stream, &mut part).await?;
                return Ok(());
            }
            Some(Act::StopReading) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Ok(());
            }
            Some(Act::RefuseAmid) => {
                stream.write_all(b"554 5.6.0 not like this\r\n").await?;
            }
            _ => {}
        }
        loop {
            let mut text = String::new();
            if stream.read_line(&mut text).await? == 0 {
                return Ok(());
            }
            if text == ".\r\n" {
                break;
            }
        }
        match act {
            Some(Act::SwallowDot | Act::RefuseAmid) => return Ok(()),
            Some(Act::SilentAfterDot) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Ok(());
            }
            Some(Act::RefuseRecipient) => {
                stream.write_all(b"554 5.5.1 no valid recipients\r\n").await?;
            }
            _ => stream.write_all(b"250 2.0.0 queued as 4711\r\n").await?,
        }
        act = acts.next();
        match act {
            None | Some(Act::CloseIdle) => return Ok(()),
            Some(Act::CloseIdleWith421) => {
                return stream.write_all(b"421 4.4.2 timeout\r\n").await;
            }
            _ => {}
        }
    }
}

/// Large enough not to fit the socket's buffers.
fn large_mail() -> ReadyMail {
    mail_of(20_000_000)
}

async fn one(tls: bool, script: &'static [&'static [Act]], mail: ReadyMail) -> Delivery {
    let server = server(tls, script).await;
    smtp(&format!("smtp://{}", server.address)).hand_over(&mail).await
}

#[tokio::test]
async fn a_message_cut_off_before_its_dot_is_a_retry_encrypted_or_not() {
    for tls in [false, true] {
        let delivery = one(tls, &[&[Act::HangUpAmid(1_000)]], large_mail()).await;
        assert!(matches!(delivery, Delivery::NotSent { .. }), "tls {tls}: {delivery:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_amid_the_message_is_a_retry() {
    let server = server(false, &[&[Act::StopReading]]).await;
    let mut smtp = smtp(&format!("smtp://{}", server.address));
    smtp.timeouts.body = Duration::from_millis(300);
    let delivery = smtp.hand_over(&large_mail()).await;
    assert!(matches!(delivery, Delivery::NotSent { .. }), "{delivery:?}");
}

#[tokio::test]
async fn a_complete_message_without_an_answer_is_in_doubt_encrypted_or_not() {
    for tls in [false, true] {
        let delivery = one(tls, &[&[Act::SwallowDot]], mail()).await;
        assert!(matches!(delivery, Delivery::InDoubt { .. }), "tls {tls}: {delivery:?}");
    }
    let server = server(false, &[&[Act::SilentAfterDot]]).await;
    let mut smtp = smtp(&format!("smtp://{}", server.address));
    (smtp.timeouts.body, smtp.timeouts.answer) =
        (Duration::from_millis(300), Duration::from_millis(300));
    let delivery = smtp.hand_over(&mail()).await;
    assert!(matches!(delivery, Delivery::InDoubt { .. }), "{delivery:?}");
}

#[tokio::test]
async fn an_answer_amid_the_message_counts() {
    let delivery = one(false, &[&[Act::RefuseAmid]], mail()).await;
    let Delivery::Permanent { reply, hard: false } = &delivery else { panic!("{delivery:?}") };
    assert_eq!(reply, "554 5.6.0 not like this");
}

#[tokio::test]
async fn a_kept_connection_that_went_stale_is_replaced_once_unseen() {
    const CLOSED: &[&[Act]] = &[&[Act::Accept, Act::CloseIdle], &[Act::Accept]];
    const CLOSED_WITH_421: &[&[Act]] = &[&[Act::Accept, Act::CloseIdleWith421], &[Act::Accept]];
    for stale in [CLOSED, CLOSED_WITH_421] {
        let server = server(false, stale).await;
        let smtp = smtp(&format!("smtp://{}", server.address));
        for _ in 0..2 {
            let delivery = smtp.hand_over(&mail()).await;
            assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
        }
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_refused_recipient_spoils_neither_the_connection_nor_the_next_message() {
    let server = server(false, &[&[Act::RefuseRecipient, Act::Accept, Act::Accept]]).await;
    let smtp = smtp(&format!("smtp://{}", server.address));
    let refused = smtp.hand_over(&mail()).await;
    assert!(matches!(refused, Delivery::Permanent { hard: true, .. }), "{refused:?}");
    let accepted = smtp.hand_over(&mail()).await;
    assert_eq!(accepted, Delivery::Accepted { reply: "250 2.0.0 queued as 4711".to_owned() });
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_offered_encryption_is_used() {
    let server = server(true, &[&[Act::Accept], &[]]).await;
    let smtp = smtp(&format!("smtp://{}", server.address));
    assert!(matches!(smtp.hand_over(&mail()).await, Delivery::Accepted { .. }));
    assert!(smtp.probe().await.unwrap().ends_with("answers (encrypted)"));
}

#[tokio::test]
async fn a_password_goes_only_to_a_server_that_proves_its_name() {
    for tls in [false, true] {
        let server = server(tls, &[&[Act::Accept]]).await;
        let smtp = smtp(&format!("smtp://me:hush@localhost:{}", server.address.port()));
        let delivery = smtp.hand_over(&mail()).await;
        let Delivery::NotSent { why } = delivery else { panic!("{delivery:?}") };
        assert!(why.contains("STARTTLS is not offered") || why.contains("certificate"), "{why}");
    }
}
