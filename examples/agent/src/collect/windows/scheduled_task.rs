//! Scheduled tasks of Windows, from their definitions in XML (Task Scheduler schema 1.2).
//!
//! What: the name of a task, which is the `URI` of its `RegistrationInfo`. What not: what it starts,
//! when, and for whom, which the same file holds. Cost: one pass up to the name.

use crate::collect::launchd::unescape;

/// Reads a definition; `None` when it has no name.
pub fn parse(text: &str) -> Option<String> {
    let task = text.split_once("<Task ")?.1;
    let info = task.split_once("<RegistrationInfo>")?.1;
    let info = info.split_once("</RegistrationInfo>")?.0;
    let name = info.split_once("<URI>")?.1.split_once("</URI>")?.0;
    unescape(name).filter(|name| name.starts_with('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = include_str!("../../../tests/fixtures/windows/task.xml");

    #[test]
    fn a_definition_gives_the_name_and_no_command_line() {
        assert_eq!(parse(TASK).as_deref(), Some(r"\Example\Back up & verify"));
    }

    #[test]
    fn other_texts_have_no_name() {
        for text in [
            "",
            "<Task >",
            "<Task ><RegistrationInfo><URI>\\a</URI>",
            "<Task ><RegistrationInfo></RegistrationInfo><URI>\\a</URI>",
            "<Task ><RegistrationInfo><URI></URI></RegistrationInfo>",
            "<Task ><RegistrationInfo><URI>no root</URI></RegistrationInfo>",
            "<Task ><RegistrationInfo><URI>\\&#10;</URI></RegistrationInfo>",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
