//! The promise that the crate needs no std: a static library without it is built and has our code.

#![allow(
    clippy::disallowed_methods,
    reason = "the test reads files and runs a build"
)]
#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[test]
fn the_crate_links_into_a_program_without_std() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let work_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no_std_link");
    lay_out(crate_dir, &work_dir);
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--offline", "--quiet", "--manifest-path"])
        .arg(work_dir.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(work_dir.join("target"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let library = fs::read(work_dir.join("target/debug/libno_std_link.a")).unwrap();
    assert!(contains(&library, b"monsys_admit"));
}

/// Copies the fixture to where it may write its lock file, which begins as that of the workspace.
fn lay_out(crate_dir: &Path, work_dir: &Path) {
    let fixture = crate_dir.join("tests/no_std_link");
    fs::create_dir_all(work_dir.join("src")).unwrap();
    let manifest = fs::read_to_string(fixture.join("Cargo.toml")).unwrap();
    let root = crate_dir.parent().unwrap();
    let manifest = manifest
        .replace(
            "\"../../../monsys-core\"",
            &format!("{:?}", root.join("monsys-core")),
        )
        .replace("\"../..\"", &format!("{crate_dir:?}"));
    fs::write(work_dir.join("Cargo.toml"), manifest).unwrap();
    fs::copy(fixture.join("src/lib.rs"), work_dir.join("src/lib.rs")).unwrap();
    fs::copy(root.join("Cargo.lock"), work_dir.join("Cargo.lock")).unwrap();
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
