//! What must hold after all that happened: nothing lost, nothing twice, and the sums add up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use homing::db::{Conn, DbError};
use homing::outbox::store::Counts;
use homing::primitives::StoreId;

use super::load::Told;
use crate::support::{Program, Taken, TestDb};

/// What was found, for people to read.
#[derive(Debug)]
pub struct Figures {
    pub title: String,
    pub faults: String,
    pub told: Told,
    pub stored: usize,
    pub counts: Counts,
    /// Messages leased at the kills, by the database; and by the mail server, in the air.
    pub leased: u64,
    pub in_the_air: u64,
    /// Hang-ups after the final dot: no answer came, though somebody was there to hear it.
    pub unanswered: usize,
    pub mails: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { planned, scheduled, sending, sent, failed, cancelled, in_doubt, .. } =
            &self.counts;
        let again = self.told.acknowledged.values().filter(|tries| **tries > 1).count();
        writeln!(f, "{}: {}", self.title, self.faults)?;
        writeln!(
            f,
            "  facts: {} acknowledged ({again} of them handed in more than once), {} stored, {} never heard of; {} requests, {} put off",
            self.told.acknowledged.len(),
            self.stored,
            self.told.unheard,
            self.told.requests,
            self.told.put_off
        )?;
        writeln!(
            f,
            "  messages: {planned} planned = {scheduled} scheduled + {sending} sending + {sent} sent + {failed} failed + {cancelled} cancelled + {in_doubt} in doubt"
        )?;
        write!(
            f,
            "  mail: {} taken by the server, none twice; at the kills {} were leased, {} of them on the wire; {} times it left us without an answer",
            self.mails, self.leased, self.in_the_air, self.unanswered
        )
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Rows of two columns, `name` and `n`.
fn rows(test: &TestDb, sql: &str) -> Vec<(String, i64)> {
    let read = |conn: &mut Conn| diesel::sql_query(sql).load::<Row>(conn).map_err(DbError::from);
    let rows = test.db.read_here(read).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    rows.into_iter().map(|row| (row.name, row.n)).collect()
}

pub fn number(test: &TestDb, sql: &str) -> i64 {
    rows(test, sql).first().map_or(0, |(_, n)| *n)
}

/// Asserts all of it. The servers must be down, so that nothing moves.
pub fn judge(
    test: &TestDb,
    program: &Program,
    told: &Told,
    mails: &[Taken],
    may_doubt: u64,
) -> (usize, Counts) {
    let stored = facts_are_stored_once(program, told);
    program.must(&["rebuild", "--check"]);
    if test.url.starts_with("sqlite:") {
        let problems =
            rows(test, "SELECT integrity_check AS name, 1 AS n FROM pragma_integrity_check");
        assert_eq!(problems, [("ok".to_owned(), 1)]);
    }

    let counts = test
        .db
        .read_here(|conn| homing::outbox::store::counts(conn, StoreId(1)).map_err(DbError::from));
    let counts = counts.expect("counts");
    let settled = counts.sent + counts.failed + counts.cancelled + counts.in_doubt;
    assert_eq!(counts.planned, counts.scheduled + counts.sending + settled, "{counts:?}");
    assert_eq!(counts.sending, 0, "all leases are over: {counts:?}");
    assert!(counts.planned > 0 && counts.sent > 0, "the trial tried something: {counts:?}");
    let paused = rows(
        test,
        "SELECT paused_for AS name, CAST(1 AS BIGINT) AS n FROM rules WHERE paused_for IS NOT NULL",
    );
    assert!(paused.is_empty(), "a rule was paused, so the trial says nothing: {paused:?}");
    nobody_is_overlooked(test);
    no_plan_is_without_its_messages(test);
    marketing_mail_leaves_once(test, mails);
    let in_doubt = number(
        test,
        "SELECT 'n' AS name, CAST(count(*) AS BIGINT) AS n FROM messages WHERE status = 'in_doubt'",
    );
    assert!(in_doubt as u64 <= may_doubt, "{in_doubt} in doubt, of {may_doubt} that may be");
    (stored, counts)
}

fn facts_are_stored_once(program: &Program, told: &Told) -> usize {
    let mut stored: BTreeMap<String, u32> = BTreeMap::new();
    for line in program.must(&["facts"]).lines() {
        let fact: serde_json::Value = serde_json::from_str(line).expect("a fact in JSON");
        *stored.entry(fact["source_key"].as_str().expect("its key").to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = stored.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let lost: Vec<_> = told.acknowledged.keys().filter(|id| !stored.contains_key(*id)).collect();
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
    let stranger = stored.len().saturating_sub(told.acknowledged.len()) as u64;
    assert!(stranger <= told.unheard, "{stranger} facts stored that nobody told");
    stored.len()
}

/// All who looked at the tea and may be written to were asked about by a rule: a planner that died, or looked away,
/// has left nobody behind.
fn nobody_is_overlooked(test: &TestDb) {
    let overlooked = rows(
        test,
        "SELECT c.external_id AS name, CAST(r.last_seen_at AS BIGINT) AS n FROM customers c \
         JOIN rollups r ON r.customer_id = c.id WHERE c.identified AND NOT EXISTS \
         (SELECT 1 FROM enrolments e WHERE e.customer_id = c.id) ORDER BY c.external_id",
    );
    assert!(overlooked.is_empty(), "{} overlooked: {overlooked:?}", overlooked.len());
}

/// Whoever entered a rule has a message for its one step, and the ledger says of each message what its status says.
fn no_plan_is_without_its_messages(test: &TestDb) {
    let bare = rows(
        test,
        "SELECT e.status AS name, CAST(count(*) AS BIGINT) AS n FROM enrolments e \
         WHERE e.status IN ('active', 'completed') AND NOT EXISTS (SELECT 1 FROM messages m \
         WHERE m.customer_id = e.customer_id AND m.enrolment_id = e.id) GROUP BY e.status",
    );
    assert!(bare.is_empty(), "enrolments without a message: {bare:?}");
    let told_wrong = rows(
        test,
        "SELECT m.status AS name, CAST(count(*) AS BIGINT) AS n FROM messages m \
         WHERE m.status IN ('sent', 'failed', 'in_doubt') AND NOT EXISTS (SELECT 1 FROM decisions d \
         WHERE d.customer_id = m.customer_id AND d.message_id = m.id AND d.outcome = m.status) GROUP BY m.status",
    );
    assert!(told_wrong.is_empty(), "messages of which the ledger knows nothing: {told_wrong:?}");
    let sent_twice = rows(
        test,
        "SELECT CAST(d.message_id AS TEXT) AS name, CAST(count(*) AS BIGINT) AS n FROM decisions d \
         WHERE d.outcome = 'sent' GROUP BY d.message_id HAVING count(*) > 1",
    );
    assert!(sent_twice.is_empty(), "the ledger says twice that they were sent: {sent_twice:?}");
}

fn marketing_mail_leaves_once(test: &TestDb, mails: &[Taken]) {
    let of_class = |class: &str, status: &str| -> BTreeSet<String> {
        let sql = format!(
            "SELECT address AS name, CAST(1 AS BIGINT) AS n FROM messages WHERE class = '{class}' AND address IS NOT NULL AND {status}"
        );
        rows(test, &sql).into_iter().map(|(address, _)| address).collect()
    };
    let service = of_class("service", "TRUE");
    let mut taken: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for mail in mails {
        *taken.entry((&mail.to, &mail.message_id)).or_default() += 1;
    }
    let twice: Vec<_> =
        taken.iter().filter(|((to, _), n)| **n > 1 && !service.contains(*to)).collect();
    assert!(twice.is_empty(), "marketing mail that came twice: {twice:?}");
    // One message each for who ordered, another for who did not: an address with more has been written to twice.
    let mut by_address: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mail in mails {
        by_address.entry(&mail.to).or_default().insert(&mail.message_id);
    }
    let (once, both) = (1, 2);
    let many: Vec<_> = by_address
        .iter()
        .filter(|(to, ids)| ids.len() > if service.contains(**to) { both } else { once })
        .collect();
    assert!(many.is_empty(), "written to more than once: {many:?}");
    // What is said to be sent was taken; what was answered for is known to be sent, or in doubt.
    let sent = of_class("marketing", "status = 'sent'");
    let answered: BTreeSet<String> =
        mails.iter().filter(|mail| mail.answered).map(|mail| mail.to.clone()).collect();
    let invented: Vec<_> = sent.iter().filter(|to| !answered.contains(*to)).collect();
    assert!(invented.is_empty(), "said to be sent, and never taken: {invented:?}");
    let known: BTreeSet<String> = of_class("marketing", "status IN ('sent', 'in_doubt')");
    let forgotten: Vec<_> =
        answered.iter().filter(|to| !known.contains(*to) && !service.contains(*to)).collect();
    assert!(forgotten.is_empty(), "taken by the server, and not known of: {forgotten:?}");
}
