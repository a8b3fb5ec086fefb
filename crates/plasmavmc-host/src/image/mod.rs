//! Base images: found by name, downloaded once, verified before they have a name, kept once.
//!
//! ```text
//! Wanted ── resolve ──► Resolved ── Store::ensure ──► StoredImage ── Store::materialise ──► images/<file>
//!  name, pin            URL, digest    lock, download,    sha512/<hex>     reflink, hard link
//!                                      verify, rename                      or copy, + .sha512
//! ```
//!
//! Owns: the catalogue, publishers' checksum files, `castra.lock`, downloads and the store that all
//! workspaces share. Never does: read the environment or the home directory (faces hand values in),
//! decide when an image is needed, or build one. What happened is told through a callback
//! ([`ImageProgress`]). Tests: in each file; whole downloads against a server of our own with
//! faults in `crates/plasmavmc-host/tests/image`.

pub mod catalogue;
pub mod checksum;
mod digest;
mod download;
mod error;
pub mod file;
pub mod lockfile;
mod mirror;
mod name;
mod progress;
mod resolve;
mod store;

pub use catalogue::Arch;
pub use digest::{Algorithm, Digest, DigestError, Sha256, Sha512};
pub use download::{DownloadPolicy, FetchError};
pub use error::{Content, Difference, ImageError};
pub use lockfile::{Lockfile, LockfileError, Pin};
pub use mirror::{MIRROR_VARIABLE, Mirror, MirrorError};
pub use name::{ImageName, ImageNameError};
pub use progress::ImageProgress;
pub use resolve::{Expected, Freshness, Place, Resolved, Wanted, Web, resolve};
pub use store::{
    BaseInUse, Cached, Check, How, Listed, Materialised, Origin, Removed, Store, StoredImage, Unfinished,
};
