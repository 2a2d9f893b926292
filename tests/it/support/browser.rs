//! A headless Chromium, driven through chromedriver.

use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder};
use tempfile::TempDir;

/// One browser with a profile of its own. Dropping it ends the browser and its driver, also in a panic.
pub struct Browser {
    pub client: Client,
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// `None`, said aloud: there is no Chromium or no chromedriver.
    pub async fn start() -> Option<Self> {
        let chromium = super::installed("chromium").or_else(|| super::installed("google-chrome"));
        let (Some(chromium), Some(driver)) = (chromium, super::installed("chromedriver")) else {
            let why = "Chromium or its driver is not installed (apt-get install chromium chromium-driver)";
            super::skipped("a test in a browser", why);
            return None;
        };
        let port = super::free_port();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let driver = Ended(Some(driver));
        let address = format!("http://127.0.0.1:{port}");
        super::wait_until("chromedriver answers", || {
            ureq::get(format!("{address}/status")).call().is_ok()
        });

        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = serde_json::json!({
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let serde_json::Value::Object(capabilities) = capabilities else {
            unreachable!("an object")
        };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&address)
            .await
            .expect("a browser session");
        let session = client.session_id().await.expect("an answer").expect("a session");
        let session = format!("{address}/session/{session}");
        Some(Self { client, driver: driver.keep(), session, _profile: profile })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing the driver alone would leave the browser behind.
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A child that is ended unless it is kept: a panic between its start and its owner leaves nothing running.
struct Ended(Option<Child>);

impl Ended {
    fn keep(mut self) -> Child {
        self.0.take().expect("kept once")
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
