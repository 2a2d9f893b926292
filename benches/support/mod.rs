//! What benches of mail share: a mail server that takes everything, and what a process used of the processors.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Postfix's smtp-sink on a port of its own; ends when dropped.
pub struct Sink {
    child: Child,
    pub port: u16,
}

impl Sink {
    /// `None`: smtp-sink is not installed (Debian: apt-get install postfix).
    pub fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let place = format!("127.0.0.1:{port}");
        let as_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let mut command = Command::new("/usr/sbin/smtp-sink");
        if as_root {
            command.args(["-u", "nobody"]);
        }
        let child = command.args([&place, "1000"]).stderr(Stdio::null()).spawn().ok()?;
        let sink = Self { child, port };
        for _ in 0..100 {
            if TcpStream::connect(&place).is_ok() {
                return Some(sink);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    #[allow(dead_code, reason = "not every bench asks")]
    pub fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of processor time that a process used so far (`self`, or its id), to a hundredth; 0 where nobody counts.
#[allow(dead_code, reason = "not every bench asks")]
pub fn cpu_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
