//! Python and Node with the packages of `examples/third-party-agent`, where they are installed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::DataDir;

/// In what the programs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Node,
}

/// A language that can run the programs.
pub(crate) struct Interpreter {
    language: Language,
    program: PathBuf,
}

impl Interpreter {
    /// Both languages, as far as they are there. Each one that is not says so in one loud line,
    /// unless `MONSYS_REQUIRE_INTERPRETERS=1` asks for a failure.
    pub(crate) fn all(name: &str) -> Vec<Self> {
        let both = [Language::Python, Language::Node].into_iter();
        both.filter_map(|language| Self::start(language, name))
            .collect()
    }

    fn start(language: Language, name: &str) -> Option<Self> {
        let program = match language {
            Language::Python => installed().join("venv/bin/python"),
            Language::Node => PathBuf::from("node"),
        };
        let packages = match language {
            Language::Python => installed().join("venv"),
            Language::Node => installed().join("node_modules"),
        };
        let answers = Command::new(&program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if packages.is_dir() && answers {
            return Some(Self { language, program });
        }
        let place = installed().display().to_string();
        assert_ne!(
            std::env::var("MONSYS_REQUIRE_INTERPRETERS").as_deref(),
            Ok("1"),
            "no {language:?} with its packages in {place}"
        );
        let text = format!("NOT TESTED IN {language:?}: {name}: .ci/run installs the packages");
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(std::io::stderr(), "{text}, in {place}");
        None
    }

    /// File of a program, `agent` for one, in this language.
    pub(crate) fn file(&self, stem: &str) -> String {
        match self.language {
            Language::Python => format!("{stem}.py"),
            Language::Node => format!("{stem}.mjs"),
        }
    }

    /// Runs a program without what the environment says of tokens and proxies.
    pub(crate) fn run(
        &self,
        data: &DataDir,
        stem: &str,
        arguments: &[&str],
        token: Option<&str>,
    ) -> Output {
        let mut command = Command::new(&self.program);
        command.arg(self.script(data, stem)).args(arguments);
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
            command.env_remove(name.to_uppercase());
        }
        command.env_remove("MONSYS_TOKEN");
        command.envs(token.map(|token| ("MONSYS_TOKEN", token)));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Node looks for packages beside the program, so it runs a copy beside the packages.
    fn script(&self, data: &DataDir, stem: &str) -> PathBuf {
        let original = sources().join(self.file(stem));
        if self.language == Language::Python {
            return original;
        }
        let packages = data.path().join("node_modules");
        if !packages.exists() {
            std::os::unix::fs::symlink(installed().join("node_modules"), &packages).unwrap();
        }
        let copy = data.path().join(self.file(stem));
        std::fs::copy(original, &copy).unwrap();
        copy
    }
}

/// Where the programs lie.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../third-party-agent")
}

/// Where `.ci/run` installs their packages: beside the build, outside of the sources.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("third-party-agent")
}
