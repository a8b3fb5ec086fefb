//! What an error tells beyond its text: its kind, and what to do next.
//!
//! Every error that can reach a person implements [`Explain`]. The edge that prints it adds the
//! causes from `source()`, so a `Display` never repeats its source.

use std::error::Error;

use serde::Serialize;

/// The kind of a failure. Decides the exit code, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A fault in Castra, or one it has no better word for.
    Internal,
    /// The command line asks for something that does not exist or does not fit together.
    Usage,
    /// The configuration file is missing or wrong.
    Config,
    /// The host lacks something: a program, a permission, memory, disk space.
    Preflight,
    /// A base image cannot be had, or is not what it should be.
    Image,
    /// Something else holds what is needed: a port, a lock, a running VM.
    Conflict,
    /// The VM did not start.
    Launch,
    /// Something took longer than it was allowed to.
    Timeout,
    /// A file, socket or process operation failed.
    Io,
    /// What a VM was to be set up with failed in its guest; the VM runs.
    Bootstrap,
}

impl ErrorKind {
    /// Every kind, in the order of its exit code.
    pub const ALL: [Self; 10] = [
        Self::Internal,
        Self::Usage,
        Self::Config,
        Self::Preflight,
        Self::Image,
        Self::Conflict,
        Self::Launch,
        Self::Timeout,
        Self::Io,
        Self::Bootstrap,
    ];
}

/// An error that can tell its kind and the next step.
pub trait Explain: Error {
    /// The kind of the failure.
    fn kind(&self) -> ErrorKind;

    /// What a person can do about it, each a sentence with something to type.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The first level of an error's chain whose text holds its source's text: a person would read it
/// twice. None where every level says something of its own. For tests of error types.
pub fn repeated_source(error: &dyn Error) -> Option<String> {
    let mut level = error;
    while let Some(source) = level.source() {
        let (text, inner) = (level.to_string(), source.to_string());
        if text.contains(&inner) {
            return Some(text);
        }
        level = source;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("failed to open `/w/web.pid`")]
        Good(#[source] io::Error),
        #[error("failed to open `/w/web.pid`: {0}")]
        Doubled(#[source] io::Error),
        #[error("could not start")]
        Outer(#[source] Box<Sample>),
    }

    #[test]
    fn a_text_that_repeats_its_source_is_found_at_any_level() {
        let denied = || io::Error::new(io::ErrorKind::PermissionDenied, "permission denied");
        assert_eq!(repeated_source(&Sample::Outer(Box::new(Sample::Good(denied())))), None);
        let doubled = Sample::Outer(Box::new(Sample::Doubled(denied())));
        assert_eq!(
            repeated_source(&doubled).as_deref(),
            Some("failed to open `/w/web.pid`: permission denied")
        );
    }
}
