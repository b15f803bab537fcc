//! Logins in the security log of Windows, as XML (Windows event schema).
//!
//! What: events 4624 (someone was let in) and 4625 (someone was refused) by the kind of login.
//! Logins of the system and of services are the machine's own and are not counted. What not: who and
//! from where, which the events hold. Cost: one pass.

use monsys_core::endpoint::AuthOutcome;

use crate::collect::auth::{Counts, Service};

/// Counts the events of a text, one after the other, in any frame; events of another form are left
/// out.
pub fn count(text: &str, counts: &mut Counts) {
    for event in text.split("<Event ").skip(1) {
        let event = event.split("</Event>").next().unwrap_or_default();
        if let Some((service, outcome)) = parse(event) {
            counts.add(service, outcome, 1);
        }
    }
}

fn parse(event: &str) -> Option<(Service, AuthOutcome)> {
    let (system, data) = event.split_once("</System>")?;
    let outcome = match number_after(system.split_once("<EventID")?.1)? {
        4_624 => AuthOutcome::Success,
        4_625 => AuthOutcome::Failure,
        _ => return None,
    };
    let kind = LOGON_TYPE.iter().find_map(|mark| data.split_once(mark))?.1;
    let service = match number_after(kind)? {
        // At the machine, unlocked, with kept credentials.
        2 | 7 | 11 | 13 => Service::Login,
        // Over the network, with the password in clear, with other credentials; in a batch.
        3 | 4 | 8 | 9 => Service::Network,
        10 | 12 => Service::RemoteDesktop,
        // Of the system and of services.
        _ => return None,
    };
    Some((service, outcome))
}

/// The number between the end of this tag and the next one; a tag may have attributes.
fn number_after(text: &str) -> Option<u32> {
    let content = text.split_once('>')?.1;
    content.split('<').next()?.trim().parse().ok()
}

const LOGON_TYPE: [&str; 2] = ["Name='LogonType'", "Name=\"LogonType\""];

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = include_str!("../../../tests/fixtures/windows/security.xml");

    fn counted(text: &str) -> Vec<(String, AuthOutcome, i64)> {
        let mut counts = Counts::default();
        count(text, &mut counts);
        let list = counts.to_list().into_iter();
        list.map(|count| (count.service.to_string(), count.outcome, count.count.get()))
            .collect()
    }

    #[test]
    fn logins_are_counted_by_kind_and_those_of_services_are_not() {
        let expected = [
            ("login", AuthOutcome::Success, 1),
            ("network", AuthOutcome::Failure, 2),
            ("remote_desktop", AuthOutcome::Success, 1),
        ];
        let expected = expected.map(|(service, outcome, n)| (service.to_owned(), outcome, n));
        assert_eq!(counted(LOG), expected);
    }

    #[test]
    fn events_of_another_form_are_left_out() {
        for text in [
            "",
            "<Event ",
            "<Event ><System><EventID>4624</EventID></System></Event>",
            "<Event ><EventID>4624</EventID><Data Name='LogonType'>2</Data></Event>",
            "<Event ><System><EventID>x</EventID></System><Data Name='LogonType'>2</Data></Event>",
            "<Event ><System><EventID>4624</EventID></System><Data Name='LogonType'>99</Data></Event>",
            "<Event ><System><EventID>4634</EventID></System><Data Name='LogonType'>2</Data></Event>",
        ] {
            assert_eq!(counted(text), [], "{text}");
        }
    }
}
