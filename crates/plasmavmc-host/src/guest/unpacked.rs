//! A directory with packages unpacked one over the other: finds files in it.
//!
//! Releases differ in whether things lie in `/` or in `/usr`, so every look-up tries both. Nothing
//! outside the directory is ever read: what is found is a plain file below it. Tests: below.

use std::fs;
use std::path::{Path, PathBuf};

use super::BuildError;
use super::elf::{Elf, ElfError};
use crate::IoContext;

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct Unpacked {
    root: PathBuf,
}

/// Where libraries lie, from the root, in the order the loader looks.
const LIBRARIES: [&str; 4] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64"];

impl Unpacked {
    /// The packages unpacked in `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The file or directory `path`, given without `usr/`.
    pub(super) fn find(&self, path: &str, package: &str) -> Result<PathBuf, BuildError> {
        let places = [self.root.join(path), self.root.join("usr").join(path)];
        self.first(&places, path, package)
    }

    /// The bytes of the file `path`, given without `usr/`.
    pub(super) fn read(&self, path: &str, package: &str) -> Result<Vec<u8>, BuildError> {
        let path = self.find(path, package)?;
        Ok(fs::read(&path).context("read", &path)?)
    }

    /// The library the loader would take for `name`.
    pub(super) fn library(&self, name: &str, package: &str) -> Result<PathBuf, BuildError> {
        let places = LIBRARIES.map(|place| self.root.join(place).join(name));
        self.first(&places, name, package)
    }

    fn first(&self, places: &[PathBuf], what: &str, package: &str) -> Result<PathBuf, BuildError> {
        // Links are followed, so that a link out of the directory is seen and passed over.
        let inside = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path.starts_with(&self.root));
        let missing = || BuildError::Content { package: package.to_owned(), what: format!("`{what}`") };
        places.iter().find(|path| inside(path)).cloned().ok_or_else(missing)
    }

    /// A program with everything it needs to start: its loader (at the absolute path the program
    /// names) and its libraries, directly needed or not, each with its bytes.
    pub(super) fn program(&self, path: &str, package: &str) -> Result<ProgramFiles, BuildError> {
        let file = self.find(path, package)?;
        let bytes = fs::read(&file).context("read", &file)?;
        let (interpreter, mut open) = Elf::parse(&bytes)
            .and_then(|elf| Ok((elf.interpreter()?, elf.needed()?)))
            .map_err(in_elf(&file))?;
        let mut files = ProgramFiles { bytes, loader: None, libraries: Vec::new() };
        if let Some(path) = interpreter {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            let file = self.library(&name, package)?;
            files.loader = Some((path, fs::read(&file).context("read", &file)?));
            open.retain(|library| *library != name);
        }
        while let Some(name) = open.pop() {
            if files.libraries.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let file = self.library(&name, package)?;
            let bytes = fs::read(&file).context("read", &file)?;
            let loader = files.loader.as_ref().and_then(|(path, _)| path.rsplit('/').next());
            let needed = Elf::parse(&bytes).and_then(|elf| elf.needed()).map_err(in_elf(&file))?;
            open.extend(needed.into_iter().filter(|needed| Some(needed.as_str()) != loader));
            files.libraries.push((name, bytes));
        }
        Ok(files)
    }
}

/// A program and what it needs to start.
#[derive(Debug)]
pub(super) struct ProgramFiles {
    /// The program.
    pub(super) bytes: Vec<u8>,
    /// Its loader, with the absolute path it has to have.
    pub(super) loader: Option<(String, Vec<u8>)>,
    /// Its libraries, by name.
    pub(super) libraries: Vec<(String, Vec<u8>)>,
}

/// Adds to a fault in an ELF file which file it is.
pub(super) fn in_elf(path: &Path) -> impl Fn(ElfError) -> BuildError {
    |source| BuildError::Elf { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_found_with_and_without_usr_and_never_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("usr/sbin/tool"), "a").unwrap();
        fs::write(root.join("bin/box"), "b").unwrap();
        symlink("/etc/passwd", root.join("bin/out")).unwrap();
        let unpacked = Unpacked::new(root);
        assert_eq!(unpacked.read("sbin/tool", "p").unwrap(), b"a");
        assert_eq!(unpacked.read("bin/box", "p").unwrap(), b"b");
        for path in ["bin/out", "bin/none", "../../../../etc/passwd"] {
            let error = unpacked.read(path, "p").unwrap_err();
            assert_eq!(error.to_string(), format!("no `{path}` in the packages of `p`"));
        }
    }
}
