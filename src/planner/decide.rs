//! Decides what becomes of one customer in all live rules at `now`. Pure: it neither awaits nor asks a database.
//!
//! Running it twice plans the same mail once: what it decided is in the situation the next time.

use std::cmp::Reverse;

use super::episode::{Episode, Silence, is_of_visit_or_basket};
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::outbox::door::{bought_by_another, consents, ended_by, facts_of};
use crate::primitives::{CustomerId, Delay, EnrolmentId, Money, Timestamp, Zone};
use crate::rules::{Class, RuleStatus, Rung, StoredRule, TriggerKind};
use crate::secret::Secret;
use crate::situation::{Arm, Situation};
use crate::stores::Store;

/// The name of the experiment that spans all rules of a store.
pub const GLOBAL_EXPERIMENT: &str = "global";

/// What stays the same for all customers of a pass.
#[derive(Clone, Copy)]
pub struct Pass<'p> {
    pub store: &'p Store,
    /// The live rules, all of them: the ladder needs to know who else serves a customer. And those in shadow.
    pub rules: &'p [StoredRule],
    pub secret: &'p Secret,
    /// What each rule brings a thousand messages, by the place of the rule; where nothing is said, nothing is known.
    pub worth: &'p [i64],
    pub now: Timestamp,
}

/// An enrolment to be written: new, or a waiting one that has its answer now.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Index into the pass's rules.
    pub rule: usize,
    /// The row that waited, if one did.
    pub waiting: Option<EnrolmentId>,
    pub episode: Timestamp,
    pub episode_until: Timestamp,
    pub order_id: Option<String>,
    pub stops_after: Timestamp,
    pub due_at: Timestamp,
    pub useful_until: Timestamp,
    pub facts: Facts,
    /// The customer's, where steps have a time of day.
    pub zone: Zone,
    /// By which the customer's lots are drawn.
    pub identity: String,
}

impl Entry {
    /// The row of a new enrolment in `rule`, without a reason and waiting for nothing.
    pub fn row(
        &self,
        rule: &StoredRule,
        customer: CustomerId,
        id: EnrolmentId,
        status: EnrolmentStatus,
        now: Timestamp,
    ) -> Enrolment {
        Enrolment {
            customer_id: customer,
            id,
            store_id: rule.store,
            rule_id: rule.id,
            rule_version: rule.version,
            episode: self.episode,
            episode_until: self.episode_until,
            order_id: self.order_id.clone(),
            due_at: self.due_at,
            useful_until: self.useful_until,
            status,
            reason: None,
            stops_after: self.stops_after,
            created_at: now,
            enrolled_at: enrolled_at(status, now),
            retry_at: None,
            shadow: is_in_shadow(rule),
        }
    }
}

/// When an enrolment that gets `status` now entered its rule, if it did: the held out are analysed as entered.
pub fn enrolled_at(status: EnrolmentStatus, now: Timestamp) -> Option<Timestamp> {
    matches!(status, EnrolmentStatus::Active | EnrolmentStatus::HeldOut).then_some(now)
}

/// One thing to be done about one customer.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Enters the rule: all steps are planned, the first for `from`.
    Enrol { entry: Entry, from: Timestamp },
    /// A stronger rule comes first: asked again at `retry_at`.
    Wait { entry: Entry, retry_at: Timestamp },
    /// Turned down for this episode.
    Refuse { entry: Entry, status: EnrolmentStatus, outcome: Outcome, reason: Reason },
    /// A waiting enrolment keeps waiting, until a new time.
    WaitOn { rule: usize, enrolment: EnrolmentId, retry_at: Timestamp },
    /// Ends an open enrolment.
    Stop {
        rule: usize,
        enrolment: EnrolmentId,
        from: EnrolmentStatus,
        reason: Reason,
        facts: Facts,
    },
    /// A later moment came inside the episode: what is unsent is due `due_at` or later.
    /// The zone is the customer's, where steps have a time of day.
    Stretch { rule: usize, enrolment: EnrolmentId, until: Timestamp, due_at: Timestamp, zone: Zone },
    /// Keeps the arm of an experiment, drawn at first eligibility with this share held out.
    Assign { experiment: String, arm: Arm, share: f64 },
}

