//! Serving: listen, work, and end without losing what was acknowledged.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use monsys_core::id::UserId;
use monsys_core::store::StoreError;
use monsys_core::time::Span;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{App, router};
use crate::cli::RunArgs;
use crate::clock::{Clock, wall_now};
use crate::error::{Failure, FailureKind};
use crate::location::StoreLocation;
use crate::scan::Watched;
use crate::security::secret::Secret;
use crate::security::session::LINK_S;
use crate::store::{HubStore, LoginLink};
use crate::{listen, output, scan, worker};

/// How long requests that are under way may take when the hub ends.
const DRAIN: Duration = Duration::from_secs(10);

/// `monsys-hub run`.
pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let config = args.choices.complete(args.config.as_deref())?;
    config.examine().admit()?;
    let location = StoreLocation::of(config.data.clone())?.with_connections(config.pg_connections);
    let store = location.open().await?;
    if store.meta("is_demo").await?.is_some() {
        return Err(Failure::new(
            FailureKind::Configuration,
            format!("{location} holds a demo store: expected another"),
        ));
    }
    let watched = scan::watched(&*store, &config.scan).await?;
    let listener = TcpListener::bind(config.addr).await.map_err(|error| {
        Failure::new(
            FailureKind::Unavailable,
            format!("{}: {error}", config.addr),
        )
    })?;
    let addr = listener.local_addr()?;
    let app = App::open(store, Clock::system(), config).await?;
    let hub = Hub::start(Arc::clone(&app), listener, watched);
    let scheme = app.config.serving.scheme();
    output::line(format_args!(
        "monsys-hub {} · {scheme}://{addr} · store {location}",
        env!("CARGO_PKG_VERSION")
    ));
    let environment = app.config.serving.environment.as_str();
    tracing::info!(%addr, store = %location, environment, "hub started");
    if app.store.user_count().await? == 0 {
        let link = make_link(&*app.store, LoginLink::SetUp).await?;
        let public = app.config.serving.public_url.as_ref();
        let public = public.map_or_else(
            || format!("{scheme}://{addr}"),
            |url| url.as_str().to_owned(),
        );
        output::line(format_args!(
            "set up  {public}/setup/{}   (one use, 30 minutes)",
            link.expose()
        ));
    }
    end_of_service().await?;
    tracing::info!("ending: requests under way are finished");
    hub.end().await;
    Ok(ExitCode::SUCCESS)
}

/// Makes a directory that only its owner enters.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|error| Failure::new(FailureKind::Io, format!("{}: {error}", path.display())))
}

/// Stores a new one-time link and returns its secret.
pub(crate) async fn make_link(store: &dyn HubStore, link: LoginLink) -> Result<Secret, StoreError> {
    let secret = Secret::random();
    let expires_at = wall_now().saturating_add(Span::from_secs(LINK_S));
    store.add_link(secret.digest(), link, expires_at).await?;
    Ok(secret)
}

/// Stores a new one-time login link for a person and returns its secret.
pub(crate) async fn make_login_link(
    store: &dyn HubStore,
    user: UserId,
) -> Result<Secret, StoreError> {
    make_link(store, LoginLink::Login(user)).await
}

/// A hub that listens and works.
pub(crate) struct Hub {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    working: [JoinHandle<()>; 3],
}

impl Hub {
    /// Starts serving and working; `watched` are the endpoints whose certificates it looks at.
    pub(crate) fn start(app: Arc<App>, listener: TcpListener, watched: Vec<Watched>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let working = [
            tokio::spawn(worker::run(Arc::clone(&app), stopped.clone())),
            tokio::spawn(worker::write_findings(Arc::clone(&app), stopped.clone())),
            tokio::spawn(scan::watch(Arc::clone(&app), watched, stopped.clone())),
        ];
        let serving = tokio::spawn(listen::serve(router(Arc::clone(&app)), listener, stopped));
        Self {
            app,
            stop,
            serving,
            working,
        }
    }

    /// Stops listening, finishes what is under way, and closes the store.
    pub(crate) async fn end(self) {
        self.app.live.end();
        // Nobody listening any more is what is wanted.
        let _ = self.stop.send(true);
        if tokio::time::timeout(DRAIN, self.serving).await.is_err() {
            tracing::warn!("requests under way took too long and were cut off");
        }
        for worker in self.working {
            if worker.await.is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
        self.app.write_last_findings().await;
        let store = Arc::clone(&self.app.store);
        if tokio::task::spawn_blocking(move || store.close())
            .await
            .is_err()
        {
            tracing::error!("the store was not closed in order");
        }
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn end_of_service() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Binds an address; where it is only the default and taken, a free port of the same address.
pub(crate) async fn bind_or_free(
    wanted: Option<SocketAddr>,
    default: SocketAddr,
) -> Result<TcpListener, Failure> {
    let unavailable = |addr: SocketAddr, error| {
        Failure::new(FailureKind::Unavailable, format!("{addr}: {error}"))
    };
    let addr = wanted.unwrap_or(default);
    match TcpListener::bind(addr).await {
        Ok(listener) => Ok(listener),
        Err(error) if wanted.is_none() && error.kind() == std::io::ErrorKind::AddrInUse => {
            let free = SocketAddr::new(addr.ip(), 0);
            TcpListener::bind(free)
                .await
                .map_err(|error| unavailable(free, error))
        }
        Err(error) => Err(unavailable(addr, error)),
    }
}
