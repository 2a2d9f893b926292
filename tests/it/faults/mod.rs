//! Faults: the real program under load is killed, frozen, cut off and starved, and then everything must add up.
//!
//! A short trial of each kind runs with all tests. `tests/faults.sh` is the long run, which sets `HOMING_FAULT_KILLS`;
//! `HOMING_FAULT_SEED` repeats a trial. Each prints its figures: docs/faults.md has them.

mod judge;
mod load;
mod post;
mod siege;
mod trial;

use std::io::Write;

use diesel::connection::SimpleConnection;
use homing::db::DbError;
use trial::{Trial, times};

use crate::on_both_backends;
use crate::support::{Answer, MailSink, TestDb, on_own_postgres, on_postgres, on_sqlite};

/// Past the test runner's capture where somebody asked for a long run: they want to see it.
fn tell(figures: &judge::Figures) {
    match std::env::var_os("HOMING_FAULT_KILLS") {
        Some(_) => drop(writeln!(std::io::stderr(), "{figures}")),
        None => println!("{figures}"),
    }
}

on_both_backends! {
    async fn kills_lose_nothing_and_send_nothing_twice(test: TestDb) {
        let mut trial = Trial::open(&test, 1);
        let kills = times(10);
        for _ in 0..kills {
            match trial.chance.below(5) {
                // While it starts: it settles what a dead predecessor left, and may die at that.
                0 => trial.chance.pause(5, 300),
                _ => {
                    trial.wait_until_ready();
                    trial.chance.pause(50, 1_200);
                }
            }
            trial.kill(0);
        }
        trial.end(if test.url.starts_with("sqlite") { "SQLite" } else { "PostgreSQL" }, &format!("{kills} kills"));
    }
}

#[test]
fn kills_amid_mail_to_a_slow_real_server_send_nothing_twice() {
    let Some(sink) = MailSink::start(Answer::Slow(1)) else { return };
    on_sqlite(async |test| {
        let mut trial = Trial::open_with_sink(&test, sink);
        let kills = times(3);
        for _ in 0..kills {
            trial.wait_until_ready();
            trial.chance.pause(1_500, 3_000);
            trial.kill(0);
        }
        trial.end(
            "SQLite, postfix's smtp-sink, a second late at each DATA",
            &format!("{kills} kills"),
        );
    });
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    on_sqlite(async |test| {
        let mut trial = Trial::open(&test, 1);
        trial.wait_until_ready();
        trial.wait_for_load();
        trial.restart_on_full_disk(0, 600);
        trial.wait_for_word(0, "facts could not be stored");
        trial.chance.pause(500, 1_500);
        trial.kill(0);
        trial.end("SQLite", "no file may grow any more (RLIMIT_FSIZE), then a kill");
    });
}

/// Cuts about every other connection to the database, whoever holds it.
fn cut_connections(test: &TestDb) {
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5";
    // The own connection may be among those that are cut already.
    let _ = test.db.read_here(|conn| conn.batch_execute(cut).map_err(DbError::from));
}

#[test]
fn replicas_that_come_and_go_share_the_work() {
    on_postgres(async |test| {
        let mut trial = Trial::open(&test, 3);
        let (mut kills, mut restarts, mut cuts) = (0, 0, 0);
        for _ in 0..times(9) {
            trial.chance.pause(100, 900);
            let replica = trial.chance.below(3) as usize;
            match trial.chance.below(4) {
                0 | 1 => {
                    trial.kill(replica);
                    kills += 1;
                }
                2 => {
                    trial.wait_until_ready();
                    trial.restart(replica);
                    restarts += 1;
                }
                _ => {
                    trial.may_doubt_what_is_in_the_air();
                    cut_connections(&test);
                    cuts += 1;
                }
            }
        }
        let did = format!(
            "{kills} kills, {restarts} restarts in good order, {cuts} times every other connection cut"
        );
        trial.end("PostgreSQL, three replicas", &did);
    });
}

#[test]
fn a_replica_that_was_frozen_past_its_lease_sends_nothing_twice() {
    on_postgres(async |test| {
        let mut trial = Trial::open(&test, 2);
        trial.wait_until_ready();
        trial.wait_for_load();
        trial.freeze(0, 17);
        trial.wait_for_load();
        trial.end("PostgreSQL, two replicas", "one frozen for 17 s, past its lease of 15 s");
    });
}

#[test]
fn a_database_server_that_crashes_loses_nothing() {
    on_own_postgres(async |test| {
        let mut trial = Trial::open(&test, 2);
        let crashes = times(3);
        for _ in 0..crashes {
            trial.wait_until_ready();
            trial.chance.pause(300, 1_500);
            trial.may_doubt_what_is_in_the_air();
            test.crash_postgres();
            trial.wait_for_load();
        }
        trial.end("PostgreSQL, two replicas", &format!("its server crashed {crashes} times"));
    });
}
