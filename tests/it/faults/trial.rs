//! A trial: the real program under load, and what is done to it meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::judge::{self, Figures};
use super::load::Clients;
use crate::support::{Chance, FickleMail, MailSink, Program, Serving, Taken, TestDb, wait_until};

/// No quiet hours: it runs at any time of day. Service mail may come twice, marketing mail may not.
const SHOP: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
locale = "en"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[sending]
quiet_hours = ""
rate = "500/s"
in_doubt = "hold"

[[rule]]
key = "browsed-not-bought"
status = "live"
trigger = { kind = "visited_without_buying", after = "1s", useful_for = "24h", min_product_views = 1 }

[[rule.step]]
template = "browse-reminder"

[[rule]]
key = "first-order-thanks"
status = "live"
class = "service"
stop_on = []
trigger = { kind = "first_order", after = "1s" }

[[rule.step]]
template = "first-order-thanks"
"#;

/// As many as one process hands over at once: no more may be in doubt when it dies.
const IN_THE_AIR: u64 = 32;

/// How often something is done; `HOMING_FAULT_KILLS` makes a long run of a short one.
pub fn times(usual: u32) -> u32 {
    std::env::var("HOMING_FAULT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Another one for each run; `HOMING_FAULT_SEED` repeats one.
fn seed() -> u64 {
    let given = std::env::var("HOMING_FAULT_SEED").ok().and_then(|n| n.parse().ok());
    given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16)
}

/// Where the mail goes.
pub enum Mail {
    Fickle(FickleMail),
    Sink(MailSink),
}

impl Mail {
    fn url(&self) -> String {
        match self {
            Self::Fickle(fickle) => fickle.url(),
            Self::Sink(sink) => sink.url(),
        }
    }

    /// Messages on the wire; postfix's server does not tell.
    fn in_the_air(&self) -> u64 {
        match self {
            Self::Fickle(fickle) => fickle.in_the_air(),
            Self::Sink(_) => 0,
        }
    }

    fn taken(&self) -> Vec<Taken> {
        let sink = match self {
            Self::Fickle(fickle) => return fickle.taken(),
            Self::Sink(sink) => sink,
        };
        let of = |mail: &str, name: &str| {
            let line = mail.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let taken = |mail: &String| Taken {
            message_id: of(mail, "Message-ID:"),
            to: of(mail, "X-Rcpt-Args:").split(['<', '>']).nth(1).unwrap_or_default().to_owned(),
            answered: true,
        };
        sink.mails().iter().map(taken).collect()
    }
}

/// Where faults may strike.
pub struct Trial<'t> {
    pub test: &'t TestDb,
    pub chance: Chance,
    pub mail: Mail,
    clients: Option<Clients>,
    program: Program,
    ports: Vec<u16>,
    /// `None` for the moment between an end and a new beginning.
    servers: Vec<Option<Serving>>,
    seed: u64,
    leased: u64,
    in_the_air: u64,
}

impl<'t> Trial<'t> {
    /// Opens a shop with so many replicas, and lets the clients in.
    pub fn open(test: &'t TestDb, replicas: usize) -> Self {
        let seed = seed();
        Self::open_with(test, replicas, Mail::Fickle(FickleMail::start(seed)), seed)
    }

    /// As [`Trial::open`], with postfix's server in the place of the fickle one.
    pub fn open_with_sink(test: &'t TestDb, sink: MailSink) -> Self {
        Self::open_with(test, 1, Mail::Sink(sink), seed())
    }

    fn open_with(test: &'t TestDb, replicas: usize, mail: Mail, seed: u64) -> Self {
        let program = Program::on(test)
            .with("HOMING_SMTP_URL", &mail.url())
            .with("HOMING_TICK", "1s")
            .with("HOMING_LOG", "warn");
        program.write("shop.toml", SHOP);
        program.must(&["apply", "shop.toml"]);
        let key = program.must(&["key", "create", "--scope", "ingest", "--name", "shop"]);
        let ports: Vec<u16> = (0..replicas).map(|_| lasting_port()).collect();
        let servers = ports.iter().map(|port| Some(program.begin(&["serve"], *port))).collect();
        let clients = Some(Clients::start(&ports, key.trim(), seed ^ 1));
        let chance = Chance::new(seed ^ 2);
        Self {
            test,
            chance,
            mail,
            clients,
            program,
            ports,
            servers,
            seed,
            leased: 0,
            in_the_air: 0,
        }
    }

    fn server(&self, replica: usize) -> &Serving {
        self.servers[replica].as_ref().expect("a running replica")
    }

    /// Kills a replica and starts it anew. Now and then it is killed again before it is ready.
    pub fn kill(&mut self, replica: usize) {
        let pid = self.server(replica).pid();
        self.in_the_air += self.mail.in_the_air();
        self.gone(replica).kill();
        // The database may still be at the last thing it heard from the dead.
        if !self.is_sqlite() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let leased = self.leased_by(pid);
        assert!(leased <= IN_THE_AIR, "{leased} were claimed at once");
        self.leased += leased;
        self.begin(replica);
    }

    /// Stops a replica in good order and starts it anew: nothing is in doubt by that.
    pub fn restart(&mut self, replica: usize) {
        end_in_good_order(self.gone(replica));
        self.begin(replica);
    }

    fn gone(&mut self, replica: usize) -> Serving {
        self.servers[replica].take().expect("a running replica")
    }

    fn begin(&mut self, replica: usize) {
        self.servers[replica] = Some(self.program.begin(&["serve"], self.ports[replica]));
    }

    /// Ends a replica and starts it again where no file may grow by more than so many kilobytes.
    pub fn restart_on_full_disk(&mut self, replica: usize, kilobytes: u64) {
        end_in_good_order(self.gone(replica));
        let size = |file: std::path::PathBuf| std::fs::metadata(file).map_or(0, |meta| meta.len());
        let database = self.test.url.strip_prefix("sqlite:").expect("an SQLite file");
        let limit = size(database.into()) / 1_024 + kilobytes;
        let serving = self.program.begin_on_full_disk(self.ports[replica], limit);
        self.servers[replica] = Some(serving);
    }

    /// Waits until a replica says something in its log.
    pub fn wait_for_word(&self, replica: usize, word: &str) {
        wait_until(word, || self.server(replica).log().contains(word));
    }

    /// Holds a replica still for so long, as a paused virtual machine is.
    pub fn freeze(&mut self, replica: usize, seconds: u64) {
        self.server(replica).signal("STOP");
        self.leased += self.leased_by(self.server(replica).pid());
        std::thread::sleep(Duration::from_secs(seconds));
        self.server(replica).signal("CONT");
    }

    /// Counts what is on its way now as what may come to be in doubt.
    pub fn may_doubt_what_is_in_the_air(&mut self) {
        let pids: Vec<u32> = self.servers.iter().flatten().map(Serving::pid).collect();
        self.leased += pids.into_iter().map(|pid| self.leased_by(pid)).sum::<u64>();
        self.in_the_air += self.mail.in_the_air();
    }

    fn is_sqlite(&self) -> bool {
        self.test.url.starts_with("sqlite:")
    }

    /// Messages that a process holds: whatever it was at with them, nobody else knows.
    fn leased_by(&self, pid: u32) -> u64 {
        let sql = format!(
            "SELECT 'n' AS name, CAST(count(*) AS BIGINT) AS n FROM messages \
             WHERE status = 'sending' AND lease_owner LIKE '{pid}-%'"
        );
        judge::number(self.test, &sql) as u64
    }

    pub fn wait_until_ready(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            wait_until("homing is ready", || server.is_ready());
        }
    }

    /// Waits until the clients have got somewhere: a trial in which nothing is told tries nothing.
    pub fn wait_for_load(&self) {
        let known = self.clients.as_ref().map_or(0, Clients::acknowledged);
        wait_until("facts are acknowledged again", || {
            self.clients.as_ref().is_none_or(|clients| clients.acknowledged() > known + 20)
        });
    }

    /// Lets everybody finish, sends what is left, and judges all of it. `faults` says what was done.
    pub fn end(mut self, title: &str, faults: &str) -> Figures {
        self.wait_until_ready();
        self.wait_for_load();
        let told = self.clients.take().expect("clients").finish();
        if let Mail::Fickle(fickle) = &self.mail {
            fickle.calm_down();
        }
        self.servers.drain(..).flatten().for_each(end_in_good_order);
        self.send_what_is_left();
        let mails = self.mail.taken();
        let unanswered = mails.iter().filter(|mail| !mail.answered).count();
        let hung_up = judge::number(
            self.test,
            "SELECT 'n' AS name, CAST(count(*) AS BIGINT) AS n FROM decisions \
             WHERE outcome = 'in_doubt' AND reason = 'no_answer'",
        );
        let may_doubt = self.leased + hung_up as u64;
        let (stored, counts) = judge::judge(self.test, &self.program, &told, &mails, may_doubt);
        let figures = Figures {
            title: format!("{title} (seed {})", self.seed),
            faults: faults.to_owned(),
            told,
            stored,
            counts,
            leased: self.leased,
            in_the_air: self.in_the_air,
            unanswered,
            mails: mails.len(),
        };
        super::tell(&figures);
        figures
    }

    /// What was put off comes hours later; what a dead sender held, when its lease is over.
    fn send_what_is_left(&self) {
        let open = "SELECT 'n' AS name, CAST(count(*) AS BIGINT) AS n FROM messages WHERE status = 'sending'";
        wait_until("the leases of the dead are over", || {
            self.program.must(&["tick"]);
            judge::number(self.test, open) == 0
        });
        for hours in [1, 3, 6, 12] {
            let later = homing::primitives::Clock::System
                .now()
                .plus(homing::primitives::Delay::hours(hours));
            self.program.must(&["tick", "--at", &later.to_string(), "--yes"]);
        }
    }
}

fn end_in_good_order(server: Serving) {
    let log = server.log();
    assert_eq!(server.terminate(), Some(0), "a stop in good order:\n{log}");
}

/// A port that stays ours while its server is down: the kernel hands out those from 32768 on to everybody.
fn lasting_port() -> u16 {
    let chance = Chance::new(RandomState::new().build_hasher().finish());
    (0..1_000)
        .map(|_| 10_000 + chance.below(22_000) as u16)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
