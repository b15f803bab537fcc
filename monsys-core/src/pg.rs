//! PostgreSQL column types for the vocabulary (feature `postgres`).
//!
//! What: `ToSql` and `FromSql` of identifiers (`uuid`), times (`timestamptz`) and severities
//! (`text`), so that embedders pass them to a statement as they are. What not: statements. Cost:
//! none beyond the bytes.

use std::error::Error;

use postgres_types::private::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::id::{AgentId, AnomalyId, ApiTokenId, TenantId, UserId};
use crate::severity::Severity;
use crate::time::Timestamp;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

macro_rules! uuid_column {
    ($name:ident) => {
        impl ToSql for $name {
            fn to_sql(
                &self,
                _: &Type,
                out: &mut BytesMut,
            ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
                out.extend_from_slice(&self.to_bytes());
                Ok(IsNull::No)
            }

            accepts!(UUID);
            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
                Ok(Self::from_bytes(raw.try_into()?))
            }

            accepts!(UUID);
        }
    };
}

uuid_column!(TenantId);
uuid_column!(AgentId);
uuid_column!(UserId);
uuid_column!(ApiTokenId);
uuid_column!(AnomalyId);

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&(self.unix_micros() - POSTGRES_EPOCH_MICROS).to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let unix = micros
            .checked_add(POSTGRES_EPOCH_MICROS)
            .ok_or("time out of range")?;
        Ok(Self::from_unix_micros(unix)?)
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Severity {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.as_str().to_sql(ty, out)
    }

    accepts!(TEXT, VARCHAR);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Severity {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::parse(core::str::from_utf8(raw)?)?)
    }

    accepts!(TEXT, VARCHAR);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ids_round_trip() {
        for t in [
            Timestamp::MIN,
            Timestamp::MAX,
            Timestamp::from_unix_micros(0).unwrap(),
        ] {
            let mut raw = BytesMut::new();
            assert!(matches!(
                t.to_sql(&Type::TIMESTAMPTZ, &mut raw),
                Ok(IsNull::No)
            ));
            assert_eq!(Timestamp::from_sql(&Type::TIMESTAMPTZ, &raw).unwrap(), t);
        }
        let id = AgentId::from_random_bytes([9; 16]);
        let mut raw = BytesMut::new();
        assert!(matches!(id.to_sql(&Type::UUID, &mut raw), Ok(IsNull::No)));
        assert_eq!(AgentId::from_sql(&Type::UUID, &raw).unwrap(), id);
        assert!(AgentId::from_sql(&Type::UUID, &raw[..15]).is_err());
        assert!(Timestamp::from_sql(&Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes()).is_err());
    }

    #[test]
    fn the_epoch_of_postgres_is_the_year_2000() {
        let y2k = Timestamp::parse_rfc3339("2000-01-01T00:00:00Z").unwrap();
        assert_eq!(y2k.unix_micros(), POSTGRES_EPOCH_MICROS);
    }
}
