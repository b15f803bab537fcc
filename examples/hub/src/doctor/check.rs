//! One line of the checklist.

use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// Not as it should be.
    Fail,
    /// It could not be made, or there is nothing to check.
    Skip,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Which check, one word that does not change.
    check: &'static str,
    outcome: Outcome,
    /// What was found; never a secret.
    found: String,
    /// What to do about it; null where there is nothing to do.
    todo: Option<String>,
    /// Whether something that is needed was not reached, which tells nothing about it.
    #[serde(skip)]
    is_away: bool,
}

impl Check {
    /// All is well.
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Outcome::Ok, found.into(), None)
    }

    /// Somebody should look at it.
    pub(crate) fn warn(
        check: &'static str,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self::new(check, Outcome::Warn, found.into(), Some(todo.into()))
    }

    /// Something is wrong.
    pub(crate) fn fail(
        check: &'static str,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self::new(check, Outcome::Fail, found.into(), Some(todo.into()))
    }

    /// Something that is needed was not reached.
    pub(crate) fn away(
        check: &'static str,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            is_away: true,
            ..Self::fail(check, found, todo)
        }
    }

    /// There is nothing to check, or it cannot be.
    pub(crate) fn skip(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Outcome::Skip, why.into(), None)
    }

    /// How it came out.
    pub(super) const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether it failed because something was not reached.
    pub(super) const fn is_away(&self) -> bool {
        self.is_away
    }

    const fn new(
        check: &'static str,
        outcome: Outcome,
        found: String,
        todo: Option<String>,
    ) -> Self {
        Self {
            check,
            outcome,
            found,
            todo,
            is_away: false,
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Warn => "WARN",
            Outcome::Fail => "FAIL",
            Outcome::Skip => "-",
        };
        write!(f, "{outcome:5} {:20} {}", self.check, self.found)?;
        match &self.todo {
            Some(todo) => write!(f, "\n{:26} -> {todo}", ""),
            None => Ok(()),
        }
    }
}
