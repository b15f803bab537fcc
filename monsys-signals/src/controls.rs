//! Which control of a framework asks for what a signal looks at.
//!
//! What: a table from signal keys to controls, built in for the NIST Cybersecurity Framework 2.0
//! ([`NIST_CSF_2`]: identifiers as NIST gives them, the wording is ours) and open to any other. A
//! key may stand under several controls. What not: a statement that an organisation complies; it
//! orders repairs. Cost of a search: one hash.

use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::name::SignalKey;

use crate::names::{Names, index, is_same};

/// One line of the built-in catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlEntry {
    /// The identifier in the framework.
    pub id: &'static str,
    /// What it is about, in our words.
    pub title: &'static str,
    /// What one repair takes, against the others: 1 is a setting, 2 a change, 3 a project.
    pub effort: u32,
    /// The signal keys that show whether it is met.
    pub keys: &'static [&'static str],
}

/// Subcategories of the NIST Cybersecurity Framework 2.0 (NIST CSWP 29) and the keys that speak
/// about them: those of the six integrity detectors, the certificate scanner, the DNS check, and
/// what agents look at.
pub const NIST_CSF_2: &[ControlEntry] = &[
    control(
        "DE.AE-02",
        "Unusual behaviour is looked into",
        2,
        &["integrity.cadence_anomaly", "integrity.flat_metrics"],
    ),
    control(
        "DE.CM-09",
        "Software and its data are watched",
        2,
        &["integrity.signature_invalid", "integrity.unsigned_payload"],
    ),
    control(
        "PR.AA-03",
        "Services and machines prove who they are",
        1,
        &[
            "cert.chain_ok",
            "cert.name_ok",
            "dns.dmarc_present",
            "integrity.signature_invalid",
            "integrity.unsigned_payload",
        ],
    ),
    control(
        "PR.AA-05",
        "Access is limited and enforced",
        1,
        &["posture.screen_lock"],
    ),
    control(
        "PR.DS-01",
        "Stored data are protected",
        3,
        &["posture.disk_encryption"],
    ),
    control(
        "PR.DS-02",
        "Data on the way are protected",
        1,
        &["cert.chain_ok", "cert.expiry_days", "cert.name_ok"],
    ),
    control(
        "PR.DS-11",
        "Backups are made and kept",
        2,
        &["backup.age_hours", "backup.present"],
    ),
    control(
        "PR.IR-01",
        "Networks are closed to strangers",
        1,
        &["posture.firewall"],
    ),
    control(
        "PR.PS-01",
        "Configuration is managed",
        1,
        &["clock.synchronised", "integrity.clock_drift"],
    ),
    control(
        "PR.PS-02",
        "Software is kept up to date",
        2,
        &[
            "integrity.version_downgrade",
            "posture.reboot_required",
            "posture.updates",
            "posture.updates_checked",
        ],
    ),
    control(
        "PR.PS-05",
        "Only allowed software starts",
        3,
        &["posture.secure_boot"],
    ),
];

const fn control(
    id: &'static str,
    title: &'static str,
    effort: u32,
    keys: &'static [&'static str],
) -> ControlEntry {
    ControlEntry {
        id,
        title,
        effort,
        keys,
    }
}

/// A control of a framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The identifier in the framework.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What one repair takes, against the others.
    pub effort: u32,
}

/// The controls that are read, and the keys under each.
///
/// ```
/// use monsys_core::name::SignalKey;
/// use monsys_signals::controls::{Control, Controls};
/// let mut controls = Controls::nist_csf_2();
/// let own = Control { id: "OWN-1".into(), title: "Images are scanned".into(), effort: 1 };
/// controls.insert(own, &[SignalKey::parse("image.findings")?]);
/// assert_eq!(controls.of("image.findings").next().unwrap().id, "OWN-1");
/// assert_eq!(controls.of("my.key").count(), 0);
/// # Ok::<(), monsys_core::name::NameError>(())
/// ```
#[derive(Debug, Default)]
pub struct Controls {
    controls: Vec<Control>,
    keys: Names,
    /// By key: the controls that ask for it.
    asked: Vec<Vec<usize>>,
}

impl Controls {
    /// Makes one that holds [`NIST_CSF_2`].
    pub fn nist_csf_2() -> Self {
        let mut controls = Self::empty();
        for entry in NIST_CSF_2 {
            let control = Control {
                id: entry.id.into(),
                title: entry.title.into(),
                effort: entry.effort,
            };
            controls.insert_words(control, entry.keys.iter().copied());
        }
        controls
    }

    /// Makes one without controls.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds a control and the keys that show whether it is met.
    pub fn insert(&mut self, control: Control, keys: &[SignalKey]) {
        self.insert_words(control, keys.iter().map(SignalKey::as_str));
    }

