//! Asks the DNS for TXT records (RFC 1035): so much of a resolver as the doctor needs, through the one that the machine
//! uses.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);
const TXT: u16 = 16;
/// What an answer by UDP may hold (RFC 6891): a key of 2048 bits does not fit into the 512 bytes of old.
const ROOM: u16 = 4_096;

/// The texts at `name`, each with its parts put together; none where there are none. Asks the resolvers of
/// `/etc/resolv.conf` one after the other.
pub fn look_up(name: &str) -> io::Result<Vec<String>> {
    let settings = std::fs::read_to_string("/etc/resolv.conf")?;
    let mut last = io::Error::other("/etc/resolv.conf names no resolver");
    for resolver in resolvers(&settings) {
        match ask(name, SocketAddr::new(resolver, 53)) {
            Ok(texts) => return Ok(texts),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn resolvers(settings: &str) -> impl Iterator<Item = IpAddr> {
    let words = settings.lines().map(str::split_whitespace);
    words.filter_map(|mut words| match words.next() {
        Some("nameserver") => words.next()?.parse().ok(),
        _ => None,
    })
}

fn ask(name: &str, resolver: SocketAddr) -> io::Result<Vec<String>> {
    let id = std::process::id() as u16;
    let question = question(id, name)?;
    let own = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(resolver)?;
    socket.send(&question)?;
    let mut answer = vec![0; usize::from(ROOM)];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    if answer.get(2).is_some_and(|flags| flags & 0x02 != 0) {
        // Cut off: by TCP there is room for all of it.
        let mut stream = TcpStream::connect_timeout(&resolver, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&(question.len() as u16).to_be_bytes())?;
        stream.write_all(&question)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
    }
    texts(&answer, id)
}

/// One question for TXT, and how much of an answer we take.
fn question(id: u16, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion is wished for; one question, one additional record.
    bytes.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no name")));
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend([TXT.to_be_bytes(), [0, 1]].concat());
    bytes.extend([0, 0, 41]);
    bytes.extend(ROOM.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0]);
    Ok(bytes)
}

/// The texts of an answer. Names that do not exist have none.
fn texts(answer: &[u8], id: u16) -> io::Result<Vec<String>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the resolver's answer is garbled");
    let number = |at: usize| Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if number(0) != Some(id) {
        return Err(broken());
    }
    match answer.get(3).ok_or_else(broken)? & 0x0f {
        0 => {}
        3 => return Ok(Vec::new()),
        code => return Err(io::Error::other(format!("the resolver refuses (code {code})"))),
    }
    let (questions, records) = number(4).zip(number(6)).ok_or_else(broken)?;
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(answer, at).ok_or_else(broken)? + 4;
    }
    let mut texts = Vec::new();
    for _ in 0..records {
        let start = after_name(answer, at).ok_or_else(broken)?;
        let (kind, length) = number(start).zip(number(start + 8)).ok_or_else(broken)?;
        at = start + 10 + usize::from(length);
        let mut rest = answer.get(start + 10..at).ok_or_else(broken)?;
        if kind != TXT {
            continue;
        }
        let mut text = Vec::new();
        while let Some((length, after)) = rest.split_first() {
            let (part, after) = after.split_at_checked(usize::from(*length)).ok_or_else(broken)?;
            text.extend_from_slice(part);
            rest = after;
        }
        texts.push(String::from_utf8_lossy(&text).into_owned());
    }
    Ok(texts)
}

/// Where a name that begins at `at` ends; one may end by pointing at another (§4.1.4).
fn after_name(answer: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one question as told: what follows the question.
    fn resolver(flags: [u8; 2], records: u16, rest: Vec<u8>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut asked = [0; 512];
            let (length, from) = socket.recv_from(&mut asked).unwrap();
            // Without the additional record.
            let mut answer = asked[..length - 11].to_vec();
            answer[2..4].copy_from_slice(&flags);
            answer[6..8].copy_from_slice(&records.to_be_bytes());
            answer[10..12].copy_from_slice(&[0, 0]);
            answer.extend(rest);
            socket.send_to(&answer, from).unwrap();
        });
        place
    }

    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, 12];
        record.extend(kind.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    #[test]
    fn the_parts_of_a_text_are_put_together_and_other_records_left() {
        let rest =
            [record(5, &[1, b'x', 0]), record(16, b"\x09v=DKIM1; \x03p=A"), record(16, b"\x01z")];
        let place = resolver([0x81, 0x80], 3, rest.concat());
        assert_eq!(ask("tea._domainkey.shop.example", place).unwrap(), ["v=DKIM1; p=A", "z"]);
    }

    #[test]
    fn a_name_that_is_not_there_has_no_texts_and_a_refusal_is_an_error() {
        assert_eq!(
            ask("shop.example", resolver([0x81, 0x83], 0, vec![])).unwrap(),
            Vec::<String>::new()
        );
        assert!(ask("shop.example", resolver([0x81, 0x85], 0, vec![])).is_err());
        assert!(ask("shop.example", resolver([0x81, 0x80], 2, record(16, b"\x01z"))).is_err());
        assert!(ask("shop.example", resolver([0x81, 0x80], 1, record(16, b"\x09z"))).is_err());
        assert!(ask("shop..example", "127.0.0.1:1".parse().unwrap()).is_err());
    }

    #[test]
    fn the_machines_resolvers_are_found() {
        let settings =
            "# made by hand\nsearch lan\nnameserver 192.0.2.1\nnameserver ::1\noptions ndots:2\n";
        let found: Vec<String> = resolvers(settings).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["192.0.2.1", "::1"]);
    }
}
