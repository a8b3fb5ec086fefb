//! Many that want one image at once: one download, and everybody has it.

use std::thread;
use std::time::Duration;

use castra_testkit::eventually;
use plasmavmc_host::LockError;
use plasmavmc_host::image::{ImageError, ImageProgress};

use crate::lab::{ETAG, Lab, checksums, image, sha512, wanted};
use crate::server::{After, Answer, Server};

const SIZE: usize = 500_000;

#[test]
fn ten_at_once_download_once() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served)
            .or_else(|| Some(Answer::file(seen, &served, ETAG).paced(50_000, Duration::from_millis(20))))
    });
    let lab = Lab::new(&server);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| lab.ensure(&wanted("alpine")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let progress = |report: &ImageProgress| matches!(report, ImageProgress::Progress { .. });
    for (outcome, reports) in outcomes {
        assert_eq!(outcome.unwrap().sha512, sha512(&bytes));
        assert!(reports.iter().any(progress), "a waiter was shown nothing");
    }
    assert_eq!(server.seen_for(".qcow2").len(), 1);
    assert_eq!(lab.finals().len(), 1);
}

#[test]
fn a_waiter_does_not_wait_for_ever() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served)
            .or_else(|| Some(Answer::whole(&served).cut(100_000).then(After::Silence)))
    });
    let lab = Lab::new(&server);
    let mut holder = lab.policy.clone();
    holder.stall = Duration::from_secs(3);
    holder.tries = 1;
    let mut waiter = lab.policy.clone();
    waiter.patience = Duration::from_millis(300);
    thread::scope(|scope| {
        let holding = scope.spawn(|| lab.store.ensure(&wanted("alpine"), &holder, &mut |_| {}));
        eventually("the download", || !server.seen_for(".qcow2").is_empty());
        let error = lab.store.ensure(&wanted("alpine"), &waiter, &mut |_| {}).unwrap_err();
        assert!(matches!(error, ImageError::Lock { source: LockError::Busy { .. }, .. }), "{error:?}");
        assert!(holding.join().unwrap().is_err());
    });
}

#[test]
fn two_images_do_not_wait_for_each_other() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        let held = seen.path.contains("trixie");
        checksums(&seen.path, &served).or_else(|| {
            let answer = Answer::whole(&served);
            Some(if held { answer.cut(1000).then(After::Silence) } else { answer })
        })
    });
    let mut lab = Lab::new(&server);
    lab.policy.tries = 1;
    lab.policy.stall = Duration::from_secs(2);
    thread::scope(|scope| {
        let held = scope.spawn(|| lab.ensure(&wanted("debian")));
        eventually("the download", || !server.seen_for(".qcow2").is_empty());
        assert!(lab.ensure(&wanted("alpine")).0.is_ok());
        assert!(!held.is_finished(), "the other download was to be under way still");
        assert!(held.join().unwrap().0.is_err());
    });
}
