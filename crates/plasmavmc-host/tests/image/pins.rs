//! `castra.lock`: the same bytes for everybody, whatever the publisher does.

use std::sync::Arc;

use plasmavmc_host::image::{Arch, ImageError, Lockfile, Pin};
use plasmavmc_types::Explain;

use crate::lab::{ETAG, Lab, image, publisher, sha512, wanted};
use crate::server::{Answer, Server};

fn pin(name: &str, bytes: &[u8]) -> Lockfile {
    let mut lock = Lockfile::default();
    lock.set(Pin {
        name: name.parse().unwrap(),
        arch: Arch::X86_64,
        url: "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2"
            .to_owned(),
        sha512: sha512(bytes),
        size_bytes: bytes.len() as u64,
    });
    lock
}

/// A server that has `bytes` under every path, and checksum files that speak of `today`.
fn server(bytes: &Arc<Vec<u8>>, today: &Arc<Vec<u8>>) -> Server {
    let (bytes, today) = (bytes.clone(), today.clone());
    Server::start(move |seen| {
        let checksum = seen.path.ends_with("SUMS");
        Some(if checksum { publisher(seen, &today) } else { Answer::file(seen, &bytes, ETAG) })
    })
}

#[test]
fn a_pinned_image_is_fetched_without_asking_for_its_checksum_file() {
    let (old, new) = (image(100_000, 1), image(100_000, 2));
    let server = server(&old, &new);
    let lab = Lab::new(&server);
    let wanted = wanted("debian").pinned_by(&pin("debian", &old));
    let stored = lab.ensure(&wanted).0.unwrap();
    assert_eq!(stored.sha512, sha512(&old));
    assert!(server.seen_for("SUMS").is_empty());
    assert_eq!(stored.pin(&wanted), wanted.pin);
}

#[test]
fn a_publisher_that_replaced_a_pinned_image_is_told_apart() {
    let (old, new) = (image(100_000, 1), image(100_000, 2));
    let server = server(&new, &new);
    let lab = Lab::new(&server);
    let error = lab.ensure(&wanted("debian").pinned_by(&pin("debian", &old))).0.unwrap_err();
    assert!(matches!(error, ImageError::PinMismatch { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&sha512(&old).to_string()) && text.contains(&sha512(&new).to_string()), "{text}");
    assert!(error.hints()[0].contains("castra image pull debian-13"), "{:?}", error.hints());
    assert!(lab.finals().is_empty() && lab.partials().is_empty());
}

#[test]
fn a_pinned_image_of_another_size_is_not_even_downloaded() {
    let (old, new) = (image(100_000, 1), image(5_000_000, 2));
    let server = server(&new, &new);
    let lab = Lab::new(&server);
    let error = lab.ensure(&wanted("debian").pinned_by(&pin("debian", &old))).0.unwrap_err();
    assert!(matches!(error, ImageError::PinMismatch { .. }), "{error:?}");
    assert!(lab.finals().is_empty());
    assert!(lab.partials().iter().all(|path| path.metadata().unwrap().len() == 0));
}

#[test]
fn a_stored_pin_needs_no_network_whatever_its_name_means_today() {
    let (old, new) = (image(100_000, 1), image(100_000, 2));
    let (old_server, new_server) = (server(&old, &old), server(&new, &new));
    let mut lab = Lab::new(&old_server);
    let first = lab.ensure(&wanted("debian")).0.unwrap();
    let mut lock = Lockfile::default();
    lock.set(first.pin(&wanted("debian")).unwrap());
    lab.policy.mirror = Some(new_server.base().parse().unwrap());
    // Somebody else takes today's image; the pinned one stays.
    let second = lab.ensure(&wanted("debian").latest()).0.unwrap();
    assert_eq!(second.sha512, sha512(&new));
    assert_eq!(lab.ensure(&wanted("debian")).0.unwrap().sha512, sha512(&new));
    lab.policy.mirror = Some("http://127.0.0.1:1".parse().unwrap());
    assert_eq!(lab.ensure(&wanted("debian").pinned_by(&lock)).0.unwrap().sha512, sha512(&old));
    let shown: Vec<_> =
        lab.store.list().into_iter().map(|listed| (listed.image.sha512, listed.current)).collect();
    assert_eq!(shown, [(sha512(&new), true), (sha512(&old), false)]);
}

#[test]
fn todays_image_is_not_downloaded_twice() {
    let bytes = image(100_000, 1);
    for name in ["debian", "ubuntu"] {
        let served = bytes.clone();
        let server = Server::start(move |seen| Some(publisher(seen, &served)));
        let lab = Lab::new(&server);
        let first = lab.ensure(&wanted(name)).0.unwrap();
        let again = lab.ensure(&wanted(name).latest()).0.unwrap();
        assert_eq!(first, again, "{name}");
        assert_eq!(server.seen_for("SUMS").len(), 2, "the publisher was not asked");
        assert_eq!(server.seen().len(), 3, "the image was downloaded again");
    }
}
