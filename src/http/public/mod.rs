//! Pages for recipients of mails: no sign-in, no cookie; the signed link is the whole of their authority.

mod form;
mod page;
pub mod tracked;
pub mod unsubscribe;
