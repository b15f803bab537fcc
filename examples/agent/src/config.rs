//! Where the agent keeps its things, and whom it reports to.
//!
//! What: the layout of the data directory and `agent.toml` in it, which `init` writes and people may
//! edit. It holds the token, so only its owner may read it, and no message of this module repeats a
//! value from it. An unknown key is refused with the nearest known one. What not: flags and
//! environment; the command line reads those. Cost: one small file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use monsys_core::id::AgentId;
use monsys_wire::{Audience, BearerToken};
use serde::Deserialize;
use thiserror::Error;

use crate::durable::{self, PrivateFileError};
use crate::hub_url::HubUrl;

/// The directory in which everything of one agent lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
}

/// Whom the agent reports to, and as who.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// The hub.
    pub hub: HubUrl,
    /// The secret that says who is calling.
    pub token: BearerToken,
    /// The agent's identifier.
    pub agent_id: AgentId,
    /// The hub's identifier.
    pub audience: Audience,
    /// The name under which people know the agent.
    pub name: String,
    /// Certificates to trust for this hub in place of the built-in ones.
    pub ca: Option<PathBuf>,
}

/// Says why there is no usable configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is none.
    #[error("no configuration at {}: expected one made by init", path.display())]
    Absent {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others may read the token.
    #[error("configuration at {} has mode {mode:04o}: expected 0600", path.display())]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not TOML.
    #[error("configuration at {} is not TOML, line {line}", path.display())]
    Syntax {
        /// Where it is.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// A key that means nothing.
    #[error("unknown key {key:?} in {}: expected {nearest:?}", path.display())]
    UnknownKey {
        /// Where it is.
        path: PathBuf,
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: &'static str,
    },
    /// A key is absent, or its value has another form.
    #[error("key {key:?} in {}: expected {expected}", path.display())]
    Value {
        /// Where it is.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// No place for the data directory is known.
    #[error("no data directory: expected --data, MONSYS_AGENT_DATA, XDG_STATE_HOME or HOME")]
    NoDataDir,
    /// The file system refused.
    #[error("configuration at {} cannot be used", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl DataDir {
    /// Takes a directory, which need not exist.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Finds the directory when none was named: `monsys-agent` in the user's state directory.
    ///
    /// # Errors
    /// [`ConfigError::NoDataDir`] when neither is set.
    pub fn default_in(
        xdg_state_home: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let state = xdg_state_home.filter(|path| path.is_absolute());
        let state = state.or_else(|| Some(home?.join(".local/state")));
        state
            .map(|state| Self {
                root: state.join("monsys-agent"),
            })
            .ok_or(ConfigError::NoDataDir)
    }

    /// Makes the directory, closed to others, unless it is there.
    ///
    /// # Errors
    /// [`ConfigError::Io`].
    pub fn create(&self) -> Result<(), ConfigError> {
        durable::create_private_dir(&self.root).map_err(|source| ConfigError::Io {
            path: self.root.clone(),
            source,
        })
    }

    /// Returns the directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where the signing key lies.
    pub fn key(&self) -> PathBuf {
        self.root.join("signing.key")
    }

    /// Returns where the configuration lies.
    pub fn config(&self) -> PathBuf {
        self.root.join("agent.toml")
    }

    /// Returns where undelivered payloads lie.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Returns where the last refused payloads lie.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`]; [`ConfigError::Absent`] may be relied on.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = durable::read_private(path, FILE_BYTES_MAX).map_err(|error| {
            let path = path.to_owned();
            match error {
                PrivateFileError::Absent => ConfigError::Absent { path },
                PrivateFileError::Exposed { mode } => ConfigError::Exposed { path, mode },
                PrivateFileError::Io(source) => ConfigError::Io { path, source },
            }
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a configuration; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`]; none repeats a value of the text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file = parse_file(path, text)?;
        let wrong = |key, expected| ConfigError::Value {
            path: path.to_owned(),
            key,
            expected,
        };
        let hub = match file.allow_plain_http {
            Some(true) => HubUrl::parse_with_plain_http(&file.hub),
            Some(false) | None => HubUrl::parse(&file.hub),
        };
        Ok(Self {
            hub: hub.map_err(|error| wrong("hub", error.expected()))?,
            token: BearerToken::parse(file.token.as_bytes())
                .ok_or_else(|| wrong("token", "ms_ and 43 base64url characters"))?,
            agent_id: AgentId::parse(&file.agent_id)
                .map_err(|_| wrong("agent_id", "the identifier that the hub gave"))?,
            audience: Audience::parse(&file.aud)
                .map_err(|_| wrong("aud", "the identifier of the hub"))?,
            name: file.name,
            ca: file.ca,
        })
    }

    /// Writes the configuration durably, closed to others, over a former one.
    ///
    /// # Errors
    /// [`ConfigError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        durable::replace(path, self.to_toml().as_bytes()).map_err(|source| ConfigError::Io {
            path: path.to_owned(),
            source,
        })
    }

    fn to_toml(&self) -> String {
        let Self {
            hub,
            token,
            agent_id,
            audience,
            name,
            ca,
        } = self;
        let mut text = String::from("# Written by `monsys-agent init`; holds a secret.\n");
        let mut line = |key: &str, value: &str| {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        };
        line("hub", hub.as_str());
        line("token", token.expose_text());
        line("agent_id", &agent_id.to_string());
        line("aud", audience.as_str());
        line("name", name);
        if let Some(ca) = ca {
            line("ca", &ca.to_string_lossy());
        }
        if hub.is_plain_and_remote() {
            text.push_str("allow_plain_http = true\n");
        }
        text
    }
}

/// Returns the text of a secret file without the line break at its end.
///
/// # Errors
/// Whatever the file system answers.
pub fn read_secret(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim_end().to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    hub: String,
    token: String,
    agent_id: String,
    aud: String,
    #[serde(default)]
    name: String,
    ca: Option<PathBuf>,
    allow_plain_http: Option<bool>,
}

/// The messages of the TOML reader quote the line, which may be the one with the token, so only
/// places and names are taken from it.
fn parse_file(path: &Path, text: &str) -> Result<ConfigFile, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::Syntax {
            path: path.to_owned(),
            line,
        }
    })?;
    if let Some(key) = table
        .keys()
        .find(|key| !KEYS.iter().any(|(known, _)| known == key))
    {
        let nearest = nearest(key).unwrap_or("hub");
        return Err(ConfigError::UnknownKey {
            path: path.to_owned(),
            key: key.clone(),
            nearest,
        });
    }
    for (key, expected) in KEYS {
        let is_optional = matches!(key, "name" | "ca" | "allow_plain_http");
        let is_good = match table.get(key) {
            None => is_optional,
            Some(value) if key == "allow_plain_http" => value.is_bool(),
            Some(value) => value.is_str(),
        };
        if !is_good {
            return Err(ConfigError::Value {
                path: path.to_owned(),
                key,
                expected,
            });
        }
    }
    table.try_into().map_err(|_| ConfigError::Syntax {
        path: path.to_owned(),
        line: 1,
    })
}

