//! Each source translated at the border: bytes to facts and refusals.

pub mod tracking_api;
