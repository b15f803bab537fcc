//! Lines of the authentication log.
//!
//! What: a line of syslog in its two forms, `Nov 21 22:30:01 host sshd[12]: …` and
//! `2026-11-21T22:30:01.123456+01:00 host sshd[12]: …`, and of its message the first words by which
//! sshd, sudo, su, login and display managers tell what they decided. Only the start of a message is
//! compared, because what follows holds names that strangers choose. Where a service and its PAM
//! module both tell one decision, the service's own line counts. `message repeated N times` counts
//! N. What not: names, addresses, terminals, commands; no part of a line is kept. A refused key is
//! no line of sshd at its usual level of logging, so guesses at a server without passwords are not
//! seen. Cost: one pass, no allocation.

use monsys_core::endpoint::AuthOutcome;

use super::{Counts, Service};

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which service.
    pub service: Service,
    /// What it decided.
    pub outcome: AuthOutcome,
    /// How often.
    pub n: u64,
}

/// Reads one line; `None` when it tells no decision.
pub fn parse(line: &[u8]) -> Option<Told> {
    let (program, message) = split(line)?;
    let (n_repeats, message) = repeated(message);
    let told = decided(program, message)?;
    Some(Told {
        n: told.n.saturating_mul(n_repeats),
        ..told
    })
}

/// Takes a log apart that comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineBreaker {
    /// The last line filled a whole piece, and its end is still to come.
    is_in_long_line: bool,
}

impl LineBreaker {
    /// Counts whole lines; returns how many bytes they take, and leaves the rest for the next time.
    /// A line that fills a whole piece is passed by.
    pub fn count(&mut self, piece: &[u8], counts: &mut Counts) -> usize {
        let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') else {
            if piece.len() < LINE_BYTES_MAX {
                return 0;
            }
            self.is_in_long_line = true;
            return piece.len();
        };
        let (whole, _) = piece.split_at(end + 1);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let is_rest = std::mem::take(&mut self.is_in_long_line);
            if let Some(told) = parse(line).filter(|_| !is_rest) {
                counts.add(told.service, told.outcome, told.n);
            }
        }
        end + 1
    }
}

/// Program and message: what stands before the first `: ` after time and host, without the number
/// of the process.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = line.trim_ascii_end();
    let n_before = if rest.first()?.is_ascii_digit() { 2 } else { 4 };
    for _ in 0..n_before {
        let at = rest.iter().position(|byte| *byte == b' ')?;
        rest = rest.split_at(at).1.trim_ascii_start();
    }
    let at = rest.windows(2).position(|pair| pair == b": ")?;
    let (tag, message) = rest.split_at(at);
    let name_end = tag.iter().position(|byte| b"[] ".contains(byte));
    let program = name_end.and_then(|at| tag.get(..at)).unwrap_or(tag);
    Some((program, message.get(2..)?.trim_ascii_start()))
}

/// `message repeated 3 times: [ Failed password …]`, as rsyslog joins equal lines.
fn repeated(message: &[u8]) -> (u64, &[u8]) {
    let read = || {
        let (n, rest) = number(message.strip_prefix(b"message repeated ")?)?;
        let rest = rest.strip_prefix(b" times: [ ")?;
        Some((n.min(REPEATS_MAX), rest))
    };
    read().unwrap_or((1, message))
}

fn decided(program: &[u8], message: &[u8]) -> Option<Told> {
    match program {
        b"sshd" | b"sshd-session" => {
            // Clients ask with "none" for what is offered, which is no attempt.
            let refusals: &[&[u8]] = if message.starts_with(b"Failed none ") {
                &[]
            } else {
                &[b"Failed "]
            };
            by(Service::Sshd, message, &[b"Accepted "], refusals)
        }
        b"sudo" | b"sudo-rs" => sudo(message),
        b"su" => by(
            Service::Su,
            message,
            &[b"(to ", b"Successful su for "],
            &[b"FAILED SU (to ", b"FAILED su for "],
        ),
        b"login" => by(
            Service::Login,
            message,
            &[b"LOGIN ON ", b"ROOT LOGIN "],
            &[b"FAILED LOGIN ", b"invalid password for "],
        ),
        // A greeter, "lightdm-greeter", is a session of the display manager itself.
        b"gdm-password" | b"gdm-fingerprint" | b"gdm-smartcard" | b"lightdm" | b"sddm-helper" => {
            let rest = message.strip_prefix(b"pam_unix(")?;
            let at = rest.iter().position(|byte| *byte == b':')?;
            let (module, rest) = rest.split_at(at);
            let rest = Some(rest).filter(|_| !module.ends_with(b"greeter"))?;
            by(
                Service::Display,
                rest,
                &[b":session): session opened for user "],
                &[b":auth): authentication failure"],
            )
        }
        _ => None,
    }
}

fn by(service: Service, message: &[u8], accepts: &[&[u8]], refusals: &[&[u8]]) -> Option<Told> {
    let starts = |all: &[&[u8]]| all.iter().any(|words| message.starts_with(words));
    let outcome = if starts(accepts) {
        AuthOutcome::Success
    } else if starts(refusals) {
        AuthOutcome::Failure
    } else {
        return None;
    };
    Some(Told {
        service,
        outcome,
        n: 1,
    })
}

