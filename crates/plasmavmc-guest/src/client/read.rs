//! Reading a file and listing a directory of a guest.
//!
//! What a guest says is data: a name in a listing is one name, or the listing is refused. Tests: below
//! and in `tests`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use castra_agent_proto::Frame;
use castra_agent_proto::message::body;
use castra_agent_proto::request::{Entry, Opened, Request};

use super::stream::{Incoming, Stream};
use super::{Channel, ClientError, Progress};

/// The most entries of a directory that are taken, as many as an agent lists, and the most bytes they may
/// come in: a guest is not to fill the host's memory.
const MAX_ENTRIES: usize = 100_000;
/// As [`MAX_ENTRIES`]; a name of 255 bytes makes a line of about 350.
const MAX_LISTING: usize = 64 << 20;
/// The longest name a file can have on Linux, and the longest target of a link.
const MAX_NAME: usize = 255;
const MAX_TARGET: usize = 4095;
/// The longest line of a listing: a name and a target of nothing but letters that are escaped have half.
const MAX_LINE: usize = 64 * 1024;
/// The most bytes taken of a file that says it has none, as those of `/proc` do.
const MAX_UNTOLD: u64 = 256 << 20;

/// Zeros written at once where a hole has to be written.
static ZEROS: [u8; 32 * 1024] = [0; 32 * 1024];

/// Where the bytes of a file go.
pub enum Sink<'a> {
    /// A file, from its beginning: holes stay holes.
    File(&'a File),
    /// Anything else: holes are written as zeros.
    Write(&'a mut dyn io::Write),
}

impl std::fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::File(_)) { "File" } else { "Write" })
    }
}

impl Channel {
    /// Reads a file of the guest into `sink`; tells what it is. No more comes than the guest said that it
    /// has.
    ///
    /// # Errors
    /// [`ClientError`]; `sink` may then have a part of it. [`ClientError::Protocol`] where there is more.
    pub fn read_file(
        &mut self,
        path: &str,
        sink: Sink<'_>,
        progress: Progress<'_>,
    ) -> Result<Entry, ClientError> {
        let mut stream = self.open(&Request::Read { path: path.to_owned() })?;
        let (mut entry, mut sink) = (None, Placed { sink, at: 0, most: 0 });
        loop {
            match stream.next()? {
                Incoming::Opened(frame) => {
                    entry = opened_entry(&frame);
                    sink.most = entry.as_ref().map_or(0, |entry| most(entry.size));
                }
                Incoming::Bytes(frame) => {
                    sink.bytes(&frame.payload, &stream)?;
                    stream.handed_on(frame.payload.len());
                    progress(sink.at);
                }
                Incoming::Hole(length) => {
                    sink.zeros(length, &mut stream)?;
                    progress(sink.at);
                }
                Incoming::End => {}
                Incoming::Done(_) => break,
            }
        }
        sink.finish().map_err(ClientError::Output)?;
        entry.ok_or_else(|| stream.broke("a file without an entry"))
    }

    /// What is in a directory of the guest, sorted by name; links are not followed. Every name is one
    /// that a file can have.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Protocol`] where the guest names something that is no name.
    pub fn list(&mut self, path: &str) -> Result<Vec<Entry>, ClientError> {
        let mut stream = self.open(&Request::List { path: path.to_owned() })?;
        let mut listing = Listing::default();
        loop {
            match stream.next()? {
                Incoming::Bytes(frame) => {
                    listing.push(&frame.payload).map_err(|what| stream.broke(what))?;
                    stream.handed_on(frame.payload.len());
                }
                Incoming::Opened(_) | Incoming::End => {}
                Incoming::Hole(_) => return Err(stream.broke("a hole in a listing")),
                Incoming::Done(_) => break,
            }
        }
        listing.finish().map_err(|what| stream.broke(what))
    }
}

fn opened_entry(frame: &Frame) -> Option<Entry> {
    body::<Opened>(frame)?.entry
}

/// How many bytes a file of `size` may bring.
const fn most(size: u64) -> u64 {
    match size {
        0 => MAX_UNTOLD,
        // No file is longer.
        size if size > i64::MAX as u64 => i64::MAX as u64,
        size => size,
    }
}

/// A sink and how far it is filled.
struct Placed<'a> {
    sink: Sink<'a>,
    at: u64,
    /// How far it may be.
    most: u64,
}

