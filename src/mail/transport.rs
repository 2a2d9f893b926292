//! Where mail goes: a mail server, a folder, or memory. Knows what became of each hand-over; decides nothing about it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::ReadyMail;
use super::smtp::Smtp;
use crate::config::SmtpUrl;

/// What became of one hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The server has it, and said so.
    Accepted { reply: String },
    /// The server asks to be tried again (4xx).
    Temporary { reply: String },
    /// The server will never take this message (5xx). `hard`: nobody can be reached at the address.
    Permanent { reply: String, hard: bool },
    /// The server certainly does not have it: no connection, or lost before the final dot.
    NotSent { why: String },
    /// The final dot may have gone out and no answer came: it may or may not be delivered.
    InDoubt { why: String },
}

/// Takes mail out of the house. Cheap to clone; how many hand-overs run at once is the caller's business.
#[derive(Clone)]
pub enum Transport {
    Smtp(Arc<Smtp>),
    /// One `.eml` file per message.
    Folder(PathBuf),
    /// For tests: nothing leaves the process.
    Memory(Memory),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "HOMING_SMTP_URL is not valid: {0}; write smtp://host:port, smtp://user:password@host:587, smtps://user:password@host or file:FOLDER"
)]
pub struct InvalidSmtpUrl(pub(super) &'static str);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mail cannot be handed over: {0}")]
pub struct Unreachable(String);

impl Transport {
    /// Opens nothing yet: a mail server that is away now is tried again with each message.
    pub fn from_url(url: &SmtpUrl) -> Result<Self, InvalidSmtpUrl> {
        match url.0.strip_prefix("file:") {
            Some("") => Err(InvalidSmtpUrl("the folder is missing")),
            Some(folder) => Ok(Self::Folder(folder.strip_prefix("//").unwrap_or(folder).into())),
            None => Ok(Self::Smtp(Arc::new(Smtp::from_url(&url.0)?))),
        }
    }

    pub fn in_memory() -> (Self, Memory) {
        let memory = Memory::default();
        (Self::Memory(memory.clone()), memory)
    }

    /// Hands one message over and waits for the answer. Never panics and never waits for ever.
    pub async fn hand_over(&self, mail: &ReadyMail) -> Delivery {
        match self {
            Self::Smtp(smtp) => smtp.hand_over(mail).await,
            Self::Memory(memory) => memory.take(mail),
            Self::Folder(folder) => {
                let (folder, mail) = (folder.clone(), mail.clone());
                match tokio::task::spawn_blocking(move || write_eml(&folder, &mail)).await {
                    Ok(Ok(name)) => Delivery::Accepted { reply: format!("written to {name}") },
                    Ok(Err(error)) => Delivery::NotSent { why: error.to_string() },
                    Err(_) => Delivery::NotSent { why: "the write was broken off".to_owned() },
                }
            }
        }
    }

    /// Tries whether mail could be handed over now, without handing any over. Says in words what it found.
    pub async fn probe(&self) -> Result<String, Unreachable> {
        match self {
            Self::Smtp(smtp) => smtp.probe().await.map_err(Unreachable),
            Self::Memory(_) => Ok("mail stays in memory".to_owned()),
            Self::Folder(folder) => {
                let probe = folder.join(format!(".probe.{}", std::process::id()));
                std::fs::create_dir_all(folder)
                    .and_then(|()| std::fs::write(&probe, b""))
                    .and_then(|()| std::fs::remove_file(&probe))
                    .map_err(|e| Unreachable(format!("{}: {e}", folder.display())))?;
                Ok(format!("mail is written to {}", folder.display()))
            }
        }
    }

    /// Says goodbye on the connections kept open; a later hand-over opens new ones.
    pub async fn close(&self) {
        if let Self::Smtp(smtp) = self {
            smtp.close().await;
        }
    }
}

/// Writes under another name first: whoever watches the folder never reads half a message, and a second
/// attempt replaces the first.
fn write_eml(folder: &Path, mail: &ReadyMail) -> std::io::Result<String> {
    let is_safe = |c: &char| c.is_ascii_alphanumeric() || "._@+-".contains(*c);
    let stem: String = mail.message_id.chars().filter(is_safe).take(200).collect();
    let name = format!("{}.eml", stem.trim_start_matches('.'));
    let half = folder.join(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir_all(folder)?;
    let written = std::fs::File::create(&half)
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, &mail.bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&half, folder.join(&name)));
    if written.is_err() {
        let _ = std::fs::remove_file(&half);
    }
    written.map(|()| name)
}

