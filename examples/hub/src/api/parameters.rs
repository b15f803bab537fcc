//! The parameters of a request for a listing, each at most once.
//!
//! Of two values for one name either could be meant, and two readers of one address could disagree
//! about it, so that a repeated name is refused rather than decided.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::Response;

use super::problem;

/// What an address asks for: name and value; an empty value is as if it were absent.
#[derive(Debug, Default)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Every parameter that has a value, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Ok(Query(pairs)) = pairs else {
            return Err(problem::unprocessable(
                "expected parameters of the form name=value",
            ));
        };
        let (mut found, n_pairs) = (BTreeMap::new(), pairs.len());
        found.extend(pairs);
        if found.len() < n_pairs {
            return Err(problem::unprocessable(
                "expected each parameter at most once",
            ));
        }
        found.retain(|_, value| !value.is_empty());
        Ok(Self(found))
    }
}

/// Reads how many rows are wanted.
///
/// # Errors
/// What was expected, for anything but a number from 1 to `most`.
pub(crate) fn count(value: &str, most: u32, expected: &'static str) -> Result<u32, &'static str> {
    let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let count = value.parse().ok().filter(|_| is_digits);
    count
        .filter(|count| (1..=most).contains(count))
        .ok_or(expected)
}
