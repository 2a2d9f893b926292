//! Puts claimed messages into words, and signs them: a batch at a time, on threads that may work.

use rayon::prelude::*;

use super::claim::Claim;
use super::settle::Ending;
use super::wording::{self, Wording, WordingError};
use super::worker::PostOffice;
use crate::db::DbError;
use crate::ledger::{Instants, Reason};
use crate::links::{ClickToken, OpenToken};
use crate::mail::dkim::Signer;
use crate::mail::{ComposeError, Delivery, Link, ReadyMail, Tracking};
use crate::stores::Store;

/// A claim, and what is to be handed over of it: the whole message or none. What cannot be rendered fails with its
/// reason, and no half mail leaves.
#[derive(Debug)]
pub struct Prepared {
    pub claim: Claim,
    pub mail: Result<ReadyMail, Ending>,
}

/// In the order of `claims`.
pub fn prepare(
    office: &PostOffice,
    store: &Store,
    signer: Option<&Signer>,
    claims: Vec<Claim>,
    at: Instants,
) -> Vec<Prepared> {
    let desk = wording::Desk {
        store,
        secret: &office.secret,
        public_url: &office.public_url,
        now: at.now,
    };
    let gathered = office
        .db
        .read_here(|conn| -> Result<_, DbError> { Ok(wording::gather(conn, &desk, &claims)?) });
    let words = match gathered {
        Ok(words) => words,
        Err(error) => {
            let not_sent = || Err(not_sent(&error));
            let unprepared = |claim| Prepared { claim, mail: not_sent() };
            return claims.into_iter().map(unprepared).collect();
        }
    };
    let pairs = claims.into_par_iter().zip(words);
    let prepared = pairs.map(|(claim, words)| {
        let mail = compose(office, store, &claim, words).and_then(|mail| match signer {
            Some(signer) => {
                let bytes = signer.sign(&mail.bytes, at.machine).map_err(|e| not_sent(&e))?;
                Ok(ReadyMail { bytes, ..mail })
            }
            None => Ok(mail),
        });
        Prepared { claim, mail }
    });
    prepared.collect()
}

fn compose(
    office: &PostOffice,
    store: &Store,
    claim: &Claim,
    words: Result<Wording, WordingError>,
) -> Result<ReadyMail, Ending> {
    let not_composed = |why, reason| Ending::NotComposed { why, reason };
    let words = words.map_err(|error| not_composed(error.to_string(), Reason::Template))?;
    let locales: Vec<&str> = words.locales.iter().map(String::as_str).collect();
    let message = claim.message.id;
    let click = |link: Link<'_>| {
        let (number, of, target) = (link.number, link.of, link.target.to_owned());
        ClickToken { store: store.id, message, link: number, links: of, target }
            .url(&office.public_url, &office.secret)
    };
    let open = OpenToken { store: store.id, message };
    let tracking = Tracking {
        click: store.sending.track_clicks.then_some(&click as _),
        pixel: store.sending.track_opens.then(|| open.url(&office.public_url, &office.secret)),
    };
    let mail = office.composer.compose(
        &words.template,
        &locales,
        &words.context,
        &words.headers,
        &tracking,
    );
    mail.map_err(|error| match error {
        ComposeError::AddressNotAscii => not_composed(error.to_string(), Reason::NoAddress),
        error => not_composed(with_causes(&error), Reason::Template),
    })
}

fn not_sent(error: &dyn std::error::Error) -> Ending {
    Ending::Handed(Delivery::NotSent { why: with_causes(error) })
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
