//! Values of an export in the columns of PostgreSQL.

use std::error::Error;

use monsys_core::id::AgentId;
use monsys_core::time::Timestamp;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::store::archive::{Cell, Kind};

type Refusal = Box<dyn Error + Sync + Send>;

/// The type of a column in a binary `COPY`.
pub(super) const fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Id => Type::UUID,
        Kind::Text => Type::TEXT,
        Kind::Time => Type::TIMESTAMPTZ,
        Kind::Bytes => Type::BYTEA,
        Kind::Integer => Type::INT8,
        Kind::Real => Type::FLOAT8,
        Kind::Flag => Type::BOOL,
        Kind::Json => Type::JSON,
        Kind::Value => Type::JSONB,
    }
}

/// How a column is asked for: JSON as its text.
pub(super) fn selected(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Json | Kind::Value => format!("{name}::text"),
        Kind::Id
        | Kind::Text
        | Kind::Time
        | Kind::Bytes
        | Kind::Integer
        | Kind::Real
        | Kind::Flag => name.to_owned(),
    }
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Refusal> {
        match *ty {
            Type::UUID => Ok(Self::Id(AgentId::from_sql(ty, raw)?.to_bytes())),
            Type::TIMESTAMPTZ => Ok(Self::Time(Timestamp::from_sql(ty, raw)?)),
            Type::BYTEA => Ok(Self::Bytes(raw.to_owned())),
            Type::INT8 => Ok(Self::Integer(i64::from_sql(ty, raw)?)),
            Type::FLOAT8 => Ok(Self::Real(f64::from_sql(ty, raw)?)),
            Type::BOOL => Ok(Self::Flag(bool::from_sql(ty, raw)?)),
            _ => Ok(Self::Text(String::from_sql(ty, raw)?)),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Refusal> {
        Ok(Self::Null)
    }

    accepts!(UUID, TIMESTAMPTZ, BYTEA, INT8, FLOAT8, BOOL, TEXT);
}

impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Id(id) => out.extend_from_slice(id),
            Self::Text(text) => {
                if *ty == Type::JSONB {
                    out.extend_from_slice(&[JSONB_VERSION]);
                }
                out.extend_from_slice(text.as_bytes());
            }
            Self::Time(time) => return time.to_sql(ty, out),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Integer(number) => return number.to_sql(ty, out),
            Self::Real(number) => return number.to_sql(ty, out),
            Self::Flag(is_set) => return is_set.to_sql(ty, out),
        }
        Ok(IsNull::No)
    }

    // Which of its values a column takes is decided where the text is read.
    accepts!(
        UUID,
        TIMESTAMPTZ,
        BYTEA,
        INT8,
        FLOAT8,
        BOOL,
        TEXT,
        JSON,
        JSONB
    );
    to_sql_checked!();
}

/// What a value of jsonb begins with.
const JSONB_VERSION: u8 = 1;