/// Keeps what was accepted, and answers as a test wants it to.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    mails: Vec<ReadyMail>,
    answers: VecDeque<Delivery>,
}

impl Memory {
    /// Every message accepted so far, oldest first.
    pub fn accepted(&self) -> Vec<ReadyMail> {
        self.kept().mails.clone()
    }

    /// The next hand-over gets this answer; without any, all are accepted.
    pub fn answer_next(&self, answer: Delivery) {
        self.kept().answers.push_back(answer);
    }

    fn take(&self, mail: &ReadyMail) -> Delivery {
        let mut kept = self.kept();
        let accepted = || Delivery::Accepted { reply: "250 kept in memory".to_owned() };
        let answer = kept.answers.pop_front().unwrap_or_else(accepted);
        if matches!(answer, Delivery::Accepted { .. }) {
            kept.mails.push(mail.clone());
        }
        answer
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> ReadyMail {
        ReadyMail {
            envelope_from: "shop@lakeside.example".parse().unwrap(),
            envelope_to: "ann@mail.example".parse().unwrap(),
            message_id: "<17.a0b1@lakeside.example>".to_owned(),
            subject: "Tea".to_owned(),
            bytes: b"Subject: Tea\r\n\r\nHello\r\n".to_vec(),
        }
    }

    #[tokio::test]
    async fn a_folder_holds_one_file_per_message_however_often_it_is_handed_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sent/mails");
        let url = SmtpUrl(format!("file:{}", folder.display()));
        let transport = Transport::from_url(&url).unwrap();
        assert!(transport.probe().await.unwrap().contains("sent/mails"));
        for _ in 0..2 {
            let delivery = transport.hand_over(&mail()).await;
            assert!(matches!(delivery, Delivery::Accepted { .. }), "{delivery:?}");
        }
        let names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["17.a0b1@lakeside.example.eml"]);
        assert_eq!(std::fs::read(folder.join(&names[0])).unwrap(), mail().bytes);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_a_retry() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a-file");
        std::fs::write(&file, b"").unwrap();
        let transport = Transport::Folder(file.join("below"));
        assert!(matches!(transport.hand_over(&mail()).await, Delivery::NotSent { .. }));
        assert!(transport.probe().await.is_err());
    }

    #[tokio::test]
    async fn a_message_id_cannot_lead_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let evil = ReadyMail { message_id: "<../../evil\0/x@y.example>".to_owned(), ..mail() };
        let delivery = Transport::Folder(root.path().to_owned()).hand_over(&evil).await;
        assert_eq!(delivery, Delivery::Accepted { reply: "written to evilx@y.example.eml".into() });
    }

    #[tokio::test]
    async fn memory_keeps_what_it_accepts_and_answers_as_told() {
        let (transport, memory) = Transport::in_memory();
        memory.answer_next(Delivery::NotSent { why: "away".into() });
        assert!(matches!(transport.hand_over(&mail()).await, Delivery::NotSent { .. }));
        assert!(matches!(transport.hand_over(&mail()).await, Delivery::Accepted { .. }));
        assert_eq!(memory.accepted(), [mail()]);
    }

    #[test]
    fn a_wrong_url_is_explained_without_its_password() {
        for raw in [
            "",
            "mail.example:25",
            "http://mail.example",
            "smtp://",
            "smtp://me@mail.example",
            "smtp://me:hush@",
            "smtp://me:hush@mail.example:70000",
            "file:",
            "smtp://me:hu#sh@mail.example",
            "smtp://mail.example:25/path",
        ] {
            let Err(error) = Transport::from_url(&SmtpUrl(raw.to_owned())) else {
                panic!("{raw} was taken")
            };
            let text = error.to_string();
            assert!(text.starts_with("HOMING_SMTP_URL is not valid"), "{text}");
            assert!(!text.contains("hush") && !text.contains("hu#sh"), "{text}");
        }
    }
}
