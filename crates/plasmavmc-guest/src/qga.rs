//! One session with a guest's `qemu-guest-agent`: the lesser channel of guests that have only that.
//! Without I/O, as [`crate::session`].
//!
//! ```text
//!  Syncing ── our number comes back ──► Asking ── guest-info ──► On ── guest-ping, every 2 s
//!     ▲                                                           │
//!     └────────────── no answer for long, or what is no answer ◄──┘
//! ```
//!
//! Its answers carry no numbers, so a session begins with `guest-sync-delimited`: what came before the
//! number that was asked for belongs to someone else. Only what Castra can ask of it counts as a
//! capability. The protocol: QEMU, `docs/interop/qemu-ga.rst` and `qga/qapi-schema.json`.
//! Tests: below; `fuzz/`.

use std::collections::VecDeque;

use castra_agent_proto::limits::{KEEPALIVE_MS, MAX_TEXT, capability};
use castra_agent_proto::request::ShutdownMode;
use serde_json::{Value, json};

/// The longest line that is read, in bytes. The answer to `guest-info` has some 4 KiB.
const LINE_MAX: usize = 64 * 1024;
/// Time between two attempts to reach an agent that does not answer.
const RESYNC_MS: u64 = 5_000;
/// Time without an answer after which a session begins anew.
const SILENCE_MS: u64 = 10_000;
/// Wishes that wait for their turn.
const WISHES_MAX: usize = 8;
/// Begins the answer to `guest-sync-delimited`, and makes an agent forget a line it has half of.
const SENTINEL: u8 = 0xFF;

/// What Castra asks of an agent that has the command.
const KNOWN: [(&str, &str); 2] =
    [("guest-set-time", capability::TIME), ("guest-shutdown", capability::SHUTDOWN)];

/// Something a session tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QgaEvent {
    /// The agent is there.
    Accepted {
        /// Its version.
        version: String,
        /// What can be asked of it, sorted.
        capabilities: Vec<String>,
    },
    /// It answered what was sent at that time.
    Alive {
        /// When.
        at_ms: u64,
    },
    /// It did what it was asked, or says why not.
    Answered {
        /// What [`Qga::ask_for`] was given.
        ticket: u64,
        /// Its words, where it did not.
        refusal: Option<String>,
    },
    /// It does not answer any more; what it was asked stays without an answer.
    Lost,
}

/// Something to be asked of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That the guest goes down. An agent that does so gives no answer.
    Shutdown(ShutdownMode),
    /// That its clock is set.
    SetTime {
        /// Nanoseconds since 1970, UTC.
        unix_ns: u64,
    },
}

/// What an agent was asked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Ping,
    Wish { ticket: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Syncing { id: u64, asked_at: u64 },
    Asking { asked_at: u64 },
    On { asked: Option<(u64, Question)>, heard_at: u64, next_ping: u64 },
}

/// A session.
#[derive(Debug)]
pub struct Qga {
    state: State,
    line: Vec<u8>,
    output: Vec<u8>,
    events: VecDeque<QgaEvent>,
    last_id: u64,
    wishes: VecDeque<(u64, Wish)>,
}

impl Qga {
    /// A session that begins now. `seed` tells it from those before.
    pub fn new(seed: u64, now: u64) -> Self {
        let state = State::Syncing { id: 0, asked_at: now };
        // A number of 52 bits: the agent takes numbers for JSON's.
        let last_id = seed >> 12;
        let mut qga = Self {
            state,
            line: Vec::new(),
            output: Vec::new(),
            events: VecDeque::new(),
            last_id,
            wishes: VecDeque::new(),
        };
        qga.sync(now);
        qga
    }

