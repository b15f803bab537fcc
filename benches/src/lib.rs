//! Measurements of monsys against plain baselines; see `benches/`, one file per subject.
