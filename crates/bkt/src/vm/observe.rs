//! Looks at libvirt, or at dumps in a folder, and at the files a plan asks about. Writes nothing.
//!
//! Disks are measured by their headers: `qemu-img` for each of a hundred VMs would take longer than all of
//! libvirt. Tests: below; on real libvirt in `tests/it`.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::accelerator::{self, Measurement, Outcome};
use plasmavmc_host::qemu::{self, GuestArch};
use plasmavmc_host::{HostError, IoContext, qcow2};
use plasmavmc_libvirt::domain::DomainXml;
use plasmavmc_libvirt::facts::{HostFacts, Kind, firmware};
use plasmavmc_libvirt::virsh::{Connection, DomainState, Observed, VirshError};
use plasmavmc_types::{Accelerator, ByteSize, DiskFormat};
use sha2::{Digest, Sha256};

use super::PowerState;
use super::ground::survey;
use super::plan::{
    FileSeen, Host, Kept, Observation, Seen, Unreadable, disks_to_look_at, files_to_look_at, is_here,
};
use crate::manifest::VmManifest;

/// The bytes of a qcow2 header that say how large the disk is, with room for what follows it.
pub(super) const HEADER_BYTES: u64 = 64 << 10;

/// The largest dump that is read: what the XML's own limits allow, and no more.
const MAX_DUMP_BYTES: u64 = 16 << 20;

/// Looks at libvirt.
///
/// # Errors
/// [`VirshError`].
pub fn observe(connection: &Connection, manifest: &VmManifest) -> Result<Observation, VirshError> {
    let reader = connection.reader();
    let mut observation = Observation { uri: reader.uri()?, ..Observation::default() };
    let mut told: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for observed in reader.observe()? {
        for xml in [Some(&observed.inactive), observed.live.as_ref()].into_iter().flatten() {
            for (disk, under) in xml.backing_files().unwrap_or_default() {
                told.entry(disk).or_default().extend(under);
            }
        }
        match seen(&observed) {
            Ok(seen) => observation.domains.push(seen),
            Err(why) => {
                let id = Some(observed.id);
                observation.unreadable.push(Unreadable { id, name: observed.name, why });
            }
        }
    }
    let is_there = |name: &str| {
        observation.domains.iter().any(|seen| seen.domain.name == name)
            || observation.unreadable.iter().any(|one| one.name == name)
    };
    if manifest.vms.keys().any(|name| !is_there(name.as_str())) {
        observation.host = Some(host(&reader.host()?, &observation.uri));
    }
    // Files of the same name on this machine would say nothing of those of another.
    if is_here(&observation.uri) {
        for path in files_to_look_at(manifest, &observation.domains) {
            let file = look(&path);
            observation.files.insert(path, file);
        }
        for path in disks_to_look_at(manifest, &observation.domains) {
            let told = told.get(&path).map(Vec::as_slice).unwrap_or_default();
            survey(&path, told, &mut observation.grounds);
        }
    }
    Ok(observation)
}

/// Reads the dumps (`*.xml`) in a folder, as `virsh dumpxml --inactive` writes them.
///
/// # Errors
/// [`HostError`] where the folder or a file cannot be read. A dump that is no domain is in the observation.
pub fn read_dumps(dir: &Path) -> Result<Observation, HostError> {
    let mut observation = Observation { uri: dir.display().to_string(), ..Observation::default() };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).context("read directory", dir)? {
        let path = entry.context("read directory", dir)?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let mut text = String::new();
        let file = File::open(&path).context("open", &path)?;
        file.take(MAX_DUMP_BYTES).read_to_string(&mut text).context("read", &path)?;
        match dumped(text) {
            Ok(seen) => observation.domains.push(seen),
            Err(why) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                observation.unreadable.push(Unreadable { id: None, name, why });
            }
        }
    }
    observation.domains.sort_by(|a, b| a.domain.name.cmp(&b.domain.name));
    Ok(observation)
}

