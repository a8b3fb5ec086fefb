//! What `clean` would remove from one workspace: decided by looking, before anything is removed.
//!
//! ```text
//! images/       copies with a checksum beside them     not: under a kept overlay, put there by hand
//! overlays/     of stopped VMs, and what is no disk    not: persistent ones, of VMs unknown, in use
//! logs/         everything                             not: a live VM's
//! runtime       pidfiles, sockets, records, seeds      not: a live VM's, records of kept overlays
//! partial       half-written files                     not: written to in the last minute
//! ```
//!
//! Reads only. Tests: below, and `tests/it/clean.rs`.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmavmc_guest::freshness::BrokerLock;
use plasmavmc_guest::presence::lock_state;
use plasmavmc_host::overlay::{self, Content};
use plasmavmc_host::{HostError, IoContext, Layout, disk, publish};
use plasmavmc_types::{CleanupKind, DiskSpec, Persistence, VmName};
use rustix::fs::FlockOperation;

use super::vms::{Vm, entries};
use super::{CleanItem, Overlays};
use crate::config::Project;
use crate::core::error::Error;
use crate::core::output::Diagnostic;
use crate::core::workspace::legacy;

/// How long a half-written file is left alone: whoever writes it may still be at it.
const FRESH: Duration = Duration::from_secs(60);

/// What the checksum file of a cached image is called beyond the image's own name.
const SIDECAR: &str = ".sha512";

/// What was found in a workspace.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// What to remove, in order.
    pub(super) items: Vec<CleanItem>,
    /// What is left alone although a person might expect otherwise.
    pub(super) notes: Vec<Diagnostic>,
}

/// Looks at one workspace.
///
/// # Errors
/// [`Error`] where a directory or file cannot be looked at.
pub(super) fn survey(
    layout: &Layout,
    project: Option<&Project>,
    vms: &[Vm],
    overlays: Overlays,
) -> Result<Survey, Error> {
    let mut surveyor = Surveyor { layout, project, vms, found: Survey::default(), kept: BTreeSet::new() };
    // Overlays first: what is kept of them decides which images and records stay.
    surveyor.overlays(overlays)?;
    surveyor.images()?;
    surveyor.logs()?;
    surveyor.runtime()?;
    surveyor.partial()?;
    for path in legacy(layout).into_iter().filter(|path| path.symlink_metadata().is_ok()) {
        surveyor.add(path, CleanupKind::Legacy)?;
    }
    Ok(surveyor.found)
}

/// A file, whatever its names: device and inode.
type FileId = (u64, u64);

struct Surveyor<'a> {
    layout: &'a Layout,
    project: Option<&'a Project>,
    vms: &'a [Vm],
    found: Survey,
    /// Disks that stay, and what lies under them.
    kept: BTreeSet<FileId>,
}

