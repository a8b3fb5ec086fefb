//! A project's virtual machines on plain QEMU, described in `castra.toml`.
//!
//! ```text
//! castra.toml ──config──► Project ──core──► plan, drive ──► events, outcomes
//! ```
//!
//! This is the library behind the `castra` command. It never prints, and reads the process's
//! environment in one place only ([`env::UserDirs::from_process`]).

#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod core;
pub mod env;

// The examples of the page are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
struct Library;
