//! The files a QEMU needs before it is started: logs, journal, sockets, firmware variables.
//!
//! All are made here, private, so that QEMU itself creates nothing and needs no umask. QEMU opens
//! some by their names, so no symbolic link may be among them: a workspace can come with a cloned
//! repository. Tests: below, and `tests/it/launch.rs`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use plasmavmc_host::{FileLock, HostError, IoContext, Layout, plain, publish, socket};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{DiskFormat, Firmware, VmName, VmSpec};

use crate::argv::fd;
use crate::firmware::{self, UefiFiles};
use crate::log::SERIAL_MAX;

/// What the journal's monitor is told: without it, QEMU would report nothing.
const OPEN_JOURNAL: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";

/// Makes the directories and files of a run that is about to begin.
///
/// The journal is emptied: it belongs to the run that is launched now. A serial log that has grown
/// long makes way for a new one.
pub(super) fn prepare(layout: &Layout, vm: &VmName) -> Result<File, HostError> {
    let journal = layout.journal(vm);
    for dir in [layout.logs(), journal.parent().unwrap_or(layout.root()).to_owned()] {
        publish::private_dir_below(layout.root(), &dir)?;
    }
    plain::empty(&journal)?;
    plain::rotate(&layout.serial_log(vm), &layout.serial_log_before(vm), SERIAL_MAX)?;
    plain::append(&layout.serial_log(vm))?;
    plain::append(&layout.vm_log(vm))
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
    publish::private_dir_below(layout.root(), vars.parent().unwrap_or(layout.root()))?;
    if !fs::symlink_metadata(&vars).is_ok_and(|found| found.is_file()) {
        let bytes = fs::read(&template).context("read", &template)?;
        publish::write(&vars, &bytes)?;
    }
    Ok(Some(UefiFiles { code, vars }))
}

/// Refuses a qcow2 file that needs another file which the spec does not name. QEMU is told not to
/// open what a header names to lie on, so the guest would read zeros; a file for its data it would
/// open, whatever it is.
///
/// A file that cannot be read is left to QEMU, which says what is wrong with it.
pub(super) fn check_disks(spec: &VmSpec) -> Result<(), Error> {
    for disk in &spec.disks {
        let top = (&disk.path, disk.format, disk.backing.is_some());
        let base = disk.backing.as_ref().map(|backing| (&backing.path, backing.format, false));
        for (path, format, has_base) in [Some(top), base].into_iter().flatten() {
            if let Some(what) = header(path, format).and_then(|header| undeclared(&header, has_base)) {
                let shown = path.display();
                return Err(Error::Unsupported {
                    vm: spec.name.clone(),
                    what: format!("the file {what} `{shown}`, which its definition does not name"),
                    hint: format!(
                        "see which it is with `qemu-img info {shown}`; where it is yours, make them one file: `qemu-img convert -O qcow2 {shown} whole.qcow2`"
                    ),
                });
            }
        }
    }
    Ok(())
}

/// The first bytes of a qcow2 header: magic, version, offset of the base's name, and after other
/// fields the features that a reader must know.
type Header = [u8; 80];

/// The header of a qcow2 file; none where it cannot be read.
fn header(path: &Path, format: DiskFormat) -> Option<Header> {
    let mut header = [0; 80];
    let qcow2 = format == DiskFormat::Qcow2;
    qcow2.then(|| File::open(path).and_then(|mut file| file.read_exact(&mut header)))?.ok()?;
    header.starts_with(b"QFI\xfb").then_some(header)
}

/// Which file a qcow2 header needs beside those that were declared (`incompatible_features` and
/// `backing_file_offset`, QEMU's docs/interop/qcow2).
fn undeclared(header: &Header, has_base: bool) -> Option<&'static str> {
    const EXTERNAL_DATA: u8 = 1 << 2;
    // Version 2 has no features.
    if header[4..8] != [0, 0, 0, 2] && header[79] & EXTERNAL_DATA != 0 {
        Some("with the data of")
    } else if !has_base && header[8..16] != [0; 8] {
        Some("under")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_header_that_needs_an_undeclared_file_is_recognised() {
        let header = |version: u8, base: u8, features: u8| {
            let mut header = [0; 80];
            header[..8].copy_from_slice(&[b'Q', b'F', b'I', 0xfb, 0, 0, 0, version]);
            (header[15], header[79]) = (base, features);
            header
        };
        for (header, has_base, expected) in [
            (header(3, 0, 0), false, None),
            (header(3, 1, 0), false, Some("under")),
            (header(3, 1, 0), true, None),
            (header(3, 1, 0b0100), true, Some("with the data of")),
            (header(3, 0, 0b0111), false, Some("with the data of")),
            (header(3, 0, 0b1011), false, None),
            (header(2, 0, 0b0100), false, None),
        ] {
            assert_eq!(undeclared(&header, has_base), expected, "{header:?}");
        }
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

    #[test]
    fn no_link_in_a_workspace_leads_a_run_to_a_file_of_the_users() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("bashrc");
        fs::write(&theirs, "alias ls=ls\n").unwrap();
        let layout = Layout::new(dir.path().join("workspace"));
        let vm: VmName = "web".parse().unwrap();
        prepare(&layout, &vm).unwrap();
        let files = [layout.journal(&vm), layout.serial_log(&vm), layout.vm_log(&vm)];
        for file in &files {
            fs::remove_file(file).unwrap();
            symlink(&theirs, file).unwrap();
        }
        prepare(&layout, &vm).unwrap();
        assert!(files.iter().all(|file| file.symlink_metadata().unwrap().is_file()));
        assert_eq!(fs::read(&theirs).unwrap(), b"alias ls=ls\n");
    }

    #[test]
    fn a_directory_that_is_a_link_is_refused_but_for_the_workspace_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("real/elsewhere")).unwrap();
        symlink(path("real"), path("workspace")).unwrap();
        let layout = Layout::new(path("workspace"));
        let vm: VmName = "web".parse().unwrap();
        prepare(&layout, &vm).unwrap();
        fs::remove_dir_all(layout.logs()).unwrap();
        symlink(path("real/elsewhere"), layout.logs()).unwrap();
        let error = prepare(&layout, &vm).unwrap_err().to_string();
        assert!(error.contains("logs` is not a directory"), "{error}");
        assert_eq!(fs::read_dir(path("real/elsewhere")).unwrap().count(), 0);
    }

    #[test]
    fn a_serial_log_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        prepare(&layout, &vm).unwrap();
        let (log, before) = (layout.serial_log(&vm), layout.serial_log_before(&vm));
        for run in [1_u8, 2] {
            fs::write(&log, [run]).unwrap();
            File::options().write(true).open(&log).unwrap().set_len(SERIAL_MAX + 1).unwrap();
            prepare(&layout, &vm).unwrap();
            assert_eq!((log.metadata().unwrap().len(), fs::read(&before).unwrap()[0]), (0, run));
        }
        assert_eq!(fs::read_dir(layout.logs()).unwrap().count(), 3);
    }
}
