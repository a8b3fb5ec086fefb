//! What differs between a VM that runs and its config. Pure. Tests: below, and `tests/it/up.rs`.

use plasmavmc_types::VmSpec;

use crate::core::output::Diagnostic;
use crate::core::project::WorkspaceId;

/// Points out that a running VM differs from its config.
pub(super) fn drifted(
    running: Option<&VmSpec>,
    wanted: &VmSpec,
    workspace: &WorkspaceId,
) -> Option<Diagnostic> {
    (running != Some(wanted)).then(|| {
        let vm = &wanted.name;
        let keys = running.map(|running| differing(running, wanted)).unwrap_or_default();
        let mut message = format!("VM `{vm}` runs with what castra.toml said when it was started");
        if !keys.is_empty() {
            message.push_str(&format!("; changed since: {}", keys.join(", ")));
        }
        Diagnostic::warning(message).with_hint(format!(
            "apply the changes: `castra down {vm} --workspace {workspace} && castra up {vm}`"
        ))
    })
}

/// The keys of the config whose values differ.
fn differing(running: &VmSpec, wanted: &VmSpec) -> Vec<&'static str> {
    let (is, shall) = (running, wanted);
    let forwards = |spec: &VmSpec| spec.port_forwards().cloned().collect::<Vec<_>>();
    let keys = [
        ("cpus", is.resources.cpus != shall.resources.cpus),
        ("memory", is.resources.memory != shall.resources.memory),
        ("port_forwards", forwards(is) != forwards(shall)),
        ("mounts", is.shares != shall.shares),
        ("base_image or persistent", is.disks != shall.disks),
        ("firmware", is.firmware != shall.firmware),
        ("accelerator", is.accelerator != shall.accelerator),
    ];
    keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use plasmavmc_hypervisor::conformance::small_spec;
    use plasmavmc_types::ByteSize;

    use super::*;

    #[test]
    fn every_key_that_differs_is_named() {
        let wanted = small_spec("web");
        let mut running = wanted.clone();
        assert_eq!(differing(&running, &wanted), [""; 0]);
        running.resources.memory = ByteSize::bytes(1 << 30);
        running.networks.clear();
        running.shares.clear();
        assert_eq!(differing(&running, &wanted)[0], "memory");
        let text = drifted(Some(&running), &wanted, &"shop-0123456789ab".parse().unwrap()).unwrap();
        assert!(text.message.contains("changed since: memory"), "{text:?}");
    }
}
