//! The values everything else is made of: ids, instants, money, addresses. They know no table and no clock.

mod email;
mod ids;
mod money;
mod text;
mod time;

pub use email::{EmailAddress, InvalidEmailAddress};
pub use ids::{
    CustomerId, DecisionId, EnrolmentId, FactId, IdGenerator, KeyId, MessageId, RuleId, StoreId,
    UserId,
};
pub use money::{Currency, InvalidMoney, Money};
pub use text::{clean_text, mask_formula};
pub use time::{Clock, Delay, InvalidDelay, InvalidZone, Timestamp, Zone};
