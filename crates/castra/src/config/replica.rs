//! Counts `[[vms]]` entries out into VMs: `count = 2` of `api` are `api-0` and `api-1`, each with
//! the entry's keys and, over them, those of its own table under `[vms.replicas]`.
//!
//! Tests: in `tests/config/resolve.rs` and `tests/config/faults.rs`.

use std::rc::Rc;

use plasmavmc_source::At;
use plasmavmc_types::{PortForward, VmName};

use super::Faults;
use super::forward::Forward;
use super::limits::MAX_VMS;
use super::path::Base;
use super::rule::Rule;
use super::vm::VmKeys;
use super::walk::{Located, Node, TableReader};

/// One VM before its defaults, with the places of what is compared between VMs.
pub(super) struct Draft {
    pub(super) name: VmName,
    pub(super) name_at: At,
    pub(super) keys: VmKeys,
    pub(super) forwards: Vec<Located<PortForward>>,
    /// Which replica of its entry it is; none of an entry without `count`.
    pub(super) replica: Option<u32>,
}

/// Reads every `[[vms]]` entry and counts it out.
pub(super) fn read_all(entries: &[Node<'_>], base: &Base<'_>, faults: &mut Faults<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for entry in entries {
        let Some(mut table) = entry.table("`[[vms]]`", "[[vms]]", faults) else { continue };
        let (found, at) = (read_entry(&mut table, base, faults), table.at().clone());
        table.finish(faults);
        drafts.extend(found);
        // What follows is not read: counting it out is what the limit is there to avoid.
        if drafts.len() > MAX_VMS as usize {
            faults.push(&at, &Rule::TooManyVms);
            break;
        }
    }
    drafts
}

/// Reads one entry; without a usable name it gives no VM, but its other faults.
fn read_entry(table: &mut TableReader<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Vec<Draft> {
    table.missing("name", "name = \"devbox\"", faults);
    let name = table.take("name").and_then(|node| read_name(&node, faults));
    let count_node = table.take("count");
    let count = count_node.as_ref().and_then(|node| node.integer(&(1..=MAX_VMS), "count = 2", faults));
    let keys = VmKeys::read(table, base, faults);
    let overrides = table.take("replicas").map_or_else(Vec::new, |node| {
        if count_node.is_none() {
            faults.push(&node.at, &Rule::ReplicasWithoutCount);
        }
        read_overrides(&node, base, faults)
    });
    let Some(name) = name else { return Vec::new() };
    match (count, count_node) {
        (Some(count), _) => count_out(&name, count, &keys, overrides, faults),
        // A count that cannot be read is a fault already: its replicas would make others.
        (None, Some(_)) => Vec::new(),
        (None, None) => match draft(name, 0, keys) {
            Ok(draft) => vec![draft],
            Err((at, rule)) => {
                faults.push(&at, &rule);
                Vec::new()
            }
        },
    }
}

fn read_name(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<Located<VmName>> {
    let text = node.text("name = \"devbox\"", faults)?;
    match text.parse::<VmName>() {
        Ok(name) => Some(Located::new(name, &node.at)),
        Err(error) => {
            faults.push(&node.at, &Rule::VmName(error));
            None
        }
    }
}

/// The override tables by the name of their replica.
fn read_overrides(
    node: &Node<'_>,
    base: &Base<'_>,
    faults: &mut Faults<'_>,
) -> Vec<(Located<String>, VmKeys)> {
    const EXAMPLE: &str = "[vms.replicas.api-0]";
    let Some(table) = node.table("`replicas`", EXAMPLE, faults) else { return Vec::new() };
    let entries = table.entries().filter_map(|(name, at, node)| {
        let mut table = node.table("the table of a replica", EXAMPLE, faults)?;
        let keys = VmKeys::read(&mut table, base, faults);
        table.finish(faults);
        Some((Located::new(name.to_owned(), &at), keys))
    });
    entries.collect()
}

/// The VMs of an entry with `count`.
fn count_out(
    name: &Located<VmName>,
    count: u32,
    keys: &VmKeys,
    mut overrides: Vec<(Located<String>, VmKeys)>,
    faults: &mut Faults<'_>,
) -> Vec<Draft> {
    let last = format!("{}-{}", name.value, count - 1);
    if last.len() > VmName::MAX_LEN {
        faults.push(&name.at, &Rule::ReplicaName { name: last });
        return Vec::new();
    }
    let names: Rc<[String]> = (0..count).map(|replica| format!("{}-{replica}", name.value)).collect();
    let mut drafts = Vec::new();
    for (replica, text) in (0..count).zip(names.iter()) {
        let own = overrides.iter().position(|(of, _)| of.value == *text).map(|at| overrides.remove(at).1);
        let Ok(value) = text.parse() else { continue };
        let name = Located { value, at: name.at.clone() };
        match counted_draft(name, replica, own.unwrap_or_default(), keys) {
            Ok(draft) => drafts.push(draft),
            Err((at, rule)) => {
                faults.push(&at, &rule);
                // The replicas above this one would only repeat it.
                break;
            }
        }
    }
    overrides.retain(|(of, _)| !names.contains(&of.value));
    for (of, _) in overrides {
        faults.push(&of.at, &Rule::UnknownReplica { found: of.value, known: Rc::clone(&names) });
    }
    drafts
}

/// One replica: its own host ports are taken as they are, the entry's are counted up.
fn counted_draft(
    name: Located<VmName>,
    replica: u32,
    own: VmKeys,
    keys: &VmKeys,
) -> Result<Draft, (At, Rule)> {
    let offset = if own.port_forwards.is_some() { 0 } else { replica };
    let draft = draft(name, offset, own.over(keys))?;
    Ok(Draft { replica: Some(replica), ..draft })
}

fn draft(name: Located<VmName>, offset: u32, keys: VmKeys) -> Result<Draft, (At, Rule)> {
    let counted = |forward: &Located<Forward>| match forward.value.of_replica(offset) {
        Ok(value) => Ok(Located { value, at: forward.at.clone() }),
        Err(rule) => Err((forward.at.clone(), rule)),
    };
    let forwards = keys.port_forwards.iter().flatten().map(counted).collect::<Result<_, _>>()?;
    Ok(Draft { name: name.value, name_at: name.at, keys, forwards, replica: None })
}
