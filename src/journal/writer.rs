//! The journal's one writer: many requests, one transaction (group commit).

use crate::primitives::{CustomerId, StoreId};

use super::NewFact;

/// What became of one appended fact, in the order they were handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Stored now, as this customer's.
    New(CustomerId),
    /// Known already: nothing changed.
    Repeated,
    /// A behaviour fact of someone erased: acknowledged and dropped.
    Dropped,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the journal's queue is full: try again in a moment")]
    Overloaded,
    #[error("the journal is shut down")]
    Closed,
    #[error("the facts could not be stored")]
    Db(#[from] crate::db::DbError),
}

/// The way in: cheap to clone. An `Ok` is given after the commit, never before.
#[derive(Clone)]
pub struct Journal {}

impl Journal {
    /// Appends facts of one store; all of them are durable when this returns.
    pub async fn append(
        &self,
        _store: StoreId,
        _facts: Vec<NewFact>,
    ) -> Result<Vec<Appended>, AppendError> {
        Err(AppendError::Closed)
    }

    /// As [`Journal::append`], for threads that may block.
    pub fn append_blocking(
        &self,
        _store: StoreId,
        _facts: Vec<NewFact>,
    ) -> Result<Vec<Appended>, AppendError> {
        Err(AppendError::Closed)
    }
}
