//! Clients that mean harm: they dawdle, announce what never comes, and send what swells. It must cost next to nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Program, Serving, TestDb, on_sqlite};

struct Besieged {
    serving: Serving,
    key: String,
    before: u64,
}

impl Besieged {
    fn new(test: &TestDb) -> Self {
        let program = Program::on(test);
        let key = program.must(&["key", "create", "--scope", "ingest", "--name", "shop"]);
        let serving = program.serve();
        let mut besieged = Self { serving, key: key.trim().to_owned(), before: 0 };
        for _ in 0..20 {
            assert!(besieged.serves());
        }
        besieged.before = besieged.memory();
        besieged
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.serving.port)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream
    }

    /// An honest client is served meanwhile.
    fn serves(&self) -> bool {
        let page =
            serde_json::json!({ "writeKey": self.key, "anonymousId": "honest", "name": "Home" });
        ureq::post(self.serving.at("/v1/page"))
            .send_json(page)
            .is_ok_and(|answer| answer.status() == 200)
    }

    /// Kilobytes in memory.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.serving.pid()));
        let status = status.expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn has_grown_less_than(&self, megabytes: u64) {
        let grown = self.memory().saturating_sub(self.before) / 1_024;
        assert!(grown < megabytes, "it grew by {grown} MB");
    }
}

fn answer(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    // The server may cut off who does not listen.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn dawdlers_hold_up_nobody_and_are_sent_away() {
    on_sqlite(async |test| {
        let besieged = Besieged::new(&test);
        let dawdlers: Vec<TcpStream> = (0..300)
            .map(|_| {
                let mut stream = besieged.connect();
                stream
                    .write_all(b"POST /v1/track HTTP/1.1\r\nHost: shop.example\r\nX-Slo")
                    .expect("half a head");
                stream
            })
            .collect();
        assert!(besieged.serves());
        besieged.has_grown_less_than(40);
        for dawdler in &dawdlers {
            let said = answer(dawdler);
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
        }
        assert!(besieged.serves());
    });
}

#[test]
fn what_is_announced_and_never_sent_takes_no_room() {
    on_sqlite(async |test| {
        let besieged = Besieged::new(&test);
        let head =
            "POST /v1/batch HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 500000\r\n\r\n{";
        let waiting: Vec<TcpStream> = (0..300)
            .map(|_| {
                let mut stream = besieged.connect();
                stream.write_all(head.as_bytes()).expect("a head");
                stream
            })
            .collect();
        assert!(besieged.serves());
        besieged.has_grown_less_than(40);
        drop(waiting);
        assert!(besieged.serves());
    });
}

#[test]
fn bodies_that_are_too_large_or_swell_are_refused_early() {
    on_sqlite(async |test| {
        let besieged = Besieged::new(&test);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![b' '; 256 << 20]).expect("a bomb");
        let bomb = packed.finish().expect("a bomb");
        assert!(bomb.len() < 300_000);
        for _ in 0..20 {
            let mut stream = besieged.connect();
            let head = format!(
                "POST /v1/batch HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                bomb.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bomb)).expect("sent");
            assert!(answer(&stream).starts_with("HTTP/1.1 400"));
        }
        besieged.has_grown_less_than(40);

        // Told beforehand: it is refused before it comes.
        let mut stream = besieged.connect();
        let head = "POST /v1/batch HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: 9000000000\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("a head");
        assert!(answer(&stream).starts_with("HTTP/1.1 400"));

        // Without end: it is refused at the limit.
        let mut stream = besieged.connect();
        let head =
            "POST /v1/batch HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("a head");
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        let is_taken = |_: &i32| {
            std::thread::sleep(Duration::from_millis(20));
            stream.write_all(&chunk).is_ok()
        };
        let sent = (0..2_000).take_while(is_taken).count();
        assert!(sent < 2_000, "it goes on reading what it has refused");
        besieged.has_grown_less_than(40);
        assert!(besieged.serves());
    });
}
