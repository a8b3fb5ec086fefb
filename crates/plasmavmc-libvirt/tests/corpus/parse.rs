//! Everything is read, or told why not.

use plasmavmc_libvirt::domain::DomainXml;
use plasmavmc_libvirt::xml::XmlError;

use crate::{corpus, files};

/// The files that are no XML, on purpose or because they hold several documents or none.
const BROKEN: [&str; 4] = [
    "nodedevmdevctldata/mdevctl-list-empty-array.out.xml",
    "nodedevmdevctldata/mdevctl-list-empty.out.xml",
    "nodedevmdevctldata/mdevctl-list-multiple.out.xml",
    "qemuxmlconfdata/broken-xml-invalid.xml",
];

#[test]
fn every_domain_is_read_and_what_is_broken_gives_one_clean_error() {
    let Some(tests) = corpus() else { return };
    let (mut domains, mut broken) = (0, Vec::new());
    for (name, text) in files(&tests) {
        match DomainXml::parse(text.as_str()) {
            Ok(xml) => {
                domains += 1;
                assert_eq!(xml.as_str(), text, "{name}");
                // No panic; what a domain lacks is told by its path.
                if let Err(error) = xml.domain() {
                    assert!(
                        matches!(error, XmlError::Missing { .. } | XmlError::Value { .. }),
                        "{name}: {error:?}"
                    );
                }
                let _ = xml.facts().unwrap();
            }
            Err(XmlError::NotADomain { .. }) => {}
            Err(error) => {
                let XmlError::Malformed { line, column, .. } = &error else { panic!("{name}: {error:?}") };
                assert!(error.to_string().starts_with(&format!("line {line}, column {column}: ")), "{name}");
                broken.push(name);
            }
        }
    }
    assert_eq!(broken, BROKEN);
    assert_eq!(domains, 2933);
}
