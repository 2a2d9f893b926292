//! One transaction of the journal: new facts in, identities resolved, histories folded.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use diesel::QueryResult;

use super::fold::{Fact, Folded, Frame, fold_all};
use super::persist::{Keeper, Kept};
use super::writer::Appended;
use super::{Body, NewFact, Payload, on_all_cores, store};
use crate::customers::{merge, store as customers};
use crate::db::{Conn, lock_store};
use crate::identity::resolve::{Evidence, Link, Position, links_of, order_claim};
use crate::identity::store::Owned;
use crate::identity::{self, Identity};
use crate::orders;
use crate::orders::store::Holder;
use crate::primitives::{Clock, CustomerId, FactId, IdGenerator, StoreId, Timestamp};
use crate::products::{self, Product};
use crate::secret::Secret;
use crate::stores;

/// What appending needs beside the connection.
pub(super) struct Means<'a> {
    pub ids: &'a IdGenerator,
    pub secret: &'a Secret,
}

/// Appends `new` facts of one store. Needs a write transaction; any error must roll it back.
pub(super) fn append(
    conn: &mut Conn,
    means: &Means<'_>,
    store_id: StoreId,
    new: Vec<NewFact>,
    received_at: Timestamp,
) -> QueryResult<Vec<Appended>> {
    lock_store(conn, store_id)?;
    let settings = stores::store::find(conn, store_id)?;
    let frame = Frame { zone: settings.timezone, currency: settings.currency };
    let mut batch = Batch {
        conn,
        means,
        store: store_id,
        keeper: Keeper { store: store_id, frame, changed_at: received_at },
        received_at,
        // Ids carry the real time of their making, whatever `received_at` says.
        made_at_ms: Clock::System.now().millis(),
        owned: HashMap::new(),
        stored: HashSet::new(),
        evidence: Evidence::default(),
        changed: BTreeSet::new(),
        holders: HashMap::new(),
        held_before: HashMap::new(),
        created: Vec::new(),
        moves: Vec::new(),
        claimed: BTreeSet::new(),
    };
    batch.run(new)
}

/// The name that is left of an erased person's identity: a keyed hash of it.
pub fn erased_identity(secret: &Secret, store: StoreId, identity: &Identity) -> Identity {
    let hash = secret.keyed_hash("erased", &[&store.0.to_be_bytes(), identity.as_str().as_bytes()]);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Identity::erased(&hex)
}

/// A fact not known before, and the identity through which it finds its customer; an order's facts may have none.
struct Fresh {
    fact: NewFact,
    subject: Option<Identity>,
    /// Every identity it names, the subject among them.
    named: Vec<Identity>,
}

struct Batch<'a, 'c> {
    conn: &'c mut Conn,
    means: &'a Means<'a>,
    store: StoreId,
    keeper: Keeper,
    received_at: Timestamp,
    made_at_ms: i64,
    owned: HashMap<Identity, Owned>,
    /// Those of them that have a row.
    stored: HashSet<Identity>,
    evidence: Evidence,
    /// Identities whose row is to be written.
    changed: BTreeSet<Identity>,
    holders: HashMap<String, Holder>,
    /// The holders as they are stored.
    held_before: HashMap<String, (CustomerId, String)>,
    created: Vec<(CustomerId, Option<String>)>,
    /// Facts that change hands: from, through which subject, to.
    moves: Vec<(CustomerId, Identity, CustomerId)>,
    /// Orders known before that are now held through another identity.
    claimed: BTreeSet<String>,
}

