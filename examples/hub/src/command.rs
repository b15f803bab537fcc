//! The commands that do one thing and end.

mod agent;
mod archive;
mod auditor;
mod health;
mod migrate;
mod retention;
mod scan;
mod signals;
mod token;
mod user;
mod verify;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory;
use monsys_core::id::TenantId;
use monsys_core::name::DisplayName;
use monsys_core::store::StoreError;
use serde_json::json;

use crate::app::App;
use crate::cli::{
    AuditorCommand, CheckArgs, Cli, Command, IntegrityCommand, MigrateArgs, OrgCommand,
    RetentionCommand, ScanCommand, SignalsCommand, StoreArgs,
};
use crate::clock::Clock;
use crate::config::Choices;
use crate::error::{Failure, FailureKind};
use crate::integrity_choice::IntegrityChoices;
use crate::location::StoreLocation;
use crate::random::random_bytes;
use crate::server;
use crate::store::HubStore;
use crate::{demo, doctor, output, worker};

/// Carries out a command.
pub(crate) async fn run(
    command: Command,
    inherited: Option<TcpListener>,
) -> Result<ExitCode, Failure> {
    match command {
        Command::Migrate(MigrateArgs { dry_run, store }) if dry_run => {
            migrate::look(&store).await?;
        }
        Command::Migrate(args) => migrate::migrate(&args.store).await?,
        Command::Check(args) => check(args)?,
        Command::Doctor(args) => return doctor::run(args).await,
        Command::Health(args) => return health::run(&args),
        Command::Org(OrgCommand::Add { name, store }) => add_org(&name, &store).await?,
        Command::Org(OrgCommand::List { store }) => list_orgs(&store).await?,
        Command::Agent(command) => agent::run(command).await?,
        Command::User(command) => user::run(command).await?,
        Command::Token(command) => token::run(command).await?,
        Command::Integrity(IntegrityCommand::Run {
            store,
            choices,
            config,
        }) => {
            return run_cycle(store, choices, config.as_deref()).await;
        }
        Command::Auditor(AuditorCommand::Grant(args)) => auditor::grant(&args).await?,
        Command::Auditor(AuditorCommand::Revoke(args)) => auditor::revoke(&args).await?,
        Command::Signals(SignalsCommand::Emit { org, file, store }) => {
            return signals::emit(&org, &file, &store).await;
        }
        Command::Signals(SignalsCommand::Query(args)) => signals::query(&args).await?,
        Command::Scan(ScanCommand::Certs(args)) => return scan::certs(args).await,
        Command::Retention(RetentionCommand::Run { dry_run, store }) => {
            let step = if dry_run {
                retention::Step::Count
            } else {
                retention::Step::Sweep
            };
            retention::run(step, &store).await?;
        }
        Command::Backup(args) => archive::backup(&args)?,
        Command::Restore(args) => archive::restore(&args)?,
        Command::Export(args) => archive::export(&args).await?,
        Command::Import(args) => archive::import(&args).await?,
        Command::Verify { since, store } => return verify::run(since, &store).await,
        Command::Version(args) => {
            let version = env!("CARGO_PKG_VERSION");
            say(
                args.json,
                &json!({"version": version}),
                format_args!("monsys-hub {version}"),
            );
        }
        Command::Openapi(_) => output::line(crate::routes::description().trim_end()),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "monsys-hub", &mut out);
            output::line(String::from_utf8_lossy(&out).trim_end());
        }
        Command::Demo(args) => return demo::run(args).await,
        Command::Run(args) => return server::run(args, inherited).await,
        Command::Worker(args) => return server::work(args).await,
        Command::AgentProcess { arguments } => return Ok(demo::agent_process(arguments)),
    }
    Ok(ExitCode::SUCCESS)
}

fn say(as_json: bool, value: &serde_json::Value, text: impl std::fmt::Display) {
    if as_json {
        output::line(value)
    } else {
        output::line(text)
    }
}

async fn store_of(args: &StoreArgs) -> Result<Arc<dyn HubStore>, Failure> {
    location_of(args)?.open().await
}

