//! The text of a config to a [`Project`] or every fault in it. Pure.
//!
//! Tests: `tests/config/resolve.rs`, `tests/config/faults.rs`, `tests/config/properties.rs`.

use std::path::PathBuf;
use std::time::Duration;

use plasmavmc_host::Layout;
use plasmavmc_host::image::catalogue::DEFAULT_IMAGE;
use plasmavmc_source::{At, SourceMap, text_of};

use super::limits::{
    DEFAULT_CPUS, DEFAULT_MEMORY, MAX_FRESHNESS_WINDOW_SECS, MAX_WAIT_SECS, MIN_FRESHNESS_WINDOW_SECS,
    VERSION,
};
use super::path::{self, Base};
use super::project::{BaseImage, Channel, Lifecycle, Project, ProjectName, VmConfig};
use super::replica::{self, Draft};
use super::rule::Rule;
use super::walk::{Node, TableReader};
use super::{Environment, Fault, FaultCode, Faults, check, syntax};
use crate::core::project::WorkspaceId;

/// Resolves the bytes of a config.
///
/// # Errors
/// Every fault of the text, in its order; at least one.
pub fn parse_bytes(bytes: &[u8], env: &Environment) -> Result<Project, Vec<Fault>> {
    parse(text_of::<Rule>(bytes, &env.config_path)?, env)
}

/// Resolves the text of a config.
///
/// # Errors
/// Every fault of the text, in its order; at least one.
pub fn parse(text: &str, env: &Environment) -> Result<Project, Vec<Fault>> {
    let map = SourceMap::new(text);
    let mut syntax = Faults::new(&env.config_path, &map);
    let tree = syntax::parse(&map, &mut syntax);
    let mut faults = Faults::new(&env.config_path, &map);
    let root = TableReader::new(tree.get_ref(), At::default(), "a config");
    let project = resolve(root, env, &mut faults);
    if !syntax.is_empty() {
        syntax.absorb(faults, |code| code == FaultCode::MissingKey);
        return Err(syntax.into_sorted());
    }
    if faults.is_empty() { Ok(project) } else { Err(faults.into_sorted()) }
}

/// Resolves a tree; what is faulty is noted and has its default in the project, which then counts
/// for nothing.
fn resolve(mut root: TableReader<'_>, env: &Environment, faults: &mut Faults<'_>) -> Project {
    if let Some(node) = root.take("version") {
        read_version(&node, faults);
    }
    let head = root.take("project").map_or_else(Head::default, |node| read_head(&node, env, faults));
    let name = head.name.unwrap_or_else(|| ProjectName::of_directory(env.config_dir()));
    let workspace_id = WorkspaceId::of(&env.config_path, &name);
    let state_root = head.state_dir.unwrap_or_else(|| env.projects_root().join(workspace_id.as_str()));
    let lifecycle =
        root.take("lifecycle").map_or_else(Lifecycle::default, |node| read_lifecycle(&node, faults));
    let channel = root.take("channel").map_or_else(Channel::default, |node| read_channel(&node, faults));
    let entries = root.take("vms").map(|node| node.array("[[vms]]", faults));
    if entries.as_ref().is_none_or(|found| found.as_ref().is_some_and(Vec::is_empty)) {
        faults.push(&At::default(), &Rule::NoVms);
    }
    root.finish(faults);
    let base = Base { env, state_root: &state_root };
    let drafts = replica::read_all(&entries.flatten().unwrap_or_default(), &base, faults);
    let layout = Layout::new(&state_root);
    check::check(&drafts, &layout, env, faults);
    let vms = drafts.into_iter().map(|draft| vm_config(draft, &layout)).collect();
    Project { name, workspace_id, state_root, config_path: env.config_path.clone(), vms, lifecycle, channel }
}

fn default_image() -> BaseImage {
    let name = DEFAULT_IMAGE.parse().expect("the catalogue's own names are names: checked by its test");
    BaseImage::Catalogue(name)
}

/// The VM of a draft, with its defaults.
fn vm_config(draft: Draft, layout: &Layout) -> VmConfig {
    let Draft { name, keys, forwards, .. } = draft;
    VmConfig {
        base_image: keys.base_image.map_or_else(default_image, |image| image.value),
        overlay: keys.overlay.map_or_else(|| layout.overlay(&name), |overlay| overlay.value),
        cpus: keys.cpus.unwrap_or(DEFAULT_CPUS),
        memory: keys.memory.unwrap_or(DEFAULT_MEMORY),
        port_forwards: forwards.into_iter().map(|forward| forward.value).collect(),
        mounts: keys.mounts.unwrap_or_default(),
        accelerator: keys.accelerator.unwrap_or_default(),
        firmware: keys.firmware,
        persistence: keys.persistence.unwrap_or_default(),
        cloud_init: keys.cloud_init.map(|cloud_init| cloud_init.value).unwrap_or_default(),
        bootstrap: keys.bootstrap.map(|bootstrap| bootstrap.value),
        name,
    }
}

fn read_version(node: &Node<'_>, faults: &mut Faults<'_>) {
    if let Some((number, found)) = node.any_integer("version = 1", faults)
        && number != Some(VERSION)
    {
        faults.push(&node.at, &Rule::Version { found });
    }
}

/// The `[project]` table.
#[derive(Default)]
struct Head {
    name: Option<ProjectName>,
    state_dir: Option<PathBuf>,
}

fn read_head(node: &Node<'_>, env: &Environment, faults: &mut Faults<'_>) -> Head {
    let Some(mut table) = node.table("`[project]`", "[project]", faults) else { return Head::default() };
    let name = table.take("name").and_then(|node| {
        let text = node.text("name = \"my-project\"", faults)?;
        text.parse().map_err(|error| faults.push(&node.at, &Rule::ProjectName(error))).ok()
    });
    let state_dir = table.take("state_dir").and_then(|node| {
        let text = node.text("state_dir = \".castra\"", faults)?;
        path::resolve_state_dir(text, &node.at, env, faults)
    });
    table.finish(faults);
    Head { name, state_dir }
}

fn read_lifecycle(node: &Node<'_>, faults: &mut Faults<'_>) -> Lifecycle {
    let default = Lifecycle::default();
    let Some(mut table) = node.table("`[lifecycle]`", "[lifecycle]", faults) else { return default };
    let mut wait = |key, example, default| {
        let secs = table.take(key).and_then(|node| node.integer(&(0..=MAX_WAIT_SECS), example, faults));
        secs.map_or(default, |secs| Duration::from_secs(secs.into()))
    };
    let lifecycle = Lifecycle {
        graceful_shutdown_wait: wait(
            "graceful_shutdown_wait_secs",
            "graceful_shutdown_wait_secs = 20",
            default.graceful_shutdown_wait,
        ),
        sigterm_wait: wait("sigterm_wait_secs", "sigterm_wait_secs = 10", default.sigterm_wait),
        sigkill_wait: wait("sigkill_wait_secs", "sigkill_wait_secs = 5", default.sigkill_wait),
    };
    table.finish(faults);
    lifecycle
}

fn read_channel(node: &Node<'_>, faults: &mut Faults<'_>) -> Channel {
    let default = Channel::default();
    let Some(mut table) = node.table("`[channel]`", "[channel]", faults) else { return default };
    let range = MIN_FRESHNESS_WINDOW_SECS..=MAX_FRESHNESS_WINDOW_SECS;
    let secs = table
        .take("freshness_window_secs")
        .and_then(|node| node.integer(&range, "freshness_window_secs = 6", faults));
    table.finish(faults);
    secs.map_or(default, |secs| Channel { freshness_window: Duration::from_secs(secs.into()) })
}
