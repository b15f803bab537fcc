//! Passwords of people: Argon2id, kept as PHC strings, so many at once and no more.
//!
//! What: 19,456 KiB, two passes, one lane (the OWASP password storage guide; row A6). One hash takes
//! about 20 ms of a core and 19 MiB, so strangers who log in must not take the machine: at most
//! half the cores hash at once, four at most, and what comes beyond a bounded line is refused. Where
//! there is no hash to compare with, another one is computed in its place, so that the time of an
//! answer does not tell whether there is such a person. What not: who may try, and how often; see
//! `lockout`. No rules on what a password is made of, but for its length (NIST SP 800-63B §3.1.1.2).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, available_parallelism};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version, password_hash};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

use crate::random::random_bytes;
use crate::store::PasswordPhc;

/// Fewest characters of a new password (row A12).
const CHARS_MIN: usize = 12;
/// Longest password, in bytes.
const BYTES_MAX: usize = 1_024;
/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes of it.
const LANES: u32 = 1;
/// Length of a new hash, in bytes.
const HASH_BYTES: usize = 32;
/// Hashes at once at most, on any number of cores.
const PLACES_MAX: usize = 4;
/// Passwords that wait for their turn at most: about two seconds on the smallest machine.
const WAITING_MAX: usize = 64;
/// Most memory, in KiB, and most passes that a stored hash may ask for: somebody else may have made
/// it, and must not take the machine by it.
const STORED_MEMORY_KIB_MAX: u32 = 262_144;
const STORED_PASSES_MAX: u32 = 16;
/// What is computed where there is no hash: whatever comes out of it is not believed.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How long whoever found no place waits, in seconds.
pub(crate) const BUSY_RETRY_AFTER_S: u32 = 5;

/// A password as a person typed it; it is wiped when it is not needed any more, and never printed.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Password(Zeroizing<String>);

/// There are too many passwords under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// What a password is, compared with a stored hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It is another one, or there is none to compare with.
    Other,
    /// It is the one.
    Same {
        /// What to store in place of the hash, where that is weaker than new ones are.
        stronger: Option<PasswordPhc>,
    },
}

/// Where passwords are hashed: on threads of its own, one for each place. On threads that come and
/// go each would keep the memory of a hash to itself, in the part of the heap that belongs to it.
pub(crate) struct Hashing {
    /// One for each hash under way or waiting.
    line: Arc<Semaphore>,
    /// One for each hash under way.
    places: Arc<Semaphore>,
    /// Where the threads find their work; they end with it.
    work: Sender<Job>,
}

/// What a thread does, in the memory that it keeps for it.
type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The blocks of a hash, kept from one to the next: taken and given back for each of them, they leave
/// holes in the heap into which the next ones do not fit.
type Memory = Vec<Block>;

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// Tells whether this may become somebody's password.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn check_new(&self) -> Result<(), &'static str> {
        if self.0.chars().count() < CHARS_MIN {
            return Err("expected a password of at least 12 characters");
        }
        self.check_size()
    }

    /// Tells whether this can be anybody's password; says nothing about whose.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn check_size(&self) -> Result<(), &'static str> {
        if self.0.len() > BYTES_MAX {
            return Err("expected a password of at most 1024 bytes");
        }
        Ok(())
    }

    /// Tells whether two are the same; for what a person typed twice, not for secrets of others.
    pub(crate) fn is(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Hashing {
    /// Makes places for the cores there are.
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        // Ingest goes on at half the machine while everybody logs in.
        let n_places = (cores / 2).clamp(1, PLACES_MAX);
        let (work, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..n_places {
            let jobs = Arc::clone(&jobs);
            let thread = Builder::new().name(format!("password-{n}"));
            if let Err(error) = thread.spawn(move || do_jobs(&jobs)) {
                tracing::error!(%error, "a thread for passwords was not started");
            }
        }
        Self {
            line: Arc::new(Semaphore::new(n_places + WAITING_MAX)),
            places: Arc::new(Semaphore::new(n_places)),
            work,
        }
    }

    /// Hashes a new password. Takes about 20 ms of a core, on a thread that may block.
    ///
    /// # Errors
    /// When too many are under way.
    pub(crate) async fn hash(&self, password: Password) -> Result<PasswordPhc, Busy> {
        self.run(move |memory| hash_in(memory, &password)).await
    }

    /// Compares a password with a stored hash; without one the answer is no, and takes as long.
    ///
    /// # Errors
    /// When too many are under way.
    pub(crate) async fn compare(
        &self,
        password: Password,
        stored: Option<PasswordPhc>,
    ) -> Result<Compared, Busy> {
        let work = move |memory: &mut Memory| compare(memory, &password, stored.as_ref());
        self.run(work).await
    }

    /// Does work of one hash when its turn comes. Whoever goes away before has no turn.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let in_line = Arc::clone(&self.line).try_acquire_owned();
        let in_line = in_line.map_err(|_| Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Busy)?;
        let (answer, answered) = oneshot::channel();
        let job = move |memory: &mut Memory| {
            // Held by the thread: one that went away leaves its work behind, which still counts.
            let _held = (in_line, place);
            // Whoever asked may have gone away.
            let _ = answer.send(work(memory));
        };
        self.work.send(Box::new(job)).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

/// Does one job after the other until there is nobody left to give any.
fn do_jobs(jobs: &Mutex<Receiver<Job>>) {
    let mut memory = Memory::new();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A hash that failed was logged as it failed, and its place goes on.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
        // What a hash from elsewhere took beyond ours is given back.
        memory.truncate(own_parameters().block_count());
        memory.shrink_to_fit();
    }
}

/// Hashes a password, here and now.
pub(crate) fn hash(password: &Password) -> PasswordPhc {
    hash_in(&mut Memory::new(), password)
}

/// Tells whether a stored hash is that of a password, here and now.
pub(crate) fn is_same(password: &Password, stored: &PasswordPhc) -> bool {
    let compared = compare(&mut Memory::new(), password, Some(stored));
    matches!(compared, Compared::Same { .. })
}

fn hash_in(memory: &mut Memory, password: &Password) -> PasswordPhc {
    let (salt, mut out) = (random_bytes::<16>(), [0; HASH_BYTES]);
    let parameters = own_parameters();
    let hashed = fill(memory, &parameters, (password, &salt), &mut out).and_then(|()| {
        Ok(PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&parameters)?,
            salt: Some(Salt::new(&salt)?),
            hash: Some(Output::new(&out)?),
        })
    });
    match hashed {
        Ok(hash) => PasswordPhc::new(hash.to_string()),
        // The parameters are constants that fit, as a test shows; what is left is memory.
        Err(error) => panic!("a password was not hashed: {error}"),
    }
}

