//! Gets bytes from a server into a part file: resumes, retries, hashes on the way.
//!
//! ```text
//!  thread castra-fetch       caller                     threads castra-hash
//!  network ── blocks ──►  part file, progress ── blocks ──► SHA-512 (and SHA-256)
//! ```
//! Owns: one download from the first try to the last. Never does: decide whether the bytes are the
//! right ones, or give them a name: the store does both. The part file survives every failure but a
//! wrong size, so that the next call goes on where this one ended.
//! Tests: in each file; whole downloads in `crates/plasmavmc-host/tests/image`.

mod backoff;
mod error;
mod flush;
mod hashing;
mod part;
mod response;
mod transport;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_types::ByteSize;

pub use error::FetchError;
pub(crate) use hashing::{Digests, Hashed, Hashing, hash_file};
pub(crate) use part::{Part, peek, remove_part};
pub(crate) use transport::Cache;

use super::mirror::Mirror;
use super::progress::ImageProgress;
use crate::{HostError, IoContext};
use backoff::Backoff;
use flush::EarlyFlush;
use part::Note;
use response::{Verdict, judge};
use transport::{Block, Body, Downgrade, Request};

/// How a download behaves when the network does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadPolicy {
    /// The server that takes the place of every publisher's.
    pub mirror: Option<Mirror>,
    /// Tries in a row that get no further; at least one is made.
    pub tries: u32,
    /// Time before the second try; it doubles with each one after.
    pub first_wait: Duration,
    /// The longest time between two tries.
    pub longest_wait: Duration,
    /// Time to look up, connect and shake hands.
    pub connect: Duration,
    /// Time without a byte after which a server counts as stalled.
    pub stall: Duration,
    /// Redirects that are followed.
    pub redirects: usize,
    /// The largest image.
    pub largest: ByteSize,
    /// Time without headway after which a download in another command is no longer waited for.
    pub patience: Duration,
    /// Time between two reports of progress.
    pub report_every: Duration,
}

impl Default for DownloadPolicy {
    fn default() -> Self {
        Self {
            mirror: None,
            tries: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            redirects: 10,
            largest: ByteSize::bytes(64 << 30),
            // Longer than all waits of one holder together, so that only a stuck one is given up.
            patience: Duration::from_secs(300),
            report_every: Duration::from_millis(100),
        }
    }
}

/// What is to be downloaded.
#[derive(Debug, Clone)]
pub(crate) struct Job<'a> {
    /// The image, for reports.
    pub(crate) image: &'a str,
    /// Where it is, the mirror applied.
    pub(crate) url: &'a str,
    /// The same, as it may be shown and kept.
    pub(crate) shown_url: &'a str,
    /// Its size, where a pin says it.
    pub(crate) size_bytes: Option<u64>,
    /// How its first bytes must be.
    pub(crate) magic: &'static [u8],
    /// Which digests are wanted.
    pub(crate) digests: Digests,
    /// Whether caches on the way may answer.
    pub(crate) cache: Cache,
}

/// What was downloaded; the bytes are in the part file, durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) hashed: Hashed,
    pub(crate) size_bytes: u64,
    pub(crate) validator: Option<String>,
}

/// Why nothing was downloaded.
#[derive(Debug)]
pub(crate) enum DownloadError {
    /// The network or the server.
    Fetch(FetchError),
    /// The server has a file of another size than the pin says.
    Size { expected: u64, actual: u64 },
    /// The disk.
    Host(HostError),
}

impl From<FetchError> for DownloadError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<HostError> for DownloadError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

/// Hears what happens to an image.
pub(crate) type Report<'a> = dyn FnMut(ImageProgress) + 'a;

/// Downloads `job` into `part`.
pub(crate) fn download(
    job: &Job<'_>,
    part: &mut Part,
    policy: &DownloadPolicy,
    report: &mut Report<'_>,
) -> Result<Fetched, DownloadError> {
    let usable = part.note().is_some_and(|note| note.url == job.shown_url && note.validator.is_some());
    if !usable || job.cache == Cache::Bypassed {
        part.clear()?;
    }
    let hashing = start_hashing(job.digests)?;
    part.read_back(|block| hashing.update(&Arc::new(block)))?;
    let flush = EarlyFlush::start(part.handle().context("open", part.path())?);
    let mut transfer = Transfer { job, policy, part, hashing, flush, reported: None };
    let mut backoff = Backoff::default();
    while let Err(error) = transfer.attempt(report) {
        let DownloadError::Fetch(fault) = &error else { return Err(error) };
        let Some(wait) = backoff.after(fault, transfer.part.len(), policy) else { return Err(error) };
        report(ImageProgress::Retried { image: job.image.to_owned(), reason: fault.chain(), wait });
        thread::sleep(wait);
    }
    transfer.finish()
}

fn start_hashing(digests: Digests) -> Result<Hashing, FetchError> {
    Hashing::start(digests).map_err(|source| FetchError::Start { source })
}

/// One download under way. Invariant: `hashing` has had exactly the bytes that `part` has.
struct Transfer<'a> {
    job: &'a Job<'a>,
    policy: &'a DownloadPolicy,
    part: &'a mut Part,
    hashing: Hashing,
    flush: EarlyFlush,
    reported: Option<Instant>,
}