    /// Whether the agent answers.
    pub fn is_on(&self) -> bool {
        matches!(self.state, State::On { .. })
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<QgaEvent> {
        self.events.pop_front()
    }

    /// What is to be written to the agent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Asks the agent for something, in its turn; false where too much waits, or nobody is there.
    #[must_use]
    pub fn ask_for(&mut self, ticket: u64, wish: Wish, now: u64) -> bool {
        let fits = self.is_on() && self.wishes.len() < WISHES_MAX;
        if fits {
            self.wishes.push_back((ticket, wish));
            self.next_question(now);
        }
        fits
    }

    /// When [`Self::tick`] wants to be called.
    pub fn deadline(&self) -> u64 {
        match self.state {
            State::Syncing { asked_at, .. } | State::Asking { asked_at } => asked_at + RESYNC_MS,
            State::On { next_ping, .. } => next_ping,
        }
    }

    /// Does what is due. `unsent` bytes of its output could not be written yet.
    pub fn tick(&mut self, now: u64, unsent: usize) {
        if now < self.deadline() {
            return;
        }
        match &mut self.state {
            // An agent that reads nothing has the last attempt still before it.
            State::Syncing { asked_at, .. } | State::Asking { asked_at } if unsent > 0 => *asked_at = now,
            State::On { heard_at, .. } if now.saturating_sub(*heard_at) >= SILENCE_MS => self.lose(now),
            State::Syncing { .. } | State::Asking { .. } => self.sync(now),
            State::On { asked, next_ping, .. } => {
                *next_ping = (now / KEEPALIVE_MS + 1) * KEEPALIVE_MS;
                if asked.is_none() && unsent == 0 {
                    *asked = Some((now, Question::Ping));
                    self.ask("guest-ping");
                }
            }
        }
    }

    /// Takes what the agent sent.
    pub fn receive(&mut self, bytes: &[u8], now: u64) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.answer(&line, now);
                }
                &SENTINEL => self.line.clear(),
                _ if self.line.len() < LINE_MAX => self.line.push(*byte),
                // Too long for any answer: what is kept of it will be none.
                _ => {}
            }
        }
    }

    fn answer(&mut self, line: &[u8], now: u64) {
        let Ok(answer) = serde_json::from_slice::<Value>(line) else { return };
        match self.state {
            State::Syncing { id, .. } => {
                if answer["return"].as_u64() == Some(id) {
                    self.state = State::Asking { asked_at: now };
                    self.ask("guest-info");
                }
            }
            State::Asking { asked_at } => {
                if let Some(info) = answer.get("return") {
                    self.accept(info, asked_at, now);
                }
            }
            State::On { asked: Some((at_ms, question)), .. } => {
                if let State::On { asked, heard_at, .. } = &mut self.state {
                    (*asked, *heard_at) = (None, now);
                }
                self.events.push_back(QgaEvent::Alive { at_ms });
                if let Question::Wish { ticket } = question {
                    let refusal = answer.get("error").map(|error| plain(&error["desc"]));
                    self.events.push_back(QgaEvent::Answered { ticket, refusal });
                }
                self.next_question(now);
            }
            State::On { asked: None, .. } => {}
        }
    }

    /// Asks the next thing that waits. One question at a time: answers carry no numbers.
    fn next_question(&mut self, now: u64) {
        let State::On { asked, .. } = &mut self.state else { return };
        if asked.is_some() {
            return;
        }
        let Some((ticket, wish)) = self.wishes.pop_front() else { return };
        match wish {
            Wish::Shutdown(mode) => {
                let mode = match mode {
                    ShutdownMode::Poweroff => "powerdown",
                    ShutdownMode::Reboot => "reboot",
                };
                self.say(&json!({ "execute": "guest-shutdown", "arguments": { "mode": mode } }));
                self.events.push_back(QgaEvent::Answered { ticket, refusal: None });
            }
            Wish::SetTime { unix_ns } => {
                *asked = Some((now, Question::Wish { ticket }));
                self.say(&json!({ "execute": "guest-set-time", "arguments": { "time": unix_ns } }));
            }
        }
    }

    fn accept(&mut self, info: &Value, asked_at: u64, now: u64) {
        let commands = info["supported_commands"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |name: &str| commands.iter().any(|it| it["name"] == name && it["enabled"] == true);
        let capabilities =
            KNOWN.iter().filter(|(command, _)| has(command)).map(|(_, name)| (*name).to_owned());
        let mut capabilities: Vec<String> = capabilities.collect();
        capabilities.sort();
        let version = plain(&info["version"]);
        let next_ping = (now / KEEPALIVE_MS + 1) * KEEPALIVE_MS;
        self.state = State::On { asked: None, heard_at: now, next_ping };
        self.events.push_back(QgaEvent::Accepted { version, capabilities });
        self.events.push_back(QgaEvent::Alive { at_ms: asked_at });
    }

    fn lose(&mut self, now: u64) {
        self.wishes.clear();
        self.events.push_back(QgaEvent::Lost);
        self.sync(now);
    }

    fn sync(&mut self, now: u64) {
        self.last_id += 1;
        self.line.clear();
        self.output.push(SENTINEL);
        let id = self.last_id;
        self.say(&json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } }));
        self.state = State::Syncing { id, asked_at: now };
    }

    fn ask(&mut self, command: &str) {
        self.say(&json!({ "execute": command }));
    }

    fn say(&mut self, command: &Value) {
        self.output.extend(command.to_string().bytes());
        self.output.push(b'\n');
    }
}

/// An agent's words as one short line of printable ASCII.
fn plain(words: &Value) -> String {
    let words = words.as_str().unwrap_or_default();
    words.chars().filter(|c| matches!(c, ' '..='~')).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests;
