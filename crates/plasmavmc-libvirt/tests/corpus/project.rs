//! A domain says the same before and after libvirt normalised it.

use plasmavmc_libvirt::domain::{CpuModel, DomainXml, Fields};

use crate::{corpus, files};

/// The inputs that libvirt changes in a way that is not its to change, each with the reason.
const EXCEPTIONS: &[(&str, &str)] =
    &[("disk-cdrom-empty-network-invalid", "a drive on a network without a place there is an empty one")];

/// What an input leaves to libvirt is as libvirt chose it: the address of a card, its model, the
/// processor, the firmware's features.
fn settled(input: &Fields, output: &Fields) -> Fields {
    let mut input = input.clone();
    for (mine, chosen) in input.nics.iter_mut().zip(&output.nics) {
        mine.mac = mine.mac.or(chosen.mac);
        mine.model = mine.model.take().or_else(|| chosen.model.clone());
    }
    if input.cpu == CpuModel::Unspecified {
        input.cpu = output.cpu.clone();
    }
    input.secure_boot = input.secure_boot.or(output.secure_boot);
    input
}

#[test]
fn a_domain_says_the_same_before_and_after_libvirt_normalised_it() {
    let Some(tests) = corpus() else { return };
    let files = files(&tests.join("qemuxmlconfdata"));
    let (mut pairs, mut unequal) = (0, Vec::new());
    for (name, after) in &files {
        let Some(stem) = name.strip_suffix(".x86_64-latest.xml") else { continue };
        let before = &files[&format!("{stem}.xml")];
        pairs += 1;
        let fields = |text: &str| DomainXml::parse(text).unwrap().fields();
        match (fields(before), fields(after)) {
            (Ok(before), Ok(after)) if settled(&before, &after) == after => {}
            (before, after) => {
                if std::env::var_os("CASTRA_CORPUS_SHOW").is_some() {
                    eprintln!("{stem}\n  {before:?}\n  {after:?}");
                }
                unequal.push(stem);
            }
        }
    }
    assert_eq!(unequal, EXCEPTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(pairs - unequal.len() >= 782, "{} of {pairs}", pairs - unequal.len());
    assert_eq!(pairs, 790);
}
