//! Where the agent keeps its things, and whom it reports to.
//!
//! What: the layout of the data directory and `agent.toml` in it, which `init` writes and people may
//! edit. In the ed25519 profile it holds the token, so only its owner may read it, and no message of
//! this module repeats a value from it. An unknown key is refused with the nearest known one. What not: flags and
//! environment; the command line reads those. Cost: one small file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use monsys_core::id::AgentId;
use monsys_wire::{Audience, BearerToken, DeviceIdentity, compose};
use serde::Deserialize;
use thiserror::Error;

use crate::collect::backup::{self, BackupSetting};
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
    /// As who it reports.
    pub profile: Profile,
    /// The hub's identifier.
    pub audience: Audience,
    /// The name under which people know the agent.
    pub name: String,
    /// Certificates to trust for this hub in place of the built-in ones.
    pub ca: Option<PathBuf>,
    /// Backups to watch.
    pub backups: Vec<BackupSetting>,
}

/// As who an agent reports: the authentication profiles (contract §3). Closed: there are two.
#[derive(Debug, Clone)]
pub enum Profile {
    /// A key pair of its own, of which the hub has pinned the public half, and a token.
    Ed25519 {
        /// The agent's identifier.
        agent_id: AgentId,
        /// The secret that says who is calling.
        token: Arc<BearerToken>,
    },
    /// A key that it shares with the hub.
    Hmac(DeviceIdentity),
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

impl Profile {
    /// The word of the configuration and of the command line.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ed25519 { .. } => "ed25519",
            Self::Hmac(_) => "hmac",
        }
    }
}

/// What the agent calls itself in `agent_id`.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519 { agent_id, .. } => agent_id.fmt(f),
            Self::Hmac(identity) => f.write_str(identity.device()),
        }
    }
}

impl compose::Sender for &Profile {
    fn name(&self) -> impl fmt::Display {
        self
    }
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

    /// Returns where the next signing key lies until the hub has pinned it.
    pub fn next_key(&self) -> PathBuf {
        self.root.join("signing.key.next")
    }

    /// Returns where the key lies that a device of the hmac profile shares with its hub.
    pub fn device_key(&self) -> PathBuf {
        self.root.join("device.key")
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
            profile: file.profile().map_err(|key| wrong(key, expected(key)))?,
            audience: Audience::parse(&file.aud).map_err(|_| wrong("aud", expected("aud")))?,
            name: file.name,
            ca: file.ca,
            backups: match &file.backup {
                Some(value) => {
                    backup::parse(value).ok_or_else(|| wrong("backup", expected("backup")))?
                }
                None => Vec::new(),
            },
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
            profile,
            audience,
            name,
            ca,
            backups,
        } = self;
        let mut text = String::from(match profile {
            Profile::Ed25519 { .. } => "# Written by `monsys-agent init`; holds a secret.\n",
            Profile::Hmac(_) => "# Written by `monsys-agent init`.\n",
        });
        let mut line = |key: &str, value: &str| {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        };
        line("hub", hub.as_str());
        line("profile", profile.as_str());
        match profile {
            Profile::Ed25519 { agent_id, token } => {
                line("token", token.expose_text());
                line("agent_id", &agent_id.to_string());
            }
            Profile::Hmac(identity) => {
                line("org", identity.org());
                line("device", identity.device());
            }
        }
        line("aud", audience.as_str());
        line("name", name);
        if let Some(ca) = ca {
            line("ca", &ca.to_string_lossy());
        }
        if hub.is_plain_and_remote() {
            text.push_str("allow_plain_http = true\n");
        }
        // Tables come last, because every key behind one belongs to it.
        text.extend(backups.iter().map(|backup| backup.to_toml(quoted)));
        text
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    hub: String,
    profile: Option<String>,
    token: Option<String>,
    agent_id: Option<String>,
    org: Option<String>,
    device: Option<String>,
    aud: String,
    #[serde(default)]
    name: String,
    ca: Option<PathBuf>,
    allow_plain_http: Option<bool>,
    backup: Option<toml::Value>,
}

