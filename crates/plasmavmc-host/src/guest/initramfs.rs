//! The tiny guest's whole system: an archive the kernel unpacks into memory.
//!
//! Owns: which programs, modules and files are in it. Pure but for reading the unpacked packages.
//! Tests: below for the module list, `tests/guest_image.rs` for the whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::{Compression, GzBuilder};

use super::BuildError;
use super::cpio::{Archive, CpioError};
use super::elf::Elf;

use super::modules::{LoadOrder, OrderError, canonical};
use super::packages::KERNEL;
use super::unpacked::{Unpacked, in_elf};
use crate::{HostError, IoContext};
use crate::{agent, exec};

/// The kernel modules, in lists that the guest's init loads one by one.
const MODULES: [(&str, &[&str]); 4] = [
    // Without these nobody can log in or press the power button: the bus, the agent's port, the
    // network (which both go on while the rest loads), the button, and disks, for the seed.
    ("etc/modules", &["virtio_pci", "virtio_console", "virtio_net", "button", "evdev", "virtio_blk"]),
    // When a seed is found: FAT, and the tables its file names need.
    ("etc/modules.seed", &["vfat", "nls_cp437", "nls_ascii"]),
    // When the SSH server runs: the entropy device, and the one that tells of a panic.
    ("etc/modules.late", &["virtio_rng", "pvpanic_pci"]),
    // For who asks for them with `modprobe` or `mount`.
    ("etc/modules.spare", &["virtio_balloon", "nls_utf8", "nls_iso8859_1", "virtiofs"]),
];

/// Modules that not every kernel has, for folders of the host.
const MODULES_IF_THERE: [&str; 2] = ["9p", "9pnet_virtio"];

