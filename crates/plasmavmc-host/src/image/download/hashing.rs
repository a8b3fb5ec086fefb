//! Hashes what is downloaded while it is written: each digest on a thread of its own.
//!
//! SHA-512 is slower than a fast network or disk, so it must not wait for either; a second digest
//! must not wait for the first. Tests: below.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::Digest as _;

use super::super::digest::{Sha256, Sha512};
use super::transport::Block;
use crate::{HostError, IoContext};

/// Blocks a hash may lag behind.
const BLOCKS_BEHIND: usize = 16;

/// Bytes read at a time from a file that is there.
const READ_BYTES: usize = 256 << 10;

/// Which digests are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digests {
    /// SHA-512: what the store goes by.
    Sha512,
    /// SHA-256 too: what the publisher gives.
    Both,
}

/// The digests of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) sha512: Sha512,
    pub(crate) sha256: Option<Sha256>,
}

/// The digests of the file at `path`, and its size in bytes.
///
/// # Errors
/// [`HostError`], also where the system gives no thread.
pub(crate) fn hash_file(path: &Path, digests: Digests) -> Result<(Hashed, u64), HostError> {
    let mut file = File::open(path).context("open", path)?;
    let hashing = Hashing::start(digests).context("start a thread to hash", path)?;
    let mut size = 0;
    loop {
        let mut block = Vec::with_capacity(READ_BYTES);
        let read = (&mut file).take(READ_BYTES as u64).read_to_end(&mut block).context("read", path)?;
        if read == 0 {
            return Ok((hashing.finish(), size));
        }
        size += read as u64;
        hashing.update(&Arc::new(block));
    }
}

/// A hash under way.
#[derive(Debug)]
pub(crate) struct Hashing {
    sha512: Lane<sha2::Sha512>,
    sha256: Option<Lane<sha2::Sha256>>,
}

impl Hashing {
    /// Starts with no bytes.
    ///
    /// # Errors
    /// The system's answer where it gives no thread.
    pub(crate) fn start(digests: Digests) -> io::Result<Self> {
        let sha256 = match digests {
            Digests::Sha512 => None,
            Digests::Both => Some(Lane::start()?),
        };
        Ok(Self { sha512: Lane::start()?, sha256 })
    }

    /// Adds the next bytes; waits where the hash lags far behind.
    pub(crate) fn update(&self, block: &Block) {
        self.sha512.update(block);
        if let Some(lane) = &self.sha256 {
            lane.update(block);
        }
    }

    /// The digests of all bytes.
    pub(crate) fn finish(self) -> Hashed {
        let sha256 = self.sha256.map(|lane| Sha256::from_bytes(lane.finish().finalize().into()));
        let sha512 = Sha512::from_bytes(self.sha512.finish().finalize().into());
        Hashed { sha512, sha256 }
    }
}

/// One digest and its thread, which ends when the sender is dropped.
#[derive(Debug)]
struct Lane<D> {
    blocks: SyncSender<Block>,
    thread: JoinHandle<D>,
}

impl<D: sha2::Digest + Send + 'static> Lane<D> {
    fn start() -> io::Result<Self> {
        let (blocks, received): (_, Receiver<Block>) = sync_channel(BLOCKS_BEHIND);
        let thread = thread::Builder::new().name("castra-hash".to_owned()).spawn(move || {
            let mut hash = D::new();
            for block in received {
                hash.update(block.as_slice());
            }
            hash
        })?;
        Ok(Self { blocks, thread })
    }

    fn update(&self, block: &Block) {
        self.blocks.send(block.clone()).expect("the thread receives until its sender is dropped");
    }

    fn finish(self) -> D {
        drop(self.blocks);
        self.thread.join().expect("hashing does not panic")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn both_digests_are_those_of_the_standard() {
        // FIPS 180-4's example "abc", in two blocks.
        let hashing = Hashing::start(Digests::Both).unwrap();
        hashing.update(&Arc::new(b"a".to_vec()));
        hashing.update(&Arc::new(b"bc".to_vec()));
        let hashed = hashing.finish();
        assert!(hashed.sha512.to_string().starts_with("ddaf35a193617abacc417349ae204131"));
        let sha256 = hashed.sha256.map(|digest| digest.to_string());
        assert_eq!(
            sha256.as_deref(),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
    }
}
