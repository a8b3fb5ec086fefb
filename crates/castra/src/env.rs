//! What Castra takes from the process's environment: every variable by name, in one place.
//!
//! Owns: the names, and the directories they lead to. Never does: read the environment anywhere
//! but in [`UserDirs::from_process`]. Tests: below.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plasmavmc_types::{ErrorKind, Explain};

/// The directory of Castra's own files; default `~/.castra`. An absolute path.
pub const CASTRA_HOME: &str = "CASTRA_HOME";

/// The user's home directory; default the one in the password database.
pub const HOME: &str = "HOME";

/// The QEMU system emulator to use instead of the one in `PATH`.
pub const CASTRA_QEMU: &str = "CASTRA_QEMU";

/// The kind of terminal a person sits at.
pub const TERM: &str = "TERM";

/// The name of the directory under the home directory, and the prefix of paths that belong to the
/// workspace.
pub const CASTRA_DIR: &str = ".castra";

/// The directories of the user who runs Castra: absolute paths, UTF-8, without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDirs {
    home: Option<PathBuf>,
    castra_home: PathBuf,
}

/// Why the user's directories are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// Neither variable is set and the password database has no entry.
    #[error("no home directory is known: neither `{CASTRA_HOME}` nor `{HOME}` is set")]
    NoHome,
    /// A variable holds a relative path, which would mean another place in every directory.
    #[error("`{variable}` is `{}`, which is not an absolute path", value.display())]
    Relative {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: PathBuf,
    },
    /// A variable holds what is not plain text, as QMP, TOML and terminals take it.
    #[error("`{variable}` is `{}`, which is not UTF-8 or holds a control character", value.display().to_string().escape_debug())]
    Unusable {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: PathBuf,
    },
}

impl Explain for EnvError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Preflight
    }

    fn hints(&self) -> Vec<String> {
        let variable = match self {
            Self::NoHome => CASTRA_HOME,
            Self::Relative { variable, .. } | Self::Unusable { variable, .. } => variable,
        };
        vec![format!("set it to an absolute path: `export {variable}=/var/lib/castra`")]
    }
}

impl UserDirs {
    /// Reads the directories from the process's environment.
    ///
    /// # Errors
    /// [`EnvError`] where they are not known or not usable.
    pub fn from_process() -> Result<Self, EnvError> {
        Self::from_values(env::var_os(CASTRA_HOME), env::home_dir().map(PathBuf::into_os_string))
    }

    /// The directories from the values of [`CASTRA_HOME`] and [`HOME`]; an empty value counts as
    /// not set.
    ///
    /// # Errors
    /// [`EnvError`] where they are not known or not usable.
    pub fn from_values(castra_home: Option<OsString>, home: Option<OsString>) -> Result<Self, EnvError> {
        let castra_home = castra_home.map(|value| usable(CASTRA_HOME, value)).transpose()?.flatten();
        let home = match home.map(|value| usable(HOME, value)).transpose() {
            // A home directory that is not usable matters only to those who need it.
            Err(_) if castra_home.is_some() => None,
            other => other?.flatten(),
        };
        let castra_home = match (castra_home, &home) {
            (Some(castra_home), _) => castra_home,
            (None, Some(home)) => home.join(CASTRA_DIR),
            (None, None) => return Err(EnvError::NoHome),
        };
        Ok(Self { home, castra_home })
    }

    /// The user's home directory, which `~/` in a config means.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The directory of Castra's own files.
    pub fn castra_home(&self) -> &Path {
        &self.castra_home
    }
}

/// The path in a variable: none where it is empty.
fn usable(variable: &'static str, value: OsString) -> Result<Option<PathBuf>, EnvError> {
    let value = PathBuf::from(value);
    if value.as_os_str().is_empty() {
        Ok(None)
    } else if !value.is_absolute() {
        Err(EnvError::Relative { variable, value })
    } else if value.to_str().is_none_or(|text| text.contains(char::is_control)) {
        Err(EnvError::Unusable { variable, value })
    } else {
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(castra_home: Option<&str>, home: Option<&str>) -> Result<UserDirs, EnvError> {
        UserDirs::from_values(castra_home.map(Into::into), home.map(Into::into))
    }

    #[test]
    fn castra_home_wins_over_the_home_directory() {
        let found = dirs(Some("/srv/c"), Some("/home/me")).unwrap();
        assert_eq!((found.castra_home(), found.home()), (Path::new("/srv/c"), Some(Path::new("/home/me"))));
        let found = dirs(Some(""), Some("/home/me")).unwrap();
        assert_eq!(found.castra_home(), Path::new("/home/me/.castra"));
    }

    #[test]
    fn a_place_that_depends_on_the_current_directory_is_refused() {
        assert_eq!(
            dirs(Some("castra"), Some("/home/me")),
            Err(EnvError::Relative { variable: CASTRA_HOME, value: "castra".into() })
        );
        assert_eq!(dirs(None, Some("me")), Err(EnvError::Relative { variable: HOME, value: "me".into() }));
        assert_eq!(dirs(Some("/c"), Some("me")).map(|dirs| dirs.home().is_none()), Ok(true));
        assert_eq!(dirs(None, None), Err(EnvError::NoHome));
        assert!(matches!(dirs(None, Some("/home/a\nb")), Err(EnvError::Unusable { .. })));
        assert_eq!(dirs(Some(""), Some("")), Err(EnvError::NoHome));
    }
}
