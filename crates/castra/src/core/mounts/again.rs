//! Mounts the folders of a guest that booted again by itself.
//!
//! ```text
//!  handshake ──► were mounted in this run? ──► a thread of the VM's own ──► as `up` did
//!                  no: nothing                   at work: it looks again once it is done
//! ```
//!
//! The broker hears of a new boot and must not wait for a guest, so a thread does. Each VM has at most
//! one, whatever its guest does; each try is bounded. Never does: mount what no `up` mounted.
//! Tests: `tests/it/mounts.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use plasmavmc_guest::client::Channel;
use plasmavmc_host::Layout;
use plasmavmc_hypervisor::block_on;
use plasmavmc_types::{ShareSpec, VmName};

use super::guest::{are_gone, mount_all};
use crate::core::backend;
use crate::core::recorder::Recorder;

/// How long a guest that just greeted may take until its folders are there.
const BOUND: Duration = Duration::from_secs(30);

/// The VMs of a workspace whose folders are being mounted again.
pub(crate) struct Remounts<'a> {
    layout: &'a Layout,
    sink: &'a Recorder<'a>,
    /// Those at work, and whether their guests greeted once more meanwhile.
    at_work: Mutex<BTreeMap<VmName, bool>>,
}

impl<'a> Remounts<'a> {
    pub(crate) fn new(layout: &'a Layout, sink: &'a Recorder<'a>) -> Self {
        Self { layout, sink, at_work: Mutex::default() }
    }

    /// A guest greeted the broker. Does not wait.
    pub(crate) fn greeted<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, vm: &VmName) {
        if !self.layout.mounts(vm).exists() {
            return;
        }
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(again) = at_work.get_mut(vm) {
            *again = true;
            return;
        }
        let name = vm.clone();
        let work = move || {
            while self.goes_on(&name) {
                self.mount(&name);
            }
        };
        // Without a thread the folders are missing until the next `up`, as `status` tells.
        if Builder::new().name("mount".to_owned()).spawn_scoped(scope, work).is_ok() {
            at_work.insert(vm.clone(), true);
        }
    }

    /// Whether there is a greeting that was not seen to; without one the VM is not at work any more.
    fn goes_on(&self, vm: &VmName) -> bool {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let again = at_work.get_mut(vm).is_some_and(std::mem::take);
        if !again {
            at_work.remove(vm);
        }
        again
    }

    /// Mounts the folders where they are gone. What fails is told as it is in an `up`.
    fn mount(&self, vm: &VmName) {
        let deadline = Instant::now() + BOUND;
        // Its answer comes once the greeting is written down.
        if Channel::attach(self.layout, vm, BOUND).is_err() || !are_gone(self.layout, vm) {
            return;
        }
        let _ = mount_all(self.layout, vm, &self.shares(vm), deadline, self.sink);
    }

    /// The folders the VM was started with.
    fn shares(&self, vm: &VmName) -> Vec<ShareSpec> {
        let backend = backend::observer(self.layout);
        let known = block_on(backend.list_vms()).unwrap_or_default();
        let handle = known.into_iter().find(|handle| handle.name == *vm);
        handle
            .and_then(|handle| block_on(backend.get_spec(&handle)).ok())
            .map_or_else(Vec::new, |it| it.shares)
    }
}