impl Action {
    /// The rule that it is about; `None` for the arm of an experiment.
    pub fn rule(&self) -> Option<usize> {
        match self {
            Self::Enrol { entry, .. } | Self::Wait { entry, .. } | Self::Refuse { entry, .. } => {
                Some(entry.rule)
            }
            Self::WaitOn { rule, .. } | Self::Stop { rule, .. } | Self::Stretch { rule, .. } => {
                Some(*rule)
            }
            Self::Assign { .. } => None,
        }
    }
}

/// A pass as one group of rules sees it: the live ones among themselves, or beside them one that is in shadow.
struct Hearing<'p> {
    pass: &'p Pass<'p>,
    shadow: Option<usize>,
}

impl<'p> std::ops::Deref for Hearing<'p> {
    type Target = Pass<'p>;
    fn deref(&self) -> &Pass<'p> {
        self.pass
    }
}

impl<'p> Hearing<'p> {
    /// The rules that are heard, with their places in the pass.
    fn heard(&self) -> impl Iterator<Item = (usize, &'p StoredRule)> {
        let shadow = self.shadow;
        self.pass
            .rules
            .iter()
            .enumerate()
            .filter(move |(index, rule)| !is_in_shadow(rule) || shadow == Some(*index))
    }

    /// Whether these rules know of `enrolment`: what a rule only would have done is known to itself alone.
    fn knows(&self, enrolment: &Enrolment) -> bool {
        !enrolment.shadow
            || self.shadow.is_some_and(|index| self.pass.rules[index].id == enrolment.rule_id)
    }
}

fn is_in_shadow(rule: &StoredRule) -> bool {
    rule.status == RuleStatus::Shadow
}

/// What one rule says about one episode, before the others are heard.
enum Answer {
    Refused { status: EnrolmentStatus, outcome: Outcome, reason: Reason },
    Wants,
}

/// A rule that wants the customer in this pass.
struct Claim {
    rule: usize,
    entry: Entry,
    from: Timestamp,
}

/// What is to be done about one customer, in the order in which it is to be done.
///
/// A rule in shadow is heard beside the live ones as if it were one of them, and only what becomes of itself is
/// kept: nobody loses a turn to it.
pub fn plan(pass: &Pass, situation: &Situation) -> Vec<Action> {
    let mut actions = hear(&Hearing { pass, shadow: None }, situation);
    for (index, _) in pass.rules.iter().enumerate().filter(|(_, rule)| is_in_shadow(rule)) {
        let alike = hear(&Hearing { pass, shadow: Some(index) }, situation);
        actions.extend(alike.into_iter().filter(|action| action.rule() == Some(index)));
    }
    actions
}

fn hear(pass: &Hearing, situation: &Situation) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut claims = Vec::new();
    let mut standing = review(pass, situation, &mut actions);

    for (index, rule) in pass.heard() {
        let waiting = standing
            .iter()
            .find(|e| e.rule_id == rule.id && e.retry_at.is_some_and(|at| at <= pass.now));
        let claim = match waiting {
            Some(row) => {
                Claim { rule: index, from: pass.now, entry: waited(index, row, situation) }
            }
            None => match due_entry(pass, rule, index, situation, &standing) {
                Ok(entry) => Claim { rule: index, from: entry.due_at, entry },
                Err(_) => continue,
            },
        };
        match ask(pass, rule, &claim.entry, situation, &standing, &mut actions) {
            Answer::Wants => claims.push(claim),
            Answer::Refused { status, outcome, reason } => {
                let mut entry = claim.entry;
                entry.facts = refusal_facts(pass, rule, situation, reason, entry.facts);
                actions.push(Action::Refuse { entry, status, outcome, reason });
            }
        }
    }
    claims.sort_by(|a, b| strength(pass, a.rule).cmp(&strength(pass, b.rule)));
    compete(pass, situation, claims, &mut standing, &mut actions);
    actions
}

/// Smaller is stronger: the rung, then the priority, then what a message of it is expected to bring, then the key, so
/// that no two are alike.
fn strength<'p>(pass: &Hearing<'p>, index: usize) -> (Rung, Reverse<u8>, Reverse<i64>, &'p str) {
    let rule = &pass.pass.rules[index];
    let worth = pass.worth.get(index).copied().unwrap_or(0);
    (rule.rung(), Reverse(rule.rule.priority), Reverse(worth), &rule.rule.key)
}

