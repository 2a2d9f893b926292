//! Mail that is to be signed leaves signed, or not at all.

use homing::outbox::worker::{self, Clocks, SendError};
use homing::primitives::{Clock, Delay};

use crate::on_both_backends;
use crate::support::Program;
use crate::support::shop::*;

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"1h\", min_product_views = 1";
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dkim/rsa_pkcs8.pem");

fn signed_with(key_file: &str) -> String {
    let dkim = format!(
        "dkim = {{ domain = \"lakeside.example\", selector = \"tea\", key_file = \"{key_file}\" }}\n"
    );
    NO_GUARDRAILS.to_owned() + &dkim + &rule("browse", BROWSE, "")
}

on_both_backends! {
    async fn without_its_key_mail_waits_and_with_it_leaves_signed(test: TestDb) {
        let key = test.folder.path().join("dkim.pem");
        let path = key.display().to_string();
        let shop = Shop::open(&test, &signed_with(&path));
        let due = test.now.plus(Delay::hours(1));
        shop.tell(vec![consents("ann", test.now.minus(Delay::hours(1)), true), views("ann", test.now, "longjing")]);
        shop.plan(due);
        let clocks = Clocks { business: Clock::Fixed(due), machine: Clock::Fixed(due) };
        let error = worker::deliver_due(&shop.office, &std::sync::Arc::new(shop.store()), clocks, &shop.stop).await.unwrap_err();
        assert!(matches!(error, SendError::Key(_)) && error.to_string().contains(&path), "{error}");
        assert_eq!(shop.counts().scheduled, 1);

        std::fs::copy(KEY, &key).unwrap();
        assert_eq!(shop.send(due).await.sent, 1, "no restart is needed");
        let mail = String::from_utf8(shop.memory.accepted().remove(0).bytes).unwrap();
        let signature = mail.split("\r\nDate:").next().unwrap().replace("\r\n\t", "");
        for part in ["DKIM-Signature: v=1; a=rsa-sha256;", "d=lakeside.example; s=tea;t=1780290000; h=from:from:to:to:cc:", ":list-unsubscribe-post:"] {
            assert!(signature.contains(part), "{part} in {signature}");
        }
    }

    async fn the_doctor_says_what_must_stand_in_the_dns(test: TestDb) {
        let program = Program::on(&test).with("HOMING_PUBLIC_URL", "https://shop.example").with("HOMING_SMTP_URL", "file:mail");
        std::fs::copy(KEY, program.folder().join("dkim.pem")).unwrap();
        let set_mode = |mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(program.folder().join("dkim.pem"), mode).unwrap();
        };
        let settings = |domain: &str, file: &str| format!(
            "[store]\nname = \"Tea\"\ntimezone = \"UTC\"\ncurrency = \"EUR\"\nfrom = \"hello@lakeside.example\"\npostal_address = \"1 Lake Road\"\n\
             [sending]\ndkim = {{ domain = \"{domain}\", selector = \"tea\", key_file = \"{file}\" }}\n"
        );
        let diagnose = |domain, file| {
            program.write("shop.toml", &settings(domain, file));
            program.must(&["apply", "shop.toml"]);
            program.run(&["doctor"])
        };
        set_mode(0o644);
        let open = diagnose("lakeside.example", "dkim.pem");
        assert!(open.stdout.contains("chmod 600 dkim.pem"), "{}", open.stdout);
        set_mode(0o600);
        let well = diagnose("lakeside.example", "dkim.pem");
        assert_eq!(well.code, 0, "{}", well.stdout);
        assert!(well.stdout.contains("tea._domainkey.lakeside.example. IN TXT \"v=DKIM1; k=rsa; p=MII"), "{}", well.stdout);
        let foreign = diagnose("other.example", "dkim.pem");
        assert!(foreign.stdout.contains("DMARC does not count that"), "{}", foreign.stdout);
        let gone = diagnose("lakeside.example", "gone.pem");
        assert!(gone.code == 1 && gone.stdout.contains("gone.pem cannot be read"), "{}", gone.stdout);
    }
}
