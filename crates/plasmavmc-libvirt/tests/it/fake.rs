//! Programs that stand in the place of virsh: ones that watch the real one, and ones that misbehave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A program of one test.
pub(crate) struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    /// A shell script; `$LOG` is a file of its own.
    pub(crate) fn script(body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = Self { dir };
        let text = format!("#!/bin/sh\nLOG='{}'\n{body}\n", fake.log().display());
        fs::write(fake.path(), text).unwrap();
        fs::set_permissions(fake.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    /// The real one, which writes its arguments down first.
    pub(crate) fn counting() -> Self {
        Self::script("echo \"$*\" >>\"$LOG\"\nexec virsh \"$@\"")
    }

    /// The real one, before which a domain is undefined as soon as its XML is asked for.
    pub(crate) fn undefining(uri: &str, id: &str) -> Self {
        Self::script(&format!(
            "while read -r line; do\n case $line in 'dumpxml --inactive {id}') virsh -q -c {uri} undefine {id} \
             >>\"$LOG\" 2>&1 ;; esac\n printf '%s\\n' \"$line\"\ndone | virsh \"$@\""
        ))
    }

    /// The real one, with other variables in its environment.
    pub(crate) fn with_env(variables: &[(&str, &PathBuf)]) -> Self {
        let set: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}='{}'", value.display())).collect();
        Self::script(&format!("exec env {} virsh \"$@\"", set.join(" ")))
    }

    /// The program.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("virsh")
    }

    /// The arguments of each call of [`Self::counting`].
    pub(crate) fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.log()).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}
