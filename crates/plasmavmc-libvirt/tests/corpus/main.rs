//! Claims about every domain that libvirt tests itself with, and about libvirt's own rewriting and schema.
//!
//! `scripts/corpus` fetches libvirt's tests, which are not ours to keep; without them, or without `virsh`
//! or `xmllint`, the tests that need them say so and pass. `scripts/test` fetches them first.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod driver;
mod edits;
mod mutated;
mod parse;
mod project;
mod proof;
mod renders;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use plasmavmc_libvirt::domain::DomainXml;

/// The folder with libvirt's tests; none where they were not fetched, and then the test says so.
fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in `crates`");
    let folder = env::var_os("CASTRA_CORPUS").map_or_else(|| root.join("target/corpus"), PathBuf::from);
    let tests = folder.join("libvirt/tests");
    if tests.join("qemuxmlconfdata").is_dir() {
        return Some(tests);
    }
    skipped(&format!("libvirt's tests are not in `{}`: run `scripts/corpus`", tests.display()));
    None
}

/// Says why a test proves nothing here.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, NOTHING WAS PROVED: {why}");
}

/// Every XML file under a folder by its path from there. Links to files are followed, links to folders not.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "xml") && path.is_file() {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
            }
        }
    }
    found
}

/// Every domain of the corpus, each text once, under its first name.
fn domains(tests: &Path) -> Vec<(String, DomainXml)> {
    let mut unique = BTreeMap::new();
    for (name, text) in files(tests) {
        if let Ok(xml) = DomainXml::parse(text) {
            unique.entry(xml.digest()).or_insert((name, xml));
        }
    }
    unique.into_values().collect()
}

/// Does something for each item, on all processors, and collects what it says, in no order.
fn each<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut said = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            said.extend(act(item));
        }
        said
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}
