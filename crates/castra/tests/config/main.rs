//! `castra.toml` through the public interface of the library: what it means, and every fault.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up shall fail where it stands")]

mod faults;
mod properties;
mod resolve;
mod schema;

use std::path::Path;

use castra::config::{Environment, FILE_NAME};
use castra::env::UserDirs;

/// The user every test runs as.
fn dirs() -> UserDirs {
    UserDirs::from_values(None, Some("/home/me".into())).unwrap()
}

/// The config every test reads: `/src/web/castra.toml`.
fn env() -> Environment {
    Environment::new(Path::new("/src/web").join(FILE_NAME), &dirs())
}
