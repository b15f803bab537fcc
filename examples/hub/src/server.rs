//! Serving: listen, work, and end without losing what was acknowledged.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use monsys_core::store::StoreError;
use monsys_core::time::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::cli::RunArgs;
use crate::clock::{Clock, wall_now};
use crate::config::HubConfig;
use crate::drain::AskedToEnd;
use crate::error::{Failure, FailureKind};
use crate::listen::Door;
use crate::location::StoreLocation;
use crate::routes::router;
use crate::scan::Watched;
use crate::security::secret::Secret;
use crate::security::session::LINK_S;
use crate::store::{Author, HubStore, LoginLink};
use crate::{listen, output, scan, service_manager, worker};

/// How long requests that are under way may take when the hub ends.
const DRAIN: Duration = Duration::from_secs(10);
/// How long what works beside may take when the hub ends; each of its steps is whole or not there.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(10);

/// `monsys-hub run`; `inherited` is the socket that a service manager holds for it.
pub(crate) async fn run(
    args: RunArgs,
    inherited: Option<std::net::TcpListener>,
) -> Result<ExitCode, Failure> {
    let mut asked = AskedToEnd::listen()?;
    let config = args.choices.complete(args.config.as_deref())?;
    config.examine().admit()?;
    let door = config.serving.door()?;
    let (location, store) = open_store(&config).await?;
    let watched = scan::watched(&*store, &config.scan).await?;
    let listener = listener(inherited, config.addr).await?;
    let addr = listener.local_addr()?;
    let app = App::open(store, Clock::system(), config).await?;
    let hub = Hub::start(Arc::clone(&app), listener, door, watched);
    let scheme = app.config.serving.scheme();
    output::line(format_args!(
        "monsys-hub {} · {scheme}://{addr} · store {location}",
        env!("CARGO_PKG_VERSION")
    ));
    let environment = app.config.serving.environment.as_str();
    tracing::info!(%addr, store = %location, environment, "hub started");
    if app.store.user_count().await? == 0 {
        let link = make_link(&*app.store, LoginLink::SetUp, Author::Hub).await?;
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
    hub.serve_until_asked(&mut asked).await;
    Ok(ExitCode::SUCCESS)
}

/// `monsys-hub worker`: cycles, sweeps and scans of a store that is there, without serving.
pub(crate) async fn work(args: RunArgs) -> Result<ExitCode, Failure> {
    let mut asked = AskedToEnd::listen()?;
    let config = args.choices.complete(args.config.as_deref())?;
    config.examine().admit()?;
    let location = StoreLocation::of(config.data.clone())?.with_connections(config.pg_connections);
    let store = location.open_existing().await?;
    refuse_demo(&*store, &location).await?;
    let watched = scan::watched(&*store, &config.scan).await?;
    let app = App::open(store, Clock::system(), config).await?;
    let hub = Hub::work(app, watched);
    output::line(format_args!(
        "monsys-hub {} · worker · store {location}",
        env!("CARGO_PKG_VERSION")
    ));
    tracing::info!(store = %location, "worker started");
    hub.serve_until_asked(&mut asked).await;
    Ok(ExitCode::SUCCESS)
}

/// Opens the store of a configuration, making an empty one.
async fn open_store(config: &HubConfig) -> Result<(StoreLocation, Arc<dyn HubStore>), Failure> {
    let location = StoreLocation::of(config.data.clone())?.with_connections(config.pg_connections);
    let store = location.open().await?;
    refuse_demo(&*store, &location).await?;
    Ok((location, store))
}

async fn refuse_demo(store: &dyn HubStore, location: &StoreLocation) -> Result<(), Failure> {
    if store.meta("is_demo").await?.is_none() {
        return Ok(());
    }
    let message = format!("{location} holds a demo store: expected another");
    Err(Failure::new(FailureKind::Configuration, message))
}

/// The socket that was inherited, or else one of its own.
async fn listener(
    inherited: Option<std::net::TcpListener>,
    addr: SocketAddr,
) -> Result<TcpListener, Failure> {
    if let Some(inherited) = inherited {
        inherited.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(inherited)?);
    }
    let bound = TcpListener::bind(addr).await;
    bound.map_err(|error| Failure::new(FailureKind::Unavailable, format!("{addr}: {error}")))
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
pub(crate) async fn make_link(
    store: &dyn HubStore,
    link: LoginLink,
    by: Author,
) -> Result<Secret, StoreError> {
    let secret = Secret::random();
    let expires_at = wall_now().saturating_add(Span::from_secs(LINK_S));
    store
        .add_link(secret.digest(), link, expires_at, by)
        .await?;
    Ok(secret)
}

/// A hub that works, and listens unless it is a worker only.
pub(crate) struct Hub {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
    working: [JoinHandle<()>; 3],
}

impl Hub {
    /// Starts serving and working; `watched` are the endpoints whose certificates it looks at.
    pub(crate) fn start(
        app: Arc<App>,
        listener: TcpListener,
        door: Door,
        watched: Vec<Watched>,
    ) -> Self {
        let mut hub = Self::work(Arc::clone(&app), watched);
        let stopped = hub.stop.subscribe();
        let connections = Arc::clone(&app.telemetry.connections);
        let serving = listen::serve(router(app), listener, door, connections, stopped);
        hub.serving = Some(tokio::spawn(serving));
        hub
    }

    /// Starts working only.
    fn work(app: Arc<App>, watched: Vec<Watched>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let working = [
            tokio::spawn(worker::run(Arc::clone(&app), stopped.clone())),
            tokio::spawn(worker::write_findings(Arc::clone(&app), stopped.clone())),
            tokio::spawn(scan::watch(Arc::clone(&app), watched, stopped)),
        ];
        Self {
            app,
            stop,
            serving: None,
            working,
        }
    }

    /// Tells the service manager that all is there, and ends in order when asked to.
    async fn serve_until_asked(self, asked: &mut AskedToEnd) {
        service_manager::tell_ready();
        tokio::select! {
            () = asked.wait() => {}
            () = service_manager::tell_life() => {}
        }
        tracing::info!("ending: requests under way are finished");
        service_manager::tell_stopping();
        asked.unless_asked_again(self.end()).await;
    }

    /// Lets nobody new in, finishes what is under way, and closes the store.
    pub(crate) async fn end(self) {
        self.app.ending.begin();
        if self.serving.is_some() {
            tokio::time::sleep(self.app.config.drain_delay).await;
        }
        self.app.live.end();
        // Nobody listening any more is what is wanted.
        let _ = self.stop.send(true);
        if let Some(serving) = self.serving
            && tokio::time::timeout(DRAIN, serving).await.is_err()
        {
            tracing::warn!("requests under way took too long and were cut off");
        }
        for mut worker in self.working {
            match tokio::time::timeout(WORK_ENDS_WITHIN, &mut worker).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::error!("a worker ended by a panic"),
                Err(_) => {
                    tracing::warn!("a worker took too long and was cut off");
                    worker.abort();
                }
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
