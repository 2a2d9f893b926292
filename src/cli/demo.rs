//! `homing demo`: a sample store that seems alive, in a folder of its own, served at once.

mod folder;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::serve::{self, Serve};
use super::{CliError, tick};
use crate::config::{Config, SmtpUrl};
use crate::db::{DatabaseUrl, Db, DbError};
use crate::demo::{self, SHOP};
use crate::journal::{Journal, NewFact};
use crate::outbox::worker::{self, Clocks, PostOffice};
use crate::planner::{self, Positions};
use crate::primitives::{Clock, Delay, Timestamp};
use crate::rules::{self, ShopDocument};
use crate::scoring::score_store_learning_every;
use crate::secret::Secret;
use crate::stores::{self, Rate, Sending, Store};
use crate::users::{PasswordHash, Role};
use folder::Folder;

const FOLDER: &str = "homing-demo";
const OWNER: &str = "owner@lakeside.example";

#[derive(Args)]
pub struct DemoArgs {
    /// Another number makes another store; the same makes the same.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub fn run(args: &DemoArgs, config: Config, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    // Half a minute of work should not end in "address in use".
    drop(TcpListener::bind(config.listen).map_err(|error| {
        CliError::text(format!("{} cannot be listened on: {error}", config.listen))
            .hint("choose another address: HOMING_LISTEN=127.0.0.1:8081 homing demo")
    })?);
    let mut folder = Folder::claim(Path::new(FOLDER), args.seed, now)?;
    let config = Config {
        database: DatabaseUrl::sqlite(&folder.database()),
        smtp_url: Some(SmtpUrl(format!("file:{}", folder.mails().display()))),
        secret: None,
        ..config
    };
    if folder.is_complete() {
        eprintln!("./{FOLDER} holds a sample store already: it is served as it stands.");
    } else {
        make(&config, folder.seed(), folder.password(), now)?;
        folder.complete()?;
    }
    println!("Console   {}", config.public_url);
    println!("Sign in   {OWNER}");
    println!("Password  {}", folder.password());
    println!("Mails     ./{FOLDER}/mail, and nothing leaves this machine");
    serve::run(Serve::default(), config)
}

/// Makes the store, lets its last three weeks pass by, and leaves it as it stands at `now`.
fn make(config: &Config, seed: u64, password: &str, now: Timestamp) -> Result<(), CliError> {
    let begun = Instant::now();
    let progress = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{msg} {wide_bar} {percent} %").expect("a template"),
    );
    progress.set_message("Two years of a tea shop");
    let sample = demo::generate(seed, now);
    progress.set_length((sample.history.len() + sample.recent.len()) as u64);

    let db = super::open(config)?;
    db.migrate()?;
    let office = Arc::new(tick::open_office(config, db.clone())?);
    let templates: Vec<String> = office.composer.names().map(str::to_owned).collect();
    let document = ShopDocument::parse("the sample's shop.toml", SHOP, &templates)?;
    let store = set_up(&office.db, &document, sample.live_since, password)?;
    let (journal, writer) = Journal::start(db.clone(), Secret::load(config)?, Clock::System);
    // Three weeks of sending are made up for in a moment.
    set_rate(&db, &document, &store, Rate { per_second: 10_000 })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut shop = Shop {
        db: db.clone(),
        store: Arc::new(store.clone()),
        office,
        journal,
        runtime,
        positions: Positions::default(),
        progress: progress.clone(),
    };
    shop.tell_history(sample.history, sample.live_since)?;
    shop.live_through(sample.recent, sample.live_since, now)?;
    drop(shop);
    writer.finish();
    set_rate(&db, &document, &store, document.sending.rate)?;
    progress.finish_and_clear();
    eprintln!("Made a sample store in ./{FOLDER} in {:.1} s.", begun.elapsed().as_secs_f64());
    Ok(())
}

/// The settings and rules of the sample, in force since `at`, and someone who may sign in.
fn set_up(
    db: &Db,
    document: &ShopDocument,
    at: Timestamp,
    password: &str,
) -> Result<Store, CliError> {
    let store = db.write_here(|conn| -> Result<_, DbError> {
        rules::apply(conn, "default", document, at)?;
        Ok(stores::store::find_by_key(conn, "default")?)
    })?;
    let store = store.ok_or_else(|| CliError::text("the default store is missing"))?;
    let password = PasswordHash::of(password)?;
    super::user::set(db, &store, OWNER, Role::Owner, password, Clock::Fixed(at))?;
    Ok(store)
}

/// The settings of the sample, but with this rate: who sends reads it anew at every turn.
fn set_rate(db: &Db, document: &ShopDocument, store: &Store, rate: Rate) -> Result<(), DbError> {
    let sending = Sending { rate, ..document.sending.clone() };
    let ShopDocument { store: details, scoring, retention, .. } = document;
    db.write_here(|conn| {
        Ok(stores::store::save(conn, store.id, details, &sending, scoring, retention)?)
    })
}

/// What the sample is written through: the same rooms as any store's facts.
struct Shop {
    db: Db,
    store: Arc<Store>,
    office: Arc<PostOffice>,
    journal: Journal,
    runtime: tokio::runtime::Runtime,
    positions: Positions,
    progress: ProgressBar,
}

/// Facts handed in together: each is one transaction.
const BATCH: usize = 4_000;

/// What is learnt before its last three weeks serves until their end, when it is learnt anew.
const LEARNT_FOR: i32 = 21;

/// How often the sample's past is planned and sent.
const TICK: Delay = Delay::hours(2);

impl Shop {
    /// Customer by customer, so that each one's life is folded at once.
    fn tell_history(&self, facts: Vec<NewFact>, received_at: Timestamp) -> Result<(), CliError> {
        let mut facts = facts.into_iter();
        loop {
            let batch: Vec<NewFact> = facts.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.tell(batch, received_at)?;
        }
    }

    /// Facts come in, and at every tick what is due is planned and sent, as `serve` would have done then.
    fn live_through(
        &mut self,
        facts: Vec<NewFact>,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<(), CliError> {
        let mut facts = facts.into_iter().peekable();
        let mut at = from;
        let mut scored_on = None;
        loop {
            let day = at.day_in(&self.store.timezone);
            if scored_on != Some(day) || at == now {
                score_store_learning_every(&self.db, &self.store, at, LEARNT_FOR)?;
                self.positions.forget(self.store.id);
                scored_on = Some(day);
            }
            self.tick(at)?;
            if at == now {
                return Ok(());
            }
            at = at.plus(TICK).min(now);
            let mut batch = Vec::new();
            while let Some(fact) = facts.next_if(|fact| fact.occurred_at <= at) {
                batch.push(fact);
            }
            self.tell(batch, at)?;
        }
    }

    fn tell(&self, facts: Vec<NewFact>, received_at: Timestamp) -> Result<(), CliError> {
        let count = facts.len() as u64;
        self.journal.append_received_at(self.store.id, facts, received_at)?;
        self.progress.inc(count);
        Ok(())
    }

    /// One pass as of then: what is due is planned, and sent into the folder.
    fn tick(&mut self, at: Timestamp) -> Result<(), CliError> {
        let clock = Clock::Fixed(at);
        let clocks = Clocks { business: clock, machine: clock };
        let positions = Some(&mut self.positions);
        planner::pass(&self.db, &self.store, &self.office.secret, clocks.instants(), positions)?;
        let stop = CancellationToken::new();
        let sending = worker::deliver_due(&self.office, &self.store, clocks, &stop);
        self.runtime.block_on(sending)?;
        Ok(())
    }
}