impl Transfer<'_> {
    /// One request, to its end.
    fn attempt(&mut self, report: &mut Report<'_>) -> Result<(), DownloadError> {
        let from = self.part.len();
        let validator = self.part.note().and_then(|note| note.validator.clone());
        let resume = validator.filter(|_| from > 0).map(|validator| (from, validator));
        if resume.is_none() {
            self.restart()?;
        }
        let from = self.part.len();
        let request = Request {
            url: self.job.url.to_owned(),
            resume,
            cache: self.job.cache,
            downgrade: Downgrade::Allowed,
        };
        let (head, body) = transport::open(request, self.policy)?;
        let total = match judge(&head, from) {
            Verdict::Append { total } => total,
            Verdict::Whole { total, validator } => {
                self.restart()?;
                self.part.begin(Note {
                    url: self.job.shown_url.to_owned(),
                    validator,
                    total_bytes: total,
                })?;
                total
            }
            Verdict::Complete => return self.check_size(from),
            Verdict::StartOver(fault) => {
                self.restart()?;
                return Err(fault.into());
            }
            Verdict::Refuse(fault) => return Err(fault.into()),
        };
        self.admit(total)?;
        report(ImageProgress::Started {
            image: self.job.image.to_owned(),
            url: self.job.shown_url.to_owned(),
            resumed_bytes: self.part.len(),
            total_bytes: total,
        });
        self.receive(body, total, report)
    }

    /// Refuses a file that cannot be right or does not fit, before its first byte.
    fn admit(&mut self, total: Option<u64>) -> Result<(), DownloadError> {
        let Some(total) = total else { return Ok(()) };
        self.check_size(total)?;
        self.check_limit(total)?;
        let dir = self.part.path().parent().unwrap_or(Path::new("."));
        ensure_space(dir, total.saturating_sub(self.part.len()))?;
        Ok(())
    }

    fn receive(
        &mut self,
        mut body: Body,
        total: Option<u64>,
        report: &mut Report<'_>,
    ) -> Result<(), DownloadError> {
        while let Some(block) = body.next()? {
            self.append(&block)?;
            self.progress(total, report);
        }
        self.reported = None;
        self.progress(total, report);
        let sent = self.part.len();
        if let Some(announced) = total.filter(|announced| *announced != sent) {
            self.restart()?;
            return Err(FetchError::Length { announced, sent }.into());
        }
        self.check_size(sent)
    }

    fn append(&mut self, block: &Block) -> Result<(), DownloadError> {
        let magic = self.job.magic;
        if self.part.len() == 0 && block.len() >= magic.len() && !block.starts_with(magic) {
            let found = "a file that does not begin as a disk image does".to_owned();
            self.part.clear()?;
            return Err(FetchError::NotAnImage { found }.into());
        }
        self.check_limit(self.part.len() + block.len() as u64)?;
        self.part.append(block)?;
        self.hashing.update(block);
        self.flush.written(block.len());
        Ok(())
    }

    fn check_limit(&self, size: u64) -> Result<(), FetchError> {
        let limit = self.policy.largest;
        if size > limit.as_bytes() { Err(FetchError::TooLarge { limit }) } else { Ok(()) }
    }

    fn check_size(&mut self, actual: u64) -> Result<(), DownloadError> {
        match self.job.size_bytes {
            Some(expected) if expected != actual => {
                self.restart()?;
                Err(DownloadError::Size { expected, actual })
            }
            _ => Ok(()),
        }
    }

    /// Forgets all bytes, here and in the hash.
    fn restart(&mut self) -> Result<(), DownloadError> {
        self.part.clear()?;
        self.hashing = start_hashing(self.job.digests)?;
        Ok(())
    }

    fn progress(&mut self, total: Option<u64>, report: &mut Report<'_>) {
        if self.reported.is_some_and(|last| last.elapsed() < self.policy.report_every) {
            return;
        }
        self.reported = Some(Instant::now());
        report(ImageProgress::Progress {
            image: self.job.image.to_owned(),
            done_bytes: self.part.len(),
            total_bytes: total,
        });
    }

    fn finish(self) -> Result<Fetched, DownloadError> {
        self.flush.finish();
        self.part.sync()?;
        let validator = self.part.note().and_then(|note| note.validator.clone());
        Ok(Fetched { hashed: self.hashing.finish(), size_bytes: self.part.len(), validator })
    }
}

/// Refuses to begin what the disk of `dir` cannot hold.
pub(crate) fn ensure_space(dir: &Path, needed: u64) -> Result<(), HostError> {
    let stat = rustix::fs::statvfs(dir).context("measure the free space of", dir)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let (needed, free) = (ByteSize::bytes(needed), ByteSize::bytes(free));
    let reason = format!("{needed} are needed and {free} are free");
    Err(std::io::Error::new(std::io::ErrorKind::StorageFull, reason)).context("write to", dir)
}

/// Fetches a small file whole, with the same retries.
pub(crate) fn fetch_small(
    image: &str,
    url: &str,
    limit: ByteSize,
    cache: Cache,
    policy: &DownloadPolicy,
    report: &mut Report<'_>,
) -> Result<Vec<u8>, FetchError> {
    let mut backoff = Backoff::default();
    loop {
        let request = Request { url: url.to_owned(), resume: None, cache, downgrade: Downgrade::Refused };
        let fault = match small_attempt(request, limit, policy) {
            Ok(bytes) => return Ok(bytes),
            Err(fault) => fault,
        };
        let Some(wait) = backoff.after(&fault, 0, policy) else { return Err(fault) };
        report(ImageProgress::Retried { image: image.to_owned(), reason: fault.chain(), wait });
        thread::sleep(wait);
    }
}

fn small_attempt(request: Request, limit: ByteSize, policy: &DownloadPolicy) -> Result<Vec<u8>, FetchError> {
    let (head, mut body) = transport::open(request, policy)?;
    if head.status != 200 {
        return Err(FetchError::Status { status: head.status, retry_after: head.retry_after });
    }
    let mut bytes = Vec::new();
    while let Some(block) = body.next()? {
        bytes.extend_from_slice(&block);
        if bytes.len() as u64 > limit.as_bytes() {
            return Err(FetchError::TooLarge { limit });
        }
    }
    Ok(bytes)
}
