//! Unix sockets in a directory whose path may be longer than a socket address.
//!
//! An address holds 107 bytes on Linux and a workspace may lie deeper, so sockets are bound and
//! connected by their name under an open directory (`/proc/self/fd/<n>/<name>`). A bound socket is
//! this user's alone (0600) from the moment it exists. Tests: below.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::{HostError, IoContext, publish};

/// Connections that may wait to be taken. Each is a command that asks something short.
const BACKLOG: i32 = 64;

/// What became of an attempt to connect.
#[derive(Debug)]
pub enum Connected {
    /// Someone listens, or will take the connection once it has time.
    Stream(UnixStream),
    /// Nobody listens: the socket is missing, or its owner is dead.
    Refused,
    /// Someone listens and takes no more: too many wait already.
    Busy,
}

/// Binds a socket `name` in `dir` and listens on it, replacing what has the name.
///
/// # Errors
/// [`HostError::Io`].
pub fn listen(dir: &Path, name: &str) -> Result<UnixListener, HostError> {
    let path = dir.join(name);
    publish::remove(&path)?;
    listen_at(dir, name).context("listen on", &path)
}

fn listen_at(dir: &Path, name: &str) -> Result<UnixListener, Errno> {
    let (_dir, address) = address(dir, name)?;
    let socket = stream_socket(SocketFlags::CLOEXEC)?;
    // Before bind, the mode of the socket is the mode its file gets: there is no moment at which
    // others could connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Connects to the socket `name` in `dir` without waiting.
///
/// # Errors
/// [`HostError::Io`] where the directory or the socket cannot be used.
pub fn connect(dir: &Path, name: &str) -> Result<Connected, HostError> {
    match connect_at(dir, name) {
        Ok(stream) => Ok(Connected::Stream(stream)),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(Connected::Refused),
        Err(Errno::AGAIN) => Ok(Connected::Busy),
        Err(error) => Err(error).context("connect to", &dir.join(name)),
    }
}

fn connect_at(dir: &Path, name: &str) -> Result<UnixStream, Errno> {
    let (_dir, address) = address(dir, name)?;
    // A blocking connect would wait for ever on an owner that was stopped.
    let socket = stream_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    rustix::net::connect(&socket, &address)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket.into())
}

fn stream_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The address of `name` in `dir`; valid while the directory is held open.
fn address(dir: &Path, name: &str) -> Result<(File, SocketAddrUnix), Errno> {
    let dir = File::open(dir).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))?;
    Ok((dir, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_socket_works_below_a_path_longer_than_any_address() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d".repeat(120)).join("e".repeat(120));
        publish::private_dir(&dir).unwrap();
        let listener = listen(&dir, "web.qmp").unwrap();
        let mode = dir.join("web.qmp").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let Connected::Stream(mut ours) = connect(&dir, "web.qmp").unwrap() else { panic!("not connected") };
        let (mut theirs, _) = listener.accept().unwrap();
        ours.write_all(b"hello").unwrap();
        drop(ours);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
    }

    #[test]
    fn a_socket_without_an_owner_refuses() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(connect(dir.path(), "web.qmp").unwrap(), Connected::Refused));
        drop(listen(dir.path(), "web.qmp").unwrap());
        assert!(dir.path().join("web.qmp").exists());
        assert!(matches!(connect(dir.path(), "web.qmp").unwrap(), Connected::Refused));
        listen(dir.path(), "web.qmp").expect("a dead socket is replaced");
    }

    #[test]
    fn an_owner_that_takes_nothing_is_busy_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = listen(dir.path(), "web.qmp").unwrap();
        let mut waiting = Vec::new();
        loop {
            assert!(waiting.len() < 1000, "the backlog has no end");
            match connect(dir.path(), "web.qmp").unwrap() {
                Connected::Stream(stream) => waiting.push(stream),
                Connected::Busy => break,
                Connected::Refused => panic!("refused"),
            }
        }
    }
}
