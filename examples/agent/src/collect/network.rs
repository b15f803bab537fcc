//! Bytes received and sent per network interface, from `/proc/net/dev`.
//!
//! The loopback interface is left out: what a machine says to itself is no traffic. What not:
//! addresses and connections. Cost: one line an interface.

use monsys_core::limit;
use monsys_core::sample::Network;

use super::{clean_name, count};

/// Reads the counters; `None` when the text has another form, interfaces in another form are left
/// out.
pub fn parse(text: &str) -> Option<Vec<Network>> {
    let mut lines = text.lines();
    lines.next().filter(|line| line.starts_with("Inter-"))?;
    lines.next()?;
    let interfaces = lines
        .filter_map(parse_line)
        .filter(|network| network.interface != "lo");
    Some(interfaces.take(limit::DEVICES_PER_SAMPLE_MAX).collect())
}

fn parse_line(line: &str) -> Option<Network> {
    // An alias has a colon in its name, so the last one divides.
    let (name, counters) = line.rsplit_once(':')?;
    let mut fields = counters.split_ascii_whitespace();
    let rx: u64 = fields.next()?.parse().ok()?;
    let tx: u64 = fields.nth(RX_FIELDS_AFTER_BYTES)?.parse().ok()?;
    Some(Network {
        interface: clean_name(name.trim_start(), limit::INTERFACE_BYTES_MAX)?,
        rx_bytes: count(rx)?,
        tx_bytes: count(tx)?,
    })
}

/// Packets, errs, drop, fifo, frame, compressed, multicast.
const RX_FIELDS_AFTER_BYTES: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    fn parsed(lines: &str) -> Option<Vec<(String, i64, i64)>> {
        let networks = parse(&format!("{HEAD}{lines}"))?;
        let plain = |n: Network| (n.interface.to_string(), n.rx_bytes.get(), n.tx_bytes.get());
        Some(networks.into_iter().map(plain).collect())
    }

    #[test]
    fn a_captured_file_is_read_without_loopback() {
        let lines = "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n  \
            ifb0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n  \
            eth0: 220653150    6824    0    0    0     0          0         0   523057    4570    0    0    0     0       0          0\n";
        let expected = [
            ("ifb0".to_owned(), 0, 0),
            ("eth0".to_owned(), 220_653_150, 523_057),
        ];
        assert_eq!(parsed(lines), Some(expected.to_vec()));
    }

    #[test]
    fn a_full_column_leaves_no_space_and_aliases_have_colons() {
        let lines = "eth0:1:12345678901 1 2 3 4 5 6 7 99 1 2 3 4 5 6 7\n";
        assert_eq!(
            parsed(lines),
            Some(vec![("eth0:1".to_owned(), 12_345_678_901, 99)])
        );
    }

    #[test]
    fn a_machine_without_interfaces_has_none_and_other_texts_are_unknown() {
        assert_eq!(parsed(""), Some(Vec::new()));
        assert_eq!(
            parsed("eth0: 1 2 3\nx\n: 1 1 1 1 1 1 1 1 1\n"),
            Some(Vec::new())
        );
        assert_eq!(parse(""), None);
        assert_eq!(parse("eth0: 1 1 1 1 1 1 1 1 1"), None);
    }
}