/// Computes a hash of as many bytes as `out` has.
fn fill(
    memory: &mut Memory,
    parameters: &Params,
    (password, salt): (&Password, &[u8]),
    out: &mut [u8],
) -> password_hash::Result<()> {
    let n_blocks = parameters.block_count();
    if memory.len() < n_blocks {
        memory.resize(n_blocks, Block::new());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters.clone());
    let blocks = memory.get_mut(..n_blocks).unwrap_or_default();
    let password = password.0.as_bytes();
    Ok(argon2.hash_password_into_with_memory(password, salt, out, blocks)?)
}

/// Tells whether a text is a hash that this hub can compare with, such as one that an operator
/// brings from elsewhere.
pub(crate) fn is_usable_phc(text: &str) -> bool {
    usable(text).is_some()
}

/// Compares; where there is nothing usable to compare with, computes a hash all the same.
fn compare(memory: &mut Memory, password: &Password, stored: Option<&PasswordPhc>) -> Compared {
    let found = stored.and_then(|stored| usable(stored.expose()));
    if stored.is_some() && found.is_none() {
        tracing::error!("a stored password hash is not usable: it must be set anew");
    }
    let is_somebody = found.is_some();
    let Some((parsed, parameters)) = found.or_else(|| usable(NOBODY)) else {
        return Compared::Other;
    };
    let is_same = is_hash_of(memory, password, &parsed, &parameters);
    if !is_same || !is_somebody {
        return Compared::Other;
    }
    Compared::Same {
        stronger: is_weak(&parameters).then(|| hash_in(memory, password)),
    }
}

/// Tells in constant time whether a stored hash is that of a password.
fn is_hash_of(
    memory: &mut Memory,
    password: &Password,
    stored: &PasswordHash,
    parameters: &Params,
) -> bool {
    let (Some(salt), Some(hash)) = (&stored.salt, &stored.hash) else {
        return false;
    };
    let mut out = vec![0; hash.as_bytes().len()];
    let filled = fill(memory, parameters, (password, salt), &mut out);
    filled.is_ok() && bool::from(out.ct_eq(hash.as_bytes()))
}

fn usable(text: &str) -> Option<(PasswordHash, Params)> {
    let parsed = PasswordHash::new(text).ok()?;
    let is_ours = parsed.algorithm == argon2::ARGON2ID_IDENT
        && parsed.version == Some(Version::V0x13.into())
        && parsed.salt.is_some()
        && parsed.hash.is_some();
    let parameters = Params::try_from(&parsed).ok()?;
    let is_bounded = parameters.m_cost() <= STORED_MEMORY_KIB_MAX
        && parameters.t_cost() <= STORED_PASSES_MAX
        && parameters.p_cost() <= 4;
    (is_ours && is_bounded).then_some((parsed, parameters))
}

fn is_weak(parameters: &Params) -> bool {
    parameters.m_cost() < MEMORY_KIB || parameters.t_cost() < PASSES || parameters.p_cost() < LANES
}

