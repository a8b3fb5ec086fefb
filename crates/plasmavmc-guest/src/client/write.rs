//! Writing a file in a guest.
//!
//! Holes of the source are told, not sent. The guest gives the file its name once it has all of it.
//! Tests: in `tests`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use castra_agent_proto::Kind;
use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::request::{Request, Write};
use rustix::event::PollFlags;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::stream::{Incoming, Stream};
use super::{Channel, ClientError, Progress};

/// Where the bytes of a file come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A file, from its beginning: its holes stay holes.
    File(&'a File),
    /// A pipe or a terminal: read when it has something, so that a guest that goes is noticed
    /// meanwhile.
    Pipe(BorrowedFd<'a>),
    /// Bytes at hand.
    Bytes(&'a [u8]),
}

impl Channel {
    /// Writes a file in the guest. It has its name once all of it is there, and never half.
    ///
    /// Tells how many bytes long it is.
    ///
    /// # Errors
    /// [`ClientError`]; there is then no file, or the one that was there before.
    pub fn write_file(
        &mut self,
        file: &Write,
        source: Source<'_>,
        progress: Progress<'_>,
    ) -> Result<u64, ClientError> {
        let mut pieces = Pieces::of(source)?;
        let mut stream = self.open(&Request::Write(file.clone()))?;
        let mut block = vec![0; MAX_PAYLOAD];
        let (mut sent, mut ended) = (0, false);
        loop {
            while let Some(incoming) = stream.take()? {
                match incoming {
                    Incoming::Done(_) if ended => return Ok(sent),
                    Incoming::Opened(_) => {}
                    _ => return Err(stream.broke("an answer before the end of the file")),
                }
            }
            if ended || stream.may_send() == 0 {
                stream.wait_for_guest()?;
            } else if !pieces.is_ready(&mut stream)? {
                continue;
            } else {
                ended = offer(&mut stream, &mut pieces, &mut block, &mut sent)?;
                progress(sent);
            }
        }
    }
}

/// Sends one piece; tells whether it was the end.
fn offer(
    stream: &mut Stream<'_>,
    pieces: &mut Pieces<'_>,
    block: &mut [u8],
    sent: &mut u64,
) -> Result<bool, ClientError> {
    let room = stream.may_send().min(block.len());
    match pieces.next(&mut block[..room]).map_err(ClientError::Input)? {
        Piece::Bytes(count) => {
            stream.send_bytes(Kind::Data, &block[..count]);
            *sent += count as u64;
        }
        Piece::Zeros(count) => {
            // A hole takes no credit: the guest only counts it.
            stream.send(Kind::Hole, &count.to_le_bytes());
            *sent += count;
        }
        Piece::End => stream.send(Kind::End, &[]),
        Piece::NotYet => return Ok(false),
    }
    Ok(matches!(pieces, Pieces::Ended))
}

/// What is still to be sent.
#[derive(Debug)]
enum Pieces<'a> {
    /// A file, from `at`: data up to `data_until`, if there is any.
    File {
        file: &'a File,
        at: u64,
        data_until: u64,
        length: u64,
    },
    Pipe(BorrowedFd<'a>),
    Bytes(&'a [u8]),
    Ended,
}

/// A piece of a file.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Bytes(usize),
    Zeros(u64),
    NotYet,
    End,
}

impl<'a> Pieces<'a> {
    fn of(source: Source<'a>) -> Result<Self, ClientError> {
        Ok(match source {
            Source::File(file) => {
                let length = file.metadata().map_err(ClientError::Input)?.len();
                Self::File { file, at: 0, data_until: 0, length }
            }
            Source::Pipe(fd) => Self::Pipe(fd),
            Source::Bytes(bytes) => Self::Bytes(bytes),
        })
    }

    /// Waits until there is something to send or the guest said something; tells which.
    fn is_ready(&self, stream: &mut Stream<'_>) -> Result<bool, ClientError> {
        match self {
            Self::Pipe(fd) => Ok(stream.wait(&[(*fd, PollFlags::IN)], None)?.ends[0]),
            _ => Ok(true),
        }
    }

    fn next(&mut self, block: &mut [u8]) -> io::Result<Piece> {
        let piece = match self {
            Self::File { file, at, data_until, length } => next_of_file(file, at, data_until, *length, block),
            Self::Pipe(fd) => match rustix::io::read(fd.as_fd(), &mut *block) {
                // EIO is how a terminal says that it is gone.
                Ok(0) | Err(Errno::IO) => Ok(Piece::End),
                Ok(count) => Ok(Piece::Bytes(count)),
                Err(Errno::AGAIN | Errno::INTR) => Ok(Piece::NotYet),
                Err(error) => Err(error.into()),
            },
            Self::Bytes(bytes) => {
                let count = bytes.read(block)?;
                Ok(if count == 0 { Piece::End } else { Piece::Bytes(count) })
            }
            Self::Ended => Ok(Piece::End),
        }?;
        if piece == Piece::End {
            *self = Self::Ended;
        }
        Ok(piece)
    }
}

/// The next piece of a file. A file that shrinks meanwhile ends early, one that grows is not followed
/// beyond the length it had.
fn next_of_file(
    file: &File,
    at: &mut u64,
    data_until: &mut u64,
    length: u64,
    block: &mut [u8],
) -> io::Result<Piece> {
    if *at >= length {
        return Ok(Piece::End);
    }
    if *at >= *data_until {
        let data = match seek(file, SeekFrom::Data(*at)) {
            Ok(data) => data.min(length),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => length,
            // No notion of holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => *at,
            Err(error) => return Err(error.into()),
        };
        if data > *at {
            let zeros = data - *at;
            *at = data;
            return Ok(Piece::Zeros(zeros));
        }
        *data_until = match seek(file, SeekFrom::Hole(*at)) {
            Ok(hole) if hole > *at => hole.min(length),
            _ => length,
        };
    }
    let wanted = usize::try_from(*data_until - *at).unwrap_or(usize::MAX).min(block.len());
    let count = rustix::io::pread(file, &mut block[..wanted], *at)?;
    *at += count as u64;
    Ok(if count == 0 { Piece::End } else { Piece::Bytes(count) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_of_a_file_are_told_and_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"head", 0).unwrap();
        file.write_all_at(b"tail", 8 << 20).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut pieces = Pieces::of(Source::File(&file)).unwrap();
        let (mut block, mut bytes, mut zeros) = (vec![0; MAX_PAYLOAD], 0_u64, 0);
        loop {
            match pieces.next(&mut block).unwrap() {
                Piece::Bytes(count) => bytes += count as u64,
                Piece::Zeros(count) => zeros += count,
                Piece::NotYet => panic!("a file has what it has"),
                Piece::End => break,
            }
        }
        assert_eq!(bytes + zeros, 1 << 40);
        assert!(bytes < 1 << 20, "{bytes} bytes of a file with 8 were read");
    }
}