impl ConfigFile {
    /// Reads the members of the profile; the error is the key that is absent, wrong, or of the other
    /// profile.
    fn profile(&self) -> Result<Profile, &'static str> {
        match self.profile.as_deref() {
            None | Some("ed25519") => self.ed25519(),
            Some("hmac") => self.hmac(),
            Some(_) => Err("profile"),
        }
    }

    fn ed25519(&self) -> Result<Profile, &'static str> {
        for (key, value) in [("org", &self.org), ("device", &self.device)] {
            if value.is_some() {
                return Err(key);
            }
        }
        let token = self.token.as_deref().unwrap_or_default();
        let agent_id = self.agent_id.as_deref().unwrap_or_default();
        Ok(Profile::Ed25519 {
            token: Arc::new(BearerToken::parse(token.as_bytes()).ok_or("token")?),
            agent_id: AgentId::parse(agent_id).map_err(|_| "agent_id")?,
        })
    }

    fn hmac(&self) -> Result<Profile, &'static str> {
        for (key, value) in [("token", &self.token), ("agent_id", &self.agent_id)] {
            if value.is_some() {
                return Err(key);
            }
        }
        let org = self.org.as_deref().unwrap_or_default();
        let device = self.device.as_deref().unwrap_or_default();
        // Each is checked beside a good one, so that the wrong one is named.
        DeviceIdentity::parse(org, "d").map_err(|_| "org")?;
        let identity = DeviceIdentity::parse(org, device).map_err(|_| "device")?;
        Ok(Profile::Hmac(identity))
    }
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
        // What a profile needs, the profile asks for.
        let is_optional = !matches!(key, "hub" | "aud");
        let is_good = match table.get(key) {
            None => is_optional,
            Some(value) if key == "allow_plain_http" => value.is_bool(),
            Some(value) if key == "backup" => value.is_array(),
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

/// What the value of a key looks like.
fn expected(key: &str) -> &'static str {
    let found = KEYS.iter().find(|(known, _)| *known == key);
    found.map_or("a known key", |(_, expected)| expected)
}

const KEYS: [(&str, &str); 11] = [
    ("hub", "an address such as https://hub.example"),
    (
        "token",
        "ms_ and 43 base64url characters, in the profile ed25519 only",
    ),
    (
        "agent_id",
        "the identifier that the hub gave, in the profile ed25519 only",
    ),
    ("aud", "the identifier of the hub"),
    ("profile", "ed25519 or hmac"),
    (
        "org",
        "1 to 64 of A-Z a-z 0-9 . _ -, in the profile hmac only",
    ),
    (
        "device",
        "1 to 64 of A-Z a-z 0-9 . _ -, in the profile hmac only",
    ),
    ("name", "a text"),
    ("ca", "the path of a PEM file"),
    ("allow_plain_http", "true or false"),
    ("backup", backup::EXPECTED),
];

/// No key is longer; what follows cannot make a hint better.
const KEY_CHARS_MAX: usize = 64;
/// A configuration is some 400 bytes.
const FILE_BYTES_MAX: u64 = 65_536;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::testing::TempDir;

    fn config() -> Config {
        Config {
            hub: HubUrl::parse("http://127.0.0.1:8080").unwrap(),
            profile: Profile::Ed25519 {
                token: Arc::new(BearerToken::from_random_bytes([5; 32])),
                agent_id: AgentId::from_random_bytes([1; 16]),
            },
            audience: Audience::parse("hub-1").unwrap(),
            name: "a \"quoted\\ name\u{7f}".to_owned(),
            ca: Some(PathBuf::from("/etc/ssl/hub.pem")),
            backups: Vec::new(),
        }
    }

    #[test]
    fn backups_are_read_and_written_again_and_a_bad_one_is_not_repeated() {
        let text = "backup = [{name = 'db', path = '/srv/a\\b', max_age_hours = 26}]";
        let table: toml::Table = text.parse().unwrap();
        let watching = Config {
            backups: backup::parse(&table["backup"]).unwrap(),
            ..config()
        };
        let read = Config::parse(Path::new("agent.toml"), &watching.to_toml()).unwrap();
        assert_eq!(read.backups, watching.backups);
        assert_eq!(read.backups.len(), 1);
        for bad in ["backup = 1", "backup = [{name = 'canary'}]"] {
            let message = refusal(&format!("{bad}\n{}", config().to_toml()));
            assert!(message.starts_with("key \"backup\""), "{message}");
            assert!(!message.contains("canary"), "{message}");
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
    fn a_device_has_neither_token_nor_agent_id_and_an_agent_no_device() {
        let device = Config {
            profile: Profile::Hmac(DeviceIdentity::parse("acme", "web-1").unwrap()),
            ..config()
        };
        let text = device.to_toml();
        let read = Config::parse(Path::new("agent.toml"), &text).unwrap();
        assert_eq!(read.to_toml(), text);
        assert_eq!(read.profile.to_string(), "web-1");
        for (key, line) in [
            ("token", "token = \"ms_canary\"\n"),
            ("agent_id", "agent_id = \"canary\"\n"),
        ] {
            let message = refusal(&format!("{text}{line}"));
            assert!(message.starts_with(&format!("key {key:?}")), "{message}");
            assert!(
                message.ends_with("in the profile ed25519 only"),
                "{message}"
            );
        }
        let message = refusal(&format!("{}device = \"web-1\"\n", config().to_toml()));
        assert!(message.ends_with("in the profile hmac only"), "{message}");
        let message = refusal(&text.replace("hmac", "hmac2"));
        assert!(message.ends_with("expected ed25519 or hmac"), "{message}");
        let message = refusal(&text.replace("acme", "a/b"));
        assert!(message.starts_with("key \"org\""), "{message}");
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
