//! The cloud-init seed as other programs see it: `blkid` finds the volume the way guests do, and
//! `mtools` reads its files back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use plasmavmc_host::exec::{self, Program};
use plasmavmc_host::keys::KeyPair;
use plasmavmc_host::seed::{InstanceId, Seed, SeedNetwork};
use plasmavmc_types::MacAddr;

fn run(program: Program, args: &[&str]) -> Vec<u8> {
    let mut command = program.command().expect("the oracle is installed");
    command.args(args);
    exec::run(command, Duration::from_secs(20)).expect("the oracle accepts the volume").stdout
}

fn seed(user_data: Option<Vec<u8>>) -> Seed {
    Seed {
        instance_id: InstanceId::generate(),
        hostname: "web".to_owned(),
        ssh_keys: vec!["ssh-ed25519 AAAA me@host".parse().expect("a key")],
        host_key: Some(KeyPair::generate().expect("a key")),
        user_data,
        network: SeedNetwork::Dhcp(vec![MacAddr::from_seed([1, 2, 3]), MacAddr::from_seed([4, 5, 6])]),
        agent: None,
    }
}

fn file(image: &Path, name: &str) -> Vec<u8> {
    run(Program::new("mtype", "mtools"), &["-i", image.to_str().expect("text"), &format!("::{name}")])
}

#[test]
fn a_guest_finds_the_volume_and_its_files_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seeds/web.img");
    let seed = seed(None);
    seed.write(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let blkid = Program::new("blkid", "util-linux");
    let tags = String::from_utf8(run(blkid, &["-p", "-o", "export", path.to_str().unwrap()])).unwrap();
    assert!(tags.contains("\nLABEL=CIDATA\n") && tags.contains("\nTYPE=vfat\n"), "{tags}");

    let listing = run(Program::new("mdir", "mtools"), &["-b", "-i", path.to_str().unwrap(), "::"]);
    let listing = String::from_utf8(listing).unwrap();
    assert_eq!(listing, "::/meta-data\n::/user-data\n::/network-config\n::/dropbear-host-key\n");
    let meta_data = String::from_utf8(file(&path, "meta-data")).unwrap();
    assert!(meta_data.starts_with(&format!("instance-id: \"{}\"\n", seed.instance_id)), "{meta_data}");
    assert!(file(&path, "user-data").starts_with(b"#cloud-config\n{\n"));
    let network: serde_json::Value = serde_json::from_slice(&file(&path, "network-config")).unwrap();
    assert_eq!(network["ethernets"]["eth1"]["match"]["macaddress"], "52:54:00:04:05:06");
}

#[test]
fn the_agent_and_what_installs_it_lie_beside_the_rest() {
    static AGENT: &[u8] = &[0xA5; 1_400_000];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.img");
    Seed { agent: Some(AGENT), ..seed(None) }.write(&path).unwrap();
    assert!(file(&path, "castra-agent") == AGENT);
    assert!(file(&path, "castra-agent.sh").starts_with(b"#!/bin/sh\n"));
    assert!(file(&path, "vendor-data").starts_with(b"#cloud-boothook\n#!/bin/sh\n"));
}

#[test]
fn user_data_comes_out_as_it_went_in_whatever_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.img");
    for size in [10, 511, 512, 4097, 300_000, 1 << 20] {
        let mut own = b"#!/bin/sh\n".to_vec();
        own.extend((10..size).map(|index: usize| u8::try_from(index % 251).expect("below 251")));
        let seed = seed(Some(own.clone()));
        seed.write(&path).unwrap();
        assert!(file(&path, "user-data") == own, "{size} bytes came out different");
        assert!(seed.image().unwrap() == fs::read(&path).unwrap(), "one seed gave two images");
    }
}
