//! Reads `[vms.bootstrap]`: how a VM is set up once its guest answers.
//!
//! Owns: the meaning of its keys alone. Never does: look at the script or the payload, which is done
//! when they are needed. Tests: in `tests/config/faults.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plasmavmc_types::BootstrapMode;

use super::Faults;
use super::limits::{
    DEFAULT_BOOTSTRAP_SECS, MAX_BOOTSTRAP_SECS, MAX_ENV_BYTES, MAX_ENV_NAME, MAX_ENV_VARIABLES,
    MAX_VERIFY_BYTES,
};
use super::path::{Base, resolve_any, resolve_file};
use super::project::{Bootstrap, Verify};
use super::rule::Rule;
use super::walk::{Node, TableReader};

const EXAMPLE: &str = "bootstrap = { script = \"bootstrap.sh\" }";
const SCRIPT: &str = "script = \"bootstrap.sh\"";
const PAYLOAD: &str = "payload = \"payload\"";
const VERIFY: &str = "verify = \"systemctl is-active web\"";
const ENV: &str = "env = { PORT = \"8080\" }";

/// How the names of variables begin that Castra sets itself.
const RESERVED_PREFIX: &str = "CASTRA_";

/// Reads the table; none where it cannot be used.
pub(super) fn read(node: &Node<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Option<Bootstrap> {
    let mut table = node.table("`bootstrap`", EXAMPLE, faults)?;
    table.missing("script", SCRIPT, faults);
    let mode = table.take("mode").map(|node| read_mode(&node, faults));
    let script = table.take("script").and_then(|node| {
        let text = node.text(SCRIPT, faults)?;
        resolve_file(text, "script", base).map_err(|rule| faults.push(&node.at, &rule)).ok()
    });
    let payload = table.take("payload").map(|node| read_payload(&node, base, faults));
    let env = table.take("env").map(|node| read_env(&node, faults));
    let timeout = read_timeout(&mut table, faults);
    let verify = table.take("verify").map(|node| read_verify(&node, faults));
    table.finish(faults);
    Some(Bootstrap {
        mode: mode.unwrap_or(Some(BootstrapMode::default()))?,
        script: script?,
        payload: payload.map_or(Some(None), |path| path.map(Some))?,
        env: env.unwrap_or_default(),
        timeout,
        verify: verify.map_or(Some(None), |verify| verify.map(Some))?,
    })
}

fn read_mode(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<BootstrapMode> {
    node.choice(&BootstrapMode::ALL.map(|mode| (mode.as_str(), mode)), "mode = \"auto\"", faults)
}

fn read_timeout(table: &mut TableReader<'_>, faults: &mut Faults<'_>) -> Duration {
    let range = 1..=MAX_BOOTSTRAP_SECS;
    let secs = table.take("timeout_secs").and_then(|node| node.integer(&range, "timeout_secs = 600", faults));
    Duration::from_secs(secs.unwrap_or(DEFAULT_BOOTSTRAP_SECS).into())
}

/// A file or a directory, but none that holds the workspace: its copy would hold itself.
fn read_payload(node: &Node<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    let path = resolve_any(node.text(PAYLOAD, faults)?, base);
    let copies = base.state_root.join("bootstrap");
    let meets = |path: &PathBuf| base.state_root.starts_with(path) || path.starts_with(&copies);
    let path = path.and_then(|path| match meets(&path) {
        true => Err(Rule::PayloadHoldsWorkspace { path }),
        false => Ok(path),
    });
    path.map_err(|rule| faults.push(&node.at, &rule)).ok()
}

/// The variables; faulty ones are noted and left out.
fn read_env(node: &Node<'_>, faults: &mut Faults<'_>) -> BTreeMap<String, String> {
    let Some(table) = node.table("`env`", ENV, faults) else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for (name, at, node) in table.entries() {
        let rule = if !is_variable_name(name) {
            Some(Rule::EnvName { found: name.to_owned() })
        } else if name.starts_with(RESERVED_PREFIX) {
            Some(Rule::ReservedEnv { found: name.to_owned() })
        } else {
            None
        };
        if let Some(rule) = rule {
            faults.push(&at, &rule);
        }
        match node.text(ENV, faults) {
            Some(value) if value.contains('\0') => faults.push(&node.at, &Rule::EnvValue),
            Some(value) => drop(env.insert(name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    let bytes = env.iter().map(|(name, value)| name.len() + value.len()).sum();
    if env.len() > MAX_ENV_VARIABLES {
        faults.push(&node.at, &Rule::TooManyVariables { found: env.len() });
    } else if bytes > MAX_ENV_BYTES {
        faults.push(&node.at, &Rule::LargeEnv { bytes });
    }
    env
}

/// Whether every shell can name the variable.
fn is_variable_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= MAX_ENV_NAME
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// A line for the guest's shell, or a program and its arguments.
fn read_verify(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<Verify> {
    let verify = if node.is_array() {
        let words = node.array(VERIFY, faults)?;
        let words: Option<Vec<String>> =
            words.iter().map(|word| word.text(VERIFY, faults).map(str::to_owned)).collect();
        Verify::Program(words?)
    } else {
        Verify::Shell(node.text_or_list(VERIFY, faults)?.to_owned())
    };
    let rule = match verify.words().map(str::len).sum() {
        _ if verify.words().next().is_none_or(|first| first.trim().is_empty()) => Rule::EmptyVerify,
        bytes if bytes > MAX_VERIFY_BYTES => Rule::LongVerify { bytes },
        _ if verify.words().any(|word| word.contains('\0')) => Rule::VerifyCharacter,
        _ => return Some(verify),
    };
    faults.push(&node.at, &rule);
    None
}
