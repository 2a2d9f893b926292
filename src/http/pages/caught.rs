//! A mail caught on disk (`HOMING_SMTP_URL=file:DIR`), taken apart to be looked at. It reads our own mails only.

use std::path::Path;

/// The two faces of a mail, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caught {
    pub text: String,
    pub html: String,
}

/// The file that the folder's reply names: a plain name within the folder, and nothing else.
pub fn file_of(reply: &str) -> Option<&str> {
    let name = reply.strip_prefix("written to ")?.trim();
    let is_plain = name.ends_with(".eml")
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+' | '='));
    is_plain.then_some(name)
}

/// `None` where the folder does not hold it any more.
pub fn read(folder: &Path, name: &str) -> Option<Caught> {
    let raw = std::fs::read(folder.join(name)).ok()?;
    Some(take_apart(&String::from_utf8_lossy(&raw)))
}

fn take_apart(raw: &str) -> Caught {
    let raw = raw.replace("\r\n", "\n");
    let mut caught = Caught::default();
    let (head, body) = raw.split_once("\n\n").unwrap_or((&raw, ""));
    let Some(boundary) = boundary_of(head) else {
        caught.text = decode(head, body);
        return caught;
    };
    for part in body.split(&format!("--{boundary}")).skip(1) {
        let Some((head, content)) = part.trim_start_matches('\n').split_once("\n\n") else {
            continue;
        };
        let kind = header(head, "content-type");
        if kind.starts_with("text/plain") {
            caught.text = decode(head, content);
        } else if kind.starts_with("text/html") {
            caught.html = decode(head, content);
        }
    }
    caught
}

fn boundary_of(head: &str) -> Option<String> {
    let kind = header(head, "content-type");
    let rest = kind.split("boundary=").nth(1)?;
    let boundary = rest.strip_prefix('"').map_or_else(
        || rest.split([';', ' ']).next().unwrap_or_default(),
        |quoted| quoted.split('"').next().unwrap_or_default(),
    );
    (!boundary.is_empty()).then(|| boundary.to_owned())
}

/// A header's value, its folded lines joined.
fn header(head: &str, name: &str) -> String {
    let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
    unfolded
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map_or(String::new(), |(_, value)| value.trim().to_owned())
}

fn decode(head: &str, content: &str) -> String {
    use base64::Engine;
    match header(head, "content-transfer-encoding").to_ascii_lowercase().as_str() {
        "quoted-printable" => quoted_printable(content),
        "base64" => {
            let packed: String = content.chars().filter(|c| !c.is_whitespace()).collect();
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => content.trim_end().to_owned(),
    }
}

/// RFC 2045, 6.7. What is no valid escape stays as it is.
fn quoted_printable(content: &str) -> String {
    let bytes = content.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'=' {
            out.push(bytes[at]);
            at += 1;
        } else if bytes.get(at + 1) == Some(&b'\n') {
            at += 2;
        } else {
            let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
            match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    at += 3;
                }
                None => {
                    out.push(b'=');
                    at += 1;
                }
            }
        }
    }
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_faces_of_a_mail_are_read() {
        let raw = "Subject: x\r\nContent-Type: multipart/alternative;\r\n boundary=\"=_b\"\r\n\r\n\
            --=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            =E6=B9=96 tea=\r\n, ready\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nPGI+\r\naGk8L2I+\r\n--=_b--\r\n";
        let caught = take_apart(raw);
        assert_eq!(caught, Caught { text: "湖 tea, ready".into(), html: "<b>hi</b>".into() });
    }

    #[test]
    fn only_a_plain_name_within_the_folder_is_opened() {
        assert_eq!(
            file_of("written to 7.ab@lakeside.example.eml"),
            Some("7.ab@lakeside.example.eml")
        );
        for reply in [
            "written to ../shop.eml",
            "written to /etc/x.eml",
            "written to .eml",
            "250 OK",
            "written to a",
        ] {
            assert_eq!(file_of(reply), None, "{reply}");
        }
    }

    #[test]
    fn nonsense_is_no_reason_to_panic() {
        for raw in ["", "=", "=Z", "Content-Type: multipart/x; boundary=\n\n--", "\n\n=C3=28=E"] {
            take_apart(raw);
            quoted_printable(raw);
        }
    }
}
