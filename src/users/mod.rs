//! Who may sign in to the console, and what they may do there.

mod password;
pub mod store;

use crate::primitives::{StoreId, UserId};
use crate::text_enum;

pub use password::{MIN_LENGTH, PasswordHash, WeakPassword};

text_enum! {
    pub enum Role {
        /// Everything, people and keys included.
        Owner = "owner",
        /// The daily work: rules on and off, messages in doubt.
        Operator = "operator",
        /// Looks, and changes nothing.
        Viewer = "viewer",
    }
}

impl Role {
    pub fn may_act(self) -> bool {
        !matches!(self, Self::Viewer)
    }
}

/// Someone who may sign in. The address is in lower case.
#[derive(Debug, Clone)]
pub struct User {
    pub id: UserId,
    pub store: StoreId,
    pub email: String,
    pub role: Role,
    pub password: PasswordHash,
}
