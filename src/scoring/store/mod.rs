//! SQL of scoring: who is scored, what runs learnt and found, and the lists that are read from it.

mod at_risk_list;
mod learnings;
mod people;
mod runs;
mod scores;
mod told;

pub(super) use at_risk_list::{ANY_SEGMENT, Entry, Left, Which, amend, forget_before, keep};
pub use learnings::{Learnt, learnings, newest_learning};
pub(super) use learnings::{keep_learning, keep_measure};
pub use people::people_after;
pub(super) use people::{changed_after, customers_after, people_of};
pub use runs::{Run, Shown, shown, shown_run, shown_table};
pub(super) use runs::{
    Table, analyze, begin_run, changed_since, edition_before, finish_run, last_live, lock_scoring,
    newest_run, under_way,
};
pub use scores::StoredForecast;
pub(super) use scores::{
    StoredScore, ToWrite, forget_historic, remove, stored_between, stored_of, write, write_history,
};
pub(super) use told::rfm;
pub use told::{ScoredCustomer, history_of, score_of};
