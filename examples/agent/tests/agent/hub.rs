//! A hub in a thread: real HTTP, the real wire crate, real position rules, and answers on demand.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use monsys_agent::Clock;
use monsys_core::id::AgentId;
use monsys_core::position::{Admission, ContentHash, Position, PositionSet};
use monsys_wire::answer::{Acknowledgement, AgentSelf, problem_json};
use monsys_wire::envelope::{Admitted, AuthProfile, BodyForm, Credentials, Received, Scratch};
use monsys_wire::pin::PinRequest;
use monsys_wire::{Audience, BearerToken, Reject, VerifyingKey};

/// What the next payload is answered with, in place of the truth.
pub(crate) enum Reply {
    /// This status, these header lines, this body.
    Raw(u16, &'static str, String),
    /// The refusal as a hub writes it.
    Refuse(Reject),
    /// The payload is stored and the connection is cut before the answer.
    CutAfterStoring,
    /// The connection is cut at once.
    Cut,
    /// No answer; the connection stays open.
    Silence,
    /// An acknowledgement, one byte after each such time; the payload is not stored.
    Slowly(Duration),
}

/// A payload that arrived and verified.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) position: Position,
    pub(crate) content: ContentHash,
    pub(crate) admission: Option<Admission>,
    pub(crate) body: String,
}

#[derive(Default)]
struct State {
    pinned: Option<VerifyingKey>,
    replies: VecDeque<Reply>,
    positions: PositionSet,
    contents: BTreeMap<Position, ContentHash>,
    arrived: Vec<Arrived>,
    n_pins: usize,
    silent: Vec<TcpStream>,
}

pub(crate) struct Hub {
    url: String,
    pub(crate) agent_id: AgentId,
    pub(crate) token: String,
    state: Arc<Mutex<State>>,
    events: Receiver<()>,
}

impl Hub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut random = [0; 32];
        getrandom::fill(&mut random).unwrap();
        let token = BearerToken::from_random_bytes(random)
            .expose_text()
            .to_owned();
        let agent_id = AgentId::from_bytes(*random.first_chunk().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (sender, events) = channel();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, events) = (Arc::clone(&shared), sender.clone());
                thread::spawn(move || serve(stream.unwrap(), agent_id, &state, &events));
            }
        });
        Self {
            url,
            agent_id,
            token,
            state,
            events,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn answer_next(&self, reply: Reply) {
        self.state.lock().unwrap().replies.push_back(reply);
    }

    /// Answers the truth from here on.
    pub(crate) fn take_back_replies(&self) {
        self.state.lock().unwrap().replies.clear();
    }

    /// Takes over what an agent of the past delivered, or forgets it.
    pub(crate) fn set_positions(&self, positions: PositionSet) {
        self.state.lock().unwrap().positions = positions;
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.state.lock().unwrap().arrived.clone()
    }

    pub(crate) fn n_pins(&self) -> usize {
        self.state.lock().unwrap().n_pins
    }

    pub(crate) fn pinned(&self) -> Option<String> {
        self.state
            .lock()
            .unwrap()
            .pinned
            .as_ref()
            .map(ToString::to_string)
    }

    pub(crate) fn pin(&self, key: &VerifyingKey) {
        self.state.lock().unwrap().pinned = Some(key.clone());
    }

    /// One event for each payload, however it was answered.
    pub(crate) const fn events(&self) -> &Receiver<()> {
        &self.events
    }
}

/// An address where every connection is closed at once.
pub(crate) fn closed_door() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().for_each(drop));
    url
}

fn audience() -> Audience {
    Audience::parse("test-hub").unwrap()
}

struct Request {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn serve(stream: TcpStream, agent_id: AgentId, state: &Mutex<State>, events: &Sender<()>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        let mut state = state.lock().unwrap();
        let answer = if request.line.starts_with("GET /api/v1/agents/self ") {
            Some((200, "", self_json(agent_id, &state)))
        } else if request.line.starts_with("POST /api/v1/agents/pin ") {
            Some(pin(agent_id, &request.body, &mut state))
        } else {
            assert!(
                request.line.starts_with("POST /api/v1/ingest "),
                "{}",
                request.line
            );
            let reply = state.replies.pop_front();
            if let Some(Reply::Slowly(each)) = reply {
                drop(state);
                let _ = events.send(());
                return write_slowly(&mut writer, each);
            }
            let answer = ingest(agent_id, &request, reply, &mut state, &writer);
            let _ = events.send(());
            answer
        };
        drop(state);
        let Some((status, headers, body)) = answer else {
            return;
        };
        let length = body.len();
        // In one piece, or the second one waits for the network to acknowledge the first.
        let whole =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        if writer.write_all(whole.as_bytes()).is_err() {
            return;
        }
    }
}

