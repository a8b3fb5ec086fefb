//! The processor's model. Tests: in `tests.rs`.

use roxmltree::Node;

use super::{EditError, add_to_domain, writable};
use crate::domain::CpuModel;
use crate::domain::project::cpu_model_of;
use crate::domain::render::cpu_model;
use crate::xml::{Element, Splices, child, children};

/// What `<cpu>` says of the model, beside the element `<model>`.
const OF_THE_MODEL: [&str; 5] = ["mode", "match", "check", "migratable", "deprecated_features"];

/// Replaces what `<cpu>` says of the model. Its topology, NUMA cells and cache stay, and so do features
/// that were asked for one by one.
pub(super) fn set(root: Node<'_, '_>, model: &CpuModel, splices: &mut Splices<'_>) -> Result<(), EditError> {
    if cpu_model_of(root) == *model {
        return Ok(());
    }
    if let CpuModel::Named(name) = model {
        writable(name)?;
    }
    let Some(cpu) = child(root, "cpu") else {
        add_to_domain(root, cpu_model(model), splices);
        return Ok(());
    };
    if *model == CpuModel::Unspecified {
        return unset(cpu, splices);
    }
    let wanted = cpu_model(model);
    for name in OF_THE_MODEL {
        match wanted.value(name) {
            Some(value) => splices.set_attribute(cpu, name, value),
            None => splices.remove_attribute(cpu, name),
        }
    }
    children(cpu, "vendor").for_each(|vendor| splices.remove(vendor));
    match (child(cpu, "model"), model) {
        (Some(old), CpuModel::Named(name)) => splices.set_text(old, name),
        (Some(old), _) => splices.remove(old),
        (None, CpuModel::Named(name)) => {
            let new = Element::new("model").attr("fallback", "allow").text(name);
            match cpu.first_element_child() {
                Some(first) => splices.insert_before(first, &new),
                None => splices.append(cpu, &[new]),
            }
        }
        (None, _) => {}
    }
    Ok(())
}

/// Says nothing of the model any more; without anything else to say `<cpu>` goes.
fn unset(cpu: Node<'_, '_>, splices: &mut Splices<'_>) -> Result<(), EditError> {
    if child(cpu, "feature").is_some() {
        return Err(EditError::CpuFeatures);
    }
    let rest = cpu.children().filter(Node::is_element);
    if rest.filter(|node| !matches!(node.tag_name().name(), "model" | "vendor")).count() == 0 {
        splices.remove(cpu);
        return Ok(());
    }
    OF_THE_MODEL.iter().for_each(|name| splices.remove_attribute(cpu, name));
    children(cpu, "model").chain(children(cpu, "vendor")).for_each(|node| splices.remove(node));
    Ok(())
}
