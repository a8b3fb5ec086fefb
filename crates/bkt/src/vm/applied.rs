//! What was applied to a domain last, as our mark in its metadata keeps it.
//!
//! One line of JSON: the value of each managed field, and the address of the card that is ours. Fields of
//! a later version are passed over. Pure. Tests: below.

use plasmavmc_libvirt::domain::Mark;
use plasmavmc_types::MacAddr;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Field, Values};

/// What was applied last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Each managed field with its value.
    pub fields: Values,
    /// The address of our card, by which it is found again when another one is put before it.
    pub nic: Option<MacAddr>,
    /// The manifest that has it in its hands, as [`crate::vm::plan::manifest_id`] names it: it is no business
    /// of another one.
    pub manifest: Option<String>,
    /// Whether it was made from a manifest: one that was only adopted is never undefined.
    #[serde(default)]
    pub made: bool,
}

/// The member that holds the fields.
const FIELDS: &str = "fields";

/// The member that holds the manifest's id.
const MANIFEST: &str = "manifest";

/// The member that tells a VM that was made from one that was adopted.
const MADE: &str = "made";

/// The member that holds the card's address.
const NIC: &str = "nic";

impl Applied {
    /// Reads a mark; none where it holds nothing that can be understood.
    pub fn read(mark: &Mark) -> Option<Self> {
        let Value::Object(mut object) = serde_json::from_str(&mark.applied).ok()? else { return None };
        let Some(Value::Object(written)) = object.remove(FIELDS) else { return None };
        let known = |field: Field| written.get(field.as_str()).map(|value| (field, value.clone()));
        let fields = Field::ALL.into_iter().filter_map(known).collect();
        let nic = object.get(NIC).and_then(Value::as_str).and_then(|text| text.parse().ok());
        // Of an earlier form of this name nothing can be told.
        let is_place = |text: &&str| text.contains(":/");
        let manifest = object.get(MANIFEST).and_then(Value::as_str).filter(is_place).map(ToOwned::to_owned);
        let made = object.get(MADE) == Some(&Value::Bool(true));
        Some(Self { fields, nic, manifest, made })
    }

    /// The mark that says it, for the VM of this key.
    pub fn to_mark(&self, key: &str) -> Mark {
        let fields: Map<String, Value> =
            self.fields.iter().map(|(field, value)| (field.to_string(), value.clone())).collect();
        let mut object = Map::from_iter([(FIELDS.to_owned(), Value::Object(fields))]);
        if let Some(nic) = self.nic {
            object.insert(NIC.to_owned(), Value::String(nic.to_string()));
        }
        if let Some(manifest) = &self.manifest {
            object.insert(MANIFEST.to_owned(), Value::String(manifest.clone()));
        }
        if self.made {
            object.insert(MADE.to_owned(), Value::Bool(true));
        }
        Mark { key: key.to_owned(), applied: Value::Object(object).to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mark(applied: &str) -> Mark {
        Mark { key: "web".to_owned(), applied: applied.to_owned() }
    }

    #[test]
    fn what_was_applied_survives_the_mark() {
        let fields = Values::from([
            (Field::Memory, json!(8192)),
            (Field::Title, Value::Null),
            (Field::IsoSources, json!(["/iso/a b.iso"])),
        ]);
        let nic = Some("52:54:00:01:02:03".parse().unwrap());
        let applied = Applied { fields, nic, manifest: Some("host:/a/vms.json".to_owned()), made: true };
        let written = applied.to_mark("web");
        assert_eq!(written.key, "web");
        assert!(!written.applied.contains('\n'));
        assert_eq!(Applied::read(&written), Some(applied));
    }

    #[test]
    fn a_mark_of_a_later_version_is_read_as_far_as_it_is_known() {
        let applied = Applied::read(&mark(r#"{"fields":{"vcpus":2,"numa":"auto"},"nic":7,"x":1}"#)).unwrap();
        assert_eq!(applied.fields, Values::from([(Field::Vcpus, json!(2))]));
        assert_eq!(applied.nic, None);
    }

    #[test]
    fn a_mark_without_the_word_is_that_of_an_adopted_vm_of_nobody_knows_which_manifest() {
        for text in [r#"{"fields":{}}"#, r#"{"fields":{},"manifest":"0123456789abcdef","made":"true"}"#] {
            let applied = Applied::read(&mark(text)).unwrap();
            assert_eq!((applied.made, applied.manifest), (false, None), "{text}");
        }
    }

    #[test]
    fn a_mark_that_was_tampered_with_is_no_base() {
        for text in ["", "{", "[]", "null", "{}", r#"{"fields":[]}"#, r#"{"fields":"x"}"#] {
            assert_eq!(Applied::read(&mark(text)), None, "{text}");
        }
    }
}
