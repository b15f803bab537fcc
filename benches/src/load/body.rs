//! Bodies of metrics in the layout of contract §2, canonical as they stand.

use std::fmt::Write;

use crate::payload;

/// How large a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// About 2 KB: ten disks and twelve networks.
    TwoKilobytes,
    /// About 300 bytes: the processor alone, so that ten million of them fit a disk.
    Small,
}

/// A body with places for what differs from one payload to the next.
pub(super) struct Template {
    /// The text between the places, which are: agent, time of capture, percentage, time of sending,
    /// number of the position.
    between: [String; 6],
}

impl Template {
    /// A body for a hub.
    pub(super) fn new(size: Size, audience: &str) -> Self {
        let text = match size {
            Size::TwoKilobytes => payload::contract_metrics("@", audience),
            Size::Small => format!(
                concat!(
                    r#"{{"agent_id":"@","agent_version":"0.1.0","aud":"{}","captured_at":"@","#,
                    r#""data":{{"cpu_usage_percent":@}},"epoch":1,"sent_at":"@","seq":@,"#,
                    r#""type":"metrics","v":1}}"#
                ),
                audience
            ),
        };
        let mut rest = text.as_str();
        let mut between = [const { String::new() }; 6];
        let places = [
            (r#""agent_id":""#, '"'),
            (r#""captured_at":""#, '"'),
            (r#""cpu_usage_percent":"#, ' '),
            (r#""sent_at":""#, '"'),
            (r#""seq":"#, ' '),
        ];
        for (part, (name, end)) in between.iter_mut().zip(places) {
            let start = rest.find(name).expect("a member of the body") + name.len();
            let is_over = |c: char| {
                if end == '"' {
                    c == '"'
                } else {
                    c == ',' || c == '}'
                }
            };
            let length = rest[start..].find(is_over).expect("an end of the value");
            part.push_str(&rest[..start]);
            rest = &rest[start + length..];
        }
        between[5].push_str(rest);
        Self { between }
    }

    /// Writes a body, over what `text` held.
    pub(super) fn write(&self, text: &mut String, agent: &str, at: &str, seq: u64) {
        text.clear();
        let [
            first,
            after_agent,
            after_capture,
            after_cpu,
            after_sending,
            last,
        ] = &self.between;
        // Two decimals that change from one payload to the next.
        let cpu = (seq.wrapping_mul(2_654_435_761) % 10_000) as f64 / 100.0;
        write!(
            text,
            "{first}{agent}{after_agent}{at}{after_capture}{cpu}{after_cpu}{at}{after_sending}{seq}{last}"
        )
        .expect("a String takes all");
    }
}

#[cfg(test)]
mod tests {
    use monsys_core::json;

    use super::*;

    #[test]
    fn bodies_are_canonical_and_of_their_size() {
        let mut text = String::new();
        for (size, range) in [(Size::TwoKilobytes, 1_900..2_200), (Size::Small, 200..350)] {
            let template = Template::new(size, "7b1f6c1e-52f1-4f2b-9d1a-0123456789ab");
            for seq in [1, 5_000, 1 << 30] {
                let agent = "9b1f6c1e-52f1-4f2b-9d1a-0123456789ab";
                template.write(&mut text, agent, "2026-11-21T01:15:41.123456Z", seq);
                assert!(json::check(text.as_bytes()).is_ok(), "{text}");
                assert!(range.contains(&text.len()), "{} bytes", text.len());
                assert!(text.contains(&format!(r#""seq":{seq},"#)) && text.contains(agent));
            }
        }
    }
}