fn write_slowly(writer: &mut TcpStream, each: Duration) {
    let body = Acknowledgement::Accepted.to_json(Clock::system().now());
    let length = body.len();
    let answer = format!("HTTP/1.1 202 x\r\ncontent-length: {length}\r\n\r\n{body}");
    // Nobody sends, so that each look at the channel takes its time.
    let (_silent, time) = channel::<()>();
    for byte in answer.bytes() {
        if writer.write_all(&[byte]).is_err() {
            return;
        }
        let _ = time.recv_timeout(each);
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line,
        headers,
        body,
    })
}

type Answer = (u16, &'static str, String);

fn ingest(
    agent_id: AgentId,
    request: &Request,
    reply: Option<Reply>,
    state: &mut State,
    stream: &TcpStream,
) -> Option<Answer> {
    let admitted = verify(agent_id, request, state);
    let mut arrived = Arrived {
        position: admitted.position,
        content: admitted.content_hash,
        admission: None,
        body: String::from_utf8(request.body.clone()).unwrap(),
    };
    let truth = match reply {
        None => Some(store(&mut arrived, state)),
        Some(Reply::Raw(status, headers, body)) => Some((status, headers, body)),
        Some(Reply::Refuse(reject)) => Some(refuse(&reject)),
        Some(Reply::CutAfterStoring) => {
            store(&mut arrived, state);
            None
        }
        Some(Reply::Cut | Reply::Slowly(_)) => None,
        Some(Reply::Silence) => {
            state.silent.push(stream.try_clone().unwrap());
            None
        }
    };
    state.arrived.push(arrived);
    truth
}

/// Whatever the agent sends is canonical, signed by the pinned key, and follows the schema.
fn verify(agent_id: AgentId, request: &Request, state: &State) -> Admitted {
    let pinned = state.pinned.clone().unwrap();
    let owner = Credentials::new(agent_id, AuthProfile::Ed25519).with_pinned_key(&pinned);
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()));
    let mut scratch = Scratch::new();
    Received::new(&request.body, headers)
        .and_then(|received| {
            received
                .authenticate(&owner, BodyForm::Require, &mut scratch)?
                .fresh(&audience())?
                .admit()
        })
        .unwrap()
}

fn store(arrived: &mut Arrived, state: &mut State) -> Answer {
    let stored = state.contents.get(&arrived.position).copied();
    let admission = state
        .positions
        .admit(arrived.position, arrived.content, stored);
    arrived.admission = Some(admission);
    let now = Clock::system().now();
    let acknowledge = |word: Acknowledgement| (word.status(), "", word.to_json(now));
    match admission {
        Admission::Fresh { .. } => {
            state.contents.insert(arrived.position, arrived.content);
            acknowledge(Acknowledgement::Accepted)
        }
        Admission::Duplicate => acknowledge(Acknowledgement::Duplicate),
        Admission::Replay | Admission::GivenUp => refuse(&Reject::Replay),
        Admission::StaleEpoch { min_epoch } => refuse(&Reject::StaleEpoch { min_epoch }),
        Admission::OutOfRange => panic!("position out of range"),
    }
}

fn refuse(reject: &Reject) -> Answer {
    (
        reject.status(),
        "",
        problem_json(reject, Clock::system().now()),
    )
}

fn self_json(agent_id: AgentId, state: &State) -> String {
    AgentSelf {
        agent_id,
        audience: audience(),
        org: "org".to_owned(),
        name: "this-machine".to_owned(),
        pinned: state.pinned.clone(),
        server_time: Clock::system().now(),
    }
    .to_json()
}

fn pin(agent_id: AgentId, body: &[u8], state: &mut State) -> Answer {
    let key = PinRequest::parse(body)
        .unwrap()
        .verify(&audience(), agent_id)
        .unwrap();
    state.n_pins += 1;
    match &state.pinned {
        Some(pinned) if *pinned != key => refuse(&Reject::PinRefused),
        Some(_) | None => {
            state.pinned = Some(key);
            (200, "", "{}".to_owned())
        }
    }
}

pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let name = format!("monsys-agent-test-{:032x}", getrandom::u64().unwrap());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