async fn existing_store_of(args: &StoreArgs) -> Result<Arc<dyn HubStore>, Failure> {
    location_of(args)?.open_existing().await
}

fn location_of(args: &StoreArgs) -> Result<StoreLocation, Failure> {
    StoreLocation::of(args.data.clone())
}

/// Finds the file of a SQLite store that is there.
fn existing_file_of(args: &StoreArgs) -> Result<PathBuf, Failure> {
    location_of(args)?.existing_file()
}

fn check(args: CheckArgs) -> Result<(), Failure> {
    let config = args.choices.complete(args.config.as_deref())?;
    let found = config.examine();
    if !args.json {
        found.admit()?;
    }
    config.serving.door()?;
    let location = StoreLocation::of(config.data)?;
    let verdict = found.verdict();
    let shown = json!({
        "status": if verdict.is_ok() { "ok" } else { "refused" },
        "store": location.to_string(),
        "faults": found.faults,
        "warnings": found.warnings,
    });
    say(args.json, &shown, "configuration is valid");
    verdict
}

fn display_name(what: &str, text: &str) -> Result<DisplayName, Failure> {
    DisplayName::parse(text)
        .map_err(|error| Failure::new(FailureKind::Usage, format!("{what}: {error}")))
}

async fn add_org(name: &str, args: &StoreArgs) -> Result<(), Failure> {
    let name = display_name("organisation name", name)?;
    let store = store_of(args).await?;
    let tenant = TenantId::from_random_bytes(random_bytes());
    match store.add_tenant(tenant, name.clone()).await {
        Err(StoreError::AlreadyExists) => {
            return Err(Failure::new(
                FailureKind::Usage,
                format!("organisation {name:?} exists already"),
            ));
        }
        added => added?,
    }
    let shown = json!({"org": name.as_str(), "org_id": tenant.to_string()});
    say(args.json, &shown, format_args!("organisation {name} added"));
    store.close();
    Ok(())
}

async fn list_orgs(args: &StoreArgs) -> Result<(), Failure> {
    let orgs = existing_store_of(args).await?.tenant_names().await?;
    if args.json {
        let items: Vec<_> = orgs
            .iter()
            .map(|(id, name)| json!({"org": name.as_str(), "org_id": id.to_string()}))
            .collect();
        output::line(json!({"items": items}));
        return Ok(());
    }
    for (_, name) in orgs {
        output::line(name);
    }
    Ok(())
}

/// Finds an organisation by name; an unknown one is an error, never a new one.
async fn tenant_named(store: &dyn HubStore, name: &str) -> Result<TenantId, Failure> {
    let orgs = store.tenant_names().await?;
    let found = orgs.iter().find(|(_, known)| known.as_str() == name);
    found.map(|(id, _)| *id).ok_or_else(|| {
        Failure::new(
            FailureKind::Usage,
            format!(
                "no organisation {name:?}: expected one of `monsys-hub org list`, or `org add`"
            ),
        )
    })
}

/// Refuses a store whose times are not those of the wall.
async fn refuse_demo(store: &dyn HubStore) -> Result<(), Failure> {
    if store.meta("is_demo").await?.is_none() {
        return Ok(());
    }
    let message = "this is a demo store, whose clock is not that of the wall";
    Err(Failure::new(FailureKind::Configuration, message))
}

async fn run_cycle(
    mut args: StoreArgs,
    integrity: IntegrityChoices,
    file: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let choices = Choices {
        data: args.data.take(),
        integrity,
        ..Choices::default()
    };
    let mut config = choices.complete(file)?;
    args.data = config.data.take();
    let store = existing_store_of(&args).await?;
    refuse_demo(&*store).await?;
    let app = App::open(store, Clock::system(), config).await?;
    let ran = worker::cycle(&app, random_bytes(), app.clock.now()).await;
    app.store.close();
    let report = ran?.ok_or_else(|| {
        Failure::new(
            FailureKind::Unavailable,
            "another hub is running a cycle at this moment: expected to get the lease of the cycle",
        )
    })?;
    let value = serde_json::to_value(&report).unwrap_or_default();
    say(args.json, &value, &report);
    Ok(if report.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(69)
    })
}
