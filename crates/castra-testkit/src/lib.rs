//! What several crates' tests share: waiting with a bound, commands in worlds of their own, the guests'
//! images, built once, guests of one sector, `qemu-guest-agent`, host ports, and real libvirt.
//!
//! Never does: anything a release needs. Its functions panic where they fail, as tests do.
//! Tests: the tests that use it.

mod boot_sector;
mod command;
mod innocent;
pub mod libvirt;
mod ports;
mod qga;
mod server;
mod wait;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmavmc_host::FileLock;
use plasmavmc_host::guest::{self, Recipe};
use sha2::{Digest, Sha256};

/// The agent of the guests.
pub use castra_agent_embed::AGENT;

pub use boot_sector::{counting_disk, fleeting_disk, halting_disk, obedient_disk};
pub use command::{Answer, wait};
pub use innocent::Innocent;
pub use ports::{free_port, free_ports};
pub use qga::qga_archive;
pub use server::Server;
pub use wait::{eventually, throughout, until};
pub use world::{World, fits, tree};

/// Where the builder's own files are; all of them decide what the image is.
const BUILDER: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../plasmavmc-host/src/guest"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../plasmavmc-host/src/agent"),
];

/// How long one test waits for another that builds the image: a build on a busy machine.
const BUILD_BOUND: Duration = Duration::from_secs(600);

/// The image of the tiny guest, a qcow2 file that nobody may write to: put an overlay over it.
///
/// Built by the first test that asks, in `target/castra-test`, and used by all others, also in
/// other processes and later runs. A change to the builder gives it another name.
///
/// # Panics
/// Where it cannot be built; the message says what the host lacks.
pub fn tiny_image() -> PathBuf {
    image(Recipe::Tiny)
}

/// The image of the tiny guest whose kernel knows 9p, as [`tiny_image`] is.
///
/// # Panics
/// Where it cannot be built; the message says what the host lacks.
pub fn tiny_full_image() -> PathBuf {
    image(Recipe::TinyFull)
}

/// The image of a tiny guest that has no agent, as [`tiny_image`] is.
///
/// # Panics
/// Where it cannot be built; the message says what the host lacks.
pub fn tiny_image_without_agent() -> PathBuf {
    // In the agent's place, so that it is not started again and again.
    image_with(Recipe::Tiny, "tiny-agentless", b"#!/bin/sh\nexec sleep 1000000\n")
}

/// The image of the Debian guest, as [`tiny_image`] is. It takes a minute and a half to build.
///
/// # Panics
/// Where it cannot be built; the message says what the host lacks.
pub fn debian_image() -> PathBuf {
    image(Recipe::Debian)
}

fn image(recipe: Recipe) -> PathBuf {
    image_with(recipe, &recipe.to_string(), AGENT)
}

fn image_with(recipe: Recipe, name: &str, agent: &[u8]) -> PathBuf {
    let cache = target_dir().join("castra-test");
    let image = cache.join(format!("{name}-{}.qcow2", digest_of(&BUILDER)));
    let _lock =
        FileLock::acquire(&cache.join(format!("{name}.lock")), BUILD_BOUND).expect("the image's lock");
    if !image.exists() {
        remove_outdated(&cache, name);
        guest::build(recipe, agent, &image, &mut |_| {}).expect("the image can be built here");
    }
    image
}

/// Removes what earlier versions of the builder made under a name.
fn remove_outdated(cache: &Path, name: &str) {
    let prefix = format!("{name}-");
    for entry in fs::read_dir(cache).expect("the lock made the directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let digest = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".qcow2"));
        // The name of another recipe may begin with this one's.
        if digest.is_some_and(|digest| !digest.contains('-')) {
            fs::remove_file(entry.path()).expect("an outdated image can be removed");
        }
    }
}

/// The directory Cargo builds in, from the place of the running test: `<target>/debug/deps/test`.
fn target_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let target = test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("tests run from Cargo's target directory").to_owned()
}

/// 16 hexadecimal digits that change with the agent and with every file below `dirs`.
fn digest_of(dirs: &[&str]) -> String {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("the builder's sources are there") {
            let path = entry.expect("the builder's sources can be listed").path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    hash.update(AGENT);
    for file in files {
        let bytes = fs::read(&file).expect("the builder's sources can be read");
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
