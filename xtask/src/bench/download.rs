//! `castra image pull` of 500 MB from a loopback server against `curl`, then `sha512sum`.
//!
//! Castra checks the bytes against the publisher's checksum file, makes them durable and only then
//! gives them their name; the other side does neither, which is left as it is.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::error::{BenchError, IoAbout};
use super::lab::{Lab, installed, output, timed};
use super::outcome::{Goal, Line, Unit};
use super::rows::{ratio, skipped};
use super::server::Server;

const WHAT: &str = "`image pull` of 500 MB, `curl` then `sha512sum`";
const GOAL: Goal = Goal::AtMost(0.8);
const SIZE_BYTES: usize = 500_000_000;
/// An image whose publisher writes the digest alone into a file beside it.
const IMAGE: &str = "alpine";

/// Measures `runs` pairs of downloads.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn measure(lab: &Lab<'_>, runs: usize) -> Result<Vec<Line>, BenchError> {
    for program in ["curl", "sha512sum"] {
        if !installed(program) {
            let why = format!("{program} is not installed");
            return Ok(vec![skipped(WHAT, &why, Unit::Times, GOAL)]);
        }
    }
    lab.say("Making a file of 500 MB");
    let image = lab.path("image.qcow2");
    write_image(&image)?;
    let said = output(Command::new("sha512sum").arg(&image))?.stdout;
    let digest = String::from_utf8_lossy(&said).split(' ').next().unwrap_or_default().to_owned();
    let server = Server::start(&image, digest.clone())?;
    let pairs = lab.pairs(runs, || pull(lab, &server), || curl(lab, &server, &digest))?;
    fs::remove_file(&image).about("remove", image)?;
    Ok(vec![ratio(WHAT, &pairs, GOAL)])
}

fn pull(lab: &Lab<'_>, server: &Server) -> Result<Duration, BenchError> {
    let home = lab.path("store");
    let dir = lab.path("nowhere");
    fs::create_dir_all(&dir).about("create", &dir)?;
    let mut command = lab.castra(&dir, &["image", "pull", IMAGE, "--quiet"]);
    command.env("CASTRA_HOME", &home).env("CASTRA_IMAGE_MIRROR", server.url());
    let time = timed(&mut command)?;
    fs::remove_dir_all(&home).about("remove", home)?;
    Ok(time)
}

fn curl(lab: &Lab<'_>, server: &Server, digest: &str) -> Result<Duration, BenchError> {
    let file = lab.path("curl.qcow2");
    let mut fetch = Command::new("curl");
    fetch.args(["--silent", "--show-error", "--fail", "--max-time", "300", "--output"]).arg(&file);
    fetch.arg(format!("{}/image.qcow2", server.url()));
    let begun = Instant::now();
    timed(&mut fetch)?;
    let said = output(Command::new("sha512sum").arg(&file))?.stdout;
    let time = begun.elapsed();
    if !String::from_utf8_lossy(&said).starts_with(digest) {
        let found = String::from_utf8_lossy(&said).into_owned();
        return Err(BenchError::Unexpected { what: "the digest of what curl got", found });
    }
    fs::remove_file(&file).about("remove", file)?;
    Ok(time)
}

/// Writes a qcow2 header and bytes that nothing compresses (a xorshift generator's).
fn write_image(path: &Path) -> Result<(), BenchError> {
    output(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(path).arg("1G"))?;
    let header = fs::read(path).about("read", path)?;
    let mut file = BufWriter::new(File::create(path).about("create", path)?);
    file.write_all(&header).about("write", path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..(SIZE_BYTES - header.len()) / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).about("write", path)?;
    }
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .about("write", path)?
        .sync_all()
        .about("flush", path)
}
