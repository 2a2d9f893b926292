//! Backtest: what a rule would have done, decided by the engine that plans and sends, under a virtual clock.
//!
//! The rule counts as live from the window's first midnight; enrolments and messages that are stored are nothing to
//! it. The other live rules compete. [`known`], [`life`], [`post`], [`scores`] and [`sum`] are pure; [`run`] reads the
//! journal and shares the customers among the cores. It writes nothing.

pub mod case;
mod contest;
mod deeds;
pub mod house;
pub mod known;
mod ledger;
pub mod life;
mod post;
mod rated;
pub mod run;
pub mod scores;
mod store;
mod sum;
pub mod then;
mod window;
mod world;

pub use contest::Contest;
pub use ledger::Event;
pub use run::{BacktestError, Progress, run};
pub use sum::{Fate, PerDay, Report, Sample};
pub use window::{Window, WindowError};
pub use world::World;