impl Surveyor<'_> {
    fn add(&mut self, path: PathBuf, kind: CleanupKind) -> Result<(), HostError> {
        let bytes = tree_usage(&path)?;
        self.found.items.push(CleanItem { path, kind, bytes });
        Ok(())
    }

    fn note(&mut self, message: String, hint: Option<String>) {
        let note = Diagnostic::note(message);
        self.found.notes.push(match hint {
            Some(hint) => note.with_hint(hint),
            None => note,
        });
    }

    /// Keeps a disk and what lies under it.
    fn keep(&mut self, disk: &DiskSpec) {
        let under = disk.backing.as_ref().map(|backing| backing.path.as_path());
        self.kept.extend(under.and_then(file_id));
        self.keep_file(&disk.path);
    }

    /// Keeps a file of the overlays, and what it says it lies on.
    fn keep_file(&mut self, path: &Path) {
        self.kept.extend(file_id(path));
        if let Ok(Content::Over(base)) = content(path) {
            self.kept.extend(file_id(&base));
        }
    }

    fn overlays(&mut self, overlays: Overlays) -> Result<(), Error> {
        let mut claimed = BTreeSet::new();
        for vm in self.vms {
            for disk in vm.disks.iter().flatten() {
                let Some(id) = file_id(&disk.path).filter(|_| !disk.read_only) else {
                    if vm.live {
                        self.keep(disk);
                    }
                    continue;
                };
                claimed.insert(id);
                match self.persistence(&vm.name, disk.persistence) {
                    _ if vm.live => self.keep(disk),
                    Persistence::Persistent => self.keep_persistent(&vm.name, disk),
                    Persistence::Disposable if overlays == Overlays::Keep => {
                        self.kept.insert(id);
                    }
                    Persistence::Disposable => self.overlay(&disk.path)?,
                }
            }
        }
        for path in entries(&self.layout.overlays())? {
            let unclaimed = file_id(&path).is_some_and(|id| !claimed.contains(&id));
            match overlays {
                _ if !unclaimed || is_temporary(&path) => {}
                Overlays::Keep => self.keep_file(&path),
                Overlays::Remove => self.unclaimed_overlay(&path)?,
            }
        }
        Ok(())
    }

    /// Whether a disk stays. Whoever wrote `persistent = true` after its VM was started wants to keep
    /// what it wrote.
    fn persistence(&self, vm: &VmName, recorded: Persistence) -> Persistence {
        let configured = self.project.and_then(|project| project.vm(vm.as_str()));
        match configured.map(|vm| vm.persistence) {
            Some(Persistence::Persistent) => Persistence::Persistent,
            Some(Persistence::Disposable) | None => recorded,
        }
    }

    fn keep_persistent(&mut self, vm: &VmName, disk: &DiskSpec) {
        self.keep(disk);
        let message = format!("the disk of persistent VM `{vm}` stays: {}", disk.path.display());
        self.note(message, Some(format!("to lose it for good: `rm {}`", disk.path.display())));
    }

    /// An overlay no readable definition names. One that some guest wrote to stays unless the config
    /// says what it is: what nobody can tell may be a person's data.
    fn unclaimed_overlay(&mut self, path: &Path) -> Result<(), Error> {
        let owner = path.file_stem().and_then(|stem| stem.to_str()?.parse::<VmName>().ok());
        let traced = self.vms.iter().find(|vm| Some(&vm.name) == owner.as_ref());
        let configured = owner.as_ref().and_then(|owner| Some(self.project?.vm(owner.as_str())?.persistence));
        let unreadable =
            traced.is_some_and(|vm| vm.disks.is_none() && self.layout.vm_record(&vm.name).exists());
        let reason = if traced.is_some_and(|vm| vm.live) {
            "its VM is live"
        } else if configured == Some(Persistence::Persistent) {
            "its VM is persistent"
        } else if unreadable {
            "its VM's record cannot be read, so it may be persistent"
        } else if configured.is_none() && !matches!(content(path), Ok(Content::NoDisk)) {
            "nothing tells whose it is, so it may be persistent"
        } else {
            return self.overlay(path);
        };
        self.keep_file(path);
        let hint = format!("to lose it for good: `rm {}`", path.display());
        self.note(format!("overlay `{}` stays: {reason}", path.display()), Some(hint));
        Ok(())
    }

    fn overlay(&mut self, path: &Path) -> Result<(), Error> {
        if in_use(path)? {
            self.keep_file(path);
            self.note(format!("overlay `{}` stays: another process has it open", path.display()), None);
            return Ok(());
        }
        Ok(self.add(path.to_owned(), CleanupKind::Overlay)?)
    }

    fn images(&mut self) -> Result<(), Error> {
        for path in entries(&self.layout.images())?.into_iter().filter(|path| !is_temporary(path)) {
            let kept = file_id(&path).is_some_and(|id| self.kept.contains(&id));
            match path.to_str().and_then(|text| text.strip_suffix(SIDECAR)) {
                // A checksum goes with its image.
                Some(image) if !Path::new(image).exists() => self.add(path, CleanupKind::Image)?,
                Some(_) => {}
                None if kept => {
                    let message = format!("image `{}` stays: a disk that stays lies on it", path.display());
                    self.note(message, None);
                }
                None => self.image(path)?,
            }
        }
        Ok(())
    }

    fn image(&mut self, path: PathBuf) -> Result<(), Error> {
        let mut sidecar = path.clone().into_os_string();
        sidecar.push(SIDECAR);
        let sidecar = PathBuf::from(sidecar);
        if !sidecar.exists() {
            let message =
                format!("`{}` stays: it has no checksum, so it was put there by hand", path.display());
            self.note(message, Some(format!("to remove it: `rm -r {}`", path.display())));
            return Ok(());
        }
        self.add(path, CleanupKind::Image)?;
        Ok(self.add(sidecar, CleanupKind::Image)?)
    }

    fn logs(&mut self) -> Result<(), Error> {
        let (logs, legacy) = (self.layout.logs(), legacy(self.layout));
        let live: Vec<&Vm> = self.vms.iter().filter(|vm| vm.live).collect();
        let mut stay: Vec<PathBuf> = live
            .iter()
            .flat_map(|vm| [self.layout.vm_log(&vm.name), self.layout.serial_log(&vm.name)])
            .chain(legacy)
            .collect();
        // Both are written to for as long as there is a broker; and whoever has VMs wants to know.
        if !live.is_empty() || lock_state(self.layout) == BrokerLock::Held {
            stay.extend([self.layout.events_log(), self.layout.broker_log()]);
        }
        for path in entries(&logs)?.into_iter().filter(|path| !stay.contains(path) && !is_temporary(path)) {
            self.add(path, CleanupKind::Log)?;
        }
        Ok(())
    }

    fn runtime(&mut self) -> Result<(), Error> {
        let layout = self.layout;
        for vm in self.vms.iter().filter(|vm| !vm.live) {
            let name = &vm.name;
            let mut files = layout.run_files(name).to_vec();
            files.extend([layout.operation(name), layout.seed(name), layout.journal(name)]);
            files.extend([layout.session(name), layout.timings(name), layout.mounts(name)]);
            // Without its record nobody could tell what a kept disk is, or what was done on it.
            let disks = vm.disks.iter().flatten().map(|disk| disk.path.clone());
            let mut disks = disks.chain([layout.overlay(name)]);
            let keeps_disk = disks.any(|path| file_id(&path).is_some_and(|id| self.kept.contains(&id)));
            if !keeps_disk {
                files.extend([layout.uefi_vars(name), layout.vm_record(name), layout.bootstrap_record(name)]);
            }
            for path in files.into_iter().filter(|path| path.symlink_metadata().is_ok()) {
                self.add(path, CleanupKind::Runtime)?;
            }
        }
        let socket = layout.broker_socket();
        if lock_state(layout) == BrokerLock::Free && socket.symlink_metadata().is_ok() {
            self.add(socket, CleanupKind::Runtime)?;
        }
        // A live VM may be about to get what is staged for it.
        let is_live = |path: &PathBuf| {
            let of = |name| [layout.bootstrap_stage(name), layout.bootstrap_connection(name)].contains(path);
            self.vms.iter().any(|vm| vm.live && of(&vm.name))
        };
        let staged = entries(&layout.bootstrap())?.into_iter().filter(|path| !is_live(path));
        let staged: Vec<PathBuf> = staged.collect();
        for path in staged.into_iter().chain(Some(layout.qemu_offer()).filter(|path| path.exists())) {
            self.add(path, CleanupKind::Runtime)?;
        }
        Ok(())
    }

    fn partial(&mut self) -> Result<(), Error> {
        let layout = self.layout;
        let mut dirs = vec![layout.root().to_owned(), layout.images(), layout.overlays(), layout.logs()];
        dirs.push(layout.metadata());
        dirs.extend(entries(&layout.metadata())?);
        for dir in dirs {
            for path in entries(&dir)?.into_iter().filter(|path| is_temporary(path)) {
                let meta = fs::symlink_metadata(&path).context("inspect", &path)?;
                if age(&meta) >= FRESH {
                    self.add(path, CleanupKind::Partial)?;
                }
            }
        }
        Ok(())
    }
}

/// What a file among the overlays is; a pipe or the like is no disk and would not answer.
fn content(path: &Path) -> Result<Content, HostError> {
    if path.is_file() { overlay::content(path) } else { Ok(Content::NoDisk) }
}

/// Whether a file is one that was never finished, or is being written right now.
pub(super) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(publish::TEMPORARY_PREFIX.as_bytes())
}

fn age(meta: &Metadata) -> Duration {
    meta.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
}

/// The file a path leads to; none where there is none.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Whether another process holds locks on a disk: QEMU and its tools do while they have it open.
fn in_use(path: &Path) -> Result<bool, HostError> {
    // A lock for writing asks about every lock there is; it is gone when the file is closed.
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        // One that nobody may write to is no disk of a guest.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error).context("open", path),
    };
    use rustix::io::Errno;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(true),
        // A file system without locks has none that are held.
        Err(Errno::NOLCK | Errno::INVAL | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error).context("look for locks on", path),
    }
}

/// What removing a file, or a directory with all that is in it, would free.
fn tree_usage(path: &Path) -> Result<u64, HostError> {
    let mut bytes = disk::usage(path)?.as_bytes();
    if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        for child in entries(path)? {
            bytes += tree_usage(&child)?;
        }
    }
    Ok(bytes)
}
