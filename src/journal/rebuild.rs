//! Recomputes from the journal all that was folded from it, or compares: `homing rebuild [--check]`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::QueryResult;

use super::fold::{Fact, Folded, Frame, fold_all};
use super::persist::Keeper;
use super::{Body, store};
use crate::customers::store as customers;
use crate::db::{Conn, Db, DbError, lock_store};
use crate::identity::resolve::{Evidence, Position, links_of, order_claim};
use crate::identity::{self, Identity};
use crate::orders;
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::stores::Store;
use crate::visits::{self, Visit};

/// How many customers are read and compared at once.
const PAGE: i64 = 500;

/// Something that is not what the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    Profile(CustomerId),
    Rollup(CustomerId),
    Visits(CustomerId),
    Orders(CustomerId),
    /// A fact is kept with someone who is not its owner by the evidence.
    Ownership(Identity),
    /// The stored evidence is not the facts'.
    Evidence(Identity),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Profile(id) => write!(f, "customer {id}: profile"),
            Self::Rollup(id) => write!(f, "customer {id}: rollup"),
            Self::Visits(id) => write!(f, "customer {id}: visits"),
            Self::Orders(id) => write!(f, "customer {id}: orders"),
            // The kind of identity, not the identity: this is printed.
            Self::Ownership(identity) => {
                write!(f, "owner of an identity of kind {}", kind(identity))
            }
            Self::Evidence(identity) => {
                write!(f, "evidence about an identity of kind {}", kind(identity))
            }
        }
    }
}

fn kind(identity: &Identity) -> &str {
    identity.as_str().split(':').next().unwrap_or_default()
}

/// Compares what is stored with what the journal's facts make; `seen` is told how many customers are done.
pub fn check(
    db: &Db,
    store: &Store,
    mut seen: impl FnMut(usize),
) -> Result<Vec<Difference>, DbError> {
    let frame = frame(store);
    let mut differences = Vec::new();
    let mut ownership = Ownership::default();
    let (mut after, mut done) = (CustomerId(0), 0);
    loop {
        // One read transaction a page would be cleaner, but a busy writer must not see a reader hold its log.
        let page = db.read_here(|conn| read_page(conn, store.id, after).map_err(DbError::from))?;
        let Some(last) = page.ids.last().copied() else { break };
        for fact in page.histories.values().flatten() {
            ownership.take(fact);
        }
        for stored in &page.stored {
            let facts = page.histories.get(&stored.id).map(Vec::as_slice).unwrap_or_default();
            let anew = fold_all(stored.profile.external_id.as_deref(), facts, &frame);
            differences.extend(compare(&page, store.id, stored, anew));
        }
        (after, done) = (last, done + page.ids.len());
        seen(done);
    }
    differences
        .extend(db.read_here(|conn| ownership.compare(conn, store.id).map_err(DbError::from))?);
    Ok(differences)
}

/// Folds every history anew and stores the outcome: after a change of the store's zone or currency, or of the fold.
pub fn rebuild(
    db: &Db,
    store: &Store,
    now: Timestamp,
    mut seen: impl FnMut(usize),
) -> Result<usize, DbError> {
    let keeper = Keeper { store: store.id, frame: frame(store), changed_at: now };
    let (mut after, mut done) = (CustomerId(0), 0);
    loop {
        let ids = db.write_here(|conn| {
            lock_store(conn, store.id)?;
            let ids = store::customers_after(conn, store.id, after, PAGE)?;
            keeper.fold_anew(conn, &ids)?;
            Ok::<_, DbError>(ids)
        })?;
        let Some(last) = ids.last() else { return Ok(done) };
        (after, done) = (*last, done + ids.len());
        seen(done);
    }
}

/// Folds some customers' histories anew. Needs a write transaction that holds the store's lock.
pub fn fold_anew(
    conn: &mut Conn,
    store: &Store,
    ids: &[CustomerId],
    now: Timestamp,
) -> QueryResult<()> {
    Keeper { store: store.id, frame: frame(store), changed_at: now }.fold_anew(conn, ids)
}

fn frame(store: &Store) -> Frame {
    Frame { zone: store.timezone.clone(), currency: store.currency.clone() }
}

struct Page {
    ids: Vec<CustomerId>,
    histories: HashMap<CustomerId, Vec<Fact>>,
    stored: Vec<customers::Stored>,
    logs: HashMap<CustomerId, orders::store::Log>,
    visits: HashMap<CustomerId, Vec<Visit>>,
}

