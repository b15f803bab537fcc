//! The names under which the environment speaks: each setting has one of ours, and some have that of
//! the endpoint document beside it.
//!
//! Both may be set to the same. Set to different things they are an error that names both, because
//! whoever set them believes in one of the two. A variable that is empty is not set: compose files
//! write one where they mean none.

use std::path::PathBuf;

use clap::builder::Resettable;

use super::file::edit_distance;
use crate::error::{Failure, FailureKind};

/// A setting that has two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TwoNames {
    /// Ours.
    pub(crate) name: &'static str,
    /// That of the endpoint document.
    pub(crate) alias: &'static str,
    /// Whether it is a secret, which no flag and no file in TOML holds, and `…_FILE` may.
    pub(crate) is_secret: bool,
    /// What it is; empty where a flag of the same name says so.
    pub(crate) what: &'static str,
}

/// All settings with two names, and all secrets: the one table of them.
pub(crate) const TWO_NAMES: [TwoNames; 10] = [
    flag("MONSYS_ENV", "EM_ENV"),
    flag("MONSYS_ENFORCE_HTTPS", "EM_ENFORCE_HTTPS"),
    flag("MONSYS_DEV_ENABLE_DOCS", "EM_DEV_ENABLE_DOCS"),
    secret(
        DATABASE_URL,
        "DATABASE_URL",
        "PostgreSQL to store in, as a URL [default: SQLite in the data directory]",
    ),
    secret(
        "MONSYS_JWT_ACCESS_SECRET",
        "EM_JWT_ACCESS_SECRET",
        "What signs access tokens, 32 bytes or more",
    ),
    secret(
        "MONSYS_JWT_REFRESH_SECRET",
        "EM_JWT_REFRESH_SECRET",
        "What signs refresh tokens, 32 bytes or more",
    ),
    secret(
        "MONSYS_CSRF_SECRET",
        "EM_CSRF_SECRET",
        "What signs the tokens of forms, 32 bytes or more",
    ),
    secret(
        "MONSYS_METRICS_TOKEN",
        "EM_METRICS_TOKEN",
        "What reads /internal/metrics, in X-Metrics-Token [default: none; only this machine reads]",
    ),
    secret(
        "MONSYS_ORGS_JSON",
        "EM_ORGS_JSON",
        "Organisations and devices that must be there: \
         `[{\"org_id\",\"name\",\"plan\",\"devices\":[{\"id\",\"key\"}]}]`",
    ),
    secret(
        "MONSYS_USERS_JSON",
        "EM_USERS_JSON",
        "People who must be there: `[{\"org\",\"username\",\"password\" or \"phc\",\"role\"}]`",
    ),
];

/// Where the store is.
pub(crate) const DATABASE_URL: &str = "MONSYS_DATABASE_URL";
/// How the owner of the store logs in; it has one name.
pub(crate) const MIGRATE_URL: &str = "MONSYS_MIGRATE_URL";

const fn flag(name: &'static str, alias: &'static str) -> TwoNames {
    TwoNames {
        name,
        alias,
        is_secret: false,
        what: "",
    }
}

const fn secret(name: &'static str, alias: &'static str, what: &'static str) -> TwoNames {
    TwoNames {
        name,
        alias,
        is_secret: true,
        what,
    }
}

impl TwoNames {
    /// Both names, as messages call the setting.
    pub(crate) fn shown(&self) -> String {
        format!("{} ({})", self.name, self.alias)
    }
}

/// The text of a secret, and what named it.
pub(crate) struct Found {
    /// The text, without the end of its last line.
    pub(crate) text: String,
    /// The variable that holds it, or the file that does.
    pub(crate) source: String,
}

/// Calls a setting by both its names.
pub(crate) fn shown(name: &str) -> String {
    let two = TWO_NAMES.iter().find(|two| two.name == name);
    two.map_or_else(|| name.to_owned(), TwoNames::shown)
}

/// Reads a secret from the environment, under either name, or from the file that it names.
///
/// # Errors
/// Configuration failures, which never repeat the secret: a file that cannot be read, or names that
/// say different things.
pub(crate) fn find_secret(name: &str) -> Result<Option<Found>, Failure> {
    let alias = TWO_NAMES.iter().find(|two| two.name == name);
    let names = std::iter::once(name).chain(alias.map(|two| two.alias));
    let mut found: Option<Found> = None;
    for name in names {
        for next in [read_variable(name)?, read_file_of(name)?]
            .into_iter()
            .flatten()
        {
            match &found {
                Some(first) if first.text != next.text => {
                    return Err(differ(&first.source, &next.source));
                }
                Some(_) => {}
                None => found = Some(next),
            }
        }
    }
    Ok(found)
}