impl Batch<'_, '_> {
    fn run(&mut self, new: Vec<NewFact>) -> QueryResult<Vec<Appended>> {
        let keys: Vec<_> = new.iter().map(|fact| (fact.source, fact.source_key.as_str())).collect();
        let mut free = store::claim_keys(self.conn, self.store, &keys)?;
        // The first of several with one key is the fact; the others are repeats.
        let is_new: Vec<bool> = keys.iter().map(|key| free.remove(key)).collect();
        let fresh: Vec<NewFact> = new
            .into_iter()
            .zip(&is_new)
            .filter_map(|(fact, is_new)| is_new.then_some(fact))
            .collect();
        if fresh.is_empty() {
            return Ok(vec![Appended::Repeated; is_new.len()]);
        }

        let fresh = self.without_the_erased(fresh)?;
        self.load_identities(fresh.iter().flatten())?;
        let firsts = self.first_words(&fresh);
        self.resolve(fresh.iter().flatten())?;
        let mut outcomes = Vec::with_capacity(fresh.len());
        let mut facts = Vec::with_capacity(fresh.len());
        for (fact, first) in fresh.into_iter().zip(firsts) {
            let Some(fact) = fact.and_then(|fresh| self.place(fresh)) else {
                outcomes.push(Appended::Dropped);
                continue;
            };
            outcomes.push(Appended::New { customer: fact.customer, first });
            facts.push(fact);
        }
        self.write(facts)?;
        let mut outcomes = outcomes.into_iter();
        Ok(is_new
            .iter()
            .map(|new| if *new { outcomes.next() } else { None }.unwrap_or(Appended::Repeated))
            .collect())
    }

    /// Takes the identities of erased people out of the facts; what is left of such a fact is an order without a
    /// person, or nothing (`None`).
    fn without_the_erased(&mut self, fresh: Vec<NewFact>) -> QueryResult<Vec<Option<Fresh>>> {
        let hash = |identity: &Identity| erased_identity(self.means.secret, self.store, identity);
        if !identity::store::has_erased(self.conn, self.store)? {
            return Ok(fresh.into_iter().map(|fact| Some(Fresh::of(fact))).collect());
        }
        let named: Vec<Identity> = fresh.iter().flat_map(identities_of).collect();
        let hashes: Vec<Identity> = named.iter().map(hash).collect();
        let found = identity::store::find(self.conn, self.store, &hashes)?;
        let found: HashSet<Identity> = found.into_iter().map(|owned| owned.identity).collect();
        let erased: HashMap<&Identity, &Identity> =
            named.iter().zip(&hashes).filter(|(_, hash)| found.contains(hash)).collect();
        Ok(fresh.into_iter().map(|fact| forget(fact, &erased)).collect())
    }

