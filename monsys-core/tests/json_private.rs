//! The private structures of serde_json, from serde_json itself with the features that make them.

#![allow(
    clippy::disallowed_methods,
    reason = "the test reads files and runs a build"
)]
#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[test]
fn numbers_and_raw_values_of_serde_json_are_written_as_promised() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let work_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("json_private");
    lay_out(crate_dir, &work_dir);
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--offline", "--quiet", "--manifest-path"])
        .arg(work_dir.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(work_dir.join("target"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(output.stdout, b"as promised\n", "{errors}");
}

/// Copies the fixture to where it may write its lock file, which begins as that of the workspace.
fn lay_out(crate_dir: &Path, work_dir: &Path) {
    let fixture = crate_dir.join("tests/json_private");
    fs::create_dir_all(work_dir.join("src")).unwrap();
    let manifest = fs::read_to_string(fixture.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("\"../..\"", &format!("{crate_dir:?}"));
    fs::write(work_dir.join("Cargo.toml"), manifest).unwrap();
    fs::copy(fixture.join("src/main.rs"), work_dir.join("src/main.rs")).unwrap();
    let lock = crate_dir.parent().unwrap().join("Cargo.lock");
    fs::copy(lock, work_dir.join("Cargo.lock")).unwrap();
}
