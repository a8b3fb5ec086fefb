//! The proof of a change passes what libvirt fills in, and nothing that was lost or moved.

use plasmavmc_libvirt::domain::{DomainXml, unplanned};

use crate::{corpus, each, files};

fn nothing() -> DomainXml {
    DomainXml::parse("<domain/>").unwrap()
}

#[test]
fn what_libvirt_fills_in_is_told_from_what_it_was_not_asked_for() {
    let Some(tests) = corpus() else { return };
    let files = files(&tests.join("qemuxmlconfdata"));
    let names: Vec<&String> = files.keys().filter(|name| name.ends_with(".x86_64-latest.xml")).collect();
    let told = each(&names, |name| {
        let stem = name.strip_suffix(".x86_64-latest.xml").unwrap();
        let before = DomainXml::parse(files[&format!("{stem}.xml")].as_str()).unwrap();
        let after = DomainXml::parse(files[*name].as_str()).unwrap();
        // What is there stays: a second definition of what libvirt made has nothing to tell.
        assert_eq!(unplanned(&after, &after, &after), [], "{stem}");
        let told = unplanned(&nothing(), &before, &after);
        (!told.is_empty()).then_some((stem, told))
    });
    if std::env::var_os("CASTRA_CORPUS_SHOW").is_some() {
        for (stem, told) in &told {
            for difference in told {
                eprintln!("{stem} {difference}");
            }
        }
    }
    // What is left is rewriting of what nobody asks `bkt` for: old spellings, ports of a switch, NUMA.
    assert!(told.len() <= MOST, "{} of {}", told.len(), names.len());
}

/// The inputs of libvirt's tests whose rewriting is told: each would stop a change, and be looked at.
const MOST: usize = 200;
