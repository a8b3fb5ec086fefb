//! Whether the host can do what `up` is asked, told before anything is made.
//!
//! Everything in the way comes in one error. Reads only, and binds no port that a VM may want: of
//! twenty `up`s at once, none may trip over another's question. Only VMs that do not live yet are
//! looked at. Tests: the judging below and in `blocker`; on real hosts in `tests/it/preflight.rs`.

mod blocker;

use std::path::{Path, PathBuf};

use plasmavmc_engine::ImageState;
use plasmavmc_host::base::BaseImage;
use plasmavmc_host::facts::{DirectoryFacts, HostFacts};
use plasmavmc_host::ports::{self as host_ports, Listener};
use plasmavmc_host::preflight::{self as host_preflight, Demand, DiskDemand};
use plasmavmc_host::qemu::{self, GuestArch};
use plasmavmc_host::{HostError, Layout};
use plasmavmc_hypervisor::block_on;
use plasmavmc_types::{ByteSize, Firmware, VmResources};

pub use self::blocker::{Blocker, Blockers};
use super::backend;
use super::error::Error;
use super::mounts;
use super::observed;
use super::output::Diagnostic;
use super::ports::{self, Claim, VmRef};
use super::selection::Target;
use super::session::Session;
use super::up::{BaseImages, Force};
use crate::config::{Project, VmConfig};

/// Gathers what `vms` need of the host and what it has.
///
/// # Errors
/// [`Error::Preflight`] with everything that is in the way; others where the host cannot be asked.
pub(crate) fn check(
    session: &Session,
    project: &Project,
    vms: &[&VmConfig],
    images: &BaseImages,
    force: Force,
) -> Result<Vec<Diagnostic>, Error> {
    // Asked before the VMs are: a port that a VM of ours takes in between is then seen as its own.
    let taken = taken(vms)?;
    let starting = not_live(&Layout::new(&project.state_root), vms)?;
    let mut blockers = Vec::new();
    if starting.is_empty() {
        return Ok(Vec::new());
    }
    if let Err(error) =
        qemu::locate(GuestArch::of_host().unwrap_or(GuestArch::X86_64), session.qemu.as_deref())
    {
        blockers.push(Blocker::Qemu(error));
    }
    blockers.extend(missing_firmware(&starting));
    for vm in &starting {
        let errors = mounts::shares(session, project, vm).err().unwrap_or_default();
        blockers.extend(errors.into_iter().map(|source| Blocker::Mount { vm: vm.name.clone(), source }));
    }
    blockers.extend(port_blockers(session, project, &starting, &taken)?);
    let findings = host_preflight::check(&demand(session, project, &starting, images)?, &HostFacts::read()?);
    let (stopping, warnings) = blocker::sort(findings, force);
    blockers.extend(stopping);
    if !blockers.is_empty() {
        return Err(Blockers { blockers }.into());
    }
    Ok(warnings)
}

/// What listens where the VMs want to.
fn taken(vms: &[&VmConfig]) -> Result<Vec<Listener>, HostError> {
    let mut taken = Vec::new();
    for forward in vms.iter().flat_map(|vm| &vm.port_forwards) {
        taken.extend(host_ports::holders(forward)?);
    }
    Ok(taken)
}

/// Those of `vms` that `up` has to start.
fn not_live<'a>(layout: &Layout, vms: &[&'a VmConfig]) -> Result<Vec<&'a VmConfig>, Error> {
    // Where there is no workspace yet, or something else is in its place, nothing lives.
    if !layout.root().is_dir() {
        return Ok(vms.to_vec());
    }
    let backend = backend::observer(layout);
    let known = block_on(backend.list_vms())?;
    let mut starting = Vec::new();
    for vm in vms {
        let live = match known.iter().find(|handle| handle.name == vm.name) {
            // One whose record cannot be read is told by its own start, and holds up no other.
            Some(handle) => block_on(backend.get_status(handle)).is_ok_and(|status| status.state.is_live()),
            None => false,
        };
        if !live {
            starting.push(*vm);
        }
    }
    Ok(starting)
}

fn missing_firmware(vms: &[&VmConfig]) -> Vec<Blocker> {
    let mut wanting = vms.iter().filter(|vm| vm.firmware == Some(Firmware::Uefi)).peekable();
    if wanting.peek().is_none() || plasmavmc_kvm::installed_firmware().is_some() {
        return Vec::new();
    }
    wanting.map(|vm| Blocker::NoFirmware { vm: vm.name.clone() }).collect()
}

