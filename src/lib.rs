//! Homing brings an online store's customers back. The modules in reading order: each may use those above it.

pub mod cli;
pub mod config; //     settings of the process
pub mod db; //         the door to both databases
pub mod demo; //       a sample store that seems alive
pub mod http; //       the API, the console, and the pages for recipients
pub mod intake; //     each source of facts, translated at the border
pub mod journal; //    facts, once each, folded into rollups
pub mod keys; //       who may call: API keys, of one store each
pub mod ledger; //     who was considered, what was decided, and why
pub mod mail; //       a message's wording, and its way to the mail server
pub mod metrics; //    what the process counts of its work
pub mod primitives; // ids, instants, money, addresses
pub mod rules; //      what an operator wants done, as values
pub mod secret; //     keyed hashes
pub mod stores; //     a store and its settings
pub mod users; //      who may sign in, and what they may do //        a file per command
