//! What tests stand on: fresh databases, a clock that stands still, a real SMTP sink, the real program, a browser.
#![allow(
    dead_code,
    unused_imports,
    reason = "two test binaries share this, and neither uses all of it"
)]

mod browser;
mod chance;
mod database;
mod fickle_mail;
mod mail_sink;
mod program;
pub mod shop;

pub use browser::Browser;
pub use chance::Chance;
pub use database::{TestDb, on_own_postgres, on_postgres, on_sqlite};
pub use fickle_mail::{FickleMail, Taken};
pub use mail_sink::{Answer, MailSink};
pub use program::{Finished, Program, Serving, signal, terminate};

use std::io::Write;

/// Makes a test of each `async fn name(test: TestDb) { … }` for either database, each with a fresh, migrated one.
#[macro_export]
macro_rules! on_both_backends {
    ($($(#[$meta:meta])* async fn $name:ident($test:ident: TestDb) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "a short test may need nothing from around it")]
            use super::*;

            async fn test($test: $crate::support::TestDb) $body

            #[test]
            fn sqlite() {
                $crate::support::on_sqlite(test);
            }

            #[test]
            fn postgres() {
                $crate::support::on_postgres(test);
            }
        }
    )*};
}

/// Says that a test did not run, past the test runner's capture of output, and fails it where all are required.
pub fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
    if std::env::var("HOMING_TEST_REQUIRE").is_ok_and(|v| v == "all") {
        panic!("{what} is required (HOMING_TEST_REQUIRE=all), but was skipped: {why}");
    }
}

/// The path of a program that this machine has, on `PATH` or in the folders where Debian hides daemons.
fn installed(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/lib/postfix/sbin"].map(Into::into))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A TCP port on which nobody listens now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Asks `ready` until it says yes.
///
/// # Panics
/// When it did not within two minutes: a machine may be busy with more than this.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !ready() {
        assert!(begun.elapsed().as_secs() < 120, "waited two minutes in vain until {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