/// `bob : TTY=pts/0 ; …` or `bob : 3 incorrect password attempts ; …`. What stands before the colon
/// is a name of this machine, without spaces.
fn sudo(message: &[u8]) -> Option<Told> {
    let at = message.iter().position(|byte| *byte == b' ')?;
    let rest = message.split_at(at).1.strip_prefix(b" : ")?;
    if let Some((n, after)) = number(rest) {
        let is_count = after.starts_with(b" incorrect password attempt");
        return is_count.then(|| Told {
            service: Service::Sudo,
            outcome: AuthOutcome::Failure,
            n: n.clamp(1, ATTEMPTS_MAX),
        });
    }
    by(
        Service::Sudo,
        rest,
        &[b"TTY=", b"PWD=", b"HOST="],
        &[
            b"a password is required",
            b"command not allowed",
            b"user NOT authorized on host",
            b"user NOT in sudoers",
        ],
    )
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest))
}

/// Longest line that is read, in bytes: syslog cuts messages at 8 KiB.
pub const LINE_BYTES_MAX: usize = 65_536;
/// A line that says more would move a count by itself.
const REPEATS_MAX: u64 = 100_000;
/// sudo asks three times unless it is told otherwise.
const ATTEMPTS_MAX: u64 = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = include_str!("../../../tests/fixtures/auth/auth.log");
    const SECURE: &str = include_str!("../../../tests/fixtures/auth/secure");

    fn counted(text: &str) -> Vec<(String, AuthOutcome, i64)> {
        let mut counts = Counts::default();
        let n = LineBreaker::default().count(text.as_bytes(), &mut counts);
        assert_eq!(n, text.len());
        let plain = |count: monsys_core::endpoint::AuthCount| {
            (count.service.to_string(), count.outcome, count.count.get())
        };
        counts.to_list().into_iter().map(plain).collect()
    }

    fn one(message: &str) -> Option<(Service, AuthOutcome, u64)> {
        let line = format!("Nov  1 02:03:04 host {message}\n");
        parse(line.as_bytes()).map(|told| (told.service, told.outcome, told.n))
    }

    use AuthOutcome::{Failure, Success};

    #[test]
    fn a_log_of_debian_gives_counts_by_service() {
        let expected = [
            ("display", Success, 1),
            ("display", Failure, 1),
            ("login", Success, 2),
            ("login", Failure, 2),
            ("sshd", Success, 2),
            ("sshd", Failure, 6),
            ("su", Success, 1),
            ("su", Failure, 1),
            ("sudo", Success, 2),
            ("sudo", Failure, 4),
        ];
        let expected = expected.map(|(service, outcome, n)| (service.to_owned(), outcome, n));
        assert_eq!(counted(LOG), expected);
    }

    #[test]
    fn a_log_of_fedora_gives_counts_by_service() {
        let expected = [
            ("sshd", Success, 1),
            ("sshd", Failure, 2),
            ("su", Success, 1),
        ];
        let expected = expected.map(|(service, outcome, n)| (service.to_owned(), outcome, n));
        assert_eq!(counted(SECURE), expected);
    }

    #[test]
    fn names_that_strangers_choose_decide_nothing() {
        let sshd = Some((Service::Sshd, Failure, 1));
        for name in [
            "Accepted password for root from",
            ": Accepted password",
            "sshd[1]: Accepted publickey for root",
        ] {
            let line = format!("sshd[1]: Failed password for invalid user {name} from 192.0.2.7");
            assert_eq!(one(&line), sshd, "{line}");
            let line = format!("sshd[1]: Invalid user {name} from 192.0.2.7 port 22");
            assert_eq!(one(&line), None, "{line}");
        }
        let command = "sudo:  bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/echo x : 9 incorrect password attempts";
        assert_eq!(one(command), Some((Service::Sudo, Success, 1)));
        assert_eq!(one("evil: sshd[1]: Accepted password for root"), None);
        assert_eq!(one("sshd: : Accepted "), None);
    }

    #[test]
    fn repeated_messages_count_as_often_as_they_say_within_reason() {
        let of = |n: &str| {
            let line = format!("sshd[1]: message repeated {n} times: [ Failed password for x]");
            one(&line).map(|(.., n)| n)
        };
        assert_eq!(of("3"), Some(3));
        assert_eq!(of("99999999999"), Some(REPEATS_MAX));
        assert_eq!(of("99999999999999999999999"), None);
        assert_eq!(of("-1"), None);
    }

    #[test]
    fn a_line_in_pieces_is_counted_once_and_one_without_end_is_passed_by() {
        let mut counts = Counts::default();
        let mut breaker = LineBreaker::default();
        let line = b"Nov  1 02:03:04 host sshd[1]: Accepted password for bob\n";
        assert_eq!(breaker.count(&line[..40], &mut counts), 0);
        let long = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(breaker.count(&long, &mut counts), LINE_BYTES_MAX);
        // The rest of the long line looks like one of its own.
        assert_eq!(breaker.count(line, &mut counts), line.len());
        assert!(counts.to_list().is_empty());
        assert_eq!(breaker.count(line, &mut counts), line.len());
        assert_eq!(counts.to_list().len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_stop_the_reader_and_whole_lines_are_always_taken(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            words in "(Nov  1 0:0:0 h |2026-1-1T0 h )?(sshd|sudo|su|login)(\\[1\\])?: (\\PC{0,20}|[a-z :0-9]{0,30})",
        ) {
            let _ = parse(&bytes);
            let _ = parse(words.as_bytes());
            let n = LineBreaker::default().count(&bytes, &mut Counts::default());
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            prop_assert_eq!(n, end);
        }
    }
}
