//! Defining and forgetting a VM. Tests: the conformance suite.

use std::time::Duration;

use plasmavmc_host::{FileLock, publish};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{VmHandle, VmName, VmSpec, VmState};

use crate::backend::KvmBackend;
use crate::record::Record;
use crate::{argv, fault, firmware};

/// How long a VM's lock is waited for; another command holds it for a write or two.
const LOCK_BOUND: Duration = Duration::from_secs(5);

impl KvmBackend<'_> {
    /// Writes a VM's definition. A live VM keeps the one it has.
    pub(crate) fn create(&self, spec: &VmSpec) -> Result<VmHandle, Error> {
        let vm = &spec.name;
        let offer = self.offer()?;
        argv::check(spec, &offer, firmware::installed().is_some())?;
        let (root, metadata) = (self.layout().root(), self.layout().metadata());
        publish::private_dir_below(root, &metadata).map_err(fault::host("make its directory"))?;
        offer.keep(&self.layout().qemu_offer());
        let known = Record::load(self.layout(), vm).map_err(fault::record(vm))?;
        if known.as_ref().is_some_and(|known| known.spec == *spec) {
            return Ok(VmHandle { id: spec.id, name: vm.clone() });
        }
        let _lock = match self.locate(vm, known.as_ref())? {
            None => Some(self.lock_stopped(vm, "redefined")?),
            // A live VM whose record was lost gets one again.
            Some(_) if known.is_none() => None,
            Some(_) => return self.deny(vm, "redefined"),
        };
        // The record may have changed until the lock was held.
        let known = Record::load(self.layout(), vm).map_err(fault::record(vm))?;
        let newest = || offer.machine(spec.machine).unwrap_or_default().to_owned();
        let record = match known {
            Some(mut record) => {
                if record.spec.machine != spec.machine {
                    record.machine = newest();
                }
                record.spec = spec.clone();
                record
            }
            None => Record::new(spec.clone(), newest()),
        };
        record.save(self.layout()).map_err(fault::during(vm, "write its record"))?;
        Ok(record.handle())
    }

    /// Removes what the backend keeps of a VM: never its disks or logs. The lock files stay: whoever
    /// waits for one holds on to the file.
    pub(crate) fn delete(&self, vm: &VmName) -> Result<(), Error> {
        self.reap();
        let record = Record::load(self.layout(), vm).ok().flatten();
        if self.locate(vm, record.as_ref())?.is_some() {
            return self.deny(vm, "deleted");
        }
        let layout = self.layout();
        if !layout.metadata().exists() {
            return Ok(());
        }
        let _lock = self.lock_stopped(vm, "deleted")?;
        // The record goes last: until then the VM is still known.
        let kept = [
            layout.uefi_vars(vm),
            layout.journal(vm),
            layout.session(vm),
            layout.mounts(vm),
            layout.timings(vm),
            layout.bootstrap_record(vm),
            layout.vm_record(vm),
        ];
        for file in layout.run_files(vm).into_iter().chain(kept) {
            publish::remove(&file).map_err(fault::during(vm, "remove its files"))?;
        }
        Ok(())
    }

    /// Takes the lock of a VM that is stopped, and looks again under it.
    fn lock_stopped(&self, vm: &VmName, action: &'static str) -> Result<FileLock, Error> {
        let lock = FileLock::acquire(&self.layout().live_lock(vm), LOCK_BOUND).map_err(fault::lock(vm))?;
        let record = Record::load(self.layout(), vm).ok().flatten();
        match self.locate(vm, record.as_ref())? {
            None => Ok(lock),
            Some(_) => self.deny(vm, action),
        }
    }

    /// The error for what a live VM does not allow.
    fn deny<T>(&self, vm: &VmName, action: &'static str) -> Result<T, Error> {
        let state = self.status(vm).map_or(VmState::Running, |status| status.state);
        Err(Error::WrongState { vm: vm.clone(), state, action })
    }
}
