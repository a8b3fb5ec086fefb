//! The pidfile: the pid on the first line, as everyone expects, then the rest of the identity.
//!
//! ```text
//! 4242
//! start_time=123456
//! boot_id=5e64f0a1-0000-4000-8000-000000000000
//! token=0123456789abcdef0123456789abcdef
//! ```
//!
//! Reading is strict: anything else is no evidence of a process, and the caller looks for the token
//! among the processes instead. Tests: below.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use plasmavmc_types::RunToken;

use super::ProcessIdentity;
use crate::{HostError, publish};

/// What a pidfile says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidFile {
    /// The process.
    pub identity: ProcessIdentity,
    /// The run it was launched for; stands on its command line.
    pub token: RunToken,
}

impl PidFile {
    /// The most bytes a pidfile has: ten digits, twenty digits, two ids, and the words around them.
    const MAX_LEN: usize = 256;

    /// Reads a pidfile. None where it is missing, unreadable or not whole: no evidence.
    pub fn read(path: &Path) -> Option<Self> {
        let mut bytes = Vec::with_capacity(Self::MAX_LEN);
        let limit = u64::try_from(Self::MAX_LEN).unwrap_or(u64::MAX);
        File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        Self::parse(&bytes)
    }

    /// Publishes a pidfile. It names a boot, so it need not outlive it.
    ///
    /// # Errors
    /// [`HostError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), HostError> {
        publish::write_for_this_boot(path, self.to_string().as_bytes())
    }

    /// Reads the text of a pidfile; none where it is not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut lines = text.split('\n');
        let pid = lines.next().and_then(decimal).filter(|pid| (1..=i32::MAX.unsigned_abs()).contains(pid))?;
        let start_time = decimal(lines.next()?.strip_prefix("start_time=")?)?;
        let boot_id = lines.next()?.strip_prefix("boot_id=")?.parse().ok()?;
        let token = lines.next()?.strip_prefix("token=")?.parse().ok()?;
        let whole = lines.next().is_none();
        whole.then_some(Self { identity: ProcessIdentity { pid, start_time, boot_id }, token })
    }
}

/// A number of digits alone: Rust's parser would take `+1`.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for PidFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProcessIdentity { pid, start_time, boot_id } = self.identity;
        write!(f, "{pid}\nstart_time={start_time}\nboot_id={boot_id}\ntoken={}\n", self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::BootId;
    use proptest::prelude::*;

    fn pidfile(pid: u32, start_time: u64) -> PidFile {
        let identity = ProcessIdentity { pid, start_time, boot_id: BootId::from_uuid(uuid::Uuid::new_v4()) };
        PidFile { identity, token: RunToken::generate() }
    }

    #[test]
    fn what_is_no_pidfile_is_no_evidence() {
        let good = pidfile(7, 8).to_string();
        assert!(PidFile::parse(good.as_bytes()).is_some());
        for text in [
            String::new(),
            "\n".to_owned(),
            "4242".to_owned(),
            "4242\n".to_owned(),
            "garbage\n".to_owned(),
            good.replacen('7', "0", 1),
            good.replacen('7', "-7", 1),
            good.replacen('7', "+7", 1),
            good.replacen('7', " 7", 1),
            good.replacen('7', "4294967297", 1),
            good.replace("token", "nekot"),
            good.replace('\n', "\r\n"),
            format!("{good}more\n"),
            format!("{good}\n"),
        ] {
            assert_eq!(PidFile::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(PidFile::parse(b"\xff\xfe\n"), None);
    }

    #[test]
    fn a_missing_or_huge_file_is_no_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.pid");
        assert_eq!(PidFile::read(&path), None);
        std::fs::write(&path, "1".repeat(1 << 20)).unwrap();
        assert_eq!(PidFile::read(&path), None);
        assert_eq!(PidFile::read(dir.path()), None);
    }

    proptest! {
        #[test]
        fn a_pidfile_survives_its_text_form(pid in 1..=i32::MAX.unsigned_abs(), start_time: u64) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("web.pid");
            let file = pidfile(pid, start_time);
            file.write(&path).unwrap();
            prop_assert_eq!(PidFile::read(&path), Some(file));
        }

        #[test]
        fn a_pidfile_that_was_cut_is_no_evidence(cut in 0_usize..120) {
            let text = pidfile(4242, 123_456).to_string();
            let cut = cut.min(text.len() - 1);
            prop_assert_eq!(PidFile::parse(&text.as_bytes()[..cut]), None);
        }
    }
}
