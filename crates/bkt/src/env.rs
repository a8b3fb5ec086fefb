//! What `bkt` takes from the process's environment: every variable by name, in one place.
//!
//! Owns: the names, and the directories they lead to. Never does: read the environment anywhere but in
//! [`UserDirs::from_process`]. Tests: below.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plasmavmc_types::{ErrorKind, Explain};

/// The user's home directory, which `~/` in a manifest means; default the one in the password database.
pub const HOME: &str = "HOME";

/// Where programs keep state of a user; default `~/.local/state`. An absolute path.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";

/// The libvirt connection of `virsh` and every other program of libvirt.
pub const LIBVIRT_DEFAULT_URI: &str = "LIBVIRT_DEFAULT_URI";

/// What the user who runs `bkt` has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDirs {
    home: Option<PathBuf>,
    state_home: PathBuf,
    uri: Option<String>,
}

/// Why the user's directories are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// Neither variable leads to a directory for state.
    #[error("no directory for state is known: neither `{XDG_STATE_HOME}` nor `{HOME}` is set")]
    NoState,
    /// A variable holds a relative path, which would mean another place in every directory.
    #[error("`{variable}` is `{}`, which is not an absolute path", value.display())]
    Relative {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: PathBuf,
    },
    /// A variable holds what is not plain text.
    #[error("`{variable}` is `{}`, which is not UTF-8 or holds a control character", value.escape_debug())]
    Unusable {
        /// The variable.
        variable: &'static str,
        /// What it holds, as far as it is text.
        value: String,
    },
}

impl Explain for EnvError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Preflight
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoState => {
                vec![format!("set one to an absolute path: `export {XDG_STATE_HOME}=/var/lib/state`")]
            }
            Self::Unusable { variable: LIBVIRT_DEFAULT_URI, .. } => {
                vec![format!("set it to a connection: `export {LIBVIRT_DEFAULT_URI}=qemu:///system`")]
            }
            Self::Relative { variable, .. } | Self::Unusable { variable, .. } => {
                vec![format!("set it to an absolute path: `export {variable}=/home/me`")]
            }
        }
    }
}

impl UserDirs {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`EnvError`] where a variable is not usable, or no directory is known.
    pub fn from_process() -> Result<Self, EnvError> {
        let home = env::home_dir().map(PathBuf::into_os_string);
        Self::from_values(home, env::var_os(XDG_STATE_HOME), env::var_os(LIBVIRT_DEFAULT_URI))
    }

    /// The same from the values of [`HOME`], [`XDG_STATE_HOME`] and [`LIBVIRT_DEFAULT_URI`]; an empty
    /// value counts as not set.
    ///
    /// # Errors
    /// As [`UserDirs::from_process`].
    pub fn from_values(
        home: Option<OsString>,
        state: Option<OsString>,
        uri: Option<OsString>,
    ) -> Result<Self, EnvError> {
        let state = state.map(|value| directory(XDG_STATE_HOME, value)).transpose()?.flatten();
        let home = match home.map(|value| directory(HOME, value)).transpose() {
            // A home directory that is not usable matters only to those who need it.
            Err(_) if state.is_some() => None,
            other => other?.flatten(),
        };
        let state = match (state, &home) {
            (Some(state), _) => state,
            (None, Some(home)) => home.join(".local/state"),
            (None, None) => return Err(EnvError::NoState),
        };
        let uri =
            uri.map(|value| plain(LIBVIRT_DEFAULT_URI, value)).transpose()?.filter(|uri| !uri.is_empty());
        Ok(Self { home, state_home: state, uri })
    }

    /// The user's home directory, which `~/` in a manifest means.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The directory below which programs keep state of this user.
    pub fn state_home(&self) -> &Path {
        &self.state_home
    }

    /// The libvirt connection of the environment.
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }
}

fn plain(variable: &'static str, value: OsString) -> Result<String, EnvError> {
    let unusable = |value: String| EnvError::Unusable { variable, value };
    let text = value.into_string().map_err(|value| unusable(value.to_string_lossy().into_owned()))?;
    if text.contains(char::is_control) { Err(unusable(text)) } else { Ok(text) }
}

/// The path in a variable: none where it is empty.
fn directory(variable: &'static str, value: OsString) -> Result<Option<PathBuf>, EnvError> {
    let value = PathBuf::from(plain(variable, value)?);
    match value.as_os_str().is_empty() {
        true => Ok(None),
        false if value.is_absolute() => Ok(Some(value)),
        false => Err(EnvError::Relative { variable, value }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn dirs(home: Option<&str>, state: Option<&str>) -> Result<UserDirs, EnvError> {
        UserDirs::from_values(home.map(Into::into), state.map(Into::into), None)
    }

    #[test]
    fn state_is_below_the_home_directory_unless_it_is_told_to_be_elsewhere() {
        let found = dirs(Some("/home/me"), None).unwrap();
        assert_eq!(found.state_home(), Path::new("/home/me/.local/state"));
        let found = dirs(Some("/home/me"), Some("/var/state")).unwrap();
        assert_eq!(
            (found.state_home(), found.home()),
            (Path::new("/var/state"), Some(Path::new("/home/me")))
        );
        assert_eq!(dirs(Some("/home/me"), Some("")), dirs(Some("/home/me"), None));
    }

    #[test]
    fn a_place_that_depends_on_the_current_directory_is_refused() {
        let relative = |variable, value: &str| Err(EnvError::Relative { variable, value: value.into() });
        assert_eq!(dirs(Some("/home/me"), Some("state")), relative(XDG_STATE_HOME, "state"));
        assert_eq!(dirs(Some("me"), None), relative(HOME, "me"));
        assert_eq!(dirs(Some("me"), Some("/s")).map(|dirs| dirs.home().is_none()), Ok(true));
        assert_eq!(dirs(None, None), Err(EnvError::NoState));
    }

    #[test]
    fn a_connection_that_is_no_text_is_refused_and_an_empty_one_is_none() {
        let uri = |value: Vec<u8>| {
            UserDirs::from_values(Some("/home/me".into()), None, Some(OsString::from_vec(value)))
        };
        assert_eq!(uri(b"qemu:///session".to_vec()).unwrap().uri(), Some("qemu:///session"));
        assert_eq!(uri(Vec::new()).unwrap().uri(), None);
        for hostile in [b"qemu:///\xff".to_vec(), b"qemu:///\n".to_vec()] {
            assert!(matches!(uri(hostile), Err(EnvError::Unusable { variable: LIBVIRT_DEFAULT_URI, .. })));
        }
    }
}