    /// Returns the controls that ask for a key.
    pub fn of(&self, key: &str) -> impl Iterator<Item = &Control> {
        self.places_of(key)
            .iter()
            .filter_map(|place| self.controls.get(*place))
    }

    /// Returns every control, in the order in which they were added.
    pub fn controls(&self) -> &[Control] {
        &self.controls
    }

    /// The places of the controls that ask for a key.
    fn places_of(&self, key: &str) -> &[usize] {
        let number = self.keys.known(FIRST, key).map(index);
        let asked = number.and_then(|number| self.asked.get(number));
        asked.map_or(&[], Vec::as_slice)
    }

    fn insert_words<'k>(&mut self, control: Control, keys: impl Iterator<Item = &'k str>) {
        let place = self.controls.len();
        self.controls.push(control);
        for key in keys {
            let number = index(self.keys.number(FIRST, key));
            if number == self.asked.len() {
                self.asked.push(Vec::new());
            }
            let asked = self.asked.get_mut(number);
            if let Some(asked) = asked.filter(|asked| asked.last() != Some(&place)) {
                asked.push(place);
            }
        }
    }
}

/// Searches for keys that come in about the same order again and again, as those of many subjects
/// do: the keys that followed last time are compared first, and found without a hash.
#[derive(Debug)]
pub(crate) struct Walk<'c> {
    controls: &'c Controls,
    /// By number of the key.
    steps: Vec<Step<'c>>,
    last: usize,
}

/// A key, the places of the controls that ask for it, and which key came after it.
#[derive(Debug)]
struct Step<'c> {
    key: &'c [u8],
    places: &'c [usize],
    next: usize,
}

impl<'c> Walk<'c> {
    pub(crate) fn new(controls: &'c Controls) -> Self {
        let asked = (0..).zip(&controls.asked);
        let steps = asked.map(|(number, places)| Step {
            key: controls.keys.words(number).1.as_bytes(),
            places,
            next: 0,
        });
        Self {
            controls,
            steps: steps.collect(),
            last: 0,
        }
    }

    /// The places of the controls that ask for a key.
    #[inline]
    pub(crate) fn places_of(&mut self, key: &str) -> &'c [usize] {
        let mut at = self.last;
        for _ in 0..STEPS_MAX {
            at = self.steps.get(at).map_or(0, |step| step.next);
            let step = self.steps.get(at);
            if let Some(step) = step.filter(|step| is_same(step.key, key.as_bytes())) {
                self.last = at;
                return step.places;
            }
        }
        self.jump(key)
    }

    #[inline(never)]
    fn jump(&mut self, key: &str) -> &'c [usize] {
        let Some(at) = self.controls.keys.known(FIRST, key).map(index) else {
            return &[];
        };
        if let Some(last) = self.steps.get_mut(self.last) {
            last.next = at;
        }
        self.last = at;
        self.steps.get(at).map_or(&[], |step| step.places)
    }
}

/// How many keys may be left out between two.
const STEPS_MAX: usize = 3;

/// Stands before each key, because names are pairs; long enough to be compared in one step.
const FIRST: &str = "signal_key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_control_is_there_once_with_valid_keys_in_order() {
        let controls = Controls::nist_csf_2();
        assert_eq!(controls.controls().len(), NIST_CSF_2.len());
        assert!(NIST_CSF_2.is_sorted_by(|a, b| a.id < b.id));
        for entry in NIST_CSF_2 {
            assert!(entry.keys.is_sorted_by(|a, b| a < b), "{}", entry.id);
            assert!((1..=3).contains(&entry.effort));
            for key in entry.keys {
                assert!(SignalKey::parse(key).is_ok(), "{key}");
                assert!(controls.of(key).any(|control| control.id == entry.id));
            }
        }
    }

    #[test]
    fn a_walk_finds_what_a_search_finds_in_any_order_of_keys() {
        let controls = Controls::nist_csf_2();
        let entries = NIST_CSF_2.iter().flat_map(|entry| entry.keys);
        let mut keys: Vec<_> = entries.copied().chain(["no.key", "a"]).collect();
        let mut walk = Walk::new(&controls);
        let n = keys.len();
        for round in 0..n {
            // Same order twice, then some left out, then another order.
            for key in keys
                .iter()
                .chain(&keys)
                .chain(keys.iter().step_by(round + 1))
            {
                assert_eq!(walk.places_of(key), controls.places_of(key), "{key}");
            }
            keys.swap(round, round * 7 % n);
        }
        assert_eq!(Walk::new(&Controls::empty()).places_of("a.b"), [0; 0]);
    }

    #[test]
    fn a_key_named_twice_under_one_control_counts_once() {
        let mut controls = Controls::empty();
        let key = SignalKey::parse("a.b").unwrap();
        let control = Control {
            id: "1".into(),
            title: "One".into(),
            effort: 1,
        };
        controls.insert(control, &[key.clone(), key]);
        assert_eq!(controls.of("a.b").count(), 1);
    }
}
