//! `homing customer show|export|erase CUSTOMER`.

use clap::{Args, Subcommand};

use super::CliError;
use crate::customers;
use crate::db::{Db, DbError};
use crate::identity;
use crate::primitives::{Clock, CustomerId, Money};
use crate::privacy;
use crate::secret::Secret;
use crate::stores::Store;

#[derive(Subcommand)]
pub enum CustomerCommand {
    /// Who they are and what they did, in short.
    Show(Who),
    /// Everything kept about them, as JSON.
    Export(Who),
    /// Forget them: only their orders stay, without a name.
    Erase(Who),
}

#[derive(Args)]
pub struct Who {
    /// An id, `ext:EXTERNAL_ID`, or an e-mail address.
    customer: String,
}

pub fn run(
    command: &CustomerCommand,
    db: &Db,
    store: &Store,
    secret: &Secret,
    clock: Clock,
) -> Result<(), CliError> {
    match command {
        CustomerCommand::Show(who) => show(db, store, find(db, store, &who.customer)?),
        CustomerCommand::Export(who) => {
            let customer = find(db, store, &who.customer)?;
            let export =
                db.read_here(|conn| privacy::export(conn, customer).map_err(DbError::from))?;
            println!("{}", serde_json::to_string_pretty(&export)?);
            Ok(())
        }
        CustomerCommand::Erase(who) => {
            let customer = find(db, store, &who.customer)?;
            let done = privacy::erase(db, secret, store, customer, clock.now())?;
            println!(
                "{}",
                if done {
                    format!("Customer {customer} is forgotten; their orders stay without a name.")
                } else {
                    format!("Customer {customer} was forgotten before.")
                }
            );
            Ok(())
        }
    }
}

/// The customer that an argument names.
pub fn find(db: &Db, store: &Store, argument: &str) -> Result<CustomerId, CliError> {
    db.read_here(|conn| {
        identity::store::find_customer(conn, store.id, argument).map_err(DbError::from)
    })?
    .ok_or_else(|| {
        CliError::usage_text(format!("the store `{}` knows no customer `{argument}`", store.key))
            .hint("name a customer by id, ext:EXTERNAL_ID, or e-mail address")
    })
}

fn show(db: &Db, store: &Store, customer: CustomerId) -> Result<(), CliError> {
    let (stored, identities) = db.read_here(|conn| {
        let stored = customers::store::load(conn, &[customer])?.pop();
        Ok::<_, DbError>((stored, identity::store::of_customer(conn, customer)?))
    })?;
    let Some(stored) = stored else { return Err(CliError::text("the customer is gone")) };
    let (profile, rollup) = (&stored.profile, &stored.rollup);
    let line = |name: &str, value: Option<String>| {
        println!("{name:<18} {}", value.unwrap_or_else(|| "-".to_owned()));
    };
    line("id", Some(customer.to_string()));
    line("name", profile.name.clone());
    line("e-mail", profile.email.as_ref().map(ToString::to_string));
    line("external id", profile.external_id.clone());
    line(
        "identities",
        Some(identities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    );
    let since = profile.consent.since().map(|at| format!(" since {at}")).unwrap_or_default();
    line("consent", Some(format!("{}{since}", profile.consent.state())));
    line("first known", profile.created_at.map(|at| at.to_string()));
    line("visits", Some(rollup.visits_count.to_string()));
    line("last seen", rollup.last_seen_at.map(|at| at.to_string()));
    line("product views", Some(rollup.product_views.to_string()));
    line("cart since", rollup.basket().map(|basket| basket.started_at.to_string()));
    line("orders", Some(rollup.orders_count.to_string()));
    line("spent", Some(Money::new(rollup.spent, store.currency.clone()).to_string()));
    line("first order", rollup.first_order_at.map(|at| at.to_string()));
    line("last order", rollup.last_order_at.map(|at| at.to_string()));
    Ok(())
}
