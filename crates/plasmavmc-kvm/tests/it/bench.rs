//! A workspace of its own for each test, and what the tests ask of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use castra_testkit::{eventually, halting_disk, obedient_disk};
use plasmavmc_host::Layout;
use plasmavmc_host::exec::Program;
use plasmavmc_hypervisor::conformance::small_spec;
use plasmavmc_hypervisor::{Error, EventSink, HypervisorBackend, Observe, StopMethod, block_on};
use plasmavmc_kvm::{KvmBackend, KvmConfig};
use plasmavmc_types::{
    BackingSpec, DiskFormat, DiskSpec, EventKind, Persistence, StopReason, VmHandle, VmName, VmSpec, VmStatus,
};

/// How long anything may take before a test gives up: these machines are shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps the events of a backend.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<EventKind>>);

impl EventSink for Events {
    fn emit(&self, _vm: Option<&VmName>, kind: EventKind) {
        self.0.lock().unwrap().push(kind);
    }
}

impl Events {
    pub(crate) fn taken(&self) -> Vec<EventKind> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A workspace with a backend. Ends every VM when dropped.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    config: KvmConfig,
    pub(crate) events: Arc<Events>,
    pub(crate) backend: KvmBackend<'static>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A bench whose backend is configured otherwise.
    pub(crate) fn with(change: impl Fn(&mut KvmConfig)) -> Self {
        Self::below("workspace", change)
    }

    /// A bench whose workspace lies at `below` under a temporary directory.
    pub(crate) fn below(below: &str, change: impl Fn(&mut KvmConfig)) -> Self {
        let dir = tempfile::Builder::new().prefix("kvm-it-").tempdir().unwrap();
        let root = dir.path().join(below);
        fs::create_dir_all(&root).unwrap();
        let mut config = KvmConfig { layout: Layout::new(root), qemu: qemu(), accelerators: Vec::new() };
        change(&mut config);
        let events = Arc::new(Events::default());
        let backend = KvmBackend::new(config.clone(), Arc::<Events>::clone(&events));
        Self { dir, config, events, backend }
    }

    /// Another backend on the same workspace, as another command would have.
    pub(crate) fn another(&self) -> KvmBackend<'static> {
        KvmBackend::new(self.config.clone(), Arc::<Events>::clone(&self.events))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.config.layout
    }

    /// A path outside the workspace.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A spec with a disk whose boot sector halts.
    pub(crate) fn spec(&self, name: &str) -> VmSpec {
        let path = self.path(&format!("{name}.img"));
        fs::write(&path, halting_disk()).unwrap();
        VmSpec { disks: vec![raw_disk(path)], ..small_spec(name) }
    }

    pub(crate) fn create(&self, spec: &VmSpec) -> VmHandle {
        block_on(self.backend.create_vm(spec)).expect("create_vm")
    }

    /// Defines and starts a VM that powers off when it is asked to, and waits until it listens.
    pub(crate) fn start_obedient(&self, name: &str) -> (VmHandle, VmStatus) {
        let spec = self.spec(name);
        fs::write(&spec.disks[0].path, obedient_disk()).unwrap();
        let (log, begun) = (self.layout().serial_log(&spec.name), self.said(name).len());
        let vm = self.create(&spec);
        let status = block_on(self.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
        eventually("the guest", || fs::read(&log).is_ok_and(|said| said[begun..].ends_with(b"U")));
        (vm, status)
    }

    /// What the guest has said on its serial line.
    pub(crate) fn said(&self, name: &str) -> Vec<u8> {
        fs::read(self.layout().serial_log(&name.parse().unwrap())).unwrap_or_default()
    }

    /// Defines and starts a VM that halts.
    pub(crate) fn start(&self, name: &str) -> (VmHandle, VmStatus) {
        let vm = self.create(&self.spec(name));
        let status = block_on(self.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
        (vm, status)
    }

    pub(crate) fn status(&self, vm: &VmHandle) -> VmStatus {
        block_on(self.backend.get_status(vm)).expect("get_status")
    }

    pub(crate) fn wait_stopped(&self, vm: &VmHandle) -> StopReason {
        let reason = block_on(self.backend.wait_stopped(vm, PATIENCE)).expect("wait_stopped");
        reason.expect("it stops in time")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // By name: a test may have damaged a record.
        let names = fs::read_dir(self.layout().vm_records()).into_iter().flatten().flatten();
        for entry in names {
            let file = entry.file_name().into_string().unwrap_or_default();
            let Some(Ok(name)) = file.strip_suffix(".json").map(str::parse) else { continue };
            let vm = VmHandle { id: plasmavmc_types::VmId::generate(), name };
            let _ = block_on(self.backend.stop_vm(&vm, StopMethod::Kill));
            let _ = block_on(self.backend.wait_stopped(&vm, PATIENCE));
        }
    }
}

/// The installed QEMU.
pub(crate) fn qemu() -> PathBuf {
    Program::new("qemu-system-x86_64", "qemu-system-x86").find().expect("QEMU is installed")
}

pub(crate) fn raw_disk(path: PathBuf) -> DiskSpec {
    DiskSpec {
        id: "root".parse().unwrap(),
        path,
        format: DiskFormat::Raw,
        backing: None,
        read_only: false,
        persistence: Persistence::Disposable,
    }
}

/// Makes an empty overlay over a base.
pub(crate) fn overlay(backing: &BackingSpec, path: &Path) {
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", backing.format.as_str(), "-b"]);
    assert!(command.arg(&backing.path).arg(path).status().unwrap().success());
}

/// An error as a person sees it.
pub(crate) fn chain(error: &Error) -> String {
    assert_eq!(plasmavmc_types::repeated_source(error), None);
    let mut text = error.to_string();
    let mut level: &dyn std::error::Error = error;
    while let Some(source) = level.source() {
        text.push_str(&format!("\n  caused by: {source}"));
        level = source;
    }
    text
}
