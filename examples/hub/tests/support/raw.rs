//! HTTP/1.1 by hand, for requests that no library would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header that came exactly once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} came twice: {self:?}");
        Some(value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("expected JSON: {self:?}"))
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn accepted(self) -> Self {
        assert_eq!(self.status, 202, "{self:?}");
        self
    }

    /// Reads the first answer in what a connection gave; None when there is no whole head.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()?
            .strip_prefix("HTTP/1.1 ")?
            .get(..3)?
            .parse()
            .ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Self {
            status,
            headers,
            body: String::new(),
        };
        let rest = &bytes[end + 4..];
        let length = answer
            .header("content-length")
            .map_or(rest.len(), |n| n.parse().unwrap());
        let body = rest.get(..length).unwrap_or(rest);
        answer.body = String::from_utf8_lossy(body).into_owned();
        Some(answer)
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With at least one answer, of which this is the first.
    Answered(Answer),
    /// Without any.
    Closed,
}

impl Outcome {
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            Self::Closed => panic!("the hub closed the connection without an answer"),
        }
    }

    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answer) => Some(answer.status),
            Self::Closed => None,
        }
    }
}

/// A connection on which any bytes can be sent.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Sends bytes; a hub that has heard enough may have stopped listening.
    pub(crate) fn send(mut self, bytes: &[u8]) -> Self {
        let _ = self.stream.write_all(bytes);
        self
    }

    /// Says that nothing more will come.
    pub(crate) fn half_close(self) -> Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Reads for a moment; tells whether the hub closed the connection.
    pub(crate) fn listen(&mut self, moment: Duration) -> bool {
        let deadline = Instant::now() + moment;
        let mut buffer = [0; 16_384];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(n) => self.read.extend(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return true,
            }
        }
    }

    pub(crate) fn first_answer(&self) -> Option<Answer> {
        Answer::parse(&self.read)
    }

    /// Reads until the hub closes the connection, which must not take longer than patience lasts.
    pub(crate) fn end(mut self) -> Outcome {
        assert!(
            self.listen(PATIENCE),
            "the hub hangs after {:?}",
            self.text()
        );
        self.outcome()
    }

    /// Reads until the first answer is whole, or the hub closes the connection.
    pub(crate) fn answer(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while self.first_answer().is_none_or(|answer| !is_whole(&answer)) {
            assert!(
                Instant::now() < deadline,
                "the hub hangs after {:?}",
                self.text()
            );
            if self.listen(Duration::from_millis(5)) {
                break;
            }
        }
        self.outcome()
    }

    fn outcome(self) -> Outcome {
        self.first_answer()
            .map_or(Outcome::Closed, Outcome::Answered)
    }

    /// Everything the hub sent.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

fn is_whole(answer: &Answer) -> bool {
    let length = answer
        .header("content-length")
        .and_then(|length| length.parse().ok());
    length.is_none_or(|length: usize| answer.body.len() >= length)
}

/// Writes a request with these headers, a length that is true, and an end to the connection.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [bytes.as_bytes(), body].concat()
}

pub(crate) fn get(addr: SocketAddr, path: &str) -> Answer {
    Wire::open(addr)
        .send(&request("GET", path, &[], b""))
        .end()
        .answer()
}
