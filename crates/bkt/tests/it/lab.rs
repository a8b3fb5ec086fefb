//! A libvirt of the test's own, as far as names and files go, and a definition to begin with.

use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bkt::manifest::{BootChoice, GraphicsChoice, Memory, TpmChoice, VmDefinition, VmManifest};
use bkt::vm::apply::{Report, StateDir};
use bkt::vm::plan::{Entry, Options, VmPlan};
use bkt::vm::sync::{SyncError, execute, plan_sync};
use castra_testkit::libvirt::{Libvirt, SYSTEM, virsh};
use plasmavmc_libvirt::virsh::Connection;
use tempfile::TempDir;

/// The shared libvirt with what a sync needs. Dropped, nothing of it is left.
pub(crate) struct Lab {
    pub(crate) libvirt: Libvirt,
    pub(crate) connection: Connection,
    state: TempDir,
    /// Names without the prefix, undefined by their UUID in the end.
    odd: Vec<String>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let libvirt = Libvirt::system();
        // Disks are not made where everyone may write.
        std::fs::set_permissions(libvirt.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let connection = Connection::new(Some(SYSTEM.to_owned())).unwrap();
        Self { libvirt, connection, state: tempfile::tempdir().unwrap(), odd: Vec::new() }
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir::below(self.state.path())
    }

    /// A name that is not like the others, removed in the end.
    pub(crate) fn odd_name(&mut self, name: String) -> String {
        self.odd.push(name.clone());
        name
    }

    /// A file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.libvirt.dir().join(name)
    }

    /// A small VM with a disk that is made.
    pub(crate) fn small(&self, disk: &str) -> VmDefinition {
        VmDefinition {
            title: None,
            memory: Memory::Mib(NonZeroU64::new(64).unwrap()),
            vcpus: 1.try_into().unwrap(),
            cpu_model: None,
            disk_path: self.path(disk),
            disk_size_gb: 1.try_into().unwrap(),
            disk_bus: None,
            create_if_missing: true,
            boot: BootChoice::Bios,
            secure_boot: None,
            tpm: TpmChoice::None,
            network: "none".parse().unwrap(),
            mac: None,
            graphics: GraphicsChoice::None,
            iso_sources: None,
            autostart: None,
            unmanaged_fields: Default::default(),
        }
    }

    pub(crate) fn plan(&self, manifest: &VmManifest, options: &Options) -> VmPlan {
        plan_sync(&self.connection, manifest, options).unwrap()
    }

    pub(crate) fn execute(
        &self,
        plan: &VmPlan,
        manifest: &VmManifest,
        options: &Options,
    ) -> Result<Report, SyncError> {
        execute(plan, manifest, options, &self.connection, &self.state(), &mut |_, _| {})
    }

    /// Plans and applies; every VM must come out as planned. Returns the entry of the first.
    pub(crate) fn sync_with(&self, manifest: &VmManifest, options: &Options) -> Entry {
        let plan = self.plan(manifest, options);
        let report = self.execute(&plan, manifest, options).unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        plan.vms.into_iter().next().unwrap()
    }

    pub(crate) fn sync(&self, manifest: &VmManifest) -> Entry {
        self.sync_with(manifest, &Options { only: Some(names(manifest)), ..Options::default() })
    }

    /// What the domain will be at its next cold boot.
    pub(crate) fn inactive(&self, name: &str) -> String {
        let id = self.libvirt.virsh(&["domuuid", "--", name]);
        self.libvirt.virsh(&["dumpxml", "--inactive", &id])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.odd {
            // By name it would be another's: virsh takes `1` for a number.
            let listed = virsh(SYSTEM, &["list", "--all", "--uuid", "--name"]);
            for line in String::from_utf8_lossy(&listed.stdout).lines() {
                if let Some((id, found)) = line.trim().split_once(' ')
                    && found.trim() == name
                {
                    virsh(SYSTEM, &["destroy", id]);
                    virsh(SYSTEM, &["undefine", id, "--nvram"]);
                }
            }
        }
    }
}

/// The names of a manifest.
pub(crate) fn names(manifest: &VmManifest) -> std::collections::BTreeSet<String> {
    manifest.vms.keys().map(ToString::to_string).collect()
}

/// A manifest of these VMs.
pub(crate) fn manifest(vms: &[(&str, VmDefinition)]) -> VmManifest {
    let vms = vms.iter().map(|(name, definition)| (name.parse().unwrap(), definition.clone())).collect();
    VmManifest { uri: None, vms }
}

/// A file that passes for an ISO image.
pub(crate) fn iso(path: &Path) {
    std::fs::write(path, vec![0; 64 << 10]).unwrap();
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
