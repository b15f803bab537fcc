//! The whole system on one machine: a hub, a real agent, six labelled attackers.
//!
//! Nothing in it is a mock. The hub is the one that `run` serves, with its store in a file; the
//! real agent is the reference agent in a process of its own, measuring this machine; each attacker
//! is an enrolled agent that sends over HTTP and really does what its name says. Stamps, cadence,
//! cycle and windows follow one clock that runs 40 times faster. No threshold changes.

mod attack;
mod outcome;
mod real;
mod screen;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::{NewAgent, NewCredential, PublicKey, TokenDigest};
use monsys_core::time::{Span, Timestamp};
use monsys_wire::{BearerToken, SigningKey};
use tokio::sync::watch;

use self::attack::{Attacker, Trick};
use self::outcome::Outcome;
use self::screen::Screen;
use crate::app::App;
use crate::cli::{DemoArgs, DemoStore};
use crate::clock::{Clock, wall_now};
use crate::config::Choices;
use crate::drain::AskedToEnd;
use crate::error::{Failure, FailureKind};
use crate::location::{STORE_FILE, StoreLocation};
use crate::output;
use crate::random::random_bytes;
use crate::server::{Hub, bind_or_free, make_link, make_private_dir};
use crate::store::{Author, HubStore, LoginLink, NewUser, Role};

pub(crate) use self::real::agent_process;

/// How many times faster the demo's clock runs.
const CLOCK_RATE: u32 = 40;
/// How often the screen looks for news.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One participant.
struct Participant {
    agent: AgentId,
    name: &'static str,
    role: AgentRole,
}

/// What a participant is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgentRole {
    /// Measures this machine and is to be trusted.
    Real,
    /// Attacks in one way and is to be caught for it.
    Attack(AnomalyKind),
}

/// `monsys-hub demo`.
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    let place = Place::prepare(args.data.as_deref())?;
    let default = Choices::default().complete(None)?.addr;
    let listener = bind_or_free(args.addr, default).await?;
    let addr = listener.local_addr()?;
    let origin = wall_now();
    let clock = Clock::accelerated(origin, CLOCK_RATE)
        .map_err(|error| Failure::new(FailureKind::Configuration, error))?;
    let choices = Choices {
        addr: Some(addr),
        data: Some(place.path.clone()),
        ..Choices::default()
    };
    let mut config = choices.complete(None)?;
    config.is_demo = true;
    let door = config.serving.door()?;
    let location = place.store(args.store)?;
    let store = location.open().await?;
    refuse_filled(&*store, &location).await?;
    store.meta_or_insert("is_demo", "true".into()).await?;
    let app = App::open(store, clock, config).await?;
    let (tenant, user) = add_people(&*app.store).await?;
    let link = make_link(&*app.store, LoginLink::Login(user), Author::Hub).await?;
    let hub = Hub::start(Arc::clone(&app), listener, door, Vec::new());
    let screen = Screen::start(&location, CLOCK_RATE, addr, link.expose());
    let stage = Stage {
        app,
        tenant,
        addr,
        origin,
        place: &place,
    };
    let ended = play(&stage, args.seconds, screen).await;
    hub.end().await;
    let outcome = ended?;
    if args.json {
        output::line(outcome.to_json());
    }
    Ok(outcome.exit_code())
}

/// Where and when a demo is played.
struct Stage<'a> {
    app: Arc<App>,
    tenant: TenantId,
    addr: SocketAddr,
    origin: Timestamp,
    place: &'a Place,
}

async fn play(
    stage: &Stage<'_>,
    seconds: Option<u32>,
    mut screen: Screen,
) -> Result<Outcome, Failure> {
    let Stage {
        app, tenant, addr, ..
    } = stage;
    let (stop, stopped) = watch::channel(false);
    let mut participants = Vec::new();
    let token = BearerToken::from_random_bytes(random_bytes());
    let real = enrol(app, *tenant, "this-machine", &token, None).await?;
    participants.push(Participant {
        agent: real,
        name: "this-machine",
        role: AgentRole::Real,
    });
    let mut attackers = Vec::new();
    for trick in Trick::ALL {
        let (participant, attacker) = enrol_attacker(stage, trick).await?;
        participants.push(participant);
        attackers.push(attacker);
    }
    let mut child = real::RealAgent::start(stage, &token).await?;
    let threads: Vec<_> = attackers
        .into_iter()
        .map(|attacker| attacker.start(stopped.clone()))
        .collect();
    let watched = look_until_end(app, *tenant, &participants, seconds, &mut screen).await;
    // Every attacker looks at this before its next payload; none left is as good.
    let _ = stop.send(true);
    child.end().await;
    for thread in threads {
        let thread = thread?;
        let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
        if !joined.unwrap_or(false) {
            return Err(attack::ended_badly());
        }
    }
    watched?;
    let outcome = Outcome::read(app, *tenant, &participants, *addr).await?;
    screen.end(&outcome);
    Ok(outcome)
}

