//! Identifiers, each its own type.
//!
//! What: 128-bit identifiers in the standard text form of RFC 9562. What not: making them up; the
//! caller hands in random bytes. Cost: 16 bytes, copied.

use core::fmt;

use thiserror::Error;
use uuid::Uuid;

/// Says why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
#[error(
    "not an identifier: expected 36 characters, lower-case hexadecimal in groups of 8-4-4-4-12"
)]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a version 4 identifier from 16 random bytes.
            pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Takes the 16 bytes of an existing identifier.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// Reads the hyphenated lower-case text form.
            ///
            /// # Errors
            /// [`IdError`] when the text has any other form.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let is_plain = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
                if !is_plain {
                    return Err(IdError);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| IdError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }
    };
}

id! {
    /// An organisation, whose data no other sees.
    TenantId
}
id! {
    /// An agent: one installation that signs what it sends.
    AgentId
}
impl AgentId {
    /// The identifier under which a hub speaks of itself in an organisation: that of the
    /// organisation. It has a row beside the agents, so that the auditor's queries show what the hub
    /// says of itself too, and it is active nowhere.
    pub const fn of_hub(tenant: TenantId) -> Self {
        Self::from_bytes(tenant.to_bytes())
    }
}

id! {
    /// A person, or the service user that closes findings by itself.
    UserId
}
id! {
    /// One stored finding.
    AnomalyId
}
id! {
    /// A token by which a program reads or changes things for a person.
    ApiTokenId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let id = AgentId::from_random_bytes([7; 16]);
        assert_eq!(AgentId::parse(&alloc::format!("{id}")), Ok(id));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "0707070707074707870707070707070",
            "07070707070747078707070707070707",
            "{07070707-0707-4707-8707-070707070707}",
            "07070707-0707-4707-8707-07070707070A",
        ] {
            assert_eq!(AgentId::parse(text), Err(IdError), "{text}");
        }
    }
}
