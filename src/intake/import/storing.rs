//! The side that stores: facts into the journal, products into the catalogue.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use super::by_customer::ByCustomer;
use super::{ImportError, Kind, Stored};
use crate::db::{Db, DbError};
use crate::intake::known::{self, Foretold};
use crate::journal::{Answer, AppendError, Body, Journal, NewFact};
use crate::primitives::StoreId;
use crate::products::{self, Product};

/// What became of the orders, customers or products that a file tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
}

/// The side that stores.
pub(super) trait Sink<T>: Send {
    /// `bytes` is how long the items' rows were in the file.
    fn put(&mut self, items: Vec<T>, bytes: usize) -> Result<(), ImportError>;
    /// Stores what still waits; no more items come.
    fn finish(self) -> Result<Counts, ImportError>;
}

pub(super) fn store_all<T>(
    mut sink: impl Sink<T>,
    batches: Receiver<(Vec<T>, usize)>,
) -> Result<Counts, ImportError> {
    for (items, bytes) in batches {
        sink.put(items, bytes)?;
    }
    sink.finish()
}

pub(super) struct FactSink<'a> {
    pub kind: Kind,
    pub db: &'a Db,
    /// `None` on a rehearsal.
    pub journal: Option<&'a Journal>,
    pub store: StoreId,
    pub stored: &'a Stored,
    pub waiting: ByCustomer,
}

impl Sink<NewFact> for FactSink<'_> {
    fn put(&mut self, facts: Vec<NewFact>, bytes: usize) -> Result<(), ImportError> {
        self.waiting.add(facts, bytes).map_err(ImportError::SetAside)
    }

    fn finish(mut self) -> Result<Counts, ImportError> {
        let mut counts = Counts::default();
        let mut storing: Option<Storing> = None;
        for window in std::mem::take(&mut self.waiting).windows().map_err(ImportError::SetAside)? {
            // One window is one transaction: keys lie scattered over their indexes, so that each of a small
            // transaction's rows would dirty pages of its own. While one is written the next is made ready.
            let next = self.begin(window.map_err(ImportError::SetAside)?)?;
            if let Some(before) = storing.replace(next) {
                before.finish(&mut counts, self.stored)?;
            }
        }
        if let Some(last) = storing {
            last.finish(&mut counts, self.stored)?;
        }
        Ok(counts)
    }
}

impl FactSink<'_> {
    fn begin(&self, facts: Vec<NewFact>) -> Result<Storing, ImportError> {
        // An orders file is counted by its orders; the profiles in it come along.
        let is_counted =
            |fact: &NewFact| self.kind != Kind::Orders || matches!(fact.body, Body::OrderStated(_));
        let counted = facts.iter().map(is_counted).collect();
        let outcomes = match self.journal {
            Some(journal) => Outcomes::Awaited(journal.hand_in(self.store, facts, None)?),
            None => Outcomes::Foretold(self.db.read_here(|conn| {
                known::foretell(conn, self.store, &facts).map_err(DbError::from)
            })?),
        };
        Ok(Storing { counted, outcomes })
    }
}

/// A batch on its way into the journal.
struct Storing {
    counted: Vec<bool>,
    outcomes: Outcomes,
}

enum Outcomes {
    Awaited(Answer),
    /// What would become of the facts.
    Foretold(Vec<Foretold>),
}

impl Storing {
    fn finish(self, counts: &mut Counts, stored: &Stored) -> Result<(), ImportError> {
        let outcomes: Vec<Foretold> = match self.outcomes {
            Outcomes::Foretold(outcomes) => outcomes,
            Outcomes::Awaited(answer) => {
                let appended = answer.blocking_recv().unwrap_or(Err(AppendError::Closed))?;
                appended.iter().map(Foretold::from).collect()
            }
        };
        stored.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        for (_, outcome) in self.counted.iter().zip(outcomes).filter(|(counted, _)| **counted) {
            match outcome {
                Foretold::Created => counts.created += 1,
                Foretold::Updated => counts.updated += 1,
                Foretold::Unchanged => counts.unchanged += 1,
            }
        }
        Ok(())
    }
}

pub(super) struct ProductSink<'a> {
    pub db: &'a Db,
    pub store: StoreId,
    pub stored: &'a Stored,
    pub dry: bool,
    pub counts: Counts,
}

impl Sink<Product> for ProductSink<'_> {
    fn put(&mut self, told: Vec<Product>, _: usize) -> Result<(), ImportError> {
        let store = self.store;
        let rows = told.len() as u64;
        let news = match self.dry {
            true => self
                .db
                .read_here(|conn| products::news(conn, store, told).map_err(DbError::from))?,
            false => self
                .db
                .write_here(|conn| products::tell(conn, store, told).map_err(DbError::from))?,
        };
        self.stored.fetch_add(rows, Ordering::Relaxed);
        let (changed, created) = (news.changed.len() as u64, news.created as u64);
        self.counts.created += created;
        self.counts.updated += changed - created;
        self.counts.unchanged += rows - changed;
        Ok(())
    }

    fn finish(self) -> Result<Counts, ImportError> {
        Ok(self.counts)
    }
}