/// Looks after what is open: ends what was bought or closed since, stretches episodes that go on.
/// Returns the enrolments as they stand then.
fn review(pass: &Hearing, situation: &Situation, actions: &mut Vec<Action>) -> Vec<Enrolment> {
    let mut standing: Vec<Enrolment> =
        situation.enrolments.iter().filter(|e| pass.knows(e)).cloned().collect();
    for enrolment in standing.iter_mut().filter(|e| e.is_open()) {
        let found = pass.heard().find(|(_, rule)| rule.id == enrolment.rule_id);
        // What was begun live waits while its rule is in shadow, and the other way round.
        let Some((index, rule)) = found.filter(|(_, rule)| is_in_shadow(rule) == enrolment.shadow)
        else {
            continue;
        };
        // An older version goes by these words too: what stops the rule now stops it for everybody. Its own are
        // read at the door.
        if let Some((reason, since)) = ended_by(rule, enrolment, &situation.moments) {
            let facts = Facts::new().with_known("since", since);
            let (enrolment_id, from) = (enrolment.id, enrolment.status);
            (enrolment.status, enrolment.retry_at) = (EnrolmentStatus::Stopped, None);
            actions.push(Action::Stop {
                rule: index,
                enrolment: enrolment_id,
                from,
                reason,
                facts,
            });
            continue;
        }
        let Ok(episode) = Episode::current(rule, &situation.moments, pass.now) else { continue };
        if is_of_visit_or_basket(rule)
            && episode.is_of(enrolment)
            && episode.moment > enrolment.episode_until
        {
            let due_at = episode.moment.plus(rule.rule.trigger.kind.after());
            let due_at = due_at.max(enrolment.due_at);
            enrolment.episode_until = episode.moment;
            enrolment.due_at = due_at;
            enrolment.useful_until = due_at.plus(rule.rule.trigger.useful_for);
            let (until, enrolment_id) = (episode.moment, enrolment.id);
            let zone = situation.standing.zone.clone();
            actions.push(Action::Stretch {
                rule: index,
                enrolment: enrolment_id,
                until,
                due_at,
                zone,
            });
            if enrolment.retry_at.is_some_and(|at| at < due_at) {
                enrolment.retry_at = Some(due_at);
                let retry_at = due_at;
                actions.push(Action::WaitOn { rule: index, enrolment: enrolment_id, retry_at });
            }
        }
    }
    standing
}

/// The entry of an episode that is due and has none yet.
fn due_entry(
    pass: &Hearing,
    rule: &StoredRule,
    index: usize,
    situation: &Situation,
    standing: &[Enrolment],
) -> Result<Entry, Option<Silence>> {
    let episode = Episode::current(rule, &situation.moments, pass.now).map_err(Some)?;
    let mut own = standing.iter().filter(|e| e.rule_id == rule.id);
    // A first order happens once in a life, whichever order it turns out to have been.
    let is_once = matches!(rule.rule.trigger.kind, TriggerKind::FirstOrder { .. });
    if own.any(|e| is_once || episode.is_of(e)) {
        return Err(None);
    }
    let due_at = episode.due(rule, pass.now).map_err(Some)?;
    Ok(Entry {
        rule: index,
        waiting: None,
        episode: episode.start,
        episode_until: episode.moment,
        order_id: episode.order_id.clone(),
        stops_after: episode.stops_after,
        due_at,
        useful_until: due_at.plus(rule.rule.trigger.useful_for),
        facts: occasion(
            pass,
            rule,
            situation,
            &episode,
            Facts::new().with("moment", episode.moment).with("due_at", due_at),
        ),
        zone: situation.standing.zone.clone(),
        identity: situation.identity.clone(),
    })
}

/// What the estimates said that the rule went by; they will have changed when somebody asks.
fn occasion(
    pass: &Pass,
    rule: &StoredRule,
    situation: &Situation,
    episode: &Episode,
    facts: Facts,
) -> Facts {
    match rule.rule.trigger.kind {
        TriggerKind::AtRisk { .. } => {
            let subject = &situation.subject;
            let money = |minor| Money::new(minor, pass.store.currency.clone());
            facts
                .with_known("p_alive", subject.p_alive.map(|p| (p * 1e4).round() / 1e4))
                .with_known("value_at_risk", subject.value_at_risk.map(money))
                .with_known("segment", subject.segment.as_ref())
        }
        TriggerKind::RepurchaseDue { after: None } => {
            let mut products = situation.moments.repurchases.iter();
            match products.find(|product| Some(product.expected_at) == episode.falls_due) {
                Some(product) => facts
                    .with("product", product.name.as_ref().unwrap_or(&product.product_id))
                    .with("product_id", &product.product_id),
                None => facts,
            }
        }
        _ => facts,
    }
}

