//! Homing brings an online store's customers back. The modules in reading order: each may use those above it.

pub mod primitives;

pub mod db;

pub mod journal;
