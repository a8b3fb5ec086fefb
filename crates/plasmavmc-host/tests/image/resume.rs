//! A download goes on where the last one ended, and only where that is sound.

use std::fs;
use std::sync::Arc;

use plasmavmc_host::image::{FetchError, ImageError, ImageProgress};

use crate::lab::{ETAG, Lab, checksums, image, publisher, sha512, wanted};
use crate::server::{Answer, Seen, Server};

const SIZE: usize = 2_000_000;
const HALF: usize = 1_200_000;

/// A publisher that breaks the connection after half of the first answer.
fn breaking(bytes: &Arc<Vec<u8>>, later: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Server {
    let bytes = bytes.clone();
    Server::start(move |seen| {
        checksums(&seen.path, &bytes).or_else(|| {
            Some(if seen.nth == 0 { Answer::file(seen, &bytes, ETAG).cut(HALF) } else { later(seen) })
        })
    })
}

fn image_requests(server: &Server) -> Vec<Seen> {
    server.seen_for(".qcow2")
}

fn started(reports: &[ImageProgress]) -> Vec<u64> {
    let resumed = |report: &ImageProgress| match report {
        ImageProgress::Started { resumed_bytes, .. } => Some(*resumed_bytes),
        _ => None,
    };
    reports.iter().filter_map(resumed).collect()
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = breaking(&bytes, move |seen| Answer::file(seen, &served, ETAG));
    let lab = Lab::new(&server);
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert_eq!(outcome.unwrap().sha512, sha512(&bytes));
    let asked = image_requests(&server);
    assert_eq!((asked[1].range(), asked[1].header("if-range")), (Some(HALF), Some(ETAG)));
    assert_eq!(started(&reports), [0, HALF as u64]);
}

#[test]
fn the_next_command_takes_up_what_the_last_one_left() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = breaking(&bytes, move |seen| Answer::file(seen, &served, ETAG));
    let mut lab = Lab::new(&server);
    lab.policy.tries = 1;
    let error = lab.ensure(&wanted("alpine")).0.unwrap_err();
    assert!(matches!(error, ImageError::Fetch { source: FetchError::Interrupted { .. }, .. }), "{error:?}");
    assert!(lab.finals().is_empty());
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert_eq!(fs::read(outcome.unwrap().path).unwrap(), *bytes);
    assert_eq!(started(&reports), [HALF as u64]);
    assert_eq!(image_requests(&server)[1].range(), Some(HALF));
    assert!(lab.partials().is_empty());
}

#[test]
fn a_server_without_ranges_sends_the_whole_file_again() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = breaking(&bytes, move |_| Answer::whole(&served));
    let lab = Lab::new(&server);
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert_eq!(outcome.unwrap().sha512, sha512(&bytes));
    assert_eq!(started(&reports), [0, 0]);
}

#[test]
fn nothing_is_built_on_bytes_without_a_validator() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served).or_else(|| {
            let answer = Answer::whole(&served);
            Some(if seen.nth == 0 { answer.cut(HALF) } else { answer })
        })
    });
    let lab = Lab::new(&server);
    lab.ensure(&wanted("alpine")).0.unwrap();
    assert_eq!(image_requests(&server)[1].range(), None);
}

#[test]
fn the_time_of_a_file_will_do_for_a_validator() {
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served).or_else(|| {
            // A weak entity tag is no use for ranges (RFC 9110, section 13.1.5).
            let answer =
                Answer::file(seen, &served, date).with("ETag", "W/\"v1\"").with("Last-Modified", date);
            Some(if seen.nth == 0 { answer.cut(HALF) } else { answer })
        })
    });
    let lab = Lab::new(&server);
    lab.ensure(&wanted("alpine")).0.unwrap();
    assert_eq!(image_requests(&server)[1].header("if-range"), Some(date));
    assert_eq!(image_requests(&server)[1].range(), Some(HALF));
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_again() {
    let (old, new) = (image(SIZE, 1), image(SIZE, 2));
    let (first, served) = (old.clone(), new.clone());
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served).or_else(|| {
            Some(match seen.nth {
                0 => Answer::file(seen, &first, ETAG).cut(HALF),
                _ => Answer::file(seen, &served, "\"v2\""),
            })
        })
    });
    let lab = Lab::new(&server);
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert_eq!(outcome.unwrap().sha512, sha512(&new));
    assert_eq!(started(&reports), [0, 0]);
}

#[test]
fn a_range_that_does_not_fit_is_not_appended() {
    let bytes = image(SIZE, 1);
    for broken in ["bytes 5-1999999/2000000", "bytes 1200000-1999998/2000000", "nonsense"] {
        let served = bytes.clone();
        let server = breaking(&bytes, move |seen| match seen.range() {
            Some(_) => Answer::file(seen, &served, ETAG).with("Content-Range", broken),
            None => Answer::file(seen, &served, ETAG),
        });
        let lab = Lab::new(&server);
        assert_eq!(lab.ensure(&wanted("alpine")).0.unwrap().sha512, sha512(&bytes), "{broken}");
        assert_eq!(image_requests(&server)[2].range(), None, "{broken}");
    }
}

#[test]
fn a_refused_range_begins_the_file_again() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = breaking(&bytes, move |seen| match seen.range() {
        Some(_) => Answer::status(416).with("Content-Range", "bytes */1000").with("Content-Length", "0"),
        None => Answer::file(seen, &served, ETAG),
    });
    let lab = Lab::new(&server);
    assert_eq!(lab.ensure(&wanted("alpine")).0.unwrap().sha512, sha512(&bytes));
}

#[test]
fn a_part_that_was_whole_already_is_only_verified() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| Some(publisher(seen, &served)));
    let lab = Lab::new(&server);
    // What a crash between the last byte and the final name leaves.
    let partial = lab.store.root().join("partial");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("alpine-3.23.x86_64.part"), &*bytes).unwrap();
    let path = "/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-bios-cloudinit-r0.qcow2";
    let url = format!("{}{path}", server.base());
    let note = serde_json::json!({ "url": url, "validator": ETAG, "total_bytes": SIZE });
    fs::write(partial.join("alpine-3.23.x86_64.json"), note.to_string()).unwrap();
    let (outcome, reports) = lab.ensure(&wanted("alpine"));
    assert_eq!(outcome.unwrap().sha512, sha512(&bytes));
    assert_eq!(image_requests(&server)[0].range(), Some(SIZE));
    assert!(started(&reports).is_empty(), "bytes were sent again");
    assert!(lab.partials().is_empty());
}

#[test]
fn a_damaged_part_costs_one_more_download_and_no_more() {
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = breaking(&bytes, move |seen| Answer::file(seen, &served, ETAG));
    let mut lab = Lab::new(&server);
    lab.policy.tries = 1;
    assert!(lab.ensure(&wanted("alpine")).0.is_err());
    let part = lab.partials().into_iter().find(|path| path.extension().unwrap() == "part").unwrap();
    let mut damaged = fs::read(&part).unwrap();
    assert_eq!(damaged.len(), HALF);
    damaged[600_000] ^= 1;
    fs::write(&part, damaged).unwrap();
    assert_eq!(lab.ensure(&wanted("alpine")).0.unwrap().sha512, sha512(&bytes));
    let asked = image_requests(&server);
    assert_eq!((asked.len(), asked[1].range(), asked[2].range()), (3, Some(HALF), None));
}
