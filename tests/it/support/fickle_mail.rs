//! A mail server with moods: it takes most mail, and otherwise fails in each of the ways that servers fail.
//!
//! Postfix's smtp-sink cannot hang up just before or just after it has a message, nor do this now and that then.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::chance::Chance;

/// Ends with the test process; its threads hold nothing that anybody waits for.
pub struct FickleMail {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    chance: Chance,
    /// False: it takes everything at once.
    moody: AtomicBool,
    taken: Mutex<Vec<Taken>>,
    /// Conversations between MAIL FROM and the answer to the final dot.
    open: AtomicU64,
}

/// A message that the server has: it saw the final dot, and did not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub message_id: String,
    pub to: String,
    /// False: it hung up without a word instead.
    pub answered: bool,
}

/// What it does with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    /// After so many milliseconds.
    TakesLate(u64),
    RefusesRecipient(&'static str),
    RefusesContent(&'static str),
    /// With the body still coming.
    HangsUpBeforeTheDot,
    /// With the message in its hands.
    HangsUpHavingTaken,
    /// The message is gone, and nobody can know that.
    HangsUpHavingLost,
}

impl FickleMail {
    pub fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            chance: Chance::new(seed),
            moody: AtomicBool::new(true),
            taken: Mutex::default(),
            open: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                // A conversation that breaks off is what this is for.
                std::thread::spawn(move || drop(converse(&stream, &shared)));
            }
        });
        Self { port, shared }
    }

    /// As `HOMING_SMTP_URL` takes it.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// From now on it takes everything at once.
    pub fn calm_down(&self) {
        self.shared.moody.store(false, Ordering::Relaxed);
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken().clone()
    }

    /// Messages between MAIL FROM and the last answer at this moment.
    pub fn in_the_air(&self) -> u64 {
        self.shared.open.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn mood(&self) -> Mood {
        if !self.moody.load(Ordering::Relaxed) {
            return Mood::Takes;
        }
        match self.chance.below(1_000) {
            // Refusals for good are rare: a rule that draws many is paused.
            0..2 => Mood::RefusesRecipient("550 5.1.1 nobody here by that name"),
            2..4 => Mood::RefusesContent("554 5.7.1 not wanted here"),
            4..50 => Mood::RefusesRecipient("450 4.2.1 busy"),
            50..90 => Mood::RefusesContent("451 4.3.0 try again later"),
            90..130 => Mood::HangsUpBeforeTheDot,
            130..170 => Mood::HangsUpHavingTaken,
            170..190 => Mood::HangsUpHavingLost,
            190..500 => Mood::TakesLate(20 + self.chance.below(400)),
            _ => Mood::Takes,
        }
    }
}

/// Counted for as long as a message is on its way.
struct InTheAir<'s>(&'s AtomicU64);

impl<'s> InTheAir<'s> {
    fn new(open: &'s AtomicU64) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for InTheAir<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let say = |text: &str| (&*stream).write_all(format!("{text}\r\n").as_bytes());
    say("220 fickle.example ESMTP")?;
    let (mut to, mut mood, mut refused) = (String::new(), Mood::Takes, false);
    let mut flight = None;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        match line.get(..4).unwrap_or(line).to_ascii_uppercase().as_str() {
            "EHLO" => say("250-fickle.example\r\n250 PIPELINING")?,
            "MAIL" => {
                flight = Some(InTheAir::new(&shared.open));
                (mood, refused) = (shared.mood(), false);
                say("250 2.1.0 Ok")?;
            }
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                if let Mood::RefusesRecipient(answer) = mood {
                    (refused, flight) = (true, None);
                    say(answer)?;
                } else {
                    say("250 2.1.5 Ok")?;
                }
            }
            "DATA" if refused => say("554 5.5.1 no valid recipients")?,
            "DATA" => {
                say("354 go ahead")?;
                let Some(message_id) = read_message(&mut lines, mood)? else { return Ok(()) };
                let taken =
                    |answered| Taken { message_id: message_id.clone(), to: to.clone(), answered };
                match mood {
                    Mood::HangsUpHavingLost => return Ok(()),
                    Mood::HangsUpHavingTaken => {
                        shared.taken().push(taken(false));
                        return Ok(());
                    }
                    Mood::RefusesContent(answer) => say(answer)?,
                    _ => {
                        if let Mood::TakesLate(pause) = mood {
                            std::thread::sleep(Duration::from_millis(pause));
                        }
                        shared.taken().push(taken(true));
                        say("250 2.0.0 taken")?;
                    }
                }
                flight = None;
            }
            "RSET" => {
                flight = None;
                say("250 2.0.0 Ok")?;
            }
            "QUIT" => return say("221 2.0.0 Bye"),
            _ => say("502 5.5.2 not known here")?,
        }
        let _ = &flight;
    }
}

/// The Message-ID of the message that follows; `None` when the mood or the sender ends it before its dot.
fn read_message(lines: &mut impl BufRead, mood: Mood) -> std::io::Result<Option<String>> {
    let (mut message_id, mut number) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line == "." {
            return Ok(Some(message_id));
        }
        if let Some(id) = line.strip_prefix("Message-ID: ") {
            message_id = id.to_owned();
        }
        number += 1;
        if mood == Mood::HangsUpBeforeTheDot && number == 20 {
            return Ok(None);
        }
    }
}
