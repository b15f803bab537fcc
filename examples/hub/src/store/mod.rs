//! The hub's database. Only this folder knows SQL.

pub(crate) mod sqlite;

pub(crate) use self::sqlite::{LoginLink, NewUser, Role, SessionUser, SqliteStore};