/// Files of ours: where, with which permissions, what.
const FILES: [(&str, u32, &str); 7] = [
    ("init", 0o755, include_str!("tiny/init.sh")),
    ("etc/udhcpc.sh", 0o755, include_str!("tiny/udhcpc.sh")),
    ("etc/passwd", 0o644, "root:*:0:0:root:/root:/bin/sh\n"),
    ("etc/group", 0o644, "root:x:0:\n"),
    ("etc/shells", 0o644, "/bin/sh\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
    ("etc/profile", 0o644, "export PATH=/bin PS1='\\u@\\h:\\w# '\n"),
];

/// Time for busybox to list what it can do, or to unpack a module.
const BUSYBOX_BOUND: Duration = Duration::from_secs(30);

/// The initramfs, compressed.
pub(super) fn build(packages: &Unpacked, agent_bytes: &[u8]) -> Result<Vec<u8>, BuildError> {
    let mut archive = Archive::default();
    add_system(&mut archive).map_err(cpio)?;
    archive.file(&format!("bin/{}", agent::NAME), 0o755, agent_bytes.to_vec()).map_err(cpio)?;
    add_busybox(&mut archive, packages)?;
    for program in ["sbin/dropbear", "bin/dropbearkey"] {
        add_program(&mut archive, packages, program)?;
    }
    add_modules(&mut archive, packages)?;
    Ok(compress(&archive.to_bytes()))
}

/// Gzip, without a time in its header.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}

fn cpio(source: CpioError) -> BuildError {
    BuildError::Cpio { source }
}

/// Directories, our own files, and the console the kernel gives process 1.
fn add_system(archive: &mut Archive) -> Result<(), CpioError> {
    for directory in ["dev", "proc", "sys", "run", "mnt", "tmp", "etc/dropbear", "var/log"] {
        archive.directory(directory, 0o755)?;
    }
    for directory in ["root", "root/.ssh"] {
        archive.directory(directory, 0o700)?;
    }
    archive.file("root/.ssh/authorized_keys", 0o600, Vec::new())?;
    archive.char_device("dev/console", 5, 1)?;
    for (path, permissions, text) in FILES {
        archive.file(path, permissions, text.as_bytes().to_vec())?;
    }
    Ok(())
}

/// Busybox, and a link for everything it can do, so that the guest need not make them at boot.
fn add_busybox(archive: &mut Archive, packages: &Unpacked) -> Result<(), BuildError> {
    const PACKAGE: &str = "busybox-static";
    let path = packages.find("bin/busybox", PACKAGE)?;
    let mut command = Command::new(&path);
    command.arg("--list");
    let applets = exec::run(command, BUSYBOX_BOUND)?;
    for applet in applets.text().lines().filter(|applet| *applet != "busybox") {
        archive.symlink(&format!("bin/{applet}"), "busybox").map_err(cpio)?;
    }
    archive.file("bin/busybox", 0o755, packages.read("bin/busybox", PACKAGE)?).map_err(cpio)
}

fn add_program(archive: &mut Archive, packages: &Unpacked, path: &str) -> Result<(), BuildError> {
    let files = packages.program(path, "dropbear-bin")?;
    let name = path.rsplit('/').next().unwrap_or(path);
    archive.file(&format!("bin/{name}"), 0o755, files.bytes).map_err(cpio)?;
    if let Some((path, bytes)) = files.loader {
        archive.file(path.trim_start_matches('/'), 0o755, bytes).map_err(cpio)?;
    }
    for (library, bytes) in files.libraries {
        archive.file(&format!("lib/x86_64-linux-gnu/{library}"), 0o755, bytes).map_err(cpio)?;
    }
    Ok(())
}

/// The modules, what they depend on, and the lists the guest's init loads.
fn add_modules(archive: &mut Archive, packages: &Unpacked) -> Result<(), BuildError> {
    let kernel = Kernel::find(packages)?;
    let mut wanted = Vec::new();
    for (list, modules) in MODULES {
        let loadable: Vec<_> = modules.iter().copied().filter(|name| !kernel.has_built_in(name)).collect();
        archive.file(list, 0o644, (loadable.join(" ") + "\n").into_bytes()).map_err(cpio)?;
        wanted.extend(loadable);
    }
    wanted.extend(MODULES_IF_THERE.into_iter().filter(|name| kernel.files.contains_key(*name)));
    let mut contents = BTreeMap::new();
    let order = LoadOrder::resolve(&wanted, &mut |module| {
        let (path, bytes) = kernel.module(module, packages)?;
        let depends = Elf::parse(&bytes).and_then(|elf| elf.module_depends()).map_err(in_elf(&path))?;
        contents.insert(module.to_owned(), bytes);
        Ok(depends)
    });
    let order = order.map_err(|error| match error {
        OrderError::Cycle { module } => BuildError::ModuleCycle { module },
        OrderError::Depends(error) => error,
    })?;
    let directory = format!("lib/modules/{}", kernel.version);
    for (module, bytes) in contents {
        archive.file(&format!("{directory}/{module}.ko"), 0o644, bytes).map_err(cpio)?;
    }
    let dependencies = order.modules_dep().into_bytes();
    archive.file(&format!("{directory}/modules.dep"), 0o644, dependencies).map_err(cpio)
}

/// The modules of the one kernel among the unpacked packages.
struct Kernel {
    version: String,
    /// The file of each module that is not part of the kernel's own file.
    files: BTreeMap<String, PathBuf>,
    built_in: Vec<String>,
}

impl Kernel {
    fn find(packages: &Unpacked) -> Result<Self, BuildError> {
        let all = packages.find("lib/modules", KERNEL)?;
        let missing = || BuildError::Content { package: KERNEL.to_owned(), what: "modules".to_owned() };
        let directory = entries(&all)?.into_iter().next().ok_or_else(missing)?;
        let version = directory.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?.to_owned();
        let list = directory.join("modules.builtin");
        let text = fs::read_to_string(&list).context("read", &list)?;
        let built_in = text.lines().filter_map(module_name).collect();
        let mut files = BTreeMap::new();
        let mut open = vec![directory.join("kernel")];
        while let Some(directory) = open.pop() {
            for path in entries(&directory)? {
                if path.is_dir() {
                    open.push(path);
                } else if let Some(name) = path.to_str().and_then(module_name) {
                    files.insert(name, path);
                }
            }
        }
        Ok(Self { version, files, built_in })
    }

    fn has_built_in(&self, module: &str) -> bool {
        self.built_in.iter().any(|name| *name == canonical(module))
    }

    /// A module's file and its bytes, uncompressed.
    fn module(&self, module: &str, packages: &Unpacked) -> Result<(PathBuf, Vec<u8>), BuildError> {
        let path = self.files.get(module).ok_or_else(|| BuildError::Content {
            package: KERNEL.to_owned(),
            what: format!("kernel module `{module}`"),
        })?;
        if path.extension().is_some_and(|extension| extension == "ko") {
            return Ok((path.clone(), fs::read(path).context("read", path)?));
        }
        // Newer kernels have their modules compressed with xz, which the unpacked busybox reads.
        let mut command = Command::new(packages.find("bin/busybox", "busybox-static")?);
        command.arg("xzcat").arg(path);
        Ok((path.clone(), exec::run(command, BUSYBOX_BOUND)?.stdout))
    }
}

/// The entries of a directory, by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, HostError> {
    let read = fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let mut paths = read.context("list", directory)?;
    paths.sort();
    Ok(paths)
}

/// The name of the module in a file such as `kernel/drivers/virtio/virtio-rng.ko.xz`.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, extension) = file.split_once('.')?;
    matches!(extension, "ko" | "ko.xz").then(|| canonical(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_known_by_the_name_the_kernel_gives_it() {
        assert_eq!(module_name("kernel/drivers/char/virtio-rng.ko").as_deref(), Some("virtio_rng"));
        assert_eq!(module_name("fs/fat/vfat.ko.xz").as_deref(), Some("vfat"));
        assert_eq!(module_name("modules.dep"), None);
    }

    #[test]
    fn the_same_system_gives_the_same_archive() {
        let build = || {
            let mut archive = Archive::default();
            add_system(&mut archive).unwrap();
            compress(&archive.to_bytes())
        };
        assert_eq!(build(), build());
    }
}
