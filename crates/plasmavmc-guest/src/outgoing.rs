//! Bytes on their way to a socket that takes them when it can. Tests: below.

use std::io::{self, ErrorKind, Write};

/// Memory an empty queue keeps, in bytes: there may be many, and most carry keepalives.
const KEPT: usize = 256;

/// A queue that keeps next to no memory once it is empty.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    start: usize,
}

impl Outgoing {
    /// Adds bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds what `encode` appends.
    pub(crate) fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.push(&[]);
        encode(&mut self.bytes);
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Writes as much as the other end takes now.
    ///
    /// # Errors
    /// Where the other end is gone.
    pub(crate) fn flush(&mut self, to: &mut impl Write) -> io::Result<()> {
        while self.len() > 0 {
            match to.write(&self.bytes[self.start..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.start += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.start = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_taken_late_arrives_whole_and_in_order() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut outgoing, mut got) = (Outgoing::default(), Vec::new());
        for piece in sent.chunks(70_000) {
            outgoing.push(piece);
            outgoing.flush(&mut ours).unwrap();
        }
        let mut buffer = vec![0; 100_000];
        while got.len() < sent.len() {
            let read = theirs.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..read]);
            outgoing.flush(&mut ours).unwrap();
        }
        assert!(got == sent);
        assert!(outgoing.len() == 0 && outgoing.bytes.capacity() <= KEPT);
    }

    #[test]
    fn an_end_that_is_gone_is_told() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut outgoing = Outgoing::default();
        outgoing.push(b"x");
        assert!(outgoing.flush(&mut ours).is_err());
    }
}