fn waited(index: usize, row: &Enrolment, situation: &Situation) -> Entry {
    Entry {
        rule: index,
        waiting: Some(row.id),
        episode: row.episode,
        episode_until: row.episode_until,
        order_id: row.order_id.clone(),
        stops_after: row.stops_after,
        due_at: row.due_at,
        useful_until: row.useful_until,
        facts: Facts::new().with("moment", row.episode_until).with("due_at", row.due_at),
        zone: situation.standing.zone.clone(),
        identity: situation.identity.clone(),
    }
}

/// The questions a rule asks, consent first, so that no report hides it behind a business reason.
fn ask(
    pass: &Hearing,
    rule: &StoredRule,
    entry: &Entry,
    situation: &Situation,
    standing: &[Enrolment],
    actions: &mut Vec<Action>,
) -> Answer {
    let refused = |outcome, reason| Answer::Refused {
        status: match outcome {
            Outcome::HeldOut => EnrolmentStatus::HeldOut,
            Outcome::Expired => EnrolmentStatus::Expired,
            _ => EnrolmentStatus::Refused,
        },
        outcome,
        reason,
    };
    let is_marketing = rule.rule.class == Class::Marketing;
    if is_marketing && !consents(pass.store.sending.consent, situation.standing.consent) {
        return refused(Outcome::Suppressed, Reason::NoConsent);
    }
    if situation.standing.address.is_none() {
        return refused(Outcome::Suppressed, Reason::NoAddress);
    }
    if situation.standing.suppressed {
        return refused(Outcome::Suppressed, Reason::Suppressed);
    }
    if (entry.waiting.is_none() && !within_limits(rule, situation))
        || !is_in_audience(rule, situation, pass.now)
    {
        return refused(Outcome::NotEligible, Reason::Audience);
    }
    let mut own = standing.iter().filter(|e| e.rule_id == rule.id && Some(e.id) != entry.waiting);
    if own.clone().any(|e| e.status == EnrolmentStatus::Active) {
        return refused(Outcome::NotEligible, Reason::AlreadyEnrolled);
    }
    if let Some(every) = rule.rule.at_most_every
        && own.any(|e| e.enrolled_at.is_some_and(|at| at.plus(every) > pass.now))
    {
        return refused(Outcome::NotEligible, Reason::RecentlyEnrolled);
    }
    if pass.now > entry.useful_until {
        return refused(Outcome::Expired, Reason::UsefulUntilPassed);
    }
    if bought_by_another(rule, entry.stops_after, &situation.moments).is_some() {
        return refused(Outcome::Suppressed, Reason::Bought);
    }
    if is_marketing && is_held_out(pass, rule, situation, actions) {
        return refused(Outcome::HeldOut, Reason::Holdout);
    }
    Answer::Wants
}

/// Whether the rule is for this customer at all, whatever stands in the way.
pub fn is_meant_for(rule: &StoredRule, situation: &Situation, now: Timestamp) -> bool {
    within_limits(rule, situation) && is_in_audience(rule, situation, now)
}

fn is_in_audience(rule: &StoredRule, situation: &Situation, now: Timestamp) -> bool {
    rule.rule.audience.as_ref().is_none_or(|audience| audience.holds(&situation.subject, now))
}

/// What the refusal was made on.
fn refusal_facts(
    pass: &Hearing,
    rule: &StoredRule,
    situation: &Situation,
    reason: Reason,
    facts: Facts,
) -> Facts {
    match reason {
        Reason::NoConsent => facts
            .with("consent", situation.standing.consent)
            .with("asked_for", pass.store.sending.consent),
        Reason::Audience => {
            let mut facts = facts;
            if let TriggerKind::VisitedWithoutBuying { .. } = rule.rule.trigger.kind {
                let views = situation.moments.visit.as_ref().map_or(0, |visit| visit.product_views);
                facts = facts
                    .with("visits", situation.moments.visits_count)
                    .with("product_views_of_visit", views);
            }
            match &rule.rule.audience {
                Some(audience) => {
                    facts.with("audience", audience.facts(&situation.subject, pass.now))
                }
                None => facts,
            }
        }
        Reason::Bought => facts.and(situation.moments.weak_order.as_ref().map(facts_of)),
        Reason::RecentlyEnrolled => facts.with("at_most_every", rule.rule.at_most_every),
        Reason::UsefulUntilPassed => facts.with("useful_for", rule.rule.trigger.useful_for),
        _ => facts,
    }
}

