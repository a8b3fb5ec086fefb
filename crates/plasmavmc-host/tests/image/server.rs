//! An HTTP/1.1 server that answers as a test tells it to, byte by byte if need be.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// How many requests for this path came before.
    pub(crate) nth: usize,
    pub(crate) headers: HashMap<String, String>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte a `Range` asks for.
    pub(crate) fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What happens after the body, or after the part of it that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Close,
    /// The connection stays open and silent until the server is dropped.
    Silence,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Arc<Vec<u8>>,
    /// Where in `body` to begin.
    pub(crate) from: usize,
    /// Where in `body` to stop sending.
    pub(crate) until: usize,
    /// Bytes sent at once, and the time after each.
    pub(crate) pace: Option<(usize, Duration)>,
    pub(crate) after: After,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        let body = Arc::new(Vec::new());
        Self { status, headers: Vec::new(), body, from: 0, until: 0, pace: None, after: After::Close }
    }

    /// A whole file with its length.
    pub(crate) fn whole(body: &Arc<Vec<u8>>) -> Self {
        let length = body.len();
        Self { body: body.clone(), until: length, ..Self::status(200) }
            .with("Content-Length", &length.to_string())
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::whole(&Arc::new(text.as_bytes().to_vec()))
    }

    /// A file as a good server sends it: ranges, and a validator they depend on.
    pub(crate) fn file(seen: &Seen, body: &Arc<Vec<u8>>, etag: &str) -> Self {
        let fresh = seen.header("if-range").is_none_or(|validator| validator == etag);
        let answer = match seen.range() {
            Some(from) if fresh && from < body.len() => {
                let last = body.len() - 1;
                Self { from, until: body.len(), body: body.clone(), ..Self::status(206) }
                    .with("Content-Length", &(body.len() - from).to_string())
                    .with("Content-Range", &format!("bytes {from}-{last}/{}", body.len()))
            }
            Some(_) if fresh => Self::status(416)
                .with("Content-Range", &format!("bytes */{}", body.len()))
                .with("Content-Length", "0"),
            _ => Self::whole(body),
        };
        answer.with("ETag", etag)
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Sends only so many bytes of what it announced.
    #[must_use]
    pub(crate) fn cut(self, bytes: usize) -> Self {
        Self { until: self.from + bytes, ..self }
    }

    #[must_use]
    pub(crate) fn then(self, after: After) -> Self {
        Self { after, ..self }
    }

    #[must_use]
    pub(crate) fn paced(self, bytes: usize, pause: Duration) -> Self {
        Self { pace: Some((bytes, pause)), ..self }
    }
}

type Script = dyn Fn(&Seen) -> Option<Answer> + Send + Sync;

/// A running server; stops when dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request as `script` says; where it says nothing, the connection is closed
    /// without a byte.
    pub(crate) fn start(script: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let server = Self { addr, seen: Arc::clone(&seen), stop: stop.clone() };
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, stop, script) = (seen.clone(), stop.clone(), script.clone());
                thread::spawn(move || serve(&stream.unwrap(), &seen, &stop, &*script));
            }
        });
        server
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests so far for paths that end like this.
    pub(crate) fn seen_for(&self, end: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path.ends_with(end)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(stream: &TcpStream, log: &Mutex<Vec<Seen>>, stop: &AtomicBool, script: &Script) {
    let Some(mut seen) = read_request(stream) else { return };
    {
        let mut log = log.lock().unwrap();
        seen.nth = log.iter().filter(|other| other.path == seen.path).count();
        log.push(seen.clone());
    }
    let Some(answer) = script(&seen) else { return };
    // A client that went away is no fault of the server's.
    let _ = send(stream, &answer);
    let limit = Instant::now() + Duration::from_secs(60);
    while answer.after == After::Silence && !stop.load(Ordering::SeqCst) && Instant::now() < limit {
        thread::sleep(Duration::from_millis(5));
    }
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut seen = Seen { path, ..Seen::default() };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(seen)
}

fn send(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Told\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let body = &answer.body[answer.from.min(answer.body.len())..answer.until.min(answer.body.len())];
    let (step, pause) = answer.pace.unwrap_or((body.len().max(1), Duration::ZERO));
    for piece in body.chunks(step) {
        stream.write_all(piece)?;
        thread::sleep(pause);
    }
    Ok(())
}
