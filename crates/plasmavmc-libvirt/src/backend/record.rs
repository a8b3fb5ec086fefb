//! What the backend keeps in a domain's metadata: its spec, and what its run was last asked to do.
//!
//! ```xml
//! <castra:vm xmlns:castra="https://castra.dev/vm/1">{"id":…}</castra:vm>
//! <castra-run:run xmlns:castra-run="https://castra.dev/vm/run/1" boot="…" asked="kill"/>
//! ```
//!
//! Two elements, because libvirt replaces one whole: a stop never rewrites the spec. Tests: below.

use plasmavmc_host::process::BootId;
use plasmavmc_hypervisor::StopMethod;
use plasmavmc_types::VmSpec;

use crate::domain::DomainXml;
use crate::xml;

/// The namespace of the spec: a name, not an address.
pub(super) const SPEC: &str = "https://castra.dev/vm/1";

/// The namespace of the note on a run, and the prefix it is written with.
pub(super) const RUN: (&str, &str) = ("https://castra.dev/vm/run/1", "castra-run");

/// What our elements say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The spec; its error where it cannot be read.
    pub(super) spec: Result<VmSpec, String>,
    /// The note on the last run.
    pub(super) note: Option<Note>,
}

/// What is noted of a run, before libvirt is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// The boot of the host it was started in.
    pub(super) boot: String,
    /// How it was last asked to stop.
    pub(super) asked: Option<StopMethod>,
}

impl Note {
    /// For a run of this boot that was not asked to stop.
    pub(super) fn begun(boot: BootId) -> Self {
        Self { boot: boot.to_string(), asked: None }
    }

    /// The element.
    pub(super) fn to_xml(&self) -> String {
        let asked = self.asked.map_or_else(String::new, |method| format!(" asked='{}'", word(method)));
        // A boot's id is hexadecimal digits.
        format!("<run boot='{}'{asked}/>", self.boot)
    }
}

/// Our elements in a domain; none where the domain is not ours.
pub(super) fn read(domain: &DomainXml) -> Option<Record> {
    let document = xml::read(domain.as_str()).ok()?;
    let metadata = xml::child(document.root_element(), "metadata")?;
    let ours = |namespace: &str, name: &str| {
        metadata
            .children()
            .find(|node| node.tag_name().namespace() == Some(namespace) && node.tag_name().name() == name)
    };
    let spec = xml::text(ours(SPEC, "vm")?);
    let spec = serde_json::from_str(&spec).map_err(|error| error.to_string());
    let note = ours(RUN.0, "run").and_then(|run| {
        let asked = run.attribute("asked").and_then(method);
        Some(Note { boot: run.attribute("boot")?.to_owned(), asked })
    });
    Some(Record { spec, note })
}

fn word(method: StopMethod) -> &'static str {
    match method {
        StopMethod::Powerdown => "powerdown",
        StopMethod::Terminate => "terminate",
        StopMethod::Kill => "kill",
    }
}

fn method(text: &str) -> Option<StopMethod> {
    let all = [StopMethod::Powerdown, StopMethod::Terminate, StopMethod::Kill];
    all.into_iter().find(|method| word(*method) == text)
}

#[cfg(test)]
mod tests {
    use plasmavmc_hypervisor::conformance::small_spec;

    use super::*;

    fn domain(metadata: &str) -> DomainXml {
        DomainXml::parse(format!(
            "<domain type='qemu'><name>x</name><metadata>{metadata}</metadata></domain>"
        ))
        .unwrap()
    }

    #[test]
    fn what_is_noted_is_read_again() {
        let spec = small_spec("web");
        let json = serde_json::to_string(&spec).unwrap();
        for asked in [None, Some(StopMethod::Powerdown), Some(StopMethod::Terminate), Some(StopMethod::Kill)]
        {
            let note = Note { boot: "b-1".to_owned(), asked };
            // libvirt puts prefix and namespace to the element it is handed.
            let run = note.to_xml().replacen("<run", &format!("<r:run xmlns:r='{}'", RUN.0), 1);
            let found = read(&domain(&format!("<c:vm xmlns:c='{SPEC}'>{json}</c:vm>{run}"))).unwrap();
            assert_eq!(found, Record { spec: Ok(spec.clone()), note: Some(note) });
        }
    }

    #[test]
    fn a_domain_without_our_element_is_not_ours() {
        for metadata in ["", "<vm>{}</vm>", "<c:vm xmlns:c='https://else.example/1'>{}</c:vm>"] {
            assert_eq!(read(&domain(metadata)), None, "{metadata}");
        }
        assert_eq!(read(&DomainXml::parse("<domain><name>x</name></domain>").unwrap()), None);
    }

    #[test]
    fn a_spec_that_cannot_be_read_is_still_ours() {
        let found = read(&domain(&format!("<c:vm xmlns:c='{SPEC}'>{{</c:vm>"))).unwrap();
        assert!(found.spec.is_err() && found.note.is_none());
    }
}
