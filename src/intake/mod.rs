//! Each source translated at the border: bytes to facts and refusals.

pub mod csv; //          files in the generic format
pub mod import; //       a file streamed into the journal or the catalogue
pub mod tracking_api; // events of websites and apps
mod known; //            what the database holds already of a batch
