//! Files and functions stay short enough to be read from top to bottom.

use crate::scan;
use crate::tree::{self, File, Finding};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions that are too long. Lines that exist only under test do not count in
/// sources; files of tests, benches and fuzz targets have a limit as a whole.
pub(crate) fn findings(files: &[File]) -> Vec<Finding> {
    let test_modules = tree::test_modules(files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let is_test = file.is_test() || test_modules.contains(&file.path);
        let scanned = scan::scan(&file.text);
        let code = scan::tokens(&scanned.code);
        let mut lines = file.text.lines().count();
        if !is_test {
            for range in scan::test_lines(&code) {
                lines -= range.count();
            }
            found.extend(long_functions(&file.path, &scan::without_tests(&code)));
        }
        if lines > FILE_LINES_MAX {
            let text = format!(
                "{lines} lines, at most {FILE_LINES_MAX}: a file holds one idea that is read in one go"
            );
            found.push(Finding::new(&file.path, lines, "file length", text));
        }
    }
    found
}

fn long_functions(path: &str, code: &[scan::Token<'_>]) -> Vec<Finding> {
    scan::functions(code)
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX)
        .map(|function| {
            let text = format!(
                "`{}` has {} lines, at most {FUNCTION_LINES_MAX}: a function fits on one screen",
                function.name, function.lines
            );
            Finding::new(path, function.line, "function length", text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        findings(&[File::new(path, text)])
            .iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn a_file_of_601_lines_is_caught_and_one_of_600_is_not() {
        assert!(rules("a/src/b.rs", &"\n".repeat(600)).is_empty());
        assert_eq!(rules("a/src/b.rs", &"\n".repeat(601)), ["file length"]);
        assert_eq!(rules("a/tests/b.rs", &"\n".repeat(601)), ["file length"]);
    }

    #[test]
    fn tests_beside_the_code_do_not_count() {
        let text = format!(
            "fn f() {{}}\n#[cfg(test)]\nmod tests {{{}}}\n",
            "\n".repeat(700)
        );
        assert!(rules("a/src/b.rs", &text).is_empty());
        assert_eq!(rules("a/tests/b.rs", &text), ["file length"]);
    }

    #[test]
    fn a_function_of_71_lines_is_caught_and_one_of_70_is_not() {
        let function = |lines: usize| format!("fn f() {{{}}}\n", "\n".repeat(lines - 1));
        assert!(rules("a/src/b.rs", &function(70)).is_empty());
        assert_eq!(rules("a/src/b.rs", &function(71)), ["function length"]);
        assert!(rules("a/tests/b.rs", &function(71)).is_empty());
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_end_a_function() {
        let text = format!(
            "fn f<'a>() {{ \"}}\"; '}}'; r#\"}}\"#; /* }} */ // }}\n{}}}\n",
            "\n".repeat(71)
        );
        assert_eq!(rules("a/src/b.rs", &text), ["function length"]);
    }
}