async fn enrol_attacker(
    stage: &Stage<'_>,
    trick: Trick,
) -> Result<(Participant, Attacker), Failure> {
    let Stage {
        app, tenant, addr, ..
    } = stage;
    let key = SigningKey::from_secret_bytes(random_bytes());
    let token = BearerToken::from_random_bytes(random_bytes());
    let pinned = PublicKey(key.verifying_key().to_bytes());
    let agent = enrol(app, *tenant, trick.name(), &token, Some(pinned)).await?;
    let role = AgentRole::Attack(trick.kind());
    let attacker = Attacker::new(trick, agent, key, token, *addr, app);
    Ok((
        Participant {
            agent,
            name: trick.name(),
            role,
        },
        attacker,
    ))
}

async fn look_until_end(
    app: &App,
    tenant: TenantId,
    participants: &[Participant],
    seconds: Option<u32>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let time_is_up = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds.into())).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time_is_up);
    let mut asked = AskedToEnd::listen()?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = &mut time_is_up => return Ok(()),
            () = asked.wait() => return Ok(()),
            _ = look.tick() => screen.look(app, tenant, participants).await?,
        }
    }
}

async fn add_people(store: &dyn HubStore) -> Result<(TenantId, UserId), Failure> {
    let tenant = TenantId::from_random_bytes(random_bytes());
    let user = UserId::from_random_bytes(random_bytes());
    store.add_tenant(tenant, display_name("demo")?).await?;
    let email = "you@demo.invalid".to_owned();
    let new = NewUser {
        user,
        tenant,
        email,
        role: Role::Admin,
        password: None,
    };
    store.add_user(new, Author::Hub).await?;
    Ok((tenant, user))
}

async fn enrol(
    app: &App,
    tenant: TenantId,
    name: &str,
    token: &BearerToken,
    key: Option<PublicKey>,
) -> Result<AgentId, Failure> {
    let agent = AgentId::from_random_bytes(random_bytes());
    let new = NewAgent {
        agent,
        tenant,
        name: display_name(name)?,
        credential: NewCredential::Token {
            token: TokenDigest(token.digest()),
            key,
            pin_until: wall_now().saturating_add(Span::from_secs(3_600)),
        },
        enrolled_at: app.clock.now(),
    };
    app.store.enrol(&new).await?;
    Ok(agent)
}

fn display_name(text: &str) -> Result<DisplayName, Failure> {
    DisplayName::parse(text).map_err(|error| Failure::new(FailureKind::Usage, error))
}

/// Where a demo keeps its files.
struct Place {
    path: PathBuf,
    is_temporary: bool,
}

impl Place {
    /// Makes the directory. One that is named must be empty or hold an earlier demo, which goes.
    fn prepare(wanted: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = wanted else {
            let name = format!("monsys-demo-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            // Left over from a demo of the same process id that was killed.
            if path.exists() {
                std::fs::remove_dir_all(&path)?;
            }
            make_private_dir(&path)?;
            return Ok(Self {
                path,
                is_temporary: true,
            });
        };
        if path.join(MARK).exists() {
            for name in OWN_FILES {
                remove(&path.join(name))?;
            }
        } else if path.exists() && std::fs::read_dir(path)?.next().is_some() {
            let message = format!(
                "{}: expected an empty directory or that of a demo",
                path.display()
            );
            return Err(Failure::new(FailureKind::Usage, message));
        }
        make_private_dir(path)?;
        std::fs::write(path.join(MARK), "made by monsys-hub demo\n")?;
        Ok(Self {
            path: path.to_owned(),
            is_temporary: false,
        })
    }
}

impl Place {
    /// Where the store is: in the directory, whatever the environment says, unless asked.
    fn store(&self, wanted: DemoStore) -> Result<StoreLocation, Failure> {
        match wanted {
            DemoStore::Sqlite => Ok(StoreLocation::Directory(self.path.clone())),
            DemoStore::Postgres => StoreLocation::server()?.ok_or_else(|| {
                let message = "--store postgres: expected DATABASE_URL to name an empty database";
                Failure::new(FailureKind::Configuration, message)
            }),
        }
    }
}

/// A demo makes its own people and agents: it neither mixes them with others nor removes any.
async fn refuse_filled(store: &dyn HubStore, location: &StoreLocation) -> Result<(), Failure> {
    if store.tenant_names().await?.is_empty() {
        return Ok(());
    }
    let message = format!("{location} holds organisations: expected an empty database for a demo");
    Err(Failure::new(FailureKind::Usage, message))
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary && std::fs::remove_dir_all(&self.path).is_err() {
            tracing::warn!(path = %self.path.display(), "the demo's files were not removed");
        }
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => Ok(()),
    };
    Ok(removed?)
}

/// Marks a directory as a demo's own, so that a demo never removes anything else.
const MARK: &str = "monsys-demo";
/// What a demo leaves in its directory.
const OWN_FILES: [&str; 4] = [
    STORE_FILE,
    "monsys.db-wal",
    "monsys.db-shm",
    real::AGENT_DIR,
];
