//! What a server can do wrong, and what becomes of it.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plasmavmc_host::image::{FetchError, ImageError, ImageProgress};
use plasmavmc_types::{ByteSize, ErrorKind, Explain};

use crate::lab::{ETAG, Lab, checksums, files, image, overlay, publisher, sha512, wanted};
use crate::server::{After, Answer, Seen, Server};

/// A publisher whose image is answered by `image_answer`; its checksum files are in order.
fn faulty(
    bytes: &Arc<Vec<u8>>,
    image_answer: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static,
) -> (Server, Lab) {
    let bytes = bytes.clone();
    let server = Server::start(move |seen| checksums(&seen.path, &bytes).or_else(|| image_answer(seen)));
    let lab = Lab::new(&server);
    (server, lab)
}

fn image_requests(server: &Server) -> Vec<Seen> {
    server.seen_for(".qcow2")
}

fn fetch_error(lab: &Lab) -> FetchError {
    let (outcome, _) = lab.ensure(&wanted("alpine"));
    assert!(lab.finals().is_empty(), "a failed download has a final name");
    match outcome.unwrap_err() {
        ImageError::Fetch { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_publishers_image_is_downloaded_verified_and_found_again_without_a_request() {
    let bytes = image(300_000, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| Some(publisher(seen, &served)));
    for name in ["alpine", "debian", "debian-12", "ubuntu-24.04", "ubuntu", "fedora"] {
        let lab = Lab::new(&server);
        let (outcome, reports) = lab.ensure(&wanted(name));
        let stored = outcome.unwrap_or_else(|error| panic!("{name}: {error}: {:?}", error.source()));
        assert_eq!(std::fs::read(&stored.path).unwrap(), *bytes, "{name}");
        assert_eq!((stored.sha512, stored.size_bytes), (sha512(&bytes), 300_000));
        assert!(matches!(
            &reports[0],
            ImageProgress::Started { resumed_bytes: 0, total_bytes: Some(300_000), .. }
        ));
        assert!(
            matches!(reports.last(), Some(ImageProgress::Verified { size_bytes: 300_000, .. })),
            "{reports:?}"
        );
        let done =
            |report: &ImageProgress| matches!(report, ImageProgress::Progress { done_bytes: 300_000, .. });
        assert!(reports.iter().any(done), "{reports:?}");
        assert!(lab.partials().is_empty(), "{:?}", lab.partials());
        let before = server.seen().len();
        let (again, reports) = lab.ensure(&wanted(name));
        assert_eq!(again.unwrap(), stored);
        assert_eq!((server.seen().len(), reports.len()), (before, 0), "the store was not believed");
    }
}

#[test]
fn a_missing_image_is_told_at_once() {
    let (server, lab) = faulty(&image(1000, 1), |_| Some(Answer::status(404)));
    let (outcome, _) = lab.ensure(&wanted("alpine"));
    let error = outcome.unwrap_err();
    assert!(matches!(&error, ImageError::Fetch { source: FetchError::Status { status: 404, .. }, .. }));
    assert_eq!(image_requests(&server).len(), 1, "a 404 was tried again");
    assert_eq!(error.kind(), ErrorKind::Image);
    let hints = error.hints().join("\n");
    for needed in ["CASTRA_IMAGE_MIRROR", "--qcow", "castra image build tiny", "castra image list"] {
        assert!(hints.contains(needed), "no `{needed}` in {hints}");
    }
}

#[test]
fn a_server_that_fails_now_and_then_is_tried_again() {
    let bytes = image(100_000, 1);
    let served = bytes.clone();
    let (server, lab) = faulty(&bytes, move |seen| match seen.nth {
        0 => Some(Answer::status(503).with("Retry-After", "0")),
        1 => None,
        _ => Some(Answer::file(seen, &served, ETAG)),
    });
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    outcome.unwrap();
    assert_eq!(image_requests(&server).len(), 3);
    let retried = reports.iter().filter(|report| matches!(report, ImageProgress::Retried { .. })).count();
    assert_eq!(retried, 2, "{reports:?}");
}

#[test]
fn a_server_that_always_fails_is_given_up() {
    let (server, lab) = faulty(&image(1000, 1), |_| Some(Answer::status(500)));
    assert!(matches!(fetch_error(&lab), FetchError::Status { status: 500, .. }));
    assert_eq!(image_requests(&server).len(), 3);
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_bounded_time() {
    let silent = |_: &Seen| Some(Answer { status: 200, ..Answer::status(200) }.then(After::Silence));
    let bytes = image(1000, 1);
    let served = bytes.clone();
    let (_server, lab) = faulty(&bytes, move |seen| match seen.nth {
        // The head and nothing after it, then half the file and nothing after it.
        0 => silent(seen).map(|answer| answer.with("Content-Length", "1000")),
        _ => Some(Answer::whole(&served).cut(500).then(After::Silence)),
    });
    let start = Instant::now();
    assert!(matches!(fetch_error(&lab), FetchError::Stalled { .. }));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn a_slow_but_steady_server_is_not_given_up() {
    let bytes = image(10_000, 1);
    let served = bytes.clone();
    // Longer in all than the stall time, never silent for as long.
    let (server, lab) =
        faulty(&bytes, move |_| Some(Answer::whole(&served).paced(1000, Duration::from_millis(80))));
    lab.ensure(&wanted("alpine")).0.unwrap();
    assert_eq!(image_requests(&server).len(), 1);
}

#[test]
fn a_server_that_drips_is_given_up() {
    let bytes = image(10_000, 1);
    let served = bytes.clone();
    let (_server, mut lab) =
        faulty(&bytes, move |_| Some(Answer::whole(&served).paced(1, Duration::from_millis(50))));
    lab.policy.tries = 1;
    let start = Instant::now();
    assert!(matches!(fetch_error(&lab), FetchError::Slow { .. }));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn no_server_at_all_is_told_soon_with_what_can_be_done() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let lab = Lab::at(&format!("http://127.0.0.1:{port}"));
    let (outcome, _) = lab.ensure(&wanted("alpine"));
    let error = outcome.unwrap_err();
    assert!(matches!(&error, ImageError::Fetch { source: FetchError::Unreachable { .. }, .. }), "{error:?}");
    assert!(error.to_string().contains("alpine-3.23") && error.to_string().contains(&port.to_string()));
    assert!(error.hints().iter().any(|hint| hint.contains("castra image build tiny")));
}

#[test]
fn a_server_that_does_not_speak_tls_is_told() {
    let server = Server::start(|_| Some(Answer::status(200)));
    let lab = Lab::at(&server.base().replace("http://", "https://"));
    // `Client` where this host has no root certificates at all.
    assert!(matches!(fetch_error(&lab), FetchError::Unreachable { .. } | FetchError::Client { .. }));
}

#[test]
fn a_mirrors_password_is_sent_and_never_told() {
    let bytes = image(50_000, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        let known = seen.header("authorization") == Some("Basic bWU6c2VjcmV0");
        Some(if known { publisher(seen, &served) } else { Answer::status(403) })
    });
    let lab = Lab::at(&server.base().replace("http://", "http://me:secret@"));
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert!(!format!("{:?} {reports:?} {:?}", outcome.unwrap(), lab.policy).contains("secret"));
    let lab = Lab::at(&server.base().replace("http://", "http://me:other@"));
    let error = lab.ensure(&wanted("alpine")).0.unwrap_err();
    assert!(!format!("{error} {error:?} {:?}", error.source()).contains("other"), "{error:?}");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let bytes = image(50_000, 1);
    let served = bytes.clone();
    let (server, lab) = faulty(&bytes, move |seen| {
        if seen.path == "/elsewhere" {
            return Some(Answer::file(seen, &served, ETAG));
        }
        Some(Answer::status(302).with("Location", "/elsewhere").with("Content-Length", "0"))
    });
    lab.ensure(&wanted("alpine")).0.unwrap();
    assert_eq!(server.seen_for("/elsewhere").len(), 1);
    let (server, lab) = faulty(&bytes, |seen| {
        Some(Answer::status(302).with("Location", &seen.path).with("Content-Length", "0"))
    });
    assert!(matches!(fetch_error(&lab), FetchError::Redirects { limit: 10 }));
    assert_eq!(image_requests(&server).len(), 11, "a loop was tried again");
}

#[test]
fn wrong_bytes_are_asked_for_once_more_past_caches_and_then_refused() {
    let (good, wrong) = (image(50_000, 1), image(50_000, 2));
    let served = wrong.clone();
    let (server, lab) = faulty(&good, move |seen| Some(Answer::file(seen, &served, ETAG)));
    let error = lab.ensure(&wanted("alpine")).0.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ImageError::Mismatch { .. }), "{text}");
    assert!(
        text.contains(&sha512(&good).to_string()) && text.contains(&sha512(&wrong).to_string()),
        "{text}"
    );
    let asked = image_requests(&server);
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[0].header("cache-control"), asked[1].header("cache-control")),
        (None, Some("no-cache"))
    );
    assert_eq!(asked[1].range(), None, "wrong bytes were built upon");
    assert!(lab.finals().is_empty() && lab.partials().is_empty(), "wrong bytes were kept");
}