fn read_page(conn: &mut Conn, store: StoreId, after: CustomerId) -> QueryResult<Page> {
    let ids = store::customers_after(conn, store, after, PAGE)?;
    let mut histories: HashMap<CustomerId, Vec<Fact>> = HashMap::new();
    for fact in store::of_customers(conn, &ids)? {
        histories.entry(fact.customer).or_default().push(fact);
    }
    let mut by_customer: HashMap<CustomerId, Vec<Visit>> = HashMap::new();
    for visit in visits::of(conn, &ids)? {
        by_customer.entry(visit.customer_id).or_default().push(visit);
    }
    let stored = customers::load(conn, &ids)?;
    let logs = orders::store::load(conn, &ids)?;
    Ok(Page { ids, histories, stored, logs, visits: by_customer })
}

fn compare(
    page: &Page,
    store: StoreId,
    stored: &customers::Stored,
    anew: Folded,
) -> Vec<Difference> {
    let id = stored.id;
    let mut found = Vec::new();
    if stored.profile != anew.profile {
        found.push(Difference::Profile(id));
    }
    if stored.rollup != anew.rollup {
        found.push(Difference::Rollup(id));
    }
    let folded: Vec<Visit> =
        anew.visits.values().map(|visit| Visit::new(id, store, visit)).collect();
    if page.visits.get(&id).map(Vec::as_slice).unwrap_or_default() != folded {
        found.push(Difference::Visits(id));
    }
    let mut log = anew.log;
    log.orders.values_mut().for_each(|order| order.lines = None);
    if page.logs.get(&id).cloned().unwrap_or_default() != log {
        found.push(Difference::Orders(id));
    }
    found
}

/// Who owns what, by all facts together: computed with no regard to what is stored.
#[derive(Default)]
struct Ownership {
    evidence: Evidence,
    /// Where facts with a subject are kept.
    kept: BTreeMap<Identity, BTreeSet<CustomerId>>,
    /// Of each order, the smallest claim and whose it is.
    claims: BTreeMap<String, (String, Option<Identity>)>,
}

impl Ownership {
    fn take(&mut self, fact: &Fact) {
        let identifiers = &fact.payload.identifiers;
        let position =
            Position { occurred_at: fact.occurred_at, source_key: fact.source_key.clone() };
        let previous = match &fact.payload.body {
            Body::Aliased { previous_id } => Some(previous_id.as_str()),
            _ => None,
        };
        for link in links_of(identifiers, previous, &position) {
            self.evidence.add(link);
        }
        self.kept.entry(fact.subject.clone()).or_default().insert(fact.customer);
        if let Some(order_id) = fact.payload.body.order_id() {
            let subject = identifiers.subject();
            let is_statement = matches!(fact.payload.body, Body::OrderStated(_));
            let claim =
                order_claim(subject.as_ref(), is_statement, fact.source.order_rank(), &position);
            let known = self
                .claims
                .entry(order_id.to_owned())
                .or_insert_with(|| (claim.clone(), subject.clone()));
            if claim < known.0 {
                *known = (claim, subject);
            }
        }
    }

    /// The identity at the end of the chain of owners.
    fn owner(&self, identity: &Identity) -> Identity {
        let mut owner = identity;
        while let Some(next) = self.evidence.next_owner(owner) {
            owner = next;
        }
        owner.clone()
    }

    fn compare(&self, conn: &mut Conn, store: StoreId) -> QueryResult<Vec<Difference>> {
        let mut found = Vec::new();
        let subjects: Vec<&Identity> = self.kept.keys().collect();
        for part in subjects.chunks(1_000) {
            // Whose each subject is, by the evidence: for an order, whoever has the smallest claim to it.
            let owners: Vec<(&Identity, Identity)> = part
                .iter()
                .map(|subject| {
                    let order =
                        subject.as_str().strip_prefix("order:").and_then(|id| self.claims.get(id));
                    let through = order.and_then(|(_, holder)| holder.as_ref()).unwrap_or(subject);
                    (*subject, self.owner(through))
                })
                .collect();
            let wanted: Vec<Identity> = owners.iter().map(|(_, owner)| owner.clone()).collect();
            let homes: HashMap<Identity, CustomerId> = identity::store::find(conn, store, &wanted)?
                .into_iter()
                .map(|owned| (owned.identity, owned.customer_id))
                .collect();
            for (subject, owner) in owners {
                let is_erased_order =
                    subject.as_str().starts_with("order:") && !homes.contains_key(&owner);
                let kept = &self.kept[subject];
                let is_right = kept.len() == 1 && kept.first() == homes.get(&owner);
                if !is_right && !is_erased_order {
                    found.push(Difference::Ownership(subject.clone()));
                }
            }
            let weak: Vec<Identity> = part.iter().map(|subject| (*subject).clone()).collect();
            for link in identity::store::links_of(conn, store, &weak)? {
                if self.evidence.position(&link.identity, &link.target) != Some(&link.position) {
                    found.push(Difference::Evidence(link.identity));
                }
            }
        }
        Ok(found)
    }
}
