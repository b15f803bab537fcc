//! Programs that Windows starts at a login, from exported registry keys.
//!
//! What: the text that `reg export` writes ("Windows Registry Editor Version 5.00"): names of values
//! under keys that end in `Run` or `RunOnce`. What not: the values, which are command lines. Cost:
//! one pass.

/// Reads an export; the paths of the values, as `HKEY_…\Run\NAME`.
pub fn parse(text: &str) -> Option<Vec<String>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines();
    lines.next().filter(|line| line.trim_end() == HEADER)?;
    let (mut key, mut found) = ("", Vec::new());
    for line in lines {
        if let Some(header) = line.trim_end().strip_prefix('[') {
            key = header
                .strip_suffix(']')
                .filter(|key| is_run(key))
                .unwrap_or("");
        } else if let Some(name) = value_name(line).filter(|_| !key.is_empty()) {
            found.push(format!("{key}\\{name}"));
        }
    }
    Some(found)
}

/// A deleted key, `[-…]`, has no values. Keys have no upper and lower case.
fn is_run(key: &str) -> bool {
    let last = key.rsplit('\\').next().unwrap_or_default();
    !key.starts_with('-') && RUN.iter().any(|run| last.eq_ignore_ascii_case(run))
}

/// The text in the first quotes of a line that begins with them; `\"` and `\\` stand for one letter.
/// The rest of a long value stands on lines that begin with spaces.
fn value_name(line: &str) -> Option<String> {
    let mut letters = line.strip_prefix('"')?.chars();
    let mut name = String::new();
    loop {
        match letters.next()? {
            '\\' => name.push(letters.next()?),
            '"' => break,
            letter => name.push(letter),
        }
    }
    (letters.next()? == '=' && !name.is_empty()).then_some(name)
}

const HEADER: &str = "Windows Registry Editor Version 5.00";
const RUN: [&str; 2] = ["Run", "RunOnce"];

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORT: &str = include_str!("../../../tests/fixtures/windows/run.reg");

    #[test]
    fn an_export_gives_names_and_no_command_lines() {
        let found = parse(EXPORT).unwrap();
        let run = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion";
        let expected = [
            format!(r"{run}\Run\SecurityHealth"),
            format!(r"{run}\Run\Updater \ of the \ example"),
            format!(r"{run}\RunOnce\a = b"),
        ];
        assert_eq!(found, expected);
        assert!(!format!("{found:?}").contains("canary"));
    }

    #[test]
    fn other_texts_are_unknown_and_other_keys_left_out() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("REGEDIT4\n[HKEY_A\\Run]\n\"a\"=\"b\"\n"), None);
        let text = |line: &str| format!("{HEADER}\r\n\r\n[HKEY_A\\Run]\r\n{line}\r\n");
        for line in [
            "@=\"default\"",
            "\"open",
            "\"\"=\"x\"",
            "\"a\"",
            "a=b",
            "\"a\\",
        ] {
            assert_eq!(parse(&text(line)), Some(Vec::new()), "{line}");
        }
        for key in ["HKEY_A\\Runs", "-HKEY_A\\Run", "HKEY_A\\Run\\Sub"] {
            let text = format!("{HEADER}\n[{key}]\n\"a\"=\"b\"\n");
            assert_eq!(parse(&text), Some(Vec::new()), "{key}");
        }
    }
}