fn nearest(key: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|(known, _)| *known)
        .min_by_key(|known| distance(known, key))
}

/// Writes a basic string of TOML, which is a JSON string but for the one control character that
/// JSON leaves alone.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

/// How many characters must be changed, added or removed (Levenshtein).
fn distance(known: &str, given: &str) -> usize {
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in given.chars().take(KEY_CHARS_MAX).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, slot) in known.chars().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(a != b))
                .min(*slot + 1)
                .min(left + 1);
            diagonal = *slot;
            *slot = here;
            left = here;
        }
    }
    row.last().copied().unwrap_or(0)
}

const KEYS: [(&str, &str); 7] = [
    ("hub", "an address such as https://hub.example"),
    ("token", "ms_ and 43 base64url characters"),
    ("agent_id", "the identifier that the hub gave"),
    ("aud", "the identifier of the hub"),
    ("name", "a text"),
    ("ca", "the path of a PEM file"),
    ("allow_plain_http", "true or false"),
];

/// No key is longer; what follows cannot make a hint better.
const KEY_CHARS_MAX: usize = 64;
/// A configuration is some 400 bytes.
const FILE_BYTES_MAX: u64 = 65_536;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::testing::TempDir;

    fn config() -> Config {
        Config {
            hub: HubUrl::parse("http://127.0.0.1:8080").unwrap(),
            token: BearerToken::from_random_bytes([5; 32]),
            agent_id: AgentId::from_random_bytes([1; 16]),
            audience: Audience::parse("hub-1").unwrap(),
            name: "a \"quoted\\ name\u{7f}".to_owned(),
            ca: Some(PathBuf::from("/etc/ssl/hub.pem")),
        }
    }

    fn refusal(text: &str) -> String {
        Config::parse(Path::new("agent.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_written_reads_back_and_is_private() {
        let dir = TempDir::new();
        let path = DataDir::at(dir.path()).config();
        config().save(&path).unwrap();
        let read = Config::load(&path).unwrap();
        assert_eq!(read.to_toml(), config().to_toml());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Config::load(&path),
            Err(ConfigError::Exposed { mode: 0o644, .. })
        ));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let text = format!("{}tokem = \"x\"\n", config().to_toml());
        assert_eq!(
            refusal(&text),
            r#"unknown key "tokem" in agent.toml: expected "token""#
        );
        let text = format!("agentid = \"x\"\n{}", config().to_toml());
        assert_eq!(
            refusal(&text),
            r#"unknown key "agentid" in agent.toml: expected "agent_id""#
        );
    }

    #[test]
    fn absent_and_malformed_values_are_named_and_not_repeated() {
        let whole = config().to_toml();
        for (key, _) in KEYS.iter().take(4) {
            let without: String = whole
                .lines()
                .filter(|l| !l.starts_with(key))
                .map(|l| format!("{l}\n"))
                .collect();
            assert!(
                refusal(&without).starts_with(&format!("key {key:?}")),
                "{key}"
            );
            let wrong = format!("{without}{key} = \"canary-secret\"\n");
            if *key == "aud" {
                continue;
            }
            let message = refusal(&wrong);
            assert!(!message.contains("canary"), "{message}");
        }
        let message = refusal("hub = \"x\"\ntoken = \"ms_canary\" oops\n");
        assert_eq!(message, "configuration at agent.toml is not TOML, line 2");
    }

    #[test]
    fn the_data_directory_follows_the_state_directory() {
        let path = |text: &str| Some(PathBuf::from(text));
        let found = |xdg, home| DataDir::default_in(xdg, home).map(|dir| dir.root).ok();
        assert_eq!(found(path("/s"), path("/h")), path("/s/monsys-agent"));
        assert_eq!(
            found(path("relative"), path("/h")),
            path("/h/.local/state/monsys-agent")
        );
        assert_eq!(found(None, None), None);
    }

    #[test]
    fn an_absent_configuration_is_told_apart() {
        let absent = Config::load(Path::new("/does/not/exist")).unwrap_err();
        assert!(matches!(absent, ConfigError::Absent { .. }));
    }
}
