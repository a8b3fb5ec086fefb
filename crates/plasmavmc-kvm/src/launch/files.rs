//! The files a QEMU needs before it is started: logs, journal, sockets, firmware variables.
//!
//! All are made here, private, so that QEMU itself creates nothing and needs no umask.
//! Tests: below, and `tests/it/launch.rs`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use plasmavmc_host::{FileLock, HostError, IoContext, Layout, publish, socket};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{DiskFormat, Firmware, VmName, VmSpec};

use crate::argv::fd;
use crate::firmware::{self, UefiFiles};
use crate::log;

/// What the journal's monitor is told: without it, QEMU would report nothing.
const OPEN_JOURNAL: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";

/// Makes the directories and files of a run that is about to begin.
///
/// The journal is emptied: it belongs to the run that is launched now.
pub(super) fn prepare(layout: &Layout, vm: &VmName) -> Result<File, HostError> {
    let journal = layout.journal(vm);
    for dir in [layout.logs(), journal.parent().unwrap_or(layout.root()).to_owned()] {
        publish::private_dir(&dir)?;
    }
    log::empty(&journal)?;
    log::open(&layout.serial_log(vm))?;
    log::open(&layout.vm_log(vm))
}

/// The descriptors QEMU inherits: its sockets, its journal's input, and the lock.
pub(super) fn inherits(
    layout: &Layout,
    vm: &VmName,
    lock: &FileLock,
) -> Result<Vec<(OwnedFd, i32)>, HostError> {
    let root = layout.root();
    let qmp = socket::listen(root, &Layout::qmp_socket_name(vm))?;
    let serial = socket::listen(root, &Layout::serial_socket_name(vm))?;
    let agent = socket::listen(root, &Layout::agent_socket_name(vm))?;
    let guest_agent = socket::listen(root, &Layout::guest_agent_socket_name(vm))?;
    let (reader, writer) = journal_input().context("make a pipe for", &layout.journal(vm))?;
    let lock = lock.as_file().as_fd().try_clone_to_owned().context("pass on", &layout.live_lock(vm))?;
    Ok(vec![
        (qmp.into(), fd::QMP),
        (serial.into(), fd::SERIAL),
        (agent.into(), fd::AGENT),
        (guest_agent.into(), fd::GUEST_AGENT),
        (reader, fd::JOURNAL_INPUT),
        (writer, fd::JOURNAL_INPUT_WRITER),
        (lock, fd::LIVE_LOCK),
    ])
}

/// A pipe that already holds the command which opens the journal.
fn journal_input() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(OPEN_JOURNAL)?;
    Ok((reader.into(), writer.into()))
}

/// The firmware's files for a VM, its variables made from the template where it has none yet.
pub(super) fn uefi(layout: &Layout, spec: &VmSpec) -> Result<Option<UefiFiles>, HostError> {
    if spec.firmware != Firmware::Uefi {
        return Ok(None);
    }
    let Some(UefiFiles { code, vars: template }) = firmware::installed() else {
        let program = "UEFI firmware (OVMF)".to_owned();
        return Err(HostError::MissingProgram { program, package: "ovmf" });
    };
    let vars = layout.uefi_vars(&spec.name);
    if !vars.exists() {
        publish::private_dir(vars.parent().unwrap_or(layout.root()))?;
        let bytes = fs::read(&template).context("read", &template)?;
        publish::write(&vars, &bytes)?;
    }
    Ok(Some(UefiFiles { code, vars }))
}

/// Refuses a qcow2 file that lies on another file which the spec does not name. QEMU is told not to
/// open what a header names, so the guest would read zeros.
///
/// A file that cannot be read is left to QEMU, which says what is wrong with it.
pub(super) fn check_bases(spec: &VmSpec) -> Result<(), Error> {
    for disk in &spec.disks {
        let (lowest, format) = match &disk.backing {
            Some(backing) => (&backing.path, backing.format),
            None => (&disk.path, disk.format),
        };
        if format == DiskFormat::Qcow2 && header(lowest).is_ok_and(|header| names_a_base(&header)) {
            return Err(Error::Unsupported {
                vm: spec.name.clone(),
                what: format!("the file under `{}`, which its definition does not name", lowest.display()),
                hint: format!(
                    "make it one file: `qemu-img convert -O qcow2 {} whole.qcow2`",
                    lowest.display()
                ),
            });
        }
    }
    Ok(())
}

/// The first bytes of a qcow2 header: magic, version, offset of the base's name.
type Header = [u8; 16];

fn header(path: &Path) -> io::Result<Header> {
    let mut header = Header::default();
    File::open(path)?.read_exact(&mut header)?;
    Ok(header)
}

/// Whether a qcow2 header names a file to lie on (`backing_file_offset`, QEMU's docs/interop/qcow2).
fn names_a_base(header: &Header) -> bool {
    header[..4] == *b"QFI\xfb" && header[8..16] != [0; 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_names_a_base_is_recognised() {
        let header = |magic: &[u8; 4], offset: u64| {
            let mut header = Header::default();
            header[..4].copy_from_slice(magic);
            header[8..].copy_from_slice(&offset.to_be_bytes());
            header
        };
        assert!(names_a_base(&header(b"QFI\xfb", 0x200)));
        assert!(!names_a_base(&header(b"QFI\xfb", 0)));
        assert!(!names_a_base(&header(b"MBR\0", 0x200)));
    }

    #[test]
    fn a_run_begins_with_an_empty_journal_and_keeps_its_logs() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        prepare(&layout, &vm).unwrap();
        for file in [layout.journal(&vm), layout.serial_log(&vm), layout.vm_log(&vm)] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
            fs::write(&file, "before\n").unwrap();
        }
        prepare(&layout, &vm).unwrap();
        assert_eq!(fs::read(layout.journal(&vm)).unwrap(), b"");
        assert_eq!(fs::read(layout.serial_log(&vm)).unwrap(), b"before\n");
    }
}
