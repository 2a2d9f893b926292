//! A real SMTP server that keeps what it is given: postfix's smtp-sink.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What the sink does with mail.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// Takes it all.
    Accepts,
    /// Answers 450 to this command: `mail`, `rcpt`, `data` or `.`.
    Temporary(&'static str),
    /// Answers 500 to this command.
    Permanent(&'static str),
    /// Waits so many seconds before it answers DATA.
    Slow(u32),
    /// Breaks the connection off, unanswered, at this command.
    HangsUp(&'static str),
}

/// Stopped, with its mails, when dropped.
pub struct MailSink {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl MailSink {
    /// `None`, said aloud: smtp-sink is not installed.
    pub fn start(answer: Answer) -> Option<Self> {
        let Some(program) = super::installed("smtp-sink") else {
            super::skipped(
                "a test with a real SMTP server",
                "smtp-sink is not installed (apt-get install postfix)",
            );
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder for mails");
        let mut command = Command::new(program);
        if is_root() {
            open_to_all(&folder);
            command.args(["-u", "nobody"]);
        }
        match answer {
            Answer::Accepts => &mut command,
            Answer::Temporary(at) => command.args(["-r", at]),
            Answer::Permanent(at) => command.args(["-f", at]),
            Answer::Slow(seconds) => command.args(["-w", &seconds.to_string()]),
            Answer::HangsUp(at) => command.args(["-q", at]),
        };
        let port = super::free_port();
        let child = command
            .args(["-d", "mail."])
            .arg(format!("127.0.0.1:{port}"))
            .arg("100")
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("smtp-sink starts");
        let sink = Self { child, port, folder };
        super::wait_until("smtp-sink answers", || sink.greets());
        Some(sink)
    }

    /// As `HOMING_SMTP_URL` takes it.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Every mail taken so far, as it came, with the envelope in `X-Mail-Args` and `X-Rcpt-Args` above it.
    /// One that is still on its way may be among them; one that was broken off is not.
    pub fn mails(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path())
            .expect("the sink's folder")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        let texts = files.iter().filter_map(|file| std::fs::read(file).ok());
        texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    pub fn count(&self) -> usize {
        self.mails().len()
    }

    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut banner = String::new();
        let read = stream.try_clone().map(|read| BufReader::new(read).read_line(&mut banner));
        let _ = stream.write_all(b"QUIT\r\n");
        matches!(read, Ok(Ok(_))) && banner.starts_with("220")
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata("/proc/self").expect("a process of its own"),
    ) == 0
}

/// The sink gives up root's rights before it writes.
fn open_to_all(folder: &TempDir) {
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), all).expect("a folder that nobody may write to");
}
