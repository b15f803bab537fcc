//! Load averages and time since start, from `/proc/loadavg` and `/proc/uptime`.
//!
//! What not: the number of processes, which stands in the same file. Cost: one line each.

use monsys_core::sample::Finite;

use super::not_negative;

/// Reads the averages over 1, 5 and 15 minutes; `None` when the text has another form.
pub fn parse(text: &str) -> Option<[Finite; 3]> {
    let mut fields = text.split_ascii_whitespace().map(not_negative);
    Some([fields.next()??, fields.next()??, fields.next()??])
}

/// Reads the seconds since the machine started.
pub fn parse_uptime(text: &str) -> Option<Finite> {
    not_negative(text.split_ascii_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_files_are_read() {
        let load = parse("0.06 0.05 1.08 1/83 7753\n").map(|load| load.map(Finite::get));
        assert_eq!(load, Some([0.06, 0.05, 1.08]));
        assert_eq!(
            parse_uptime("1460.87 2691.84\n").map(Finite::get),
            Some(1_460.87)
        );
    }

    #[test]
    fn other_texts_are_unknown() {
        for text in ["", "0.1 0.2", "0.1 x 0.3", "-0.1 0 0", "NaN 0 0", "inf 0 0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse_uptime("\n"), None);
    }
}
