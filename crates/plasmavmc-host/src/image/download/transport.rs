//! One HTTP request, on a thread of its own that has the only async code of the local faces.
//!
//! The caller gets the head of the answer, then blocks of its body through a bounded channel: a slow
//! disk slows the server down instead of filling memory. Every wait inside is bounded: connecting by
//! `connect`, each read by `stall`, the whole by a floor on the speed. A dropped [`Body`] ends the
//! thread at its next block. Tests: `crates/plasmavmc-host/tests/image/faults.rs`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_types::ByteSize;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};

use super::DownloadPolicy;
use super::error::{FetchError, RedirectFault};

/// Bytes of the body, shared between the disk and the hashes.
pub(super) type Block = Arc<Vec<u8>>;

/// The size of a full block: large enough that threads meet rarely, small enough for the cache.
const BLOCK_BYTES: usize = 256 << 10;

/// Blocks between the network and the disk.
const BLOCKS_AHEAD: usize = 16;

/// A block is handed on after this time even if it is not full, so that progress shows and little
/// is lost when the process is killed.
const BLOCK_TIME: Duration = Duration::from_millis(100);

/// The slowest server that is waited for: 1 KiB/s, over four stall times.
const FLOOR_BYTES_PER_SEC: u64 = 1 << 10;

/// Whether caches on the way may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    Allowed,
    Bypassed,
}

/// Whether a redirect may lead from https to http.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Downgrade {
    /// For images: their digest is known from elsewhere.
    Allowed,
    /// For checksum files: they are what the trust rests on.
    Refused,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) url: String,
    /// Where to go on, and the validator of the bytes before it.
    pub(super) resume: Option<(u64, String)>,
    pub(super) cache: Cache,
    pub(super) downgrade: Downgrade,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
    pub(super) content_range: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

/// The body of an answer, block by block.
pub(super) struct Body {
    messages: Receiver<Message>,
}

enum Message {
    Head(Head),
    Block(Block),
    End,
    Failed(FetchError),
}

impl Body {
    /// The next bytes; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Block>, FetchError> {
        match self.messages.recv() {
            Ok(Message::Block(block)) => Ok(Some(block)),
            Ok(Message::End) => Ok(None),
            Ok(Message::Failed(error)) => Err(error),
            Ok(Message::Head(_)) | Err(_) => Err(FetchError::Vanished),
        }
    }
}

/// Sends a request and waits for the head of its answer.
pub(super) fn open(request: Request, policy: &DownloadPolicy) -> Result<(Head, Body), FetchError> {
    let (sender, messages) = sync_channel(BLOCKS_AHEAD);
    let limits = Limits { connect: policy.connect, stall: policy.stall, redirects: policy.redirects };
    thread::Builder::new()
        .name("castra-fetch".to_owned())
        .spawn(move || serve(&request, limits, &sender))
        .map_err(|source| FetchError::Start { source })?;
    match messages.recv() {
        Ok(Message::Head(head)) => Ok((head, Body { messages })),
        Ok(Message::Failed(error)) => Err(error),
        Ok(_) | Err(_) => Err(FetchError::Vanished),
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    stall: Duration,
    redirects: usize,
}

fn serve(request: &Request, limits: Limits, sender: &SyncSender<Message>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = sender.send(Message::Failed(FetchError::Start { source }));
            return;
        }
    };
    let last = runtime.block_on(transfer(request, limits, sender));
    // A name lookup that hangs must not hold the thread.
    runtime.shutdown_background();
    // Nobody listens any more where the body was dropped.
    let _ = sender.send(last.map_or_else(Message::Failed, |()| Message::End));
}

async fn transfer(request: &Request, limits: Limits, sender: &SyncSender<Message>) -> Result<(), FetchError> {
    let url: Url = request.url.parse().map_err(|_| FetchError::NotAUrl { url: request.url.clone() })?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let failed = |error| FetchError::from_client(error, &host, limits.stall);
    let client = client(&url, request.downgrade, limits).map_err(failed)?;
    let asked = client.get(url).headers(headers(request));
    let mut response = asked.send().await.map_err(failed)?;
    if sender.send(Message::Head(Head::of(&response))).is_err() {
        return Ok(());
    }
    let mut pace = Pace::new(limits.stall);
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut begun = Instant::now();
    loop {
        let (ended, fault) = match response.chunk().await.map_err(failed) {
            Ok(Some(bytes)) => {
                block.extend_from_slice(&bytes);
                (false, pace.received(bytes.len()).err())
            }
            Ok(None) => (true, None),
            Err(error) => (false, Some(error)),
        };
        let stop = ended || fault.is_some();
        if !block.is_empty() && (stop || block.len() >= BLOCK_BYTES || begun.elapsed() >= BLOCK_TIME) {
            let full = std::mem::replace(&mut block, Vec::with_capacity(BLOCK_BYTES));
            if sender.send(Message::Block(Arc::new(full))).is_err() {
                return Ok(());
            }
            begun = Instant::now();
        }
        if stop {
            return fault.map_or(Ok(()), Err);
        }
    }
}