#[test]
fn a_stale_cache_does_no_harm() {
    let (good, stale) = (image(50_000, 1), image(50_000, 2));
    let served = good.clone();
    let (_server, lab) = faulty(&good, move |seen| {
        let fresh = seen.header("cache-control") == Some("no-cache");
        Some(Answer::file(seen, if fresh { &served } else { &stale }, ETAG))
    });
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert_eq!(outcome.unwrap().sha512, sha512(&good));
    assert!(reports.iter().any(|report| matches!(report, ImageProgress::Retried { .. })));
}

#[test]
fn a_log_in_page_is_not_taken_for_an_image() {
    let bytes = image(50_000, 1);
    for page in [
        Answer::text("<html>log in</html>").with("Content-Type", "text/html; charset=utf-8"),
        Answer::text("<html>log in</html>"),
    ] {
        let (server, lab) = faulty(&bytes, move |_| Some(page.clone()));
        assert!(matches!(fetch_error(&lab), FetchError::NotAnImage { .. }));
        assert_eq!(image_requests(&server).len(), 1);
    }
}

#[test]
fn more_bytes_than_announced_are_not_taken() {
    let bytes = image(50_000, 1);
    let served = bytes.clone();
    let (_server, lab) =
        faulty(&bytes, move |_| Some(Answer::whole(&served).with("Content-Length", "40000")));
    let error = lab.ensure(&wanted("alpine")).0.unwrap_err();
    assert!(matches!(error, ImageError::Mismatch { .. }), "{error:?}");
    assert!(lab.finals().is_empty());
}

