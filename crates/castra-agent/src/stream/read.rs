//! Reads a file for the host, without its holes. Tests: `tests/it/files.rs`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use castra_agent_proto::Kind;
use castra_agent_proto::request::{FailureCode, Opened, Outcome};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{CHUNK, Link, tree};
use crate::failure::{at, failure};
use crate::session::Served;

/// Sends the file, its holes as their lengths.
pub(super) fn serve(path: &Path, link: &Link) -> Served {
    // A pipe without a writer would keep the thread for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let mut file = File::from(file.map_err(|error| at("open", path, &error.into()))?);
    let meta = file.metadata().map_err(|error| at("look at", path, &error))?;
    if !meta.is_file() {
        let what = format!("`{}` is not a file", path.display());
        return Err(failure(FailureCode::WrongKind, &what).into());
    }
    let entry = tree::entry(&path.to_string_lossy(), &meta, None);
    link.opened(&Opened { pid: None, entry: Some(entry) })?;
    let io = |error: &io::Error| at("read", path, error);
    // Files of /proc say they are empty and are not.
    let (mut sent, mut ended) = (0, false);
    while let Some((from, to)) = next_extent(&file, sent, meta.len()).map_err(|error| io(&error))? {
        if from > sent {
            link.hole(from - sent)?;
        }
        file.seek(SeekFrom::Start(from)).map_err(|error| io(&error))?;
        sent = send(&mut file, from, to, path, link)?;
        ended = sent < to;
        if ended {
            break;
        }
    }
    if sent < meta.len() {
        let now = file.metadata().map_err(|error| io(&error))?.len();
        if now < meta.len() {
            let what = format!("`{}` was cut while it was read", path.display());
            return Err(failure(FailureCode::Io, &what).into());
        }
        // Files of /sys say they have more than they have.
        if !ended {
            link.hole(meta.len() - sent)?;
        }
    }
    if meta.len() == 0 {
        send(&mut file, 0, u64::MAX, path, link)?;
    }
    link.end()?;
    Ok(Outcome::Ok)
}

/// Sends the bytes of the file from `from` to `to`; tells where it ended, which is earlier where the
/// file was cut meanwhile.
fn send(file: &mut File, from: u64, to: u64, path: &Path, link: &Link) -> Result<u64, super::Stop> {
    let mut buffer = vec![0; CHUNK];
    let mut at_byte = from;
    while at_byte < to {
        let room = link.wait_for_window()?.min(CHUNK);
        let wanted = usize::try_from(to - at_byte).unwrap_or(usize::MAX).min(room);
        let count = match file.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(at("read", path, &error).into()),
        };
        link.data(Kind::Data, &buffer[..count])?;
        at_byte += count as u64;
    }
    Ok(at_byte)
}

/// The next part of the file at or after `from` that is no hole; none where only a hole is left.
fn next_extent(file: &File, from: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if from >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // This file system knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((from, length))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start))?;
    Ok((start < length).then_some((start, end.min(length))))
}
