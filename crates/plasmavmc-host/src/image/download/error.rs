//! Why bytes could not be fetched, and whether another try can help.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use plasmavmc_types::ByteSize;

/// A failed fetch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The text is not a URL.
    #[error("`{}` is not a URL", url.escape_debug())]
    NotAUrl {
        /// The text.
        url: String,
    },
    /// No request can be made: the system has no root certificates.
    #[error("no request can be made")]
    Client {
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The system gives no thread or runtime for the transfer.
    #[error("failed to start the transfer")]
    Start {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The server could not be reached.
    #[error("failed to reach `{host}`")]
    Unreachable {
        /// Its name.
        host: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered, but not with the file.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server sends from one place to the next without end.
    #[error("the server redirected more than {limit} times")]
    Redirects {
        /// How many redirects are followed.
        limit: usize,
    },
    /// A checksum file was to come over an open connection.
    #[error("the server redirected from https to `{to}`, and a digest that comes unprotected proves nothing")]
    Downgrade {
        /// Where to.
        to: String,
    },
    /// The server sent nothing for too long.
    #[error("the server sent nothing for {} s", waited.as_secs_f32())]
    Stalled {
        /// For how long.
        waited: Duration,
    },
    /// The server sends so slowly that it will not come to an end.
    #[error("the server sent less than {floor} in {} s", window.as_secs())]
    Slow {
        /// What it should have sent.
        floor: ByteSize,
        /// In which time.
        window: Duration,
    },
    /// The connection broke within the file.
    #[error("the connection ended early")]
    Interrupted {
        /// How.
        #[source]
        source: reqwest::Error,
    },
    /// The transfer ended without saying why.
    #[error("the transfer ended without an answer")]
    Vanished,
    /// The file is shorter or longer than the server announced.
    #[error("the server announced {announced} bytes and sent {sent}")]
    Length {
        /// The size it told.
        announced: u64,
        /// The bytes that came.
        sent: u64,
    },
    /// The server cannot go on where an earlier try ended.
    #[error("the server answered a request for the rest of the file with {}", answer.escape_debug())]
    Range {
        /// Its `Content-Range`, or its status.
        answer: String,
    },
    /// Something else than an image, such as the log-in page of a network.
    #[error("the server sent {found}, not a disk image")]
    NotAnImage {
        /// What it was.
        found: String,
    },
    /// The file is larger than any image.
    #[error("the file is larger than {limit}")]
    TooLarge {
        /// The limit.
        limit: ByteSize,
    },
}

/// Whether another try can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It can: the fault may pass.
    Passing,
    /// It can, but often there is no network at all, and then nobody wants to wait.
    Doubtful,
    /// It cannot.
    Final,
}

impl FetchError {
    /// What `error` means, met while asking `host`.
    pub(super) fn from_client(error: reqwest::Error, host: &str, stall: Duration) -> Self {
        let error = error.without_url();
        if let Some(fault) = error.source().and_then(|source| source.downcast_ref::<RedirectFault>()) {
            return match fault {
                RedirectFault::TooMany { limit } => Self::Redirects { limit: *limit },
                RedirectFault::Downgrade { to } => Self::Downgrade { to: to.clone() },
            };
        }
        if error.is_builder() {
            Self::Client { source: error }
        } else if error.is_connect() {
            Self::Unreachable { host: host.to_owned(), source: error }
        } else if error.is_timeout() {
            Self::Stalled { waited: stall }
        } else {
            Self::Interrupted { source: error }
        }
    }

    pub(super) fn outlook(&self) -> Outlook {
        match self {
            Self::Unreachable { .. } => Outlook::Doubtful,
            // Request timeout, too early, too many requests, and faults of the server's own.
            Self::Status { status: 408 | 425 | 429 | 500 | 502..=504, .. }
            | Self::Stalled { .. }
            | Self::Slow { .. }
            | Self::Interrupted { .. }
            | Self::Vanished
            | Self::Length { .. }
            | Self::Range { .. } => Outlook::Passing,
            Self::NotAUrl { .. }
            | Self::Client { .. }
            | Self::Start { .. }
            | Self::Status { .. }
            | Self::Redirects { .. }
            | Self::Downgrade { .. }
            | Self::NotAnImage { .. }
            | Self::TooLarge { .. } => Outlook::Final,
        }
    }

    /// What a person can do about it, beside what helps against any failed download.
    pub(in super::super) fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Client { .. } => {
                "TLS needs the system's root certificates: `sudo apt-get install ca-certificates`"
            }
            Self::Status { status: 404 | 410, .. } => {
                "the publisher may have moved the image: look for a newer castra, or take another image from `castra image list`"
            }
            Self::NotAnImage { .. } => {
                "log in to the network first: open any http page in a browser, then run the command again"
            }
            Self::Stalled { .. } | Self::Slow { .. } | Self::Interrupted { .. } => {
                "run the command again: it goes on where it ended"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    /// The error and its causes in one line, for the event that tells of a retry.
    pub(in super::super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedirectFault {
    #[error("more than {limit} redirects")]
    TooMany { limit: usize },
    #[error("a redirect from https to `{to}`")]
    Downgrade { to: String },
}
