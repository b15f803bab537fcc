//! The table of settings in the manual, made of what the program itself knows of them.

use std::fmt::Write;

use clap::CommandFactory;

use super::names::TWO_NAMES;
use crate::cli::Cli;

const PAGE: &str = include_str!("../manual/settings.md");

/// Writes the page as the manual has it.
fn page() -> String {
    let mut page = String::from(HEAD);
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    for argument in run.get_arguments() {
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        let two = TWO_NAMES.iter().find(|two| two.name == name);
        let alias = two.map_or_else(String::new, |two| format!("`{}`", two.alias));
        let flag = argument.get_long().unwrap();
        let help = argument.get_help().unwrap().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(
            page,
            "| `--{flag}` | `{name}` | {alias} | {} |",
            cell(&help)
        )
        .unwrap();
    }
    page.push_str(SECRETS);
    for two in TWO_NAMES.iter().filter(|two| two.is_secret) {
        writeln!(
            page,
            "| `{}` | `{}` | {} |",
            two.name,
            two.alias,
            cell(two.what)
        )
        .unwrap();
    }
    page.push_str(REST);
    page
}

/// A text as a cell takes it: what rustdoc reads as a link or a tag is none.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    if text.contains('`') {
        return text;
    }
    text.replace('[', "\\[").replace(']', "\\]")
}

#[test]
fn the_manual_lists_every_setting_as_the_program_knows_it() {
    let page = page();
    if std::env::var_os("MONSYS_WRITE_MANUAL").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/settings.md");
        std::fs::write(path, &page).unwrap();
        return;
    }
    assert!(
        page == PAGE,
        "settings.md is old: run with MONSYS_WRITE_MANUAL=1"
    );
}

const HEAD: &str = "# Settings

A flag goes before the environment, that before the file of `--config` (TOML), that before the
default. An empty variable is not set. What has two names may be set under both to the same; set to
different things it is refused, and the message names both. Unknown flags and keys are refused with
the nearest name; an unknown variable that begins with `MONSYS_` or `EM_` is a warning.

| flag | environment | also | what |
|---|---|---|---|
";
const SECRETS: &str = "
# Secrets

No flag and no file in TOML holds a secret. Each variable has a twin that ends in `_FILE` and names a
file that holds it.

| environment | also | what |
|---|---|---|
";
const REST: &str = "
`MONSYS_MIGRATE_URL` logs in as the owner of the schema. `MONSYS_LOG`, or `RUST_LOG`, says what is
logged, such as `monsys_hub=debug`. `REDIS_URL` is accepted and ignored with one warning.

The `org_id` of an organisation is its name: what `X-EM-Org` and logins carry. What is named there and
missing is added at each start; what exists stays as it is, and a difference is a warning.

# Production

With `--environment production` the hub refuses to start (exit 78, every fault named, never a value)
when a signing secret is missing, shorter than 32 bytes or equal to another, when the description of
the API is on, when HTTPS is not enforced, and without `--public-url`. In development missing secrets
are made up at the start, with a warning, and end with the process.

# Plans

```toml
[plans.standard]
rate = 100       # payloads a second; 0 lifts the limit
burst = 300      # payloads at once, at most 60 times the rate; twice the rate unless given
orgs = [\"acme\"]
```

An organisation without a plan has `--org-rate`. Each replica counts for itself: the lease of the cycle
names one holder and not who is alive, so whoever runs several replicas divides the rates among them.

# HTTPS

With `--tls-cert` and `--tls-key` the hub ends TLS itself. It reads the files again when they change,
and on SIGHUP; a new pair that is none, or has expired, is refused and logged, and the old one stays.
Behind a proxy, name the proxy's network in `--trusted-proxies`.
";