/// Refuses settings that are set to different things under their two names.
///
/// # Errors
/// A configuration failure that names both.
pub(crate) fn refuse_contradictions() -> Result<(), Failure> {
    for two in &TWO_NAMES {
        if two.is_secret {
            find_secret(two.name)?;
            continue;
        }
        if let (Some(own), Some(other)) = (read_variable(two.name)?, read_variable(two.alias)?)
            && !own.text.eq_ignore_ascii_case(&other.text)
        {
            return Err(differ(two.name, two.alias));
        }
    }
    Ok(())
}

/// Lets a command line read a setting under its other name where ours is not set, and takes an empty
/// variable for none.
pub(crate) fn with_aliases(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
            return argument;
        };
        if is_set(name) {
            return argument;
        }
        let two = TWO_NAMES.iter().find(|two| two.name == name);
        match two {
            Some(two) if is_set(two.alias) => argument.env(two.alias),
            _ if std::env::var_os(name).is_some() => argument.env(Resettable::Reset),
            _ => argument,
        }
    });
    command.mut_subcommands(with_aliases)
}

/// Finds variables that begin as ours do and mean nothing, each with the nearest name that does.
///
/// They are no error: an orchestrator adds variables of its own, named after the service.
pub(crate) fn unknown_variables(known: &[String]) -> Vec<String> {
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = set.filter(|name| name.starts_with("MONSYS_") || name.starts_with("EM_"));
    let unknown = ours.filter(|name| !known.contains(name));
    unknown.map(|name| unknown_variable(&name, known)).collect()
}

fn unknown_variable(name: &str, known: &[String]) -> String {
    let near = known
        .iter()
        .map(|known| (edit_distance(name, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 4)
        .min();
    match near {
        Some((_, near)) => format!("{name} is no setting and is ignored; did you mean {near}?"),
        None => format!("{name} is no setting and is ignored"),
    }
}

/// All names that a command line and this table know.
pub(crate) fn known_variables(command: &clap::Command) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for two in &TWO_NAMES {
        for name in [two.name, two.alias] {
            known.push(name.to_owned());
            if two.is_secret {
                known.push(format!("{name}_FILE"));
            }
        }
    }
    for name in [MIGRATE_URL, "MONSYS_MIGRATE_URL_FILE", "MONSYS_LOG"] {
        known.push(name.to_owned());
    }
    add_variables(command, &mut known);
    known
}

fn add_variables(command: &clap::Command, known: &mut Vec<String>) {
    let names = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(names.filter_map(|name| name.to_str().map(str::to_owned)));
    for command in command.get_subcommands() {
        add_variables(command, known);
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn read_variable(name: &str) -> Result<Option<Found>, Failure> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value
        .into_string()
        .map_err(|_| wrong(format!("{name}: expected UTF-8")))?;
    Ok(Some(Found {
        text: trimmed(text),
        source: name.to_owned(),
    }))
}

fn read_file_of(name: &str) -> Result<Option<Found>, Failure> {
    let name = format!("{name}_FILE");
    let file = std::env::var_os(&name).filter(|file| !file.is_empty());
    let Some(file) = file.map(PathBuf::from) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&file)
        .map_err(|error| wrong(format!("{name}: {}: {error}", file.display())))?;
    Ok(Some(Found {
        text: trimmed(text),
        source: name,
    }))
}

/// Editors and `echo` end a file with a line end that is no part of the secret.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    text
}

fn differ(one: &str, other: &str) -> Failure {
    wrong(format!(
        "{one} and {other} are set to different things: expected one of them, or the same"
    ))
}

fn wrong(what: String) -> Failure {
    Failure::new(FailureKind::Configuration, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_variable_is_told_with_the_nearest_name() {
        let known = vec!["MONSYS_ENV".to_owned(), "MONSYS_ENFORCE_HTTPS".to_owned()];
        let told = unknown_variable("MONSYS_ENFORCE_HTTP", &known);
        assert!(
            told.ends_with("did you mean MONSYS_ENFORCE_HTTPS?"),
            "{told}"
        );
        let told = unknown_variable("MONSYS_HUB_SERVICE_HOST", &known);
        assert!(told.ends_with("is ignored"), "{told}");
    }

    #[test]
    fn each_name_stands_in_the_table_once() {
        let mut names: Vec<_> = TWO_NAMES
            .iter()
            .flat_map(|two| [two.name, two.alias])
            .collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