    fn load_identities<'f>(
        &mut self,
        fresh: impl Iterator<Item = &'f Fresh> + Clone,
    ) -> QueryResult<()> {
        let mut named: BTreeSet<Identity> = BTreeSet::new();
        for identity in fresh.clone().flat_map(|fresh| &fresh.named) {
            if !named.contains(identity) {
                named.insert(identity.clone());
            }
        }
        let order_ids: BTreeSet<&str> =
            fresh.filter_map(|fresh| fresh.fact.body.order_id()).collect();
        let order_ids: Vec<&str> = order_ids.into_iter().collect();
        for holder in orders::store::holders(self.conn, self.store, &order_ids)? {
            // An order that nobody holds has no identity of its own, either.
            named.insert(Identity::order(&holder.order_id));
            named.insert(holder.subject.clone());
            let stored = (holder.customer_id, holder.claim.clone());
            self.held_before.insert(holder.order_id.clone(), stored);
            self.holders.insert(holder.order_id.clone(), holder);
        }
        self.load(named.into_iter().collect())
    }

    /// For each fact, whether nothing was known before of the order, or else the person, that it speaks of.
    fn first_words<'f>(&self, fresh: &'f [Option<Fresh>]) -> Vec<bool> {
        let (mut orders, mut people) = (HashSet::new(), HashSet::new());
        let mut is_first = |fresh: &'f Fresh| match fresh.fact.body.order_id() {
            Some(order_id) => !self.holders.contains_key(order_id) && orders.insert(order_id),
            None => {
                let is_known = |i: &Identity| self.owned.contains_key(i) || people.contains(i);
                let known = fresh.named.iter().any(is_known);
                people.extend(&fresh.named);
                !known
            }
        };
        fresh.iter().map(|fresh| fresh.as_ref().is_some_and(&mut is_first)).collect()
    }

    /// Loads identities, their evidence, and whoever that evidence may make their owner.
    fn load(&mut self, wanted: Vec<Identity>) -> QueryResult<()> {
        let mut wanted: Vec<Identity> =
            wanted.into_iter().filter(|i| !self.owned.contains_key(i)).collect();
        while !wanted.is_empty() {
            for owned in identity::store::find(self.conn, self.store, &wanted)? {
                self.stored.insert(owned.identity.clone());
                self.owned.insert(owned.identity.clone(), owned);
            }
            let weak: Vec<Identity> = wanted
                .into_iter()
                .filter(|i| i.strength() > identity::Strength::Identified)
                .collect();
            let mut targets = BTreeSet::new();
            for link in identity::store::links_of(self.conn, self.store, &weak)? {
                targets.insert(link.target.clone());
                self.evidence.add(link);
            }
            wanted = targets.into_iter().filter(|i| !self.owned.contains_key(i)).collect();
        }
        Ok(())
    }

    /// Takes the facts' evidence in and settles anew who owns what.
    fn resolve<'f>(&mut self, fresh: impl Iterator<Item = &'f Fresh> + Clone) -> QueryResult<()> {
        let mut unsettled: BTreeSet<Identity> = BTreeSet::new();
        // By what they link, and whether the evidence is the first.
        let mut telling: HashMap<(Identity, Identity), (Link, bool)> = HashMap::new();
        for fresh in fresh.clone() {
            let fact = &fresh.fact;
            let position =
                Position { occurred_at: fact.occurred_at, source_key: fact.source_key.clone() };
            let previous = match &fact.body {
                Body::Aliased { previous_id } => Some(previous_id.as_str()),
                _ => None,
            };
            for identity in &fresh.named {
                if !unsettled.contains(identity) {
                    unsettled.insert(identity.clone());
                }
            }
            for link in links_of(&fact.identifiers, previous, &position) {
                let known = self.evidence.position(&link.identity, &link.target);
                if known.is_some_and(|known| *known <= link.position) {
                    continue;
                }
                let is_new = known.is_none();
                self.evidence.add(link.clone());
                match telling.entry((link.identity.clone(), link.target.clone())) {
                    Entry::Occupied(mut told) => told.get_mut().0 = link,
                    Entry::Vacant(untold) => {
                        untold.insert((link, is_new));
                    }
                }
            }
        }
        let (new, stored): (Vec<_>, Vec<_>) =
            telling.into_values().partition(|(_, is_new)| *is_new);
        let links = |told: Vec<(Link, bool)>| -> Vec<Link> {
            told.into_iter().map(|(link, _)| link).collect()
        };
        identity::store::create_links(self.conn, self.store, &links(new))?;
        identity::store::save_links(self.conn, self.store, &links(stored))?;

        // Addresses before browsers: a browser may be an address's. Who is an address's follows it.
        let addresses: Vec<Identity> = unsettled
            .iter()
            .filter(|i| i.strength() == identity::Strength::Known)
            .cloned()
            .collect();
        let followers = identity::store::linked_to(self.conn, self.store, &addresses)?;
        unsettled.extend(followers.iter().cloned());
        self.load(followers)?;
        let mut in_turn: Vec<Identity> = unsettled.into_iter().collect();
        in_turn.sort_by_key(|identity| (identity.strength(), identity.clone()));
        for identity in in_turn {
            self.settle(&identity);
        }
        for fact in fresh {
            self.claim_order(fact);
        }
        Ok(())
    }

    /// Who owns `identity` by the evidence; made, if nobody does. Notes what changes hands.
    fn settle(&mut self, identity: &Identity) -> CustomerId {
        let owner = match self.evidence.next_owner(identity).cloned() {
            Some(next) => self.settle(&next),
            None => match self.owned.get(identity).and_then(|owned| owned.home_id) {
                Some(home) => home,
                None => self.create_home(identity),
            },
        };
        match self.owned.get_mut(identity) {
            Some(known) if known.customer_id == owner => return owner,
            Some(known) => {
                self.moves.push((known.customer_id, identity.clone(), owner));
                known.customer_id = owner;
            }
            None => {
                let new = Owned {
                    store_id: self.store,
                    identity: identity.clone(),
                    customer_id: owner,
                    home_id: None,
                };
                self.owned.insert(identity.clone(), new);
            }
        }
        self.changed.insert(identity.clone());
        owner
    }

    fn create_home(&mut self, identity: &Identity) -> CustomerId {
        let id = CustomerId(self.means.ids.next(self.made_at_ms));
        let external_id = identity.as_str().strip_prefix("ext:").map(str::to_owned);
        self.created.push((id, external_id));
        let owned = Owned {
            store_id: self.store,
            identity: identity.clone(),
            customer_id: id,
            home_id: Some(id),
        };
        self.owned.insert(identity.clone(), owned);
        self.changed.insert(identity.clone());
        id
    }

    /// An order belongs to whoever has the smallest claim to it; its facts follow it.
    fn claim_order(&mut self, Fresh { fact, subject, .. }: &Fresh) {
        let Some(order_id) = fact.body.order_id() else { return };
        let position =
            Position { occurred_at: fact.occurred_at, source_key: fact.source_key.clone() };
        let is_statement = matches!(fact.body, Body::OrderStated(_));
        let claim =
            order_claim(subject.as_ref(), is_statement, fact.source.order_rank(), &position);
        if self.holders.get(order_id).is_some_and(|holder| holder.claim <= claim) {
            return;
        }
        let subject = subject.clone().unwrap_or_else(|| Identity::order(order_id));
        let owner = self.settle(&subject);
        let holder = Holder {
            store_id: self.store,
            order_id: order_id.to_owned(),
            customer_id: owner,
            subject,
            claim,
        };
        if self.holders.insert(order_id.to_owned(), holder).is_some() {
            self.claimed.insert(order_id.to_owned());
        }
    }

    /// The fact as its customer's; `None` for one that names nobody and no order.
    fn place(&self, Fresh { fact: new, subject, .. }: Fresh) -> Option<Fact> {
        let through = match new.body.order_id() {
            Some(order_id) => &self.holders.get(order_id)?.subject,
            None => subject.as_ref()?,
        };
        let customer = self.owned.get(through)?.customer_id;
        let subject = new.body.order_id().map(Identity::order).or(subject)?;
        Some(Fact {
            id: FactId(self.means.ids.next(self.made_at_ms)),
            customer,
            source: new.source,
            source_key: new.source_key,
            subject,
            occurred_at: new.occurred_at,
            received_at: self.received_at,
            live: new.live,
            payload: Payload { identifiers: new.identifiers, context: new.context, body: new.body },
        })
    }

    fn write(&mut self, mut facts: Vec<Fact>) -> QueryResult<()> {
        facts.sort_by(|a, b| (a.customer, a.position()).cmp(&(b.customer, b.position())));
        let created = self.fold_created(&facts);
        let profiles: Vec<_> = created.iter().map(|(id, folded)| (*id, &folded.profile)).collect();
        customers::create(self.conn, self.store, &profiles)?;
        let rows = self.changed.iter().filter_map(|i| self.owned.get(i)).cloned();
        let (new, stored): (Vec<Owned>, Vec<Owned>) =
            rows.partition(|owned| !self.stored.contains(&owned.identity));
        identity::store::create(self.conn, &new)?;
        identity::store::save(self.conn, &stored)?;
        let mut anew = self.hand_over()?;
        let (new, stored): (Vec<Holder>, Vec<Holder>) = self
            .changed_holders()
            .into_iter()
            .partition(|holder| !self.held_before.contains_key(&holder.order_id));
        orders::store::create_holders(self.conn, &new)?;
        orders::store::save_holders(self.conn, &stored)?;
        store::insert(self.conn, self.store, &facts)?;
        self.tell_products(&facts)?;

        let mut folded: Vec<Kept> = Vec::new();
        let mut steady: BTreeSet<CustomerId> = facts.iter().map(|fact| fact.customer).collect();
        for (id, state) in created {
            // A customer made for an identity that another owns has no facts, and needs no rollup.
            if steady.remove(&id) && !anew.contains(&id) {
                folded.push(Kept { id, folded: state, is_new: true, profile_changed: false });
            }
        }
        let steady: Vec<CustomerId> = steady.difference(&anew).copied().collect();
        let is_stored = self.fold_on(&steady, &facts, &mut folded, &mut anew)?;
        self.keeper.save(self.conn, &folded, &is_stored)?;
        self.keeper.fold_anew(self.conn, &anew.into_iter().collect::<Vec<_>>())
    }

    /// Those made in this transaction, as their facts in it make them. `facts` are sorted by customer and position.
    fn fold_created(&self, facts: &[Fact]) -> Vec<(CustomerId, Folded)> {
        let frame = &self.keeper.frame;
        on_all_cores(&self.created, |(id, external_id)| {
            let from = facts.partition_point(|fact| fact.customer < *id);
            let theirs = facts[from..].iter().take_while(|fact| fact.customer == *id);
            (*id, fold_all(external_id.as_deref(), theirs, frame))
        })
    }

    /// The holders whose row is new or no longer says what is so.
    fn changed_holders(&mut self) -> Vec<Holder> {
        for holder in self.holders.values_mut() {
            if let Some(owned) = self.owned.get(&holder.subject) {
                holder.customer_id = owned.customer_id;
            }
        }
        // The claim names the fact that won, and with it the subject.
        let says = |holder: &Holder, stored: &(CustomerId, String)| {
            (holder.customer_id, &holder.claim) == (stored.0, &stored.1)
        };
        let is_changed = |holder: &&Holder| {
            self.held_before.get(&holder.order_id).is_none_or(|stored| !says(holder, stored))
        };
        let mut changed: Vec<Holder> = self.holders.values().filter(is_changed).cloned().collect();
        changed.sort_by(|a, b| a.order_id.cmp(&b.order_id));
        changed
    }

    /// Moves facts and orders to their new owners; returns everyone whose history changed by it.
    fn hand_over(&mut self) -> QueryResult<BTreeSet<CustomerId>> {
        let mut anew = BTreeSet::new();
        for (from, subject, to) in std::mem::take(&mut self.moves) {
            let held = self.held_through(from, &subject)?;
            for order in &held {
                orders::store::hand_over(self.conn, self.store, order, to)?;
            }
            let orders = held.iter().map(|order| Identity::order(order));
            let subjects: Vec<Identity> = orders.chain([subject.clone()]).collect();
            self.give(from, &subjects, to, &mut anew)?;
            self.redirect_home(&subject, from, to)?;
        }
        // After the identities: an order may have followed its holder before it is claimed by another.
        let claimed: Vec<&str> = self.claimed.iter().map(String::as_str).collect();
        for before in orders::store::holders(self.conn, self.store, &claimed)? {
            let holder = self.holders.get(&before.order_id).map(|holder| &holder.subject);
            let Some(to) =
                holder.and_then(|subject| self.owned.get(subject)).map(|owned| owned.customer_id)
            else {
                continue;
            };
            let order = Identity::order(&before.order_id);
            self.give(before.customer_id, std::slice::from_ref(&order), to, &mut anew)?;
            self.redirect_home(&order, before.customer_id, to)?;
        }
        Ok(anew)
    }

    /// The orders that `customer` holds through `subject`.
    fn held_through(
        &mut self,
        customer: CustomerId,
        subject: &Identity,
    ) -> QueryResult<Vec<String>> {
        let ids = store::order_ids_of(self.conn, customer)?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let holders = orders::store::holders(self.conn, self.store, &ids)?;
        Ok(holders
            .into_iter()
            .filter(|holder| holder.customer_id == customer && holder.subject == *subject)
            .map(|holder| holder.order_id)
            .collect())
    }

    fn give(
        &mut self,
        from: CustomerId,
        subjects: &[Identity],
        to: CustomerId,
        anew: &mut BTreeSet<CustomerId>,
    ) -> QueryResult<()> {
        if from != to {
            store::give(self.conn, from, subjects, to)?;
            anew.extend([from, to]);
        }
        Ok(())
    }

    /// Whoever was made for this identity alone is from now on another name for its owner.
    fn redirect_home(
        &mut self,
        identity: &Identity,
        from: CustomerId,
        to: CustomerId,
    ) -> QueryResult<()> {
        let home = self.owned.get(identity).and_then(|owned| owned.home_id);
        if home == Some(from) && from != to { merge::merge(self.conn, from, to) } else { Ok(()) }
    }

    fn tell_products(&mut self, facts: &[Fact]) -> QueryResult<()> {
        let store = self.store;
        let told = facts.iter().flat_map(|fact| {
            let (products, currency) = fact.payload.body.products();
            products.iter().filter_map(move |product| {
                Product::told(store, product, currency, fact.occurred_at)
            })
        });
        let told: Vec<Product> = told.collect();
        if !told.is_empty() {
            products::tell(self.conn, self.store, told)?;
        }
        Ok(())
    }

    /// Folds each customer's new facts onto what is stored, into `folded`; those that cannot take them in place go
    /// to `anew`. Returns the orders that are stored already.
    fn fold_on(
        &mut self,
        steady: &[CustomerId],
        facts: &[Fact],
        folded: &mut Vec<Kept>,
        anew: &mut BTreeSet<CustomerId>,
    ) -> QueryResult<HashSet<(CustomerId, String)>> {
        let mut theirs: HashMap<CustomerId, &[Fact]> = HashMap::new();
        for run in facts.chunk_by(|a, b| a.customer == b.customer) {
            theirs.insert(run[0].customer, run);
        }
        let ordering: Vec<CustomerId> = steady
            .iter()
            .copied()
            .filter(|id| theirs[id].iter().any(|fact| fact.payload.body.order_id().is_some()))
            .collect();
        let mut logs = orders::store::load(self.conn, &ordering)?;
        let is_stored: HashSet<(CustomerId, String)> = logs
            .iter()
            .flat_map(|(id, log)| log.orders.keys().map(move |order_id| (*id, order_id.clone())))
            .collect();
        for stored in customers::load(self.conn, steady)? {
            let new = theirs[&stored.id];
            let profile_before = stored.profile.clone();
            let log = logs.remove(&stored.id);
            let has_orders = new.iter().any(|fact| fact.payload.body.order_id().is_some());
            let mut state = Folded {
                profile: stored.profile,
                rollup: stored.rollup,
                log: log.unwrap_or_default(),
                ..Folded::default()
            };
            let mut in_place = true;
            for fact in new {
                in_place = in_place && state.takes_in_place(fact);
                if in_place {
                    state.take(fact);
                }
            }
            if !in_place {
                anew.insert(stored.id);
                continue;
            }
            if has_orders {
                state.sum_up_orders(&self.keeper.frame);
            }
            let profile_changed = state.profile != profile_before;
            folded.push(Kept { id: stored.id, folded: state, is_new: false, profile_changed });
        }
        Ok(is_stored)
    }
}

