//! Random bytes from the operating system: the only source of chance in the hub.

/// Returns random bytes.
///
/// # Panics
/// When the operating system has none to give; without them no secret is one.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes,
        Err(error) => panic!("no random bytes from the operating system: {error}"),
    }
}