fn own_parameters() -> Params {
    // The default can only be the same: these are within the bounds of Argon2, as a test shows.
    Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn password(text: &str) -> Password {
        Password::from(text.to_owned())
    }

    fn weak(text: &str) -> PasswordPhc {
        let parameters = Params::new(8_192, 1, 1, None).unwrap();
        let context = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let hashed = context.hash_password_with_salt(text.as_bytes(), &[7; 16]);
        PasswordPhc::new(hashed.unwrap().to_string())
    }

    fn is_new(phc: &PasswordPhc) -> bool {
        phc.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    }

    fn compared(text: &str, stored: &PasswordPhc) -> Compared {
        compare(&mut Memory::new(), &password(text), Some(stored))
    }

    #[test]
    fn a6_a_hash_is_argon2id_with_the_parameters_of_the_row_and_a_salt_of_its_own() {
        let (one, other) = (
            hash(&password("correct horse")),
            hash(&password("correct horse")),
        );
        assert!(is_new(&one), "{}", one.expose());
        assert_ne!(one, other);
        let same = Compared::Same { stronger: None };
        assert_eq!(compared("correct horse", &one), same);
        assert_eq!(compared("correct horsf", &one), Compared::Other);
        assert_eq!(compared("", &one), Compared::Other);
    }

    #[test]
    fn a6_a_weaker_hash_is_replaced_when_its_password_is_shown_and_only_then() {
        let stored = weak("correct horse");
        assert_eq!(compared("wrong horse", &stored), Compared::Other);
        let Compared::Same { stronger } = compared("correct horse", &stored) else {
            panic!("the password is the one");
        };
        let stronger = stronger.unwrap();
        assert!(is_new(&stronger));
        let same = Compared::Same { stronger: None };
        assert_eq!(compared("correct horse", &stronger), same);
    }

    #[test]
    fn a_stored_hash_that_would_take_the_machine_or_is_none_is_not_computed() {
        let good = hash(&password("correct horse")).expose().to_owned();
        assert!(usable(&good).is_some() && usable(NOBODY).is_some());
        for (from, to) in [
            ("m=19456", "m=4194304"),
            ("t=2", "t=4294967295"),
            ("p=1", "p=8"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("$argon2id", "argon2id"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(usable(&bad).is_none(), "{bad}");
            let bad = PasswordPhc::new(bad);
            assert_eq!(compared("correct horse", &bad), Compared::Other);
        }
        let without_output = good.rsplit_once('$').unwrap().0;
        for bad in [
            "",
            "correct horse",
            "$2b$12$abcdefghijklmnopqrstuv",
            without_output,
        ] {
            assert!(usable(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_new_password_has_12_characters_and_at_most_1024_bytes() {
        for (text, is_good) in [
            ("elevenchars".to_owned(), false),
            ("twelve chars".to_owned(), true),
            // Characters are counted, not bytes: these are 11 and 12.
            ("\u{1f40e}".repeat(11), false),
            ("\u{1f40e}".repeat(12), true),
            ("a".repeat(1_024), true),
            ("a".repeat(1_025), false),
        ] {
            assert_eq!(password(&text).check_new().is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", password("correct horse")), "Password(…)");
    }

    #[tokio::test]
    async fn a6_beyond_the_line_of_those_who_wait_passwords_are_refused_at_once() {
        let hashing = Hashing::new();
        let n_places = hashing.places.available_permits();
        let held = hashing
            .places
            .acquire_many(u32::try_from(n_places).unwrap());
        let held = held.await.unwrap();
        let mut waiting: Vec<_> = (0..n_places + WAITING_MAX)
            .map(|_| Box::pin(hashing.compare(password("x"), None)))
            .collect();
        for one in &mut waiting {
            let polled = std::future::poll_fn(|context| Poll::Ready(one.as_mut().poll(context)));
            assert!(polled.await.is_pending());
        }
        assert_eq!(hashing.hash(password("twelve chars")).await, Err(Busy));
        // Whoever gives up makes room for the next.
        waiting.truncate(1);
        drop(held);
        for one in waiting {
            assert_eq!(one.await, Ok(Compared::Other));
        }
        assert!(hashing.hash(password("twelve chars")).await.is_ok());
    }

    #[test]
    fn a6_the_library_verifies_what_is_hashed_here_in_memory_that_was_used_before() {
        let mut memory = Memory::new();
        for text in ["correct horse battery", "another of twelve", ""] {
            let phc = hash_in(&mut memory, &password(text));
            let own = Argon2::default();
            assert!(own.verify_password(text.as_bytes(), phc.expose()).is_ok());
            assert!(own.verify_password(b"not this one", phc.expose()).is_err());
        }
        assert_eq!(memory.len(), own_parameters().block_count());
    }
}