/// The trigger's own limits on the visit it counts from.
fn within_limits(rule: &StoredRule, situation: &Situation) -> bool {
    match rule.rule.trigger.kind {
        TriggerKind::VisitedWithoutBuying { min_visits, min_product_views, .. } => {
            let views = situation.moments.visit.as_ref().map_or(0, |visit| visit.product_views);
            i64::from(situation.moments.visits_count) >= i64::from(min_visits)
                && i64::from(views) >= i64::from(min_product_views)
        }
        _ => true,
    }
}

/// Draws the arms not drawn yet. Once a customer is held out of all rules, the rule's own arm is not drawn.
fn is_held_out(
    pass: &Hearing,
    rule: &StoredRule,
    situation: &Situation,
    actions: &mut Vec<Action>,
) -> bool {
    let experiments = [
        (GLOBAL_EXPERIMENT, pass.store.sending.holdout),
        (rule.rule.key.as_str(), rule.rule.holdout),
    ];
    experiments.into_iter().filter(|(_, share)| *share > 0.0).any(|(experiment, share)| {
        let known = situation.arms.iter().find(|(name, _)| name == experiment).map(|(_, arm)| *arm);
        let drawn_now = actions.iter().find_map(|action| match action {
            Action::Assign { experiment: name, arm, .. } if name == experiment => Some(*arm),
            _ => None,
        });
        let arm = known.or(drawn_now).unwrap_or_else(|| {
            let parts = [experiment.as_bytes(), situation.identity.as_bytes()];
            let is_out = pass.secret.keyed_fraction("experiment", &parts) < share;
            let arm = if is_out { Arm::Holdout } else { Arm::Treatment };
            actions.push(Action::Assign { experiment: experiment.to_owned(), arm, share });
            arm
        });
        arm == Arm::Holdout
    })
}

/// Hears the rules that want the customer, strongest first.
fn compete(
    pass: &Hearing,
    situation: &Situation,
    claims: Vec<Claim>,
    standing: &mut Vec<Enrolment>,
    actions: &mut Vec<Action>,
) {
    let mut winner: Option<usize> = None;
    for Claim { rule: index, mut entry, from } in claims {
        let rule = &pass.rules[index];
        let is_gone = |e: &Enrolment| Some(e.id) == entry.waiting && !e.is_open();
        if standing.iter().any(is_gone) {
            continue;
        }
        match above(pass, rule, &entry, situation, standing) {
            Above::Enrolled(key) => {
                entry.facts = entry.facts.with("winner", key);
                let (status, outcome) = (EnrolmentStatus::Stopped, Outcome::Stopped);
                actions.push(Action::Refuse { entry, status, outcome, reason: Reason::Outranked });
                continue;
            }
            Above::Open { key, asked_at } => {
                let retry_at = asked_at.max(Timestamp(pass.now.0 + 1));
                wait(pass, entry, key, retry_at, standing, actions);
                continue;
            }
            Above::Nobody => {}
        }
        // Service mail is owed: it waits for nobody outside its own episode.
        if let Some(first) = winner
            && rule.rule.class == Class::Marketing
        {
            let pause = pass.store.sending.min_gap.unwrap_or(Delay::days(1));
            wait(pass, entry, &pass.rules[first].rule.key, pass.now.plus(pause), standing, actions);
            continue;
        }
        winner = winner.or(Some(index));
        outrank(pass, rule, &entry, standing, actions);
        match standing.iter_mut().find(|e| Some(e.id) == entry.waiting) {
            Some(row) => (row.status, row.retry_at) = (EnrolmentStatus::Active, None),
            None => standing.push(as_row(pass, &entry, EnrolmentStatus::Active, None)),
        }
        actions.push(Action::Enrol { entry, from });
    }
}

