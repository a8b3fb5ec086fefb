//! What a bootstrap needs of a guest, whatever way leads into it. Tests: the driver's, with a guest of
//! their own.

use std::fs::File;
use std::io;
use std::time::Duration;

use plasmavmc_guest::client::{ClientError, FailureCode};
use plasmavmc_host::HostError;
use plasmavmc_types::{ErrorKind, Explain};

use super::capture::Output;
use super::outcome::Transport;

/// A way into a guest.
pub(super) trait Guest {
    /// What is asked from here on is over within `limit`, or fails with [`GuestFault::TimedOut`].
    fn bound(&mut self, limit: Duration);
    /// The bytes of a small file; none where there is no such file.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, GuestFault>;
    /// Writes a file from bytes at hand. It has its name whole, or not at all.
    fn write(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), GuestFault>;
    /// Writes a file from one of the host.
    fn send(&mut self, path: &str, mode: u32, modified_s: Option<i64>, file: &File)
    -> Result<(), GuestFault>;
    /// Makes a directory; one that is there is fine.
    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), GuestFault>;
    /// Makes a symbolic link.
    fn link(&mut self, path: &str, target: &str) -> Result<(), GuestFault>;
    /// Runs a program as root to its end; one that is given up is ended with all it started.
    fn run(&mut self, program: &Program, output: &mut dyn FnMut(Output, &[u8])) -> Result<Ended, GuestFault>;
}

/// A way to a guest that is not there yet.
pub(super) trait Door {
    /// Waits until the guest answers, at most `limit`; tells on which way.
    fn wait(&mut self, limit: Duration) -> Result<Transport, GuestFault>;
    /// Opens the way.
    fn open(&mut self, limit: Duration) -> Result<Box<dyn Guest + '_>, GuestFault>;
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// Where it runs; root's home where it is not said.
    pub(super) cwd: Option<String>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Signaled(i32),
}

/// Why a guest could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestFault {
    /// It took too long.
    #[error("it was not over within {} s", limit.as_secs())]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
    /// The guest did not answer on its channel.
    #[error("its guest did not answer within {} s", waited.as_secs())]
    NoHandshake {
        /// How long it was waited for.
        waited: Duration,
    },
    /// It answered neither there nor by SSH.
    #[error("its guest did not answer within {} s, and ssh did not get in: {said}", waited.as_secs())]
    NoWay {
        /// How long it was waited for.
        waited: Duration,
        /// What ssh said last.
        said: String,
    },
    /// The VM stopped.
    #[error("lost: the VM stopped")]
    Stopped,
    /// The guest went away while it was at work: it restarted, or its agent ended.
    #[error("lost: its guest restarted or went away")]
    Lost {
        /// What the channel saw.
        #[source]
        source: ClientError,
    },
    /// The same, over SSH.
    #[error("lost: its guest restarted or went away, as ssh tells: {said}")]
    SshLost {
        /// What ssh said.
        said: String,
    },
    /// The guest could not do what it was asked over SSH.
    #[error("its guest could not do what it was asked over ssh: {said}")]
    Refused {
        /// What it said.
        said: String,
    },
    /// ssh cannot be run.
    #[error(transparent)]
    Ssh(HostError),
    /// A file of the host could not be read meanwhile.
    #[error("a staged file cannot be read")]
    Staged {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The guest or the way to it failed.
    #[error(transparent)]
    Channel(ClientError),
}

impl GuestFault {
    /// What the channel's error means to whoever gave the request `limit`.
    pub(super) fn of(error: ClientError, limit: Duration) -> Self {
        match error {
            ClientError::Interrupted => Self::TimedOut { limit },
            ClientError::Lost { .. } => Self::Lost { source: error },
            error if error.guest_code() == Some(FailureCode::Lost) => Self::Lost { source: error },
            error => Self::Channel(error),
        }
    }
}

impl Explain for GuestFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Bootstrap
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::TimedOut { .. } => {
                vec!["give it longer in castra.toml: `timeout_secs` under `[vms.bootstrap]`".to_owned()]
            }
            Self::NoHandshake { .. } | Self::NoWay { .. } => vec![
                "`castra status` shows whether its agent was ever heard".to_owned(),
                "an image without cloud-init needs the agent installed by hand: docs/guest-channel.md".to_owned(),
            ],
            Self::Lost { .. } | Self::SshLost { .. } => vec![
                "a script that restarts its guest cuts itself off: restart it afterwards, `castra exec <vm> -- reboot`"
                    .to_owned(),
            ],
            Self::Refused { said } if said.contains("sudo:") || said.contains("doas:") => {
                vec!["over ssh the image's user has to become root by `sudo` or `doas`, without a password".to_owned()]
            }
            Self::Ssh(error) => error.hints(),
            Self::Stopped | Self::Staged { .. } | Self::Refused { .. } => Vec::new(),
            Self::Channel(error) => error.hints(),
        }
    }
}
