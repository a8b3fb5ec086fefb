//! `bkt vm fetch`: what comes, what must not, and what is there.

use std::collections::BTreeMap;
use std::fs;

use castra_testkit::{Server, tree};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::env::TestEnv;

/// The bytes of an ISO image, as far as anyone looks (ECMA-119, 8.4).
fn iso() -> Vec<u8> {
    let mut bytes = vec![7; 40_000];
    bytes[0x8001..0x8006].copy_from_slice(b"CD001");
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// A world whose manifest names media of a server, the disk beside them.
fn world(server: &Server, media: &[(&str, Option<String>)]) -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir(env.path().join("images")).unwrap();
    let media: Vec<_> = media
        .iter()
        .map(|(name, checksum)| {
            let mut source = json!({ "url": format!("{}/{name}", server.url()) });
            if let Some(checksum) = checksum {
                source["checksum"] = json!(checksum);
            }
            source
        })
        .collect();
    let vm = json!({
        "memory_gb": 1, "vcpus": 1, "disk_path": env.path().join("images/web.qcow2"), "disk_size_gb": 1,
        "boot": "bios", "network": "none", "graphics": "none", "iso_sources": media,
    });
    env.write("manifests/vms.json", json!({ "vms": { "web": vm } }).to_string());
    env
}

fn images(env: &TestEnv) -> Vec<String> {
    tree(&env.path().join("images"))
}

#[test]
fn a_medium_is_fetched_once_held_against_its_checksum_and_told_when_it_changed() {
    let server = Server::new(BTreeMap::from([("drivers.iso".to_owned(), iso())]));
    let env = world(&server, &[("drivers.iso", Some(sha256(&iso())))]);
    let answer = env.bkt(["vm", "fetch", "web", "--json"]).succeeded();
    env.holds("vm-fetch", &answer);
    let medium = answer.line()["outcome"]["vms"][0]["media"][0].clone();
    assert_eq!(medium["size_bytes"], 40_000, "{medium}");
    let path = std::path::PathBuf::from(medium["path"].as_str().unwrap());
    assert_eq!(fs::read(&path).unwrap(), iso());
    assert_eq!(images(&env).len(), 2, "the medium and its digest: {:?}", images(&env));
    let asked = server.requests();
    env.bkt(["vm", "fetch", "--all"]).succeeded();
    assert_eq!(server.requests(), asked, "it was there");
    fs::write(&path, "cut").unwrap();
    let answer = env.bkt(["vm", "fetch", "web"]);
    assert!(![Some(0), Some(2)].contains(&answer.code), "{answer}");
    assert!(answer.stderr.contains("is there and is not what its checksum says"), "{answer}");
    assert_eq!(fs::read(&path).unwrap(), b"cut", "it is its owner's to remove");
}

#[test]
fn what_has_another_checksum_is_never_there() {
    let server = Server::new(BTreeMap::from([("drivers.iso".to_owned(), iso())]));
    let env = world(&server, &[("drivers.iso", Some(sha256(b"another")))]);
    let answer = env.bkt(["vm", "fetch", "web"]);
    assert!(![Some(0), Some(2)].contains(&answer.code), "{answer}");
    assert!(answer.stderr.contains("is not what its checksum says: it is sha256:"), "{answer}");
    assert!(images(&env).iter().all(|name| name.starts_with('.')), "{:?}", images(&env));
}

#[test]
fn a_server_that_has_no_such_file_is_told_with_its_answer() {
    let server = Server::new(BTreeMap::new());
    let env = world(&server, &[("gone.iso", None)]);
    let answer = env.bkt(["vm", "fetch", "web"]);
    assert!(![Some(0), Some(2)].contains(&answer.code), "{answer}");
    assert!(answer.stderr.contains("404") && answer.stderr.contains("gone.iso"), "{answer}");
}