/// What tells the XML of a domain from another: of all of it but the blanks around it, which depend on how
/// virsh was asked.
pub fn digest(xml: &DomainXml) -> String {
    Sha256::digest(xml.as_str().trim()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dumped(text: String) -> Result<Seen, String> {
    let xml = DomainXml::parse(text).map_err(|error| error.to_string())?;
    Ok(Seen {
        domain: xml.domain().map_err(|error| error.to_string())?,
        live: None,
        digest: digest(&xml),
        xml: Some(xml),
        kept: None,
        state: PowerState::Stopped,
        is_active: false,
        persistent: true,
        autostart: None,
    })
}

/// A domain as a plan sees it.
///
/// # Errors
/// Why its XML cannot be read, in one line.
pub fn seen(observed: &Observed) -> Result<Seen, String> {
    let read = |xml: &DomainXml| xml.domain().map_err(|error| error.to_string());
    let live = observed.live.as_ref().map(read).transpose()?;
    // A crashed domain counts as active in libvirt's table; what tells is whether something runs.
    let is_active = observed.state.is_active() && (live.is_some() || observed.state != DomainState::Crashed);
    Ok(Seen {
        domain: read(&observed.inactive)?,
        live,
        digest: digest(&observed.inactive),
        xml: Some(observed.inactive.clone()),
        kept: match (observed.snapshots, observed.checkpoints) {
            (true, _) => Some(Kept::Snapshots),
            (false, true) => Some(Kept::Checkpoints),
            (false, false) => None,
        },
        state: power_state(observed.state, observed.managed_save),
        is_active,
        persistent: observed.persistent,
        autostart: Some(observed.autostart),
    })
}

/// A state in fewer words.
pub fn power_state(state: DomainState, managed_save: bool) -> PowerState {
    match state {
        DomainState::Running | DomainState::Blocked => PowerState::Running,
        DomainState::Paused => PowerState::Paused,
        DomainState::PmSuspended => PowerState::Asleep,
        DomainState::InShutdown => PowerState::ShuttingDown,
        DomainState::Crashed => PowerState::Crashed,
        DomainState::ShutOff | DomainState::NoState if managed_save => PowerState::Saved,
        DomainState::ShutOff | DomainState::NoState => PowerState::Stopped,
    }
}

/// What the host offers to a new VM: the best that it really has.
fn host(facts: &HostFacts, uri: &str) -> Host {
    let kvm = facts.kind("kvm").filter(|kind| !uri.starts_with("qemu:///") || kvm_runs(kind));
    let Some(kind) = kvm.or_else(|| facts.kind("qemu")) else { return Host::unknown() };
    let arch = kind.arch.clone().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cpu_model = match (kind.host_passthrough, kind.maximum, kind.host_model) {
        (true, ..) => "host-passthrough",
        (_, true, _) => "maximum",
        (_, _, true) => "host-model",
        _ => "qemu64",
    };
    let enrolled = |one: &firmware::Firmware| one.installed && one.enrolled_keys && one.runs_on(&arch);
    Host {
        kind: kind.name.clone(),
        emulator: kind.emulator.clone(),
        enrolled_keys: firmware::installed().iter().any(enrolled),
        arch,
        cpu_model: cpu_model.to_owned(),
    }
}

/// Whether KVM runs guests here, and faster than translation does: libvirt offers it where its device exists.
/// What cannot be tried is believed. Keeps nothing, and takes a second and a half at most.
fn kvm_runs(kind: &Kind) -> bool {
    let Some(arch) = GuestArch::of_host() else { return true };
    let Ok(qemu) = qemu::locate(arch, kind.emulator.as_deref()) else { return true };
    let measured = accelerator::measure_all(&qemu);
    let is_unknown = |one: &Measurement| {
        one.accelerator == Accelerator::Kvm
            && matches!(one.outcome, Outcome::NoPermission | Outcome::Unproven)
    };
    let best = accelerator::decide(&measured).order.first().map(|choice| choice.accelerator);
    best == Some(Accelerator::Kvm) || measured.iter().any(is_unknown)
}

/// Looks at a file.
pub fn look(path: &Path) -> FileSeen {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_ok() => {
            return FileSeen::NotPlain { what: "a symbolic link that leads nowhere".to_owned() };
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return FileSeen::Missing;
        }
        Err(_) => return FileSeen::Unreadable,
    };
    if let Some(what) = no_file(&meta) {
        return FileSeen::NotPlain { what: what.to_owned() };
    }
    let Ok(file) = File::open(path) else { return FileSeen::Unreadable };
    let mut bytes = Vec::new();
    if file.take(HEADER_BYTES).read_to_end(&mut bytes).is_err() {
        return FileSeen::Unreadable;
    }
    let length = ByteSize::bytes(meta.len());
    match qcow2::parse_header(&bytes) {
        Ok(header) => FileSeen::Disk { size: header.virtual_size, format: DiskFormat::Qcow2, length },
        Err(_) => FileSeen::Disk { size: length, format: DiskFormat::Raw, length },
    }
}

fn no_file(meta: &Metadata) -> Option<&'static str> {
    let kind = meta.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else {
        Some("a pipe or a socket")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_what_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("raw");
        fs::write(&raw, vec![0; 4096]).unwrap();
        let length = ByteSize::bytes(4096);
        assert_eq!(look(&raw), FileSeen::Disk { size: length, format: DiskFormat::Raw, length });
        assert_eq!(look(&dir.path().join("none")), FileSeen::Missing);
        assert_eq!(look(&raw.join("below")), FileSeen::Missing);
        assert_eq!(look(dir.path()), FileSeen::NotPlain { what: "a directory".to_owned() });
        assert_eq!(look(Path::new("/dev/null")), FileSeen::NotPlain { what: "a device".to_owned() });
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(matches!(look(&link), FileSeen::NotPlain { .. }));
    }

    #[test]
    fn a_dump_that_is_no_domain_is_told_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let xml = "<domain type='kvm'><name>web</name><uuid>0198c7a0-0000-7000-8000-000000000001</uuid>\
                   <memory unit='GiB'>2</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os></domain>";
        fs::write(dir.path().join("web.xml"), xml).unwrap();
        fs::write(dir.path().join("bad.xml"), "<domain").unwrap();
        fs::write(dir.path().join("notes.txt"), "no dump").unwrap();
        let observation = read_dumps(dir.path()).unwrap();
        assert_eq!(observation.domains[0].domain.name, "web");
        assert_eq!(observation.unreadable[0].name, "bad");
        assert!(observation.files.is_empty());
    }
}
