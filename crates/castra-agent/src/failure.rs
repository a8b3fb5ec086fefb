//! Why something could not be done, as the host is told. Tests: below.

use std::io;
use std::path::Path;

use castra_agent_proto::request::{Failure, FailureCode, Outcome};
use rustix::io::Errno;

/// Letters of a reason. A path in it may be long; the frame holds more.
const MAX_REASON: usize = 1024;

/// A failure with a reason.
pub(crate) fn failure(code: FailureCode, message: &str) -> Failure {
    Failure { code, message: message.chars().take(MAX_REASON).collect() }
}

/// An outcome that is a failure.
pub(crate) fn failed(code: FailureCode, message: &str) -> Outcome {
    Outcome::Failed(failure(code, message))
}

/// What the kernel said to `verb` at `path`.
pub(crate) fn at(verb: &str, path: &Path, error: &io::Error) -> Failure {
    failure(code_of(error), &format!("cannot {verb} `{}`: {}", path.display(), plain(error)))
}

/// What the kernel said to `verb`.
pub(crate) fn of(verb: &str, error: &io::Error) -> Failure {
    failure(code_of(error), &format!("cannot {verb}: {}", plain(error)))
}

/// The kind of an error of the kernel's.
fn code_of(error: &io::Error) -> FailureCode {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::SRCH) => FailureCode::NotFound,
        Some(Errno::PERM | Errno::ACCESS | Errno::ROFS) => FailureCode::Permission,
        Some(Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => FailureCode::WrongKind,
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => FailureCode::NoSpace,
        Some(Errno::INVAL | Errno::NAMETOOLONG | Errno::LOOP) => FailureCode::Invalid,
        Some(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NODEV) => FailureCode::Unsupported,
        _ => FailureCode::Io,
    }
}

/// The text of an error without its number, as part of a sentence.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_and_why_without_numbers() {
        let told = at("open", Path::new("/x"), &io::Error::from_raw_os_error(2));
        assert_eq!(told, failure(FailureCode::NotFound, "cannot open `/x`: no such file or directory"));
        assert_eq!(of("write", &io::Error::from_raw_os_error(28)).code, FailureCode::NoSpace);
    }

    #[test]
    fn a_reason_is_short_whatever_the_path() {
        let path = "x".repeat(100_000);
        let told = at("open", Path::new(&path), &io::Error::from_raw_os_error(36));
        assert_eq!((told.code, told.message.len()), (FailureCode::Invalid, MAX_REASON));
    }
}
