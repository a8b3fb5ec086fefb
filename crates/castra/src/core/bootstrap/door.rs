//! The way a bootstrap takes: the guest channel, or SSH into a guest whose agent cannot be spoken to.
//!
//! The channel is always preferred: a guest that lets ssh in has [`GRACE`] left for its agent to answer.
//! SSH is tried where a host port leads to the guest's port 22 and both ends were given their keys.
//! Tests: `tests/it/bootstrap_ssh.rs`.

use std::thread;
use std::time::{Duration, Instant};

use super::channel::{Answer, ChannelDoor};
use super::guest::{Door, Guest, GuestFault};
use super::outcome::Transport;
use super::ssh::{Login, Way};
use crate::core::ssh::OwnWay;

/// Time between two looks at what the broker wrote down.
const POLL: Duration = Duration::from_millis(20);
/// Time between two looks at the VM's process.
const LOOK_AT_PROCESS: Duration = Duration::from_millis(200);
/// How long the agent is waited for before ssh is tried: logging in costs a guest that boots time.
const FIRST_LOGIN: Duration = Duration::from_secs(2);
/// How long the agent has from when ssh is let in. Where there is one it greets before an SSH server
/// listens, or while cloud-init still works.
const GRACE: Duration = Duration::from_secs(5);

/// Both ways.
pub(super) struct Doors<'a> {
    pub(super) channel: ChannelDoor<'a>,
    /// None where ssh has no way in.
    pub(super) ssh: Option<&'a OwnWay>,
    /// The way that was found, where it is not the channel.
    pub(super) found: Option<Way>,
}

impl Door for Doors<'_> {
    fn wait(&mut self, limit: Duration) -> Result<Transport, GuestFault> {
        let (began, mut looked) = (Instant::now(), Instant::now());
        let (layout, vm) = (self.channel.layout, &self.channel.vm.name);
        let mut login = self.ssh.map(|way| Login::new(layout, vm, way, FIRST_LOGIN));
        loop {
            match self.channel.answer() {
                Answer::Whole => return Ok(Transport::Channel),
                // What it lacks is told by the first request.
                Answer::Lesser if login.is_none() => return Ok(Transport::Channel),
                Answer::Lesser | Answer::None => {}
            }
            let late = began.elapsed() >= limit;
            let let_in = login.as_mut().and_then(Login::go_on);
            if let_in.is_some_and(|since| late || since >= GRACE) {
                self.found = login.and_then(Login::done);
                return Ok(Transport::Ssh);
            }
            if looked.elapsed() >= LOOK_AT_PROCESS {
                looked = Instant::now();
                if self.channel.is_gone() {
                    return Err(GuestFault::Stopped);
                }
            }
            if late {
                return Err(match login.and_then(|login| login.said) {
                    None => GuestFault::NoHandshake { waited: limit },
                    Some(said) => GuestFault::NoWay { waited: limit, said },
                });
            }
            thread::sleep(POLL);
        }
    }

    fn open(&mut self, limit: Duration) -> Result<Box<dyn Guest + '_>, GuestFault> {
        match &self.found {
            Some(way) => Ok(Box::new(way.guest(limit))),
            None => self.channel.open(limit),
        }
    }
}
