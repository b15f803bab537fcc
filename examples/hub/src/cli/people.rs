//! The commands about people and their API tokens.

use clap::{Subcommand, ValueEnum};

use super::StoreArgs;
use crate::store::Role;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a person; a one-time link to set a password is printed
    Add(UserAddArgs),
    /// Print a new one-time link to set a password; until it is used, the password before stays
    Reset(UserLinkArgs),
    /// Let a person log in no more; their sessions, refresh tokens and API tokens are void
    Disable(PersonArgs),
    /// Let a disabled person log in again
    Enable(PersonArgs),
    /// Change what a person may do, from their next request on
    SetRole {
        #[command(flatten)]
        person: PersonArgs,
        /// What the person may do
        #[arg(long, env = "MONSYS_ROLE", value_name = "ROLE")]
        role: RoleArg,
    },
    /// List people of an organisation
    List {
        /// The organisation
        #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
        org: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Who is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct PersonArgs {
    /// Organisation the person belongs to
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    pub(crate) org: String,
    /// Login name
    #[arg(long, env = "MONSYS_EMAIL", value_name = "EMAIL")]
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Who gets a link, and which.
#[derive(Debug, clap::Args)]
pub(crate) struct UserLinkArgs {
    #[command(flatten)]
    pub(crate) person: PersonArgs,
    /// Where the hub is reached, for the link
    #[arg(
        long,
        env = "MONSYS_PUBLIC_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) public_url: String,
    /// Print a link that logs in once, and sets no password
    #[arg(long, env = "MONSYS_LOGIN_LINK")]
    pub(crate) login_link: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UserAddArgs {
    #[command(flatten)]
    pub(crate) link: UserLinkArgs,
    /// What the person may do
    #[arg(
        long,
        env = "MONSYS_ROLE",
        value_name = "ROLE",
        default_value = "admin"
    )]
    pub(crate) role: RoleArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create an API token of a person; it is printed once
    Create(TokenArgs),
    /// List API tokens, the newest first
    List {
        /// The organisation
        #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
        org: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Revoke an API token
    Revoke {
        /// Its identifier, as `token list` prints it
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// Organisation of the owner
    #[arg(long, env = "MONSYS_ORG", value_name = "NAME")]
    pub(crate) org: String,
    /// Login name of the owner
    #[arg(long, env = "MONSYS_USER", value_name = "EMAIL")]
    pub(crate) user: String,
    /// What it may do at most; never more than its owner at that moment
    #[arg(long, env = "MONSYS_SCOPE", value_name = "SCOPE")]
    pub(crate) scope: RoleArg,
    /// How long it is good, such as 12h or 90d, at most 366d
    #[arg(
        long,
        env = "MONSYS_EXPIRES",
        value_name = "SPAN",
        default_value = "90d"
    )]
    pub(crate) expires: String,
    /// What people call it
    #[arg(
        long,
        env = "MONSYS_NAME",
        value_name = "NAME",
        default_value = "API token"
    )]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Reads and changes
    Admin,
    /// Reads
    #[value(name = "read_only")]
    ReadOnly,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::ReadOnly => Self::ReadOnly,
        }
    }
}
