//! Signatures, checked by a verifier that shares nothing with the signer but the standard.

use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;
use crate::mail::{Composer, Headers, MailContext, Tracking};

const RSA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dkim/rsa_pkcs1.pem");
const RSA_PKCS8: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dkim/rsa_pkcs8.pem");
const ED25519_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dkim/ed25519.pem");

fn settings(key_file: &str) -> Dkim {
    Dkim {
        domain: "lakeside.example".parse().unwrap(),
        selector: "tea.2026".parse().unwrap(),
        key_file: key_file.to_owned(),
    }
}

fn mail(class: crate::rules::Class) -> Vec<u8> {
    let headers = Headers {
        from: "湖畔茶舍 <hello@lakeside.example>".parse().unwrap(),
        reply_to: Some("care@lakeside.example".parse().unwrap()),
        to: "Ann@mail.example".parse().unwrap(),
        to_name: Some("Ann Lindqvist".to_owned()),
        message_id: "<17.a0b1c2d3e4f5@lakeside.example>".to_owned(),
        now: "2026-03-01T12:30:00Z".parse().unwrap(),
        class,
        campaign: "browsed-not-bought".to_owned(),
        store_key: "default".to_owned(),
    };
    let context = MailContext::samples("zh-CN").remove(0);
    let composer = Composer::load(None).unwrap();
    let tracking = Tracking::default();
    composer.compose("browse-reminder", &["zh-CN"], &context, &headers, &tracking).unwrap().bytes
}

fn signed(key_file: &str) -> (Signer, String) {
    let signer = Signer::open(&settings(key_file)).unwrap();
    let at = "2026-03-01T12:30:05Z".parse().unwrap();
    let bytes = signer.sign(&mail(crate::rules::Class::Marketing), at).unwrap();
    (signer, String::from_utf8(bytes).unwrap())
}

/// A second reading of RFC 6376 §6.1.3, by whole strings: `Err` says what does not hold. `p` is the record's key.
fn verify(message: &str, p: &str) -> Result<(), String> {
    let (head, body) = message.split_once("\r\n\r\n").ok_or("no body")?;
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let unfolded = head.replace("\r\n\t", "\t").replace("\r\n ", " ");
    let mut fields: Vec<(String, String)> = unfolded
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), one_line(value)))
        .collect();
    let at = fields.iter().position(|(name, _)| name == "dkim-signature").ok_or("no signature")?;
    let (_, signature) = fields.remove(at);
    let tag = |name: &str| {
        let tags = signature.split(';').filter_map(|tag| tag.trim().split_once('='));
        let value = tags.filter(|(key, _)| key.trim() == name).map(|(_, value)| value).next();
        value.map(|value| value.replace(' ', "")).ok_or(format!("no {name}="))
    };
    let decoded = |text: String| STANDARD.decode(text).map_err(|e| e.to_string());

    let lines: Vec<String> = body
        .split("\r\n")
        .map(|line| {
            let lead = if line.starts_with([' ', '\t']) { " " } else { "" };
            let words = one_line(line);
            if words.is_empty() { words } else { format!("{lead}{words}") }
        })
        .collect();
    let content = lines.join("\r\n");
    let content = content.trim_end_matches("\r\n");
    let content = if content.is_empty() { String::new() } else { format!("{content}\r\n") };
    if digest(&SHA256, content.as_bytes()).as_ref() != decoded(tag("bh")?)? {
        return Err("the body's hash is another".to_owned());
    }

    let mut data = String::new();
    let mut left = fields;
    for name in tag("h")?.to_ascii_lowercase().split(':') {
        if let Some(at) = left.iter().rposition(|(field, _)| field == name) {
            let (_, value) = left.remove(at);
            data += &format!("{name}:{value}\r\n");
        }
    }
    let b = signature.rfind("b=").ok_or("no b=")? + 2;
    data += &format!("dkim-signature:{}", &signature[..b]);
    let (key, bytes) = (decoded(p.to_owned())?, decoded(tag("b")?)?);
    let verified = match tag("a")?.as_str() {
        "ed25519-sha256" => {
            let hash = digest(&SHA256, data.as_bytes());
            UnparsedPublicKey::new(&ED25519, key).verify(hash.as_ref(), &bytes)
        }
        // ring takes what is within the SubjectPublicKeyInfo: 24 bytes of it stand before a key of 2048 bits.
        _ => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key[24..])
            .verify(data.as_bytes(), &bytes),
    };
    verified.map_err(|_| "the signature is not of this key over these headers".to_owned())
}

fn p_of(signer: &Signer) -> String {
    signer.record().text.split_once("p=").unwrap().1.to_owned()
}

