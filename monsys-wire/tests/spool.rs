//! Laws of the spool, for any course of events: a model that forgets nothing beside the ledger that
//! crashes.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::collections::{BTreeMap, BTreeSet};

use monsys_core::position::{Admission, ContentHash, Position, PositionSet};
use monsys_core::time::Timestamp;
use monsys_wire::spool::ledger::{Ledger, Place};
use monsys_wire::spool::record::{MAGIC, Record, scan};
use monsys_wire::spool::{Answer, Attempt, Fate, Fault, Pace, State};
use proptest::collection::vec;
use proptest::prelude::*;

/// What happens to an agent.
#[derive(Debug, Clone)]
enum Event {
    /// It measures.
    Append,
    /// It sends, and this comes back: the truth, or something else.
    Send(Reply),
    /// The state reaches the disk.
    Settle,
    /// It dies, with so many bytes of an append behind the last record.
    Crash { torn_bytes: usize },
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    Truth,
    LostAfterStoring,
    Nothing,
    Proxy,
}

fn event() -> impl Strategy<Value = Event> {
    let reply = prop_oneof![
        6 => Just(Reply::Truth),
        1 => Just(Reply::LostAfterStoring),
        1 => Just(Reply::Nothing),
        1 => Just(Reply::Proxy),
    ];
    prop_oneof![
        4 => Just(Event::Append),
        5 => reply.prop_map(Event::Send),
        1 => Just(Event::Settle),
        1 => (0..60_usize).prop_map(|torn_bytes| Event::Crash { torn_bytes }),
    ]
}

/// An agent whose disk is two vectors, and a hub with the position rules.
struct World {
    ledger: Ledger,
    pace: Pace,
    segment: Vec<u8>,
    state: State,
    hub: PositionSet,
    stored: BTreeMap<Position, Vec<u8>>,
    durable: BTreeSet<Vec<u8>>,
    set_aside: BTreeSet<Vec<u8>>,
    n_appended: i64,
}

impl World {
    fn new() -> Self {
        let ledger = Ledger::restore(None, &[]);
        Self {
            state: ledger.to_state(),
            ledger,
            pace: Pace::default(),
            segment: MAGIC.to_vec(),
            hub: PositionSet::new(),
            stored: BTreeMap::new(),
            durable: BTreeSet::new(),
            set_aside: BTreeSet::new(),
            n_appended: 0,
        }
    }

    fn append(&mut self) {
        self.n_appended += 1;
        let captured_at = Timestamp::from_unix_micros(self.n_appended * 15_000_000).unwrap();
        let number = self.ledger.next_number();
        let position = self.ledger.position(number).unwrap();
        let (epoch, seq) = (position.epoch(), position.seq());
        let body = self.n_appended.to_le_bytes().to_vec();
        let record = Record {
            number,
            epoch,
            seq,
            captured_at,
            body,
        };
        let bytes = record.encode();
        let place = Place {
            segment: 1,
            offset: u64::try_from(self.segment.len()).unwrap(),
            length: u64::try_from(bytes.len()).unwrap(),
            captured_at,
        };
        self.segment.extend(bytes);
        assert_eq!(self.ledger.append(place), number);
        self.durable.insert(record.body);
    }

    fn send(&mut self, reply: Reply) {
        let now = Timestamp::from_unix_micros(self.n_appended * 15_000_000).unwrap();
        let Some(number) = self.pace.choose(&self.ledger, now) else {
            assert_eq!(
                self.ledger.n_pending(),
                0,
                "something is pending and not chosen"
            );
            return;
        };
        let position = self.ledger.position(number).unwrap();
        let at = usize::try_from(self.ledger.place(number).unwrap().offset).unwrap();
        let body = Record::decode(&self.segment[at..]).unwrap().body;
        let answer = match reply {
            Reply::Truth => self.store(position, body.clone()),
            Reply::LostAfterStoring => {
                self.store(position, body.clone());
                Answer::Unreachable(Fault::Connection)
            }
            Reply::Nothing => Answer::Unreachable(Fault::Timeout),
            Reply::Proxy => Answer::Foreign { status: 404 },
        };
        let attempt = Attempt {
            number,
            epoch: position.epoch(),
            answer,
            took: std::time::Duration::ZERO,
        };
        match self.pace.decide(attempt, 0).0 {
            Fate::Delivered => assert!(self.ledger.acknowledge(number)),
            // A proxy may condemn what it alone refuses while others pass.
            Fate::SetAside { .. } => {
                assert!(self.ledger.set_aside(number));
                self.set_aside.insert(body);
            }
            Fate::Kept => {}
            Fate::Renumber { epoch } => panic!("moved into epoch {epoch}"),
        }
    }

