//! A web server on the loopback that has one image and its checksum, whatever the path.
//!
//! One thread per connection, one answer per connection; the body goes from the file to the socket
//! inside the kernel. Tests: below.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::error::{BenchError, IoAbout};

/// A running server; ends where it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// Serves `image`, and `digest` where a path ends with `.sha512`.
    ///
    /// # Errors
    /// [`BenchError::Io`] where it cannot listen.
    pub(crate) fn start(image: &Path, digest: String) -> Result<Self, BenchError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).about("listen on", "127.0.0.1")?;
        let address = listener.local_addr().about("listen on", "127.0.0.1")?;
        let ended = Arc::new(AtomicBool::new(false));
        let (image, over) = (image.to_owned(), ended.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (image, digest) = (image.clone(), digest.clone());
                // A client that goes away is its own affair.
                thread::spawn(move || drop(answer(&stream, &image, &digest)));
            }
        });
        Ok(Self { address, ended })
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: &TcpStream, image: &PathBuf, digest: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path.ends_with(".sha512") {
        stream.write_all(head(digest.len() as u64).as_bytes())?;
        return stream.write_all(digest.as_bytes());
    }
    let mut file = File::open(image)?;
    stream.write_all(head(file.metadata()?.len()).as_bytes())?;
    io::copy(&mut file, &mut stream).map(drop)
}

fn head(length: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nETag: \"one\"\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn get(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[test]
    fn an_image_is_served_under_every_path_and_its_digest_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        std::fs::write(&image, "bytes").unwrap();
        let server = Server::start(&image, "digest".to_owned()).unwrap();
        assert_eq!(get(&server, "/a/b.qcow2"), "bytes");
        assert_eq!(get(&server, "/a/b.qcow2.sha512"), "digest");
    }
}
