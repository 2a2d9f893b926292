//! Homing brings an online store's customers back. The modules in reading order: each may use those above it.

pub mod primitives; // ids, instants, money, addresses
pub mod db; //         the door to both databases
pub mod config; //     settings of the process
pub mod secret; //     keyed hashes
pub mod metrics; //    what the process counts of its work
pub mod restores; //   a database put back from a backup: paused until an operator says so
pub mod replicas; //   the processes that serve one database
pub mod stores; //     a store and its settings
pub mod keys; //       who may call: API keys, of one store each
pub mod users; //      who may sign in, and what they may do
pub mod products; //   the catalogue
pub mod customers; //  who they are: profile, consent, rollup
pub mod identity; //   whose a fact is
pub mod visits; //     facts of behaviour less than 30 minutes apart
pub mod orders; //     the purchase log
pub mod journal; //    facts, once each, folded into rollups
pub mod intake; //     each source of facts, translated at the border
pub mod scoring; //    how recent, how often, how much; who slips away
pub mod rules; //      what an operator wants done, as values
pub mod mail; //       a message's wording, and its way to the mail server
pub mod ledger; //     who was considered, what was decided, and why
pub mod links; //      signed links for recipients
pub mod privacy; //    what a person may ask: everything, or to be forgotten
pub mod situation; //  what is known of one customer when something is decided
pub mod outbox; //     planned messages: claimed, judged again at the door, handed over, settled
pub mod clicks; //     clicks and opens of mails: a person's or a machine's
pub mod planner; //    due candidates in, decisions out
pub mod backtest; //   what a rule would have done, under a virtual clock
pub mod gallery; //    ready rules to begin with
pub mod retention; //  what is too old to be kept goes
pub mod schedule; //   ticks that wake the runs
pub mod experiments; // what a rule caused, by those whom chance left out of it
pub mod reports; //    read-only queries for pages and the API
pub mod http; //       the API, the console, and the pages for recipients
pub mod demo; //       a sample store that seems alive
pub mod cli; //        a file per command