/// RFC 8463 appendix A: the verifier itself is right.
#[test]
fn the_verifier_takes_the_standards_own_message() {
    let message = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n \
        d=football.example.com; i=@football.example.com;\r\n \
        q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n \
        subject : date : message-id : from : subject : date;\r\n \
        bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n \
        b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n \
        Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n\
        From: Joe SixPack <joe@football.example.com>\r\n\
        To: Suzie Q <suzie@shopping.example.net>\r\n\
        Subject: Is dinner ready?\r\n\
        Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
        Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
        \r\n\
        Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    let p = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    assert_eq!(verify(message, p), Ok(()));
    assert!(verify(&message.replace("hungry", "angry"), p).is_err());
}

#[test]
fn what_we_sign_others_can_check() {
    for (key_file, algorithm) in
        [(RSA, "a=rsa-sha256"), (RSA_PKCS8, "a=rsa-sha256"), (ED25519_KEY, "a=ed25519-sha256")]
    {
        let (signer, message) = signed(key_file);
        assert!(message.contains(algorithm), "{message}");
        assert_eq!(verify(&message, &p_of(&signer)), Ok(()));
        let signature = message.split("\r\nFrom:").next().unwrap();
        assert!(signature.split("\r\n").all(|line| line.len() <= 78), "{signature}");
        // Relays fold anew and trim blanks.
        let relayed = message.replace("Subject: ", "subject:  ").replace("\r\n\t", "\r\n   ");
        assert_eq!(verify(&relayed, &p_of(&signer)), Ok(()), "{}", &relayed[..2_000]);
    }
    let (one, other) = (signed(RSA).1, signed(RSA_PKCS8).1);
    assert_eq!(one, other, "the same key in two forms");
}

#[test]
fn whatever_matters_is_covered_and_none_can_be_added() {
    let (signer, message) = signed(RSA);
    let p = p_of(&signer);
    for (from, to) in [
        ("List-Unsubscribe: <https://", "List-Unsubscribe: <http://"),
        ("List-Unsubscribe-Post: List", "List-Unsubscribe-Post: list"),
        ("Feedback-ID: browsed", "Feedback-ID: other"),
        ("Reply-To: care", "Reply-To: thief"),
        ("MIME-Version: 1.0", "MIME-Version: 1.1"),
        ("\r\n\r\n--=_", "\r\n\r\nHello\r\n--=_"),
    ] {
        assert!(message.contains(from), "{from} in\n{message}");
        assert!(verify(&message.replacen(from, to, 1), &p).is_err(), "{from}");
    }
    for name in ["From", "To", "Cc", "Subject", "Reply-To", "Content-Type", "List-Unsubscribe"] {
        let more = format!("{name}: thief@mail.example\r\n{message}");
        assert!(verify(&more, &p).is_err(), "a second {name} is not noticed");
    }
    let more = format!("Received: by mx.example\r\n{message}");
    assert_eq!(verify(&more, &p), Ok(()), "relays add theirs");
}

#[test]
fn service_mail_may_pass_a_mailing_list() {
    let signer = Signer::open(&settings(RSA)).unwrap();
    let at = Timestamp(1_772_000_000_000_000);
    let bytes = signer.sign(&mail(crate::rules::Class::Service), at).unwrap();
    let message = format!("List-Unsubscribe: <x>\r\n{}", String::from_utf8(bytes).unwrap());
    assert_eq!(verify(&message, &p_of(&signer)), Ok(()));
}

#[test]
fn the_record_stands_where_receivers_look_and_a_zone_file_takes_it() {
    let record = Signer::open(&settings(RSA)).unwrap().record();
    assert_eq!(record.name, "tea.2026._domainkey.lakeside.example");
    assert!(record.text.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
    let line = record.zone_line();
    let texts: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    assert!(texts.len() == 2 && texts.iter().all(|text| text.len() <= 255), "{line}");
    assert_eq!(texts.concat(), record.text);
}

#[test]
fn a_key_that_cannot_sign_says_so_with_its_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let path = file.display().to_string();
    let complaint = |pem: Option<&str>| {
        match pem {
            Some(pem) => std::fs::write(&file, pem).unwrap(),
            None => drop(std::fs::remove_file(&file)),
        }
        let error = Signer::open(&settings(&path)).unwrap_err().to_string();
        assert!(error.contains(&path) && error.contains("openssl"), "{error}");
        error
    };
    assert!(complaint(None).contains("cannot be read"));
    assert!(complaint(Some("hello")).contains("no private key in PEM"));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(complaint(Some(encrypted)).contains("is encrypted"));
    let elliptic = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
    assert!(complaint(Some(elliptic)).contains("elliptic curves"));
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(complaint(Some(broken)).contains("2048 to 4096 bits"));
}
