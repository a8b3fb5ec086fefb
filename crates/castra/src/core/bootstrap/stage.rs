//! The staging area of one VM's bootstrap: a copy of script and payload that stays as it is while it
//! is moved into the guest, whatever happens to the originals.
//!
//! `<root>/bootstrap/<vm>/script` and `payload/`. Cleaned before it is filled and when it is dropped;
//! what a killed command left goes at the next. Modes are not kept here but in the entries, so that it
//! can always be cleaned. Tests: below.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext, Layout, publish};
use plasmavmc_types::VmName;

use super::inputs::{EntryKind, InputError, Inputs, Payload, open};

/// A filled staging area.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
    /// What lies in it.
    pub(super) inputs: Inputs,
}

impl Stage {
    /// Copies `inputs` into the staging area of `vm`.
    ///
    /// # Errors
    /// [`InputError`]; the area is empty then.
    pub(super) fn fill(layout: &Layout, vm: &VmName, inputs: &Inputs) -> Result<Self, InputError> {
        let dir = layout.bootstrap_stage(vm);
        // Before anything below it is removed: a link in its place would lead elsewhere.
        publish::private_dir_below(layout.root(), &layout.bootstrap())?;
        clean(&dir)?;
        publish::private_dir(&dir)?;
        let base = dir.join("payload");
        let payload = inputs.payload.as_ref().map(|payload| Payload { base, ..payload.clone() });
        let staged = Inputs { script: dir.join("script"), payload };
        let stage = Self { dir, inputs: staged };
        copy(&inputs.script, &stage.inputs.script)?;
        if let (Some(from), Some(to)) = (&inputs.payload, &stage.inputs.payload) {
            publish::private_dir(&to.base)?;
            for entry in &from.entries {
                let (source, target) = (from.source(entry), to.source(entry));
                match &entry.kind {
                    EntryKind::Directory => publish::private_dir(&target)?,
                    EntryKind::Link(to) => symlink(to, &target).context("make a link at", &target)?,
                    EntryKind::File => copy(&source, &target)?,
                }
            }
        }
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left is cleaned by the next run.
        let _ = clean(&self.dir);
    }
}

fn clean(dir: &Path) -> Result<(), HostError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("clean", dir),
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), InputError> {
    let mut source = open(from)?;
    let mut target = File::options().write(true).create_new(true).mode(0o600).open(to).context("make", to)?;
    // Shares blocks or lets the kernel copy where it can.
    io::copy(&mut source, &mut target).context("copy", from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::digest::{BaseIdentity, digest};
    use super::super::inputs::tests::{bootstrap, project};
    use super::*;

    #[test]
    fn a_copy_has_the_digest_of_its_original_and_is_gone_afterwards() {
        let (dir, root) = (project(), tempfile::tempdir().unwrap());
        let (layout, vm) = (Layout::new(root.path()), "web".parse().unwrap());
        let config = bootstrap(dir.path(), Some("dist"));
        let inputs = Inputs::look(&config).unwrap();
        // What a killed command left is no part of the next bootstrap.
        fs::create_dir_all(layout.bootstrap_stage(&vm).join("payload/old")).unwrap();
        let stage = Stage::fill(&layout, &vm, &inputs).unwrap();
        let base = BaseIdentity::of(&inputs.script, root.path()).unwrap();
        let of = |inputs: &Inputs| digest(&config, inputs, &base).unwrap();
        assert_eq!(of(&stage.inputs), of(&inputs));
        assert!(!layout.bootstrap_stage(&vm).join("payload/old").exists());
        let mode = fs::metadata(layout.bootstrap_stage(&vm)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(dir.path().join("bootstrap.sh"), "changed while it runs").unwrap();
        assert_ne!(of(&stage.inputs), of(&inputs));
        drop(stage);
        assert!(!layout.bootstrap_stage(&vm).exists());
    }

    #[test]
    fn a_file_that_vanishes_meanwhile_leaves_nothing_behind() {
        let (dir, root) = (project(), tempfile::tempdir().unwrap());
        let (layout, vm) = (Layout::new(root.path()), "web".parse().unwrap());
        let inputs = Inputs::look(&bootstrap(dir.path(), Some("dist"))).unwrap();
        fs::remove_file(dir.path().join("dist/bin/web")).unwrap();
        assert!(Stage::fill(&layout, &vm, &inputs).is_err());
        assert!(!layout.bootstrap_stage(&vm).exists());
    }
}
