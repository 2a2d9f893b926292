//! The real program: run to its end, or served until dropped.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::TestDb;
use super::database::SECRET;

/// `homing` with an environment of its own, in a folder of its own.
pub struct Program {
    folder: TempDir,
    settings: Vec<(String, String)>,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// On the test's database. Without mail until `HOMING_SMTP_URL` is set.
    pub fn on(test: &TestDb) -> Self {
        let program = Self::alone();
        program.with("HOMING_DATABASE_URL", &test.url).with("HOMING_SECRET", SECRET)
    }

    /// On nothing but its folder.
    pub fn alone() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder for the program"),
            settings: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where it runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into its folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text)
            .expect("a file in the program's folder");
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("homing runs");
        output.into()
    }

    /// Runs a command and demands success; gives what it printed.
    pub fn must(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.code, 0, "homing {}: {}", arguments.join(" "), finished.stderr);
        finished.stdout
    }

    /// As [`Program::must`], with something on standard input.
    pub fn must_read(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("homing starts");
        let mut stdin = child.stdin.take().expect("a piped input");
        std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("homing reads its input");
        drop(stdin);
        let finished = Finished::from(child.wait_with_output().expect("homing ends"));
        assert_eq!(finished.code, 0, "homing {}: {}", arguments.join(" "), finished.stderr);
        finished.stdout
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("homing starts")
    }

    /// `homing serve` on a free port, ready.
    pub fn serve(&self) -> Serving {
        self.serve_by(&["serve"])
    }

    /// As [`Program::serve`], by any command that serves.
    pub fn serve_by(&self, arguments: &[&str]) -> Serving {
        let mut serving = self.begin(arguments, super::free_port());
        super::wait_until("homing is ready", || serving.is_ready());
        serving
    }

    /// Starts a command that serves on `port`, and does not wait for it. Its log goes on where one before it ended.
    pub fn begin(&self, arguments: &[&str], port: u16) -> Serving {
        let log = self.folder.path().join(format!("serve-{port}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log");
        let child = self
            .command(arguments)
            .env("HOMING_LISTEN", format!("127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log"))
            .stderr(file)
            .spawn()
            .expect("homing serves");
        Serving { child, port, log }
    }

    /// As [`Program::begin`], where no file may grow beyond so many kilobytes: a disk that is full for writers.
    ///
    /// The signal that comes with it is ignored, so that writing fails as it does on a full disk.
    pub fn begin_on_full_disk(&self, port: u16, kilobytes: u64) -> Serving {
        let log = self.folder.path().join(format!("serve-{port}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new("sh");
        let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2);
        self.prepare(&mut command);
        let child = command
            .args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_homing"), "serve"])
            .env("HOMING_LISTEN", format!("127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("homing serves");
        Serving { child, port, log }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homing"));
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    fn prepare(&self, command: &mut Command) {
        // Only what the test says: a developer's own settings must not reach it.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOMING_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().cloned()).current_dir(self.folder.path());
    }
}

/// A running server; killed when dropped.
pub struct Serving {
    child: Child,
    pub port: u16,
    log: std::path::PathBuf,
}

impl Serving {
    /// The address of a path on it.
    pub fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it answers and says so, which it does a moment later.
    ///
    /// # Panics
    /// When it has ended.
    pub fn is_ready(&mut self) -> bool {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("homing ended ({status}) before it was ready:\n{}", self.log());
        }
        ureq::get(self.at("/readyz")).call().is_ok() && self.log().contains("Homing listens on")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: it gets to do nothing any more.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Sends SIGTERM and waits for the end; gives the exit code, `None` if a signal ended it.
    pub fn terminate(mut self) -> Option<i32> {
        terminate(&self.child);
        let mut code = None;
        super::wait_until("homing has stopped", || match self.child.try_wait() {
            Ok(Some(status)) => {
                code = Some(status.code());
                true
            }
            _ => false,
        });
        code.flatten()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a process to end, as a service manager does.
pub fn terminate(child: &Child) {
    signal(child, "TERM");
}

/// Sends a process a signal by name.
pub fn signal(child: &Child, name: &str) {
    let killed = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
    assert!(killed.is_ok_and(|status| status.success()), "a signal could be sent");
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
