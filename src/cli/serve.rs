//! `homing serve`: HTTP, scheduler and sender in one process, until a signal ends it.

use std::sync::Arc;

use actix_web::web;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{CliError, open, watchman};
use crate::config::Config;
use crate::db::{Backend, DbError};
use crate::http::pages::Pages;
use crate::http::{App, server};
use crate::journal::Journal;
use crate::outbox::PostOffice;
use crate::primitives::Clock;
use crate::replicas::{self, Replica};
use crate::restores;
use crate::schedule::Runner;
use crate::secret::Secret;

#[derive(Args, Default)]
pub struct Serve {
    /// Do not bring the schema up to date; refuse to start when it is behind.
    #[arg(long)]
    no_migrate: bool,
}

pub fn run(args: Serve, config: Config) -> Result<(), CliError> {
    // Before the schema is touched: the other one may be an older program.
    let _watch = watchman::take(&config)?;
    let db = open(&config)?;
    if !args.no_migrate {
        db.migrate()?;
    } else if db.pending_migrations()? > 0 {
        return Err(CliError::text("the database's schema is behind this binary")
            .hint("run `homing migrate`, or start without --no-migrate"));
    }
    let secret = Secret::load(&config)?;
    if let Some(pause) = db.read_here(|conn| restores::pause(conn).map_err(DbError::from))? {
        eprintln!(
            "This database was put back from a backup at {:.0}: nothing is planned or sent until `homing resume`.",
            pause.restored_at.to_jiff()
        );
    }
    let (journal, writer) = Journal::start(db.clone(), secret.clone(), Clock::System);
    let app = web::Data::new(App::new(db, journal, Arc::new(config), secret, Clock::System));
    // Before anything is served: templates that cannot be used are told at the start, not at the first mail.
    let (db, secret, metrics) = (app.db.clone(), app.secret.clone(), app.metrics.clone());
    let office = PostOffice::open(&app.config, db, secret, metrics).map_err(CliError::usage)?;
    if office.transport.is_none() {
        eprintln!("HOMING_SMTP_URL is not set: messages stay scheduled, and nothing is sent.");
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(app, office))?;
    // All that may append is gone by now, so this ends as soon as the last fact is stored.
    writer.finish();
    // A scoring that was given up still runs on its thread, and ends with the process.
    runtime.shutdown_background();
    eprintln!("Homing has stopped.");
    Ok(())
}

/// Serves until SIGTERM or SIGINT. Then: no new connections, requests in the air finish, so do the tasks.
async fn serve(app: web::Data<App>, office: PostOffice) -> Result<(), CliError> {
    // Before the first request: a signal that comes early must not be lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let listen = app.config.listen;
    let console = web::Data::new(Pages::new(&app.config, &app.secret)?);
    let (http, address) = server::start(app.clone(), console).map_err(|error| {
        CliError::text(format!("{listen} cannot be listened on: {error}"))
            .hint("another process may hold it: choose another address with HOMING_LISTEN")
    })?;
    let handle = http.handle();
    let http = tokio::spawn(http);
    // The scheduler and the sender run as tasks of this tracker, and end when the token says so.
    let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
    let transport = office.transport.clone();
    // An SQLite file is served by one process, which its lock tells of.
    let replica = (app.db.backend() == Backend::Postgres)
        .then(|| Replica::new(address.to_string(), Clock::System.now()));
    let runner = Runner::start(office, app.config.tick, replica.clone(), &tasks, &stopping).await?;
    eprintln!("Homing listens on http://{address}");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    eprintln!(
        "Homing is stopping: what is in the air is finished. Another signal ends it at once."
    );
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(1);
    });
    stopping.cancel();
    runner.stop().await;
    tasks.close();
    handle.stop(true).await;
    tasks.wait().await;
    if let Some(replica) = replica {
        let now = Clock::System.now();
        let left =
            app.db.write(move |conn| replicas::leave(conn, &replica, now).map_err(DbError::from));
        if let Err(error) = left.await {
            tracing::warn!(%error, "the others were not told that this process stops");
        }
    }
    // Whoever clicked last is written down, too.
    app.clicks.write(Clock::System.now()).await;
    if let Some(transport) = transport {
        transport.close().await;
    }
    http.await??;
    Ok(())
}