/// What stands in the way of the VMs' forwards.
fn port_blockers(
    session: &Session,
    project: &Project,
    vms: &[&VmConfig],
    taken: &[Listener],
) -> Result<Vec<Blocker>, Error> {
    let target = Target::of_project(project.clone());
    let mut claims: Option<Vec<Claim>> = None;
    let mut blockers = Vec::new();
    for vm in vms {
        let name = &vm.name;
        for forward in &vm.port_forwards {
            let (vm, forward) = (name.clone(), forward.clone());
            if !host_ports::is_permitted(forward.host.get()) {
                blockers.push(Blocker::PortForbidden { vm, forward });
            } else if !host_ports::has_address(forward.address) {
                blockers.push(Blocker::NoSuchAddress { vm, forward });
            } else if taken.iter().any(|listener| listener.is_in_the_way_of(&forward)) {
                // All projects are looked through only where there is someone to name.
                let claims = match &claims {
                    Some(claims) => claims,
                    None => claims.insert(all_claims(session, &target)?),
                };
                let asker = VmRef::of(&target, &vm);
                let holder = ports::holder_of(&forward, Some(&asker), claims, taken);
                // A VM that was just going down let its port go meanwhile.
                let still = !host_ports::holders(&forward)?.is_empty();
                if let Some(holder) = holder.filter(|_| still) {
                    blockers.push(Blocker::Port { vm, forward, holder });
                }
            }
        }
    }
    Ok(blockers)
}

fn all_claims(session: &Session, target: &Target) -> Result<Vec<Claim>, Error> {
    let everywhere = observed::everywhere(session, vec![target.clone()])?;
    Ok(everywhere.iter().flat_map(ports::claims_of).collect())
}

/// What the VMs ask of processors, memory and disks.
fn demand(
    session: &Session,
    project: &Project,
    vms: &[&VmConfig],
    images: &BaseImages,
) -> Result<Demand, HostError> {
    let resources = |vm: &&VmConfig| (vm.name.clone(), VmResources { cpus: vm.cpus, memory: vm.memory });
    let overlays = vms.iter().map(|vm| {
        let size = images.at_hand(vm).map_or(ByteSize::bytes(0), BaseImage::virtual_size);
        (vm.overlay.as_path(), size)
    });
    let mut places = growth(&project.state_root, overlays);
    if vms.iter().any(|vm| images.state(vm) == ImageState::Missing) {
        places.push((session.image_store(), ByteSize::bytes(0)));
    }
    let disk = |(path, growth): (PathBuf, ByteSize)| -> Result<DiskDemand, HostError> {
        Ok(DiskDemand { directory: DirectoryFacts::read(&path)?, needed: ByteSize::bytes(0), growth })
    };
    let disks = places.into_iter().map(disk).collect::<Result<_, _>>()?;
    Ok(Demand { vms: vms.iter().map(resources).collect(), disks })
}

/// By how much each directory may grow: the workspace, and those the config chose for overlays.
fn growth<'a>(root: &Path, overlays: impl Iterator<Item = (&'a Path, ByteSize)>) -> Vec<(PathBuf, ByteSize)> {
    let mut places = vec![(root.to_owned(), ByteSize::bytes(0))];
    for (overlay, size) in overlays {
        let parent = overlay.parent().unwrap_or(overlay);
        // Below the workspace `up` makes the directories itself.
        let place = if parent.starts_with(root) { root } else { parent };
        match places.iter_mut().find(|(path, _)| path == place) {
            Some((_, sum)) => *sum = ByteSize::bytes(sum.as_bytes().saturating_add(size.as_bytes())),
            None => places.push((place.to_owned(), size)),
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_count_where_they_lie() {
        let overlays =
            [("/w/overlays/a.qcow2", 1), ("/w/b/b.qcow2", 2), ("/big/c.qcow2", 4), ("/big/d.qcow2", 8)];
        let overlays = overlays.map(|(path, gib)| (Path::new(path), ByteSize::gib(gib)));
        assert_eq!(
            growth(Path::new("/w"), overlays.into_iter()),
            [("/w".into(), ByteSize::gib(3)), ("/big".into(), ByteSize::gib(12))]
        );
        assert_eq!(growth(Path::new("/w"), [].into_iter()), [("/w".into(), ByteSize::bytes(0))]);
    }
}
