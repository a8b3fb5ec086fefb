//! Turns a VM of the config into the spec the backend takes. Pure. Tests: below.

use std::path::Path;

use plasmavmc_host::base::BaseImage as BaseFile;
use plasmavmc_host::image::catalogue::{self, Arch, Known};
use plasmavmc_types::{
    DeviceId, DiskFormat, DiskSpec, Firmware, MacAddr, MachineType, NetworkKind, NetworkSpec, Persistence,
    ShareSpec, VmId, VmResources, VmSpec,
};
use sha2::{Digest, Sha256};

use crate::config::{BaseImage, VmConfig};
use crate::core::project::WorkspaceId;

/// The spec of a VM whose disks lie at the given places.
pub(super) fn spec(
    workspace: &WorkspaceId,
    vm: &VmConfig,
    id: VmId,
    base: &BaseFile,
    seed: &Path,
    shares: Vec<ShareSpec>,
) -> VmSpec {
    let root = DiskSpec {
        id: device("root"),
        path: vm.overlay.clone(),
        format: DiskFormat::Qcow2,
        backing: Some(base.file().clone()),
        read_only: false,
        persistence: vm.persistence,
    };
    let seed = DiskSpec {
        id: device("seed"),
        path: seed.to_owned(),
        format: DiskFormat::Raw,
        backing: None,
        read_only: true,
        persistence: Persistence::Disposable,
    };
    let network = NetworkSpec {
        id: device("net0"),
        kind: NetworkKind::User { forwards: vm.port_forwards.clone() },
        mac: mac(workspace, vm),
    };
    VmSpec {
        id,
        name: vm.name.clone(),
        resources: VmResources { cpus: vm.cpus, memory: vm.memory },
        machine: MachineType::Q35,
        firmware: vm.firmware.unwrap_or_else(|| fitting_firmware(&vm.base_image)),
        accelerator: vm.accelerator,
        disks: vec![root, seed],
        networks: vec![network],
        shares,
    }
}

/// The firmware an image of the catalogue boots with; BIOS for any other.
fn fitting_firmware(image: &BaseImage) -> Firmware {
    let BaseImage::Catalogue(name) = image else { return Firmware::Bios };
    let Some(Known::Published(published)) = catalogue::find(name.as_str()) else { return Firmware::Bios };
    let source = Arch::host().and_then(|arch| published.source(arch));
    source.and_then(|source| source.firmware.first().copied()).unwrap_or_default()
}

/// An address that is the same at every start and differs between VMs.
fn mac(workspace: &WorkspaceId, vm: &VmConfig) -> MacAddr {
    let digest = Sha256::digest(format!("{workspace}/{}", vm.name));
    MacAddr::from_seed([digest[0], digest[1], digest[2]])
}

fn device(id: &'static str) -> DeviceId {
    id.parse().expect("a constant of this file is a device id")
}
