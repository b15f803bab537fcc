//! Signals from files, and lists of them.
//!
//! A file is stored as a whole or not at all. It is read and checked line by line, so that the
//! first mistakes of a long file are all named at once, each with its line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;

use monsys_core::limit;
use monsys_core::signal::Signal;
use monsys_core::time::Timestamp;
use monsys_wire::canonical::Scratch;
use monsys_wire::schema::read_signal;
use serde::Serialize;
use serde_json::json;

use super::{existing_store_of, say, tenant_named};
use crate::api::signals::{Listing, Wanted};
use crate::cli::{SignalsQueryArgs, StoreArgs};
use crate::clock::wall_now;
use crate::error::{Failure, FailureKind};
use crate::output;
use crate::store::Author;

/// A mistake in a file.
#[derive(Debug, Serialize)]
struct Mistake {
    /// Which line, from 1.
    line: usize,
    /// Which member, as a name or a JSON pointer.
    field: String,
    /// The rule of a signal, or the code of what is no signal at all.
    rule: &'static str,
    message: String,
}

/// What a file holds.
#[derive(Debug, Default)]
struct Contents {
    signals: Vec<Signal>,
    /// The first mistakes.
    mistakes: Vec<Mistake>,
    n_mistakes: usize,
}

/// `signals emit`.
pub(super) async fn emit(org: &str, file: &Path, args: &StoreArgs) -> Result<ExitCode, Failure> {
    let store = existing_store_of(args).await?;
    let tenant = tenant_named(&*store, org).await?;
    let contents = read(open(file)?, wall_now());
    output::progress("");
    let contents = contents.map_err(|failure| failure.about(file.display()))?;
    if contents.n_mistakes > 0 {
        show_mistakes(&contents, args);
        return Ok(ExitCode::FAILURE);
    }
    let n_signals = contents.signals.len();
    output::progress(format_args!("storing {n_signals} signals"));
    let stored = store.emit(tenant, contents.signals).await;
    output::progress("");
    stored?;
    let audit = store.add_audit(
        Some(tenant),
        Author::CommandLine,
        "signals emitted",
        n_signals.to_string(),
    );
    audit.await?;
    let shown = json!({"stored": n_signals, "invalid": 0, "violations": []});
    say(
        args.json,
        &shown,
        format_args!("{n_signals} signals stored"),
    );
    store.close();
    Ok(ExitCode::SUCCESS)
}

fn show_mistakes(contents: &Contents, args: &StoreArgs) {
    let n_mistakes = contents.n_mistakes;
    if args.json {
        let violations = &contents.mistakes;
        output::line(json!({"stored": 0, "invalid": n_mistakes, "violations": violations}));
    }
    for mistake in &contents.mistakes {
        let Mistake {
            line,
            field,
            rule,
            message,
        } = mistake;
        output::failure(format_args!("line {line}: {field}: {rule}: {message}"));
    }
    output::failure(format_args!("{n_mistakes} mistakes, nothing was stored"));
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    match File::open(file) {
        Ok(opened) => Ok(Box::new(BufReader::new(opened))),
        Err(error) => Err(Failure::from(error).about(file.display())),
    }
}

fn read(mut lines: impl BufRead, now: Timestamp) -> Result<Contents, Failure> {
    let mut contents = Contents::default();
    let mut scratch = Scratch::new();
    let (mut line, mut number) = (Vec::new(), 0);
    let most = u64::try_from(limit::SIGNAL_LINE_BYTES_MAX).unwrap_or(u64::MAX);
    loop {
        line.clear();
        number += 1;
        lines.by_ref().take(most + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(contents);
        }
        if line.len() > limit::SIGNAL_LINE_BYTES_MAX {
            let message = format!("line {number}: expected at most {most} bytes");
            return Err(Failure::new(FailureKind::Io, message));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if contents.signals.len() == limit::SIGNALS_PER_FILE_MAX {
            let most = limit::SIGNALS_PER_FILE_MAX;
            let message = format!("expected at most {most} signals in one file");
            return Err(Failure::new(FailureKind::Usage, message));
        }
        contents.take(number, &line, &mut scratch, now);
        if number.is_multiple_of(PROGRESS_LINES) {
            output::progress(format_args!("{number} lines checked"));
        }
    }
}

impl Contents {
    fn take(&mut self, line: usize, text: &[u8], scratch: &mut Scratch, now: Timestamp) {
        let draft = match read_signal(text, scratch) {
            Ok(draft) => draft,
            Err(reject) => {
                return self.note(Mistake {
                    line,
                    field: reject.pointer().unwrap_or_default().to_owned(),
                    rule: reject.code(),
                    message: reject.to_string(),
                });
            }
        };
        match Signal::validate(&draft, now) {
            // Behind a mistake nothing will be stored: there is no use in keeping more.
            Ok(_) if self.n_mistakes > 0 => {}
            Ok(signal) => self.signals.push(signal),
            Err(violations) => {
                for violation in violations.shown() {
                    self.note(Mistake {
                        line,
                        field: violation.rule.field().to_owned(),
                        rule: violation.rule.as_str(),
                        message: violation.rule.message().to_owned(),
                    });
                }
            }
        }
    }

    fn note(&mut self, mistake: Mistake) {
        self.n_mistakes += 1;
        self.signals = Vec::new();
        if self.mistakes.len() < limit::VIOLATIONS_SHOWN_MAX {
            self.mistakes.push(mistake);
        }
    }
}

/// `signals query`.
pub(super) async fn query(args: &SignalsQueryArgs) -> Result<(), Failure> {
    let text = Option::as_deref;
    let parameters = [
        ("subject_type", text(&args.subject_type)),
        ("subject_id", text(&args.subject_id)),
        ("source", text(&args.source)),
        ("key", text(&args.key)),
        ("since", text(&args.since)),
        ("cursor", text(&args.cursor)),
        ("limit", text(&args.limit)),
    ];
    let given = parameters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let wanted = Wanted::parse(given).map_err(|e| Failure::new(FailureKind::Usage, e))?;
    let store = existing_store_of(&args.store).await?;
    let tenant = tenant_named(&*store, &args.org).await?;
    let page = store.signals(tenant, &wanted.filter, wanted.after, wanted.n_rows);
    let page = page.await?;
    if args.store.json {
        output::line(serde_json::to_value(Listing::new(&page)).unwrap_or_default());
        return Ok(());
    }
    for signal in &page.signals {
        output::line(in_one_line(signal));
    }
    if let Some(next) = page.next {
        output::line(format_args!("more with --cursor {next}"));
    }
    Ok(())
}

fn in_one_line(signal: &Signal) -> String {
    let severity = signal.severity().map_or("-", |severity| severity.as_str());
    format!(
        "{}  {severity:8}  {} {}  {} {}  {}",
        signal.observed_at(),
        signal.subject_type(),
        signal.subject_id(),
        signal.source(),
        signal.key(),
        signal.value()
    )
}

/// Lines between two signs of life.
const PROGRESS_LINES: usize = 10_000;