impl Fresh {
    fn of(fact: NewFact) -> Self {
        let subject = fact.identifiers.subject();
        Self::told_of(fact, subject)
    }

    fn told_of(fact: NewFact, subject: Option<Identity>) -> Self {
        let mut named = identities_of(&fact);
        if let Some(subject) = subject.as_ref().filter(|subject| !named.contains(subject)) {
            named.push(subject.clone());
        }
        Self { fact, subject, named }
    }
}

/// Every identity a fact names.
fn identities_of(fact: &NewFact) -> Vec<Identity> {
    let named = &fact.identifiers;
    let mut all = Vec::with_capacity(3);
    all.extend(named.external_id.as_deref().map(Identity::external));
    all.extend(named.email.as_ref().map(Identity::email));
    all.extend(named.anonymous_id.as_deref().map(Identity::anonymous));
    if let Body::Aliased { previous_id } = &fact.body {
        all.push(Identity::anonymous(previous_id));
    }
    // A phone number names someone only where nothing else does.
    if all.is_empty() {
        all.extend(named.phone.as_deref().map(Identity::phone));
    }
    all
}

/// The fact without what names an erased person (`erased`: identity to its hash). One that was theirs is dropped
/// (`None`), or, when it speaks of an order, goes to their tombstone.
fn forget(mut fact: NewFact, erased: &HashMap<&Identity, &Identity>) -> Option<Fresh> {
    let tombstone = fact.identifiers.subject().and_then(|subject| erased.get(&subject).copied());
    if let Some(tombstone) = tombstone {
        fact.body.order_id()?;
        fact.identifiers = crate::identity::Identifiers::default();
        fact.context = super::Context::default();
        return Some(Fresh::told_of(fact, Some(tombstone.clone())));
    }
    let is_erased = |identity: Identity| erased.contains_key(&identity);
    let named = &mut fact.identifiers;
    named.email = named.email.take().filter(|email| !is_erased(Identity::email(email)));
    named.anonymous_id = named.anonymous_id.take().filter(|id| !is_erased(Identity::anonymous(id)));
    named.phone = named.phone.take().filter(|number| !is_erased(Identity::phone(number)));
    match &fact.body {
        Body::Aliased { previous_id } if is_erased(Identity::anonymous(previous_id)) => None,
        _ => Some(Fresh::of(fact)),
    }
}
