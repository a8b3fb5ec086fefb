//! Compares the VMs of a project: what must be used once is used once.
//!
//! Pure, and linear in the number of VMs and forwards. Tests: in `tests/config/faults.rs`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use plasmavmc_host::Layout;
use plasmavmc_host::image::catalogue::DEFAULT_IMAGE;
use plasmavmc_host::seed::{Ignored, SeedReader};
use plasmavmc_source::At;
use plasmavmc_types::{PortForward, VmName};

use super::Environment;
use super::Faults;
use super::project::{BaseImage, CloudInit, Source};
use super::replica::Draft;
use super::rule::Rule;

/// Names whose files would meet files of the workspace itself.
const RESERVED_NAMES: [(&str, &str); 3] =
    [("broker", "pidfile"), ("host-broker", "log"), ("workspace", "lock")];

/// Directories of a workspace where an overlay has no business.
const RESERVED_DIRS: [&str; 5] = ["metadata", "images", "logs", "bootstrap", "handshakes"];

/// How the names of a VM's files at the root of the workspace end.
const RESERVED_SUFFIXES: [&str; 7] = ["pid", "qmp", "serial", "agent", "qga", "sock", "sha512"];

/// Notes every name, port and overlay that is used twice, and overlays that would destroy something.
pub(super) fn check(drafts: &[Draft], layout: &Layout, env: &Environment, faults: &mut Faults<'_>) {
    check_names(drafts, faults);
    check_ports(drafts, faults);
    check_overlays(drafts, layout, env, faults);
    check_user_data(drafts, faults);
}

/// What the image of a VM would ignore of the user-data that stands in the config. Files are read, and
/// looked at in the same way, when they are needed.
fn check_user_data(drafts: &[Draft], faults: &mut Faults<'_>) {
    let mut told = HashSet::new();
    for draft in drafts {
        let Some(cloud_init) = &draft.keys.cloud_init else { continue };
        let Some(Source::Inline(text)) = &cloud_init.value.user_data else { continue };
        let reader = seed_reader(draft.keys.base_image.as_ref().map(|image| &image.value));
        let rule = match reader.ignored(text.as_bytes()) {
            None => continue,
            Some(Ignored::Kind(found)) => Rule::IgnoredUserDataKind { reader, found },
            Some(Ignored::Keys(found)) => {
                Rule::IgnoredUserData { reader, taken: reader.taken().unwrap_or_default(), found }
            }
        };
        // The replicas of an entry share its user-data: one fault tells of all of them.
        if told.insert(cloud_init.at.span) {
            faults.push(&cloud_init.at, &rule);
        }
    }
}

/// Who reads the seed in the guest of an image.
fn seed_reader(image: Option<&BaseImage>) -> SeedReader {
    match image {
        Some(image) => image.seed_reader(),
        None => DEFAULT_IMAGE.parse().map_or(SeedReader::CloudInit, |name| SeedReader::of_image(&name)),
    }
}

fn check_names(drafts: &[Draft], faults: &mut Faults<'_>) {
    let mut seen: HashMap<String, &Draft> = HashMap::new();
    for draft in drafts {
        let folded = draft.name.as_str().to_ascii_lowercase();
        if let Some((_, file)) = RESERVED_NAMES.iter().find(|(name, _)| *name == folded) {
            faults.push(&draft.name_at, &Rule::ReservedName { name: draft.name.clone(), file });
        }
        if let Some(first) = seen.get(&folded) {
            let rule = Rule::DuplicateName { name: draft.name.clone() };
            faults.push_related(
                &draft.name_at,
                &rule,
                Some((&first.name_at, &format!("`{}` is here", first.name))),
            );
        } else {
            seen.insert(folded, draft);
        }
    }
    for draft in drafts {
        if let Some(other) = seen.get(&format!("{}-serial", draft.name.as_str().to_ascii_lowercase())) {
            let rule = Rule::SerialLogClash { name: draft.name.clone() };
            faults.push_related(
                &other.name_at,
                &rule,
                Some((&draft.name_at, &format!("`{}` is here", draft.name))),
            );
        }
    }
}

