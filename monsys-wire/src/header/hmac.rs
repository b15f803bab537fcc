//! The five headers of the hmac profile, as a hub reads them and as a device writes them.

use alloc::string::{String, ToString};

use super::{DEVICE, Field, MAC, NONCE, ORG, TIMESTAMP, plain_json};
use crate::device;
use crate::reject::Reject;
use crate::sign::{Claim, Mac};

/// The headers of a request in the hmac profile, each in its documented form. Nothing is proved.
#[derive(Debug, Clone, Copy)]
pub struct DeviceHeaders<'h> {
    claim: Claim<'h>,
    mac: Mac,
}

/// The headers of a request to be sent, with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    values: [(&'static str, String); 5],
}

impl<'h> DeviceHeaders<'h> {
    /// Reads the headers of a request; those of other names are passed over.
    ///
    /// # Errors
    /// For the organisation, device, timestamp, nonce and MAC, in this order,
    /// [`Reject::MissingHeader`] or, for one that is repeated or has another form,
    /// [`Reject::BadHeader`]; then [`Reject::UnsupportedMediaType`] for a body that is not said to
    /// be plain JSON. An absent content type is accepted.
    pub fn parse(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Result<Self, Reject> {
        let mut fields = NAMES.map(|name| (name, Field::Absent));
        let mut is_plain_json = Ok(());
        for (name, value) in headers {
            if let Some((_, field)) = index_of(name).and_then(|index| fields.get_mut(index)) {
                *field = field.and(value);
            } else if let Err(reject) = plain_json(name, value) {
                is_plain_json = Err(reject);
            }
        }
        let [org, device, timestamp, nonce, mac] = fields;
        let parsed = Self {
            claim: Claim::of_checked(
                read(org, device::word)?,
                read(device, device::word)?,
                read(timestamp, unix_seconds)?,
                read(nonce, device::nonce)?,
            ),
            mac: read(mac, Mac::parse_hex)?,
        };
        is_plain_json?;
        Ok(parsed)
    }

    /// What the request says about itself.
    #[must_use]
    pub const fn claim(&self) -> Claim<'h> {
        self.claim
    }

    /// The MAC that came with it.
    #[must_use]
    pub const fn mac(&self) -> Mac {
        self.mac
    }
}

impl SignedHeaders {
    /// Writes the headers of a request.
    #[must_use]
    pub fn new(claim: &Claim<'_>, mac: &Mac) -> Self {
        Self {
            values: [
                (ORG, String::from(claim.org())),
                (DEVICE, String::from(claim.device())),
                (TIMESTAMP, claim.unix_s().to_string()),
                (NONCE, String::from(claim.nonce())),
                (MAC, mac.to_string()),
            ],
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }
}

/// Which of [`NAMES`] this is. HTTP libraries hand over lower case, which is compared at once.
fn index_of(name: &str) -> Option<usize> {
    match name {
        ORG => Some(0),
        DEVICE => Some(1),
        TIMESTAMP => Some(2),
        NONCE => Some(3),
        MAC => Some(4),
        _ => NAMES
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known)),
    }
}

/// A header that must come once, in a form that `parse` takes.
fn read<'h, T>(
    (header, field): (&'static str, Field<'h>),
    parse: impl FnOnce(&'h [u8]) -> Option<T>,
) -> Result<T, Reject> {
    match field {
        Field::Absent => Err(Reject::MissingHeader { header }),
        Field::Once(value) => parse(value).ok_or(Reject::BadHeader { header }),
        Field::Repeated => Err(Reject::BadHeader { header }),
    }
}

/// Seconds of Unix time in the one spelling that a number has: digits, no sign, no leading zero.
/// The MAC covers the number, so two spellings would be two requests with one MAC.
fn unix_seconds(text: &[u8]) -> Option<u64> {
    let is_plain = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= UNIX_S_DIGITS_MAX;
    text.iter()
        .try_fold(0, |number, digit| match digit {
            b'0'..=b'9' if is_plain => Some(number * 10 + u64::from(digit - b'0')),
            _ => None,
        })
        .filter(|unix_s| is_plain && *unix_s <= UNIX_S_MAX)
}

const NAMES: [&str; 5] = [ORG, DEVICE, TIMESTAMP, NONCE, MAC];

/// The last second of the year 9999, where RFC 3339 ends.
const UNIX_S_MAX: u64 = 253_402_300_799;
const UNIX_S_DIGITS_MAX: usize = 12;
