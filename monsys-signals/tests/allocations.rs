//! Scores allocate nothing once the scratch has grown, counted by the allocator.

mod kit;

use allocation_counter::measure;
use kit::{Draw, NOW, at, catalog};
use monsys_signals::trust::{Scratch, explain, score, scores, what_if};

#[test]
fn scores_of_a_tenant_allocate_nothing_after_warm_up() {
    let (catalog, mut draw) = (catalog(), Draw(1));
    let mut ordered = draw.rows(4_000);
    let shuffled = ordered.clone();
    ordered.sort_by(|a, b| a.cmp_slot(b));
    for rows in [&ordered, &shuffled] {
        let mut scratch = Scratch::new();
        let mut run = || {
            let sum: u32 = scores(rows, &catalog, &mut scratch, NOW)
                .map(|(_, trust)| trust.score().get())
                .sum();
            assert!(sum > 0);
            assert!(score(rows, &catalog, &mut scratch, NOW).score().get() < 100_000);
            what_if(rows, |row| row.key == "a.a", &catalog, &mut scratch, NOW);
            let explained = explain(rows, &catalog, &mut scratch, at(-50));
            assert!(!explained.contributions().is_empty());
            explain(rows, &catalog, &mut scratch, NOW);
        };
        let cold = measure(&mut run);
        assert!(cold.count_total > 0, "the counter counts");
        assert_eq!(measure(&mut run).count_total, 0);
    }
}
