//! `kill -9` within a download: nothing half has a final name, and the next call goes on.
//!
//! The process that is killed is this test program again, run for one test that does nothing unless
//! the environment says so.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use castra_testkit::eventually;
use plasmavmc_host::image::Store;

use crate::lab::{ETAG, Lab, checksums, image, policy, sha512, wanted};
#[cfg(feature = "failpoints")]
use crate::server::Seen;
use crate::server::{After, Answer, Server};

const STORE: &str = "CASTRA_TEST_IMAGE_STORE";
const MIRROR: &str = "CASTRA_TEST_IMAGE_MIRROR";
const SIZE: usize = 4_000_000;
const SENT: usize = 2_500_000;

/// The process that is killed.
#[test]
fn a_process_that_wants_an_image() {
    let (Ok(store), Ok(mirror)) = (env::var(STORE), env::var(MIRROR)) else { return };
    let mut policy = policy(&mirror);
    policy.stall = Duration::from_secs(30);
    Store::new(store).ensure(&wanted("alpine"), &policy, &mut |_| {}).unwrap();
}

fn process(lab: &Lab, server: &Server) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "crash::a_process_that_wants_an_image"]);
    command.env(STORE, lab.store.root()).env(MIRROR, server.base());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits until `path` has so many bytes; the child must live for as long.
fn wait_for_bytes(path: &Path, bytes: u64, child: &mut Child) {
    eventually("the bytes", || {
        assert!(child.try_wait().unwrap().is_none(), "the process ended by itself");
        fs::metadata(path).map_or(0, |found| found.len()) >= bytes
    });
}

#[test]
fn a_killed_download_leaves_nothing_final_and_is_taken_up() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served).or_else(|| {
            let answer = Answer::file(seen, &served, ETAG);
            Some(if seen.nth == 0 { answer.cut(SENT).then(After::Silence) } else { answer })
        })
    });
    let lab = Lab::new(&server);
    let mut child = process(&lab, &server).spawn().unwrap();
    let part = lab.store.root().join("partial/alpine-3.23.x86_64.part");
    wait_for_bytes(&part, SENT as u64 - 300_000, &mut child);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(lab.finals().is_empty() && lab.store.list().is_empty());

    let stored = lab.ensure(&wanted("alpine")).0.unwrap();
    assert_eq!(stored.sha512, sha512(&bytes));
    let resumed = server.seen_for(".qcow2")[1].range().expect("the download began again");
    assert!(resumed >= SENT - 300_000, "{resumed}");
}

#[test]
fn processes_share_one_download() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served)
            .or_else(|| Some(Answer::file(seen, &served, ETAG).paced(100_000, Duration::from_millis(5))))
    });
    let lab = Lab::new(&server);
    let children: Vec<_> = (0..4).map(|_| process(&lab, &server).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.seen_for(".qcow2").len(), 1);
}

/// Dies at each step between the last byte and the name.
#[cfg(feature = "failpoints")]
#[test]
fn a_crash_at_any_step_of_storing_loses_nothing() {
    let bytes = image(SIZE, 1);
    for step in ["image-verified", "image-recorded", "image-published"] {
        let served = bytes.clone();
        let server = Server::start(move |seen| {
            checksums(&seen.path, &served).or_else(|| Some(Answer::file(seen, &served, ETAG)))
        });
        let lab = Lab::new(&server);
        let mut child =
            process(&lab, &server).env(plasmavmc_host::failpoint::VARIABLE, step).spawn().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "{step} was not reached");
        for path in lab.finals() {
            assert_eq!(fs::read(path).unwrap(), *bytes, "{step}");
        }
        assert!(lab.store.find(&"alpine".parse().unwrap(), plasmavmc_host::image::Arch::X86_64).is_none());
        let stored = lab.ensure(&wanted("alpine")).0.unwrap();
        assert_eq!((stored.sha512, lab.finals().len()), (sha512(&bytes), 1), "{step}");
        let sent: Vec<_> = server.seen_for(".qcow2").iter().map(Seen::range).collect();
        // The bytes were all there: at most the server is asked whether they still are the file.
        assert!(sent.iter().skip(1).all(|range| *range == Some(SIZE)), "{step}: {sent:?}");
        assert!(lab.partials().is_empty(), "{step}: {:?}", lab.partials());
    }
}
