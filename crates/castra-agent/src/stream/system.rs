//! What concerns the guest as a whole: folders of the host, its clock, its end.
//!
//! Tests: below for what is decided; on real guests for the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use castra_agent_proto::request::{FailureCode, Outcome, ShutdownMode};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::time::{ClockId, Timespec, clock_settime};

use super::{Stop, invalid};
use crate::failure::{at, failed, failure, of};
use crate::session::Served;

/// Options of a 9p mount: large messages, because each is a round trip to the host.
const OPTIONS_9P: &std::ffi::CStr = c"trans=virtio,version=9p2000.L,msize=512000";
/// How long a program gets that asks the guest's first process to end, or loads a module.
const PROGRAM_BOUND: Duration = Duration::from_secs(10);
/// Where programs of the system are.
const PLACES: [&str; 6] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// A folder of the host to mount.
pub(super) struct Mount {
    pub(super) tag: String,
    pub(super) target: String,
    pub(super) file_system: String,
    pub(super) read_only: bool,
}

/// Mounts a folder of the host; one that is mounted there already is fine.
pub(super) fn mount(mount: &Mount) -> Served {
    let target = Path::new(&mount.target);
    if !target.is_absolute() || mount.target.contains('\0') || mount.tag.contains('\0') {
        return Err(invalid("a folder is mounted at an absolute path"));
    }
    let options = match mount.file_system.as_str() {
        "9p" => Some(OPTIONS_9P),
        "virtiofs" => None,
        other => {
            return Ok(failed(FailureCode::Unsupported, &format!("`{other}` is not `9p` or `virtiofs`")));
        }
    };
    fs::create_dir_all(target).map_err(|error| at("make directory", target, &error))?;
    let target = target.canonicalize().map_err(|error| at("find", target, &error))?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if is_mounted(&mounts, &mount.tag, &target.to_string_lossy(), &mount.file_system) {
        return Ok(Outcome::Ok);
    }
    let mut flags = MountFlags::NODEV | MountFlags::NOSUID;
    if mount.read_only {
        flags |= MountFlags::RDONLY;
    }
    let try_it =
        || rustix::mount::mount(mount.tag.as_str(), &target, mount.file_system.as_str(), flags, options);
    let mut result = try_it();
    if result.is_err_and(|error| error != Errno::PERM) {
        // Not every kernel loads these by itself.
        let modules = if mount.file_system == "9p" { &["9p", "9pnet_virtio"][..] } else { &["virtiofs"] };
        for module in modules {
            run_bounded("modprobe", &["-q", module]);
        }
        result = try_it();
    }
    match result {
        Ok(()) => Ok(Outcome::Ok),
        Err(Errno::NODEV) => {
            let what = format!("this guest's kernel knows no {}", mount.file_system);
            Err(failure(FailureCode::Unsupported, &what).into())
        }
        Err(error) => Err(at("mount", &target, &error.into()).into()),
    }
}

/// Whether a table of mounts has exactly this.
fn is_mounted(mounts: &str, tag: &str, target: &str, file_system: &str) -> bool {
    let target = target.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    let mut at_target = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (source, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (place == target).then_some((source, kind))
    });
    // The last one is on top.
    at_target.next_back() == Some((tag, file_system))
}

/// Asks the guest's first process to end it.
pub(super) fn shutdown(mode: ShutdownMode) -> Served {
    require_root()?;
    let word = match mode {
        ShutdownMode::Poweroff => "poweroff",
        ShutdownMode::Reboot => "reboot",
    };
    let is_asked = if Path::new("/run/systemd/system").is_dir() {
        run_bounded("systemctl", &["--no-block", word])
    } else {
        run_bounded(word, &[])
    };
    match is_asked {
        Some(true) => Ok(Outcome::Ok),
        Some(false) => Ok(failed(FailureCode::Io, &format!("`{word}` failed in the guest"))),
        None => Ok(failed(FailureCode::Unsupported, &format!("the guest has no `{word}`"))),
    }
}

/// Sets the guest's clock.
pub(super) fn set_time(unix_ns: u64) -> Served {
    require_root()?;
    let seconds = i64::try_from(unix_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let nanoseconds = i64::try_from(unix_ns % 1_000_000_000).unwrap_or(0);
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: nanoseconds })
        .map_err(|error| of("set the clock", &error.into()))?;
    Ok(Outcome::Ok)
}

fn require_root() -> Result<(), Stop> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(failure(FailureCode::Permission, "the agent in this guest does not run as root").into())
}

/// Runs a program of the system's and tells whether it succeeded; none where it is not there. One
/// that is still at work after the bound is taken to succeed.
fn run_bounded(program: &str, arguments: &[&str]) -> Option<bool> {
    let path: PathBuf =
        PLACES.iter().map(|place| Path::new(place).join(program)).find(|path| path.exists())?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + PROGRAM_BOUND;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return Some(false),
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_mounted_where_it_is_on_top_under_its_own_name() {
        let mounts = "proc /proc proc rw 0 0\nwork /my\\040dir 9p rw 0 0\n";
        assert!(is_mounted(mounts, "work", "/my dir", "9p"));
        assert!(!is_mounted(mounts, "work", "/my dir", "virtiofs"));
        assert!(!is_mounted(mounts, "other", "/my dir", "9p"));
        assert!(!is_mounted(&format!("{mounts}tmpfs /my\\040dir tmpfs rw 0 0\n"), "work", "/my dir", "9p"));
    }

    #[test]
    fn a_mount_that_makes_no_sense_is_refused_before_anything_is_made() {
        let of = |target: &str, file_system: &str| {
            mount(&Mount {
                tag: "work".into(),
                target: target.into(),
                file_system: file_system.into(),
                read_only: true,
            })
        };
        assert!(matches!(of("relative", "9p"), Err(Stop::Failed(it)) if it.code == FailureCode::Invalid));
        assert!(
            matches!(of("/nowhere/x", "nfs"), Ok(Outcome::Failed(it)) if it.code == FailureCode::Unsupported)
        );
        assert!(!Path::new("/nowhere").exists());
    }
}