/// Ends what lower rungs have open in the episode that `rule` enters now.
fn outrank(
    pass: &Hearing,
    rule: &StoredRule,
    entry: &Entry,
    standing: &mut [Enrolment],
    actions: &mut Vec<Action>,
) {
    if !is_of_visit_or_basket(rule) {
        return;
    }
    for row in standing.iter_mut().filter(|e| e.is_open()) {
        let Some(index) = pass.rules.iter().position(|low| low.id == row.rule_id) else { continue };
        let low = &pass.rules[index];
        if is_of_visit_or_basket(low)
            && low.rung() > rule.rung()
            && row.touches(entry.episode, entry.episode_until)
        {
            let facts = Facts::new().with("winner", &rule.rule.key);
            let (enrolment, from, reason) = (row.id, row.status, Reason::Outranked);
            (row.status, row.retry_at) = (EnrolmentStatus::Stopped, None);
            actions.push(Action::Stop { rule: index, enrolment, from, reason, facts });
        }
    }
}

/// An entry as the row that it will be; who and its id are not told yet.
fn as_row(
    pass: &Hearing,
    entry: &Entry,
    status: EnrolmentStatus,
    retry_at: Option<Timestamp>,
) -> Enrolment {
    let (nobody, no_id) = (CustomerId(0), EnrolmentId(0));
    let row = entry.row(&pass.rules[entry.rule], nobody, no_id, status, pass.now);
    Enrolment { retry_at, ..row }
}

/// Whether a higher rung has, or will have, the same episode.
enum Above<'r> {
    Nobody,
    Enrolled(&'r str),
    /// Its moment is open: it is asked at that time.
    Open {
        key: &'r str,
        asked_at: Timestamp,
    },
}

fn above<'r>(
    pass: &Hearing<'r>,
    rule: &StoredRule,
    entry: &Entry,
    situation: &Situation,
    standing: &[Enrolment],
) -> Above<'r> {
    if !is_of_visit_or_basket(rule) {
        return Above::Nobody;
    }
    let mut open = Above::Nobody;
    let higher = pass.heard().map(|(_, high)| high);
    for high in higher.filter(|h| is_of_visit_or_basket(h) && h.rung() < rule.rung()) {
        let key = high.rule.key.as_str();
        let mut rows = standing
            .iter()
            .filter(|e| e.rule_id == high.id && e.touches(entry.episode, entry.episode_until));
        let row = rows.next_back();
        let asked_at = match row.map(|e| e.status) {
            Some(EnrolmentStatus::Active | EnrolmentStatus::Completed) => {
                return Above::Enrolled(key);
            }
            Some(EnrolmentStatus::Waiting) => row.and_then(|e| e.retry_at),
            Some(_) => None,
            None => Episode::current(high, &situation.moments, pass.now)
                .ok()
                .filter(|h| h.start <= entry.episode_until && entry.episode <= h.moment)
                .and_then(|h| match h.due(high, pass.now) {
                    Err(Silence::NotDueYet { due_at }) => Some(due_at),
                    _ => None,
                }),
        };
        if let Some(asked_at) = asked_at
            && matches!(open, Above::Nobody)
        {
            open = Above::Open { key, asked_at };
        }
    }
    open
}

/// Lets an entry wait until `retry_at`, or until the last instant at which it still is of use.
fn wait(
    pass: &Hearing,
    mut entry: Entry,
    winner: &str,
    retry_at: Timestamp,
    standing: &mut Vec<Enrolment>,
    actions: &mut Vec<Action>,
) {
    if pass.now >= entry.useful_until {
        let (status, outcome) = (EnrolmentStatus::Expired, Outcome::Expired);
        let reason = Reason::UsefulUntilPassed;
        actions.push(Action::Refuse { entry, status, outcome, reason });
        return;
    }
    let retry_at = retry_at.min(entry.useful_until);
    let row = standing.iter_mut().find(|e| Some(e.id) == entry.waiting);
    match row {
        Some(row) if row.retry_at == Some(retry_at) => {}
        Some(row) => {
            row.retry_at = Some(retry_at);
            actions.push(Action::WaitOn { rule: entry.rule, enrolment: row.id, retry_at });
        }
        None => {
            entry.facts = entry.facts.with("winner", winner).with("retry_at", retry_at);
            standing.push(as_row(pass, &entry, EnrolmentStatus::Waiting, Some(retry_at)));
            actions.push(Action::Wait { entry, retry_at });
        }
    }
}
