//! Whether receivers can believe the store's DKIM signatures.

use super::Finding::{self, Broken, Doubtful, Well};
use super::is_open_to_others;
use crate::cli::dns;
use crate::mail::dkim::Signer;
use crate::stores::{Dkim, Sender, Store};

/// The key of the store's signatures, and what must stand in the DNS for receivers to believe them.
pub(super) fn finding(store: &Store, dkim: &Dkim) -> Finding {
    let signer = match Signer::open(dkim) {
        Ok(signer) => signer,
        Err(error) => {
            let mend = "nothing is sent until it can be signed, or dkim is taken out of [sending]";
            return Broken { what: error.to_string(), mend: mend.to_owned() };
        }
    };
    let Dkim { domain, key_file, .. } = dkim;
    let from = store.mail_from.as_deref().and_then(|raw| raw.parse::<Sender>().ok());
    if let Some(from) = from.filter(|from| !domain.covers(from.address().domain())) {
        return Doubtful {
            what: format!("mail from {from} is signed by {domain}: DMARC does not count that"),
            mend: "sign by the sender's own domain, or one above it".to_owned(),
        };
    }
    if is_open_to_others(std::path::Path::new(key_file)) {
        return Doubtful {
            what: format!("others on this machine can read {key_file}, and sign as {domain}"),
            mend: format!("chmod 600 {key_file}"),
        };
    }
    let (record, algorithm) = (signer.record(), signer.algorithm());
    let publish = format!("publish this record:\n{:20}{}", "", record.zone_line());
    match dns::look_up(&record.name) {
        Ok(texts) if texts.iter().any(|text| public_key(text) == public_key(&record.text)) => {
            Well(format!("{algorithm} by {domain}; {} has its public key", record.name))
        }
        Ok(texts) if texts.iter().any(|text| public_key(text).is_some()) => Broken {
            what: format!("{} has another key than {key_file}: signatures fail", record.name),
            mend: publish,
        },
        Ok(_) => Doubtful {
            what: format!(
                "{algorithm} by {domain}, but nobody can check it: {} has no key",
                record.name
            ),
            mend: publish,
        },
        Err(error) => Well(format!(
            "{algorithm} by {domain}; the DNS could not be asked ({error}), where this must stand:\n{:20}{}",
            "",
            record.zone_line()
        )),
    }
}

/// `p=` of a DKIM record (RFC 6376 §3.6.1), without the blanks that may stand in it.
fn public_key(text: &str) -> Option<String> {
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let (_, key) = tags.into_iter().find(|(name, _)| name.trim() == "p")?;
    Some(key.split_whitespace().collect())
}
