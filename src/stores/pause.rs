//! A pause that settings do not lift: of one rule, by the program itself, or of all marketing mail of a store.

use serde::Serialize;

use crate::primitives::Timestamp;
use crate::text_enum;

text_enum! {
    /// Why a rule, or the store, is paused.
    pub enum PauseReason {
        /// The mail server refused too many addresses.
        Bounces = "bounces",
        /// Too many of those whom the store wrote to complained.
        Complaints = "complaints",
        /// Far more people entered than ever in a day.
        Flood = "flood",
        /// Nobody falls due any more, where many did every day.
        Silence = "silence",
        /// Somebody switched the store's marketing mail off.
        Operator = "operator",
    }
}

/// What an operator alone lifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pause {
    pub reason: PauseReason,
    pub since: Timestamp,
}