    fn store(&mut self, position: Position, body: Vec<u8>) -> Answer {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&body);
        let known = self.stored.get(&position).map(|known| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(known);
            ContentHash(hash)
        });
        match self.hub.admit(position, ContentHash(hash), known) {
            Admission::Fresh { .. } => {
                let other = self.stored.insert(position, body);
                assert_eq!(other, None, "a position for two contents");
                Answer::Accepted
            }
            Admission::Duplicate => Answer::Duplicate,
            other @ (Admission::Replay
            | Admission::GivenUp
            | Admission::StaleEpoch { .. }
            | Admission::OutOfRange) => panic!("{other:?} at {position:?}"),
        }
    }

    fn crash(&mut self, torn_bytes: usize) {
        let torn = Record {
            number: self.ledger.next_number(),
            epoch: 1,
            seq: 1,
            captured_at: Timestamp::MIN,
            body: vec![b'x'; 60],
        };
        let mut segment = self.segment.clone();
        segment.extend(&torn.encode()[..torn_bytes]);
        let scanned = scan(&segment).unwrap();
        assert_eq!(
            scanned.good_bytes,
            u64::try_from(self.segment.len()).unwrap()
        );
        let found: Vec<_> = scanned
            .records
            .into_iter()
            .map(|record| (1, record))
            .collect();
        let next = self.ledger.next_number();
        self.state = State::parse(&self.state.to_string()).unwrap();
        self.ledger = Ledger::restore(Some(&self.state), &found);
        self.pace = Pace::default();
        assert_eq!(
            (self.ledger.next_number(), self.ledger.n_dropped()),
            (next, 0)
        );
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_payload_arrives_once_and_none_is_lost(
        events in vec(event(), 0..200),
    ) {
        let mut world = World::new();
        for event in events {
            match event {
                Event::Append => world.append(),
                Event::Send(reply) => world.send(reply),
                Event::Settle => world.state = world.ledger.to_state(),
                Event::Crash { torn_bytes } => world.crash(torn_bytes),
            }
        }
        world.crash(0);
        while world.ledger.n_pending() > 0 {
            world.send(Reply::Truth);
        }
        let arrived: BTreeSet<Vec<u8>> = world.stored.values().cloned().collect();
        prop_assert_eq!(arrived.len(), world.stored.len(), "each once");
        let missing: BTreeSet<Vec<u8>> = world.durable.difference(&arrived).cloned().collect();
        prop_assert!(missing.is_subset(&world.set_aside), "lost: {missing:?}");
    }

    #[test]
    fn rot_anywhere_costs_what_it_hits_and_is_told(
        n_records in 1_u64..40,
        n_rotten in 1_usize..6,
        places in vec(any::<prop::sample::Index>(), 6),
        bits in vec(1_u8.., 6),
    ) {
        let mut world = World::new();
        (0..n_records).for_each(|_| world.append());
        world.state = world.ledger.to_state();
        let mut rotten = world.segment.clone();
        for (place, bit) in places.iter().zip(bits).take(n_rotten) {
            let at = MAGIC.len() + place.index(rotten.len() - MAGIC.len());
            // Twice at one place would heal it.
            if rotten[at] == world.segment[at] {
                rotten[at] ^= bit;
            }
        }
        let scanned = scan(&rotten).unwrap();
        let n_left = u64::try_from(scanned.records.len()).unwrap();
        prop_assert!(n_left + u64::try_from(n_rotten).unwrap() >= n_records);
        let found: Vec<_> = scanned.records.into_iter().map(|record| (1, record)).collect();
        let ledger = Ledger::restore(Some(&world.state), &found);
        prop_assert_eq!(ledger.n_dropped(), n_records - n_left);
        let n_told: u64 = ledger.gaps().iter().map(|gap| gap.n_lost).sum();
        prop_assert_eq!(n_told, n_records - n_left);
        prop_assert_eq!(ledger.next_number(), n_records + 1, "no position is given again");
    }
}