fn check_ports(drafts: &[Draft], faults: &mut Faults<'_>) {
    let mut seen: HashMap<u16, Vec<(&Draft, &PortForward, &At)>> = HashMap::new();
    let mut told = HashSet::new();
    for draft in drafts {
        for forward in &draft.forwards {
            let holders = seen.entry(forward.value.host.get()).or_default();
            let first = holders.iter().find(|(_, other, _)| other.clashes_with(&forward.value));
            let Some((holder, other, at)) = first else {
                holders.push((draft, &forward.value, &forward.at));
                continue;
            };
            // The replicas of an entry share its forwards: one fault tells of all of them.
            if !told.insert(forward.at.span) {
                continue;
            }
            let rule = Rule::PortClash {
                port: format!("`{}/{}` of `{}`", forward.value.host, forward.value.protocol, draft.name),
                replicas: are_replicas(holder, draft),
            };
            let label = format!("`{}` has {}:{}", holder.name, other.address, other.host);
            faults.push_related(&forward.at, &rule, Some((at, &label)));
        }
    }
}

/// Whether both come from entries with `count`, one of them counted up.
fn are_replicas(a: &Draft, b: &Draft) -> bool {
    a.name_at == b.name_at && a.replica.is_some() && b.replica.is_some()
}

fn check_overlays(drafts: &[Draft], layout: &Layout, env: &Environment, faults: &mut Faults<'_>) {
    let inputs = inputs(drafts, env);
    let mut seen: HashMap<PathBuf, &Draft> = HashMap::new();
    let mut told = HashSet::new();
    for draft in drafts {
        let (path, at) = match &draft.keys.overlay {
            Some(overlay) => (overlay.value.clone(), &overlay.at),
            None => (layout.overlay(&draft.name), &draft.name_at),
        };
        let rule = if let Some(what) = inputs.get(path.as_path()) {
            Rule::OverlayIsInput { path, what }
        } else if let Some(suggestion) = reserved(&path, layout, &draft.name) {
            Rule::ReservedOverlay { path, suggestion }
        } else if let Some(first) = seen.get(&path).copied() {
            // Two VMs of one name share the default: that fault is told already.
            let is_chosen = first.keys.overlay.is_some() || draft.keys.overlay.is_some();
            if is_chosen && told.insert(at.span) {
                let rule = Rule::SharedOverlay { path, replicas: are_replicas(first, draft) };
                let other = first.keys.overlay.as_ref().map_or(&first.name_at, |overlay| &overlay.at);
                faults.push_related(at, &rule, Some((other, &format!("`{}` has it", first.name))));
            }
            continue;
        } else {
            seen.insert(path, draft);
            continue;
        };
        if told.insert(at.span) {
            faults.push(at, &rule);
        }
    }
}

/// Every file the project reads, and what it is to a person.
fn inputs<'d>(drafts: &'d [Draft], env: &'d Environment) -> HashMap<&'d Path, &'static str> {
    let mut inputs = HashMap::from([(env.config_path.as_path(), "the config")]);
    for draft in drafts {
        if let Some(BaseImage::Path(path)) = draft.keys.base_image.as_ref().map(|image| &image.value) {
            inputs.insert(path, "a base image");
        }
        if let Some(bootstrap) = draft.keys.bootstrap.as_ref().map(|bootstrap| &bootstrap.value) {
            inputs.insert(&bootstrap.script, "a bootstrap script");
            inputs.extend(bootstrap.payload.iter().map(|path| (path.as_path(), "a bootstrap payload")));
        }
        let Some(cloud_init) = &draft.keys.cloud_init else { continue };
        let CloudInit { user_data, network_config } = &cloud_init.value;
        for source in [user_data, network_config].into_iter().flatten() {
            if let Source::Path(path) = source {
                inputs.insert(path, "a file of cloud-init");
            }
        }
    }
    inputs
}

/// What to write instead of an overlay that would meet files of the workspace; none where it does not.
fn reserved(path: &Path, layout: &Layout, vm: &VmName) -> Option<String> {
    let inside = path.strip_prefix(layout.root()).ok()?;
    let mut components = inside.components();
    let first = components.next()?.as_os_str().to_str().unwrap_or_default();
    let at_root = components.next().is_none();
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    let meets = if at_root { RESERVED_SUFFIXES.contains(&suffix) } else { RESERVED_DIRS.contains(&first) };
    (meets || (at_root && RESERVED_DIRS.contains(&first)) || path == layout.overlays())
        .then(|| format!("write `overlay = \".castra/overlays/{vm}.qcow2\"`, which is the default"))
}
