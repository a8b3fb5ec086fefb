//! The lesser channel of one VM: `qemu-guest-agent`, where Castra's agent is not.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use plasmavmc_host::Layout;
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_types::VmName;

use crate::outgoing::Outgoing;
use crate::qga::Qga;

/// A connection to a guest's `qemu-guest-agent`.
#[derive(Debug)]
pub(super) struct Lesser {
    stream: UnixStream,
    out: Outgoing,
    pub(super) qga: Qga,
}

impl Lesser {
    /// Connects; none where the VM has no such port, or something else has it.
    pub(super) fn connect(layout: &Layout, vm: &VmName, now: u64) -> Option<Self> {
        let connected = socket::connect(layout.root(), &Layout::guest_agent_socket_name(vm));
        let Ok(Connected::Stream(stream)) = connected else { return None };
        stream.set_nonblocking(true).ok()?;
        let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
        let mut lesser = Self { stream, out: Outgoing::default(), qga: Qga::new(seed, now) };
        lesser.pump();
        Some(lesser)
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn has_output(&self) -> bool {
        self.out.len() > 0
    }

    /// Reads once; none where the other end is gone, else how much was said.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: u64) -> Option<u64> {
        match self.stream.read(buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.qga.receive(&buffer[..count], now);
                Some(count as u64)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Some(0),
            Err(_) => None,
        }
    }

    pub(super) fn tick(&mut self, now: u64) {
        self.qga.tick(now, self.out.len());
    }

    /// Writes as much as it takes now.
    pub(super) fn pump(&mut self) {
        let output = self.qga.take_output();
        self.out.push(&output);
        // An end that is gone is met when it is read.
        let _ = self.out.flush(&mut self.stream);
    }
}
