//! The compliance Pareto against its definition, by brute force.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use std::collections::BTreeMap;

use kit::{Draw, KEYS, NOW, catalog, row};
use monsys_core::Severity;
use monsys_core::name::SignalKey;
use monsys_signals::controls::{Control, Controls};
use monsys_signals::pareto::{Item, pareto};
use monsys_signals::trust::{Scratch, score, what_if};
use monsys_signals::{SignalView, Subject};
use proptest::prelude::*;

/// At most twelve controls over the keys of the kit; some keys under none, some under many.
fn controls(draw: &mut Draw) -> (Controls, Vec<Vec<&'static str>>) {
    let mut controls = Controls::empty();
    let mut asked = Vec::new();
    for n in 0..draw.below(13) {
        let keys: Vec<_> = KEYS[1..]
            .iter()
            .copied()
            .filter(|_| draw.below(3) == 0)
            .collect();
        let control = Control {
            // Falling, so that ties by identifier differ from ties by place.
            id: format!("C-{:02}", 99 - n),
            title: String::new(),
            effort: 1 + u32::try_from(draw.below(3)).unwrap(),
        };
        let names: Vec<_> = keys
            .iter()
            .map(|key| SignalKey::parse(key).unwrap())
            .collect();
        controls.insert(control, &names);
        asked.push(keys);
    }
    (controls, asked)
}

fn is_dominated(item: &Item<'_>, by: &Item<'_>) -> bool {
    by.effort <= item.effort
        && by.gain >= item.gain
        && (by.effort < item.effort || by.gain > item.gain)
}

proptest! {
    #[test]
    fn controls_are_ordered_by_what_the_scores_of_the_fleet_would_gain(seed: u64) {
        let mut draw = Draw(seed);
        let rows = draw.rows(40);
        let (controls, asked) = controls(&mut draw);
        let (catalog, mut scratch) = (catalog(), Scratch::new());
        let mut subjects: BTreeMap<Subject<'_>, Vec<SignalView<'_>>> = BTreeMap::new();
        for row in &rows {
            subjects.entry(row.subject).or_default().push(*row);
        }
        let mut gains = BTreeMap::new();
        for (control, keys) in controls.controls().iter().zip(&asked) {
            let mut gain = 0;
            for rows in subjects.values() {
                let is_fixed = |row: &SignalView<'_>| keys.contains(&row.key);
                let after = what_if(rows, is_fixed, &catalog, &mut scratch, NOW).score();
                let before = score(rows, &catalog, &mut scratch, NOW).score();
                gain += u64::from((after - before).get());
            }
            gains.insert(&control.id, gain);
        }
        let pareto = pareto(&rows, &catalog, &controls, &mut scratch, NOW);
        let items = pareto.items();
        for (id, gain) in &gains {
            let found = items.iter().find(|item| item.control.id == **id);
            prop_assert_eq!(found.map_or(0, |item| item.gain), *gain);
        }
        prop_assert!(items.iter().all(|item| item.n_findings >= item.n_subjects && item.n_subjects > 0));
        prop_assert!(items.is_sorted_by_key(|i| (u64::MAX - i.gain, &i.control.id)));
        prop_assert!(items.is_sorted_by_key(|i| i.cumulative_permille));
        prop_assert!(items.last().is_none_or(|last| last.cumulative_permille == 1_000));
        for item in items {
            let dominated = items.iter().any(|by| is_dominated(item, by));
            prop_assert_eq!(item.is_efficient, !dominated);
        }
        let total: u64 = items.iter().map(|item| item.gain).sum();
        let shortest = (0..=items.len()).find(|n| {
            items[..*n].iter().map(|item| item.gain).sum::<u64>() * 10 >= total * 8
        });
        prop_assert_eq!(pareto.vital().len(), shortest.unwrap());
    }

    #[test]
    fn the_order_of_rows_changes_nothing(seed: u64) {
        let mut draw = Draw(seed);
        let rows = draw.rows(40);
        let (controls, _) = controls(&mut draw);
        let mut other = rows.clone();
        draw.shuffle(&mut other);
        let (catalog, mut scratch) = (catalog(), Scratch::new());
        let one = pareto(&rows, &catalog, &controls, &mut scratch, NOW);
        prop_assert_eq!(one, pareto(&other, &catalog, &controls, &mut scratch, NOW));
    }
}

#[test]
fn where_no_control_brings_anything_nothing_is_vital() {
    // Far beyond the cap of backups: neither control alone brings a point.
    let key = |n: usize| kit::keys(8)[n];
    let rows: Vec<_> = (0..8)
        .map(|n| row("backup_check", key(n), Severity::Critical))
        .collect();
    let mut controls = Controls::empty();
    for n in 0..2 {
        let control = Control {
            id: format!("C-{n}"),
            title: String::new(),
            effort: 1,
        };
        controls.insert(control, &[SignalKey::parse(key(n)).unwrap()]);
    }
    let pareto = pareto(&rows, &catalog(), &controls, &mut Scratch::new(), NOW);
    let plain: Vec<_> = pareto
        .items()
        .iter()
        .map(|i| (i.gain, i.cumulative_permille))
        .collect();
    assert_eq!(plain, [(0, 1_000), (0, 1_000)]);
    assert!(pareto.vital().is_empty());
    assert_eq!(pareto.n_uncontrolled(), 6);
}
