//! A stream of server-sent events, as it comes over the wire.

use std::time::{Duration, Instant};

use super::person::Person;
use super::raw::{Answer, Wire, request};
use super::{Hub, PATIENCE};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

/// A stream that is open.
pub(crate) struct Events {
    wire: Wire,
    n_taken: usize,
}

impl Events {
    /// Opens a stream and waits for its head.
    pub(crate) fn open(hub: &Hub, person: &Person, path: &str, last: Option<&str>) -> Self {
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(person.cookie().map(|cookie| ("Cookie", cookie)));
        headers.extend(last.map(|last| ("Last-Event-ID", last)));
        let wire = Wire::open(hub.addr).send(&request("GET", path, &headers, b""));
        let mut events = Self { wire, n_taken: 0 };
        events.wait("the head", PATIENCE, |events| events.wire.first_answer());
        events
    }

    /// The answer so far, its body as it was framed.
    pub(crate) fn answer(&self) -> Answer {
        self.wire.first_answer().unwrap()
    }

    /// Waits for the next event.
    pub(crate) fn next(&mut self, within: Duration) -> Event {
        let n_taken = self.n_taken;
        self.n_taken += 1;
        self.wait("an event", within, |events| {
            events.all().into_iter().nth(n_taken)
        })
    }

    /// All events so far that say more than that the hub is there.
    pub(crate) fn all(&self) -> Vec<Event> {
        let text = self.content();
        // What follows the last blank line is not whole.
        let blocks = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let member = |block: &str, name: &str| {
            let mut lines = block.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        let events = blocks.split("\n\n").filter_map(|block| {
            Some(Event {
                name: member(block, "event").unwrap_or_default(),
                id: member(block, "id").unwrap_or_default(),
                data: member(block, "data")?,
            })
        });
        events.filter(|event| event.name != "beat").collect()
    }

    /// What came, without the lengths around it (RFC 9112 §7.1).
    pub(crate) fn content(&self) -> String {
        self.chunks().0
    }

    /// Waits until the hub ends the stream in order: by its last chunk, not by a broken connection.
    pub(crate) fn assert_ends(&mut self, within: Duration) {
        self.wait("the end of the stream", within, |events| {
            events.chunks().1.then_some(())
        });
    }

    /// Waits until the hub says that it is there.
    pub(crate) fn assert_beats(&mut self, within: Duration) {
        self.wait("a beat", within, |events| {
            events
                .content()
                .contains("event: beat\ndata: {}\n\n")
                .then_some(())
        });
    }

    fn chunks(&self) -> (String, bool) {
        let (mut content, framed) = (String::new(), self.answer().body);
        let mut rest = framed.as_str();
        while let Some((length, after)) = rest.split_once("\r\n") {
            let n = usize::from_str_radix(length, 16).unwrap();
            let Some(chunk) = after.get(..n) else { break };
            if n == 0 {
                return (content, true);
            }
            content.push_str(chunk);
            rest = after.get(n + 2..).unwrap_or_default();
        }
        (content, false)
    }

    fn wait<T>(&mut self, what: &str, within: Duration, ask: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        loop {
            let is_closed = self.wire.listen(Duration::from_millis(5));
            if let Some(found) = ask(self) {
                return found;
            }
            let is_late = Instant::now() > deadline;
            assert!(
                !is_closed && !is_late,
                "{what} within {within:?}: {:?}",
                self.wire.text()
            );
        }
    }
}