#[test]
fn fewer_bytes_than_announced_are_not_enough() {
    let bytes = image(50_000, 1);
    let served = bytes.clone();
    let (_server, lab) =
        faulty(&bytes, move |_| Some(Answer::whole(&served).with("Content-Length", "60000")));
    assert!(matches!(fetch_error(&lab), FetchError::Interrupted { .. }));
}

#[test]
fn a_file_of_unknown_length_is_taken_by_its_digest() {
    let bytes = image(50_000, 1);
    let served = bytes.clone();
    let (_server, lab) = faulty(&bytes, move |_| Some(Answer::whole(&served).without("Content-Length")));
    assert_eq!(lab.ensure(&wanted("alpine")).0.unwrap().size_bytes, 50_000);
    // Cut off without a length, it looks whole; its digest tells.
    let served = bytes.clone();
    let (_server, lab) =
        faulty(&bytes, move |_| Some(Answer::whole(&served).without("Content-Length").cut(40_000)));
    assert!(matches!(lab.ensure(&wanted("alpine")).0.unwrap_err(), ImageError::Mismatch { .. }));
    assert!(lab.finals().is_empty());
}

#[test]
fn an_endless_file_has_an_end() {
    let bytes = image(1_000_000, 1);
    for length in ["Content-Length", "X-Nothing"] {
        let served = bytes.clone();
        let (_server, mut lab) = faulty(&bytes, move |_| {
            let answer = Answer::whole(&served).without("Content-Length");
            Some(answer.with(length, "1000000"))
        });
        lab.policy.largest = ByteSize::bytes(500_000);
        assert!(matches!(fetch_error(&lab), FetchError::TooLarge { .. }), "{length}");
        let kept: u64 = lab.partials().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(kept <= 501_000, "{kept} bytes were written");
    }
}

#[test]
fn a_checksum_file_that_says_nothing_downloads_nothing() {
    let bytes = image(50_000, 1);
    for (name, answer) in [
        ("alpine", Answer::text("<html>log in</html>")),
        ("debian", Answer::text(&format!("{}  another.qcow2\n", sha512(&bytes)))),
        ("fedora", Answer::text("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n")),
    ] {
        let server = Server::start(move |_| Some(answer.clone()));
        let lab = Lab::new(&server);
        let error = lab.ensure(&wanted(name)).0.unwrap_err();
        assert!(matches!(error, ImageError::Checksum { .. }), "{error:?}");
        assert_eq!(server.seen().len(), 1, "the image was asked for without a digest");
    }
    let server = Server::start(|_| Some(Answer::status(404)));
    let lab = Lab::new(&server);
    assert!(matches!(fetch_error(&lab), FetchError::Status { status: 404, .. }));
    assert!(files(&lab.store.root().join("names")).is_empty());
}

#[test]
fn a_published_overlay_is_refused_although_its_digest_is_right() {
    let overlay = overlay(50_000);
    let served = overlay.clone();
    let (_server, lab) = faulty(&overlay, move |seen| Some(Answer::file(seen, &served, ETAG)));
    let error = lab.ensure(&wanted("alpine")).0.unwrap_err();
    assert!(matches!(error, ImageError::Overlay { .. }), "{error:?}");
    assert!(lab.finals().is_empty() && lab.partials().is_empty());
}