impl Placed<'_> {
    /// Where so many bytes more end.
    fn end(&self, length: u64, stream: &Stream<'_>) -> Result<u64, ClientError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.most);
        end.ok_or_else(|| stream.broke("more of a file than it said there is"))
    }

    fn bytes(&mut self, bytes: &[u8], stream: &Stream<'_>) -> Result<(), ClientError> {
        let end = self.end(bytes.len() as u64, stream)?;
        let written = match &mut self.sink {
            Sink::File(file) => file.write_all_at(bytes, self.at),
            Sink::Write(write) => write.write_all(bytes),
        };
        written.map_err(ClientError::Output)?;
        self.at = end;
        Ok(())
    }

    fn zeros(&mut self, length: u64, stream: &mut Stream<'_>) -> Result<(), ClientError> {
        let end = self.end(length, stream)?;
        if let Sink::Write(write) = &mut self.sink {
            let mut left = length;
            while left > 0 {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
                write.write_all(&ZEROS[..count]).map_err(ClientError::Output)?;
                left -= count as u64;
                stream.look_for_interruption()?;
            }
        }
        self.at = end;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        match &mut self.sink {
            // A hole at the end was only counted.
            Sink::File(file) => file.set_len(self.at),
            Sink::Write(write) => write.flush(),
        }
    }
}

/// Lines of a listing as they come.
#[derive(Debug, Default)]
struct Listing {
    entries: Vec<Entry>,
    rest: Vec<u8>,
    bytes: usize,
}

impl Listing {
    fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.bytes += bytes.len();
        if self.bytes > MAX_LISTING || self.entries.len() > MAX_ENTRIES {
            return Err("a listing without an end");
        }
        self.rest.extend_from_slice(bytes);
        let Some(last) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return if self.rest.len() > MAX_LINE { Err("a line without an end") } else { Ok(()) };
        };
        let rest = self.rest.split_off(last + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        whole.split(|byte| *byte == b'\n').try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let entry: Entry = serde_json::from_slice(line).map_err(|_| "a line that is no entry")?;
        if !is_name(&entry.name) {
            return Err("a name that no file can have");
        }
        if entry.target.as_ref().is_some_and(|target| target.len() > MAX_TARGET) {
            return Err("a link longer than links can be");
        }
        self.entries.push(entry);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Entry>, &'static str> {
        let rest = std::mem::take(&mut self.rest);
        self.line(&rest)?;
        self.entries.sort_by(|a, b| a.name.cmp(&b.name));
        if self.entries.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err("one name twice");
        }
        Ok(self.entries)
    }
}

/// Whether a file in a directory can have this name. Joined to a directory it stays in it.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(name: &str) -> String {
        let name = serde_json::to_string(name).unwrap();
        format!(r#"{{"name":{name},"kind":"file","size":1,"mode":420,"modified_s":0}}"#) + "\n"
    }

    fn listed(text: &str) -> Result<Vec<Entry>, &'static str> {
        let mut listing = Listing::default();
        for piece in text.as_bytes().chunks(7) {
            listing.push(piece)?;
        }
        listing.finish()
    }

    #[test]
    fn a_listing_is_read_however_it_arrives() {
        let text = line("b") + &line("a b") + line("ä\n").trim_end();
        let names: Vec<String> = listed(&text).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a b", "b", "ä\n"]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_refuses_the_listing() {
        for name in ["..", ".", "", "../x", "/etc/passwd", "a/b", "a\0b"] {
            assert!(listed(&(line("good") + &line(name))).is_err(), "{name:?} was taken");
        }
        assert!(listed(&(line("a") + &line("a"))).is_err(), "one name was taken twice");
        assert!(listed(&line(&"x".repeat(255))).is_ok() && listed(&line(&"x".repeat(256))).is_err());
        let link = |length| {
            let target = "x".repeat(length);
            line("a").replace("\"modified_s\":0", &format!("\"modified_s\":0,\"target\":\"{target}\""))
        };
        assert!(listed(&link(4095)).is_ok() && listed(&link(4096)).is_err());
        assert!(listed("{\n").is_err());
    }

    #[test]
    fn a_listing_without_an_end_is_given_up() {
        let mut listing = Listing::default();
        let mut lines = (0..).map(|number| line(&number.to_string()));
        let taken =
            (0..=2 * MAX_ENTRIES).take_while(|_| listing.push(lines.next().unwrap().as_bytes()).is_ok());
        assert_eq!(taken.count(), MAX_ENTRIES + 1);
        let mut listing = Listing { bytes: MAX_LISTING - 1, ..Listing::default() };
        assert!(listing.push(b"\n").is_ok() && listing.push(b"\n").is_err());
        assert!(Listing::default().push(&[b' '; MAX_LINE]).is_ok());
        assert!(Listing::default().push(&[b' '; MAX_LINE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_stays_in_its_directory(name in ".*") {
            if is_name(&name) {
                let path = std::path::Path::new("/d").join(&name);
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/d")));
                prop_assert_eq!(path.file_name().and_then(|it| it.to_str()), Some(name.as_str()));
            }
        }

        #[test]
        fn no_bytes_make_a_listing_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let mut listing = Listing::default();
            let _ = listing.push(&bytes).and_then(|()| listing.finish().map(drop));
        }
    }
}