fn client(url: &Url, downgrade: Downgrade, limits: Limits) -> reqwest::Result<Client> {
    // Of two callers only the first installs it, and both go on with the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let follow = redirect::Policy::custom(move |attempt| {
        match redirect_fault(attempt.previous(), attempt.url(), downgrade, limits.redirects) {
            Some(fault) => attempt.error(fault),
            None => attempt.follow(),
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("castra/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .read_timeout(limits.stall)
        .redirect(follow)
        .referer(false)
        .pool_max_idle_per_host(0);
    // No proxy leads to this host itself.
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if local { builder.no_proxy() } else { builder }.build()
}

/// Why a redirect from `previous`, the URLs so far, to `next` is not followed.
fn redirect_fault(previous: &[Url], next: &Url, downgrade: Downgrade, limit: usize) -> Option<RedirectFault> {
    let from_https = previous.last().is_some_and(|url| url.scheme() == "https");
    if previous.len() > limit {
        Some(RedirectFault::TooMany { limit })
    } else if downgrade == Downgrade::Refused && from_https && next.scheme() != "https" {
        Some(RedirectFault::Downgrade { to: next.to_string() })
    } else {
        None
    }
}

fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if request.cache == Cache::Bypassed {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some((from, validator)) = &request.resume
        && let Ok(validator) = HeaderValue::from_str(validator)
    {
        headers.insert(
            header::RANGE,
            HeaderValue::try_from(format!("bytes={from}-")).expect("digits are visible ASCII"),
        );
        headers.insert(header::IF_RANGE, validator);
    }
    headers
}

impl Head {
    fn of(response: &reqwest::Response) -> Self {
        let text = |name: HeaderName| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(|text| text.trim().to_owned())
        };
        let number = |name: HeaderName| text(name).and_then(|text| text.parse::<u64>().ok());
        Self {
            status: response.status().as_u16(),
            content_length: number(header::CONTENT_LENGTH),
            content_range: text(header::CONTENT_RANGE),
            content_type: text(header::CONTENT_TYPE),
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            retry_after: number(header::RETRY_AFTER).map(Duration::from_secs),
        }
    }
}

/// Sees to it that a server that sends a byte now and then does not hold us for ever.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(stall: Duration) -> Self {
        Self { window: stall * 4, since: Instant::now(), bytes: 0 }
    }

    fn received(&mut self, bytes: usize) -> Result<(), FetchError> {
        self.bytes += bytes as u64;
        if self.since.elapsed() < self.window {
            return Ok(());
        }
        let floor = FLOOR_BYTES_PER_SEC * self.window.as_secs().max(1);
        if self.bytes < floor {
            return Err(FetchError::Slow { floor: ByteSize::bytes(floor), window: self.window });
        }
        (self.since, self.bytes) = (Instant::now(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_file_never_comes_over_an_open_connection() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let (safe, open) = (url("https://a.example/x"), url("http://b.example/x"));
        let fault =
            |from: &Url, to: &Url, downgrade| redirect_fault(std::slice::from_ref(from), to, downgrade, 3);
        assert!(matches!(fault(&safe, &open, Downgrade::Refused), Some(RedirectFault::Downgrade { .. })));
        assert!(fault(&safe, &open, Downgrade::Allowed).is_none());
        assert!(fault(&safe, &safe, Downgrade::Refused).is_none());
        // A mirror somebody named with http is their choice.
        assert!(fault(&open, &open, Downgrade::Refused).is_none());
        let many = vec![safe.clone(); 4];
        assert!(matches!(
            redirect_fault(&many, &safe, Downgrade::Allowed, 3),
            Some(RedirectFault::TooMany { limit: 3 })
        ));
    }
}
