//! VMs of a project that run under the name it had before, or from the directory it was in.
//!
//! A workspace is called after the project's name and its config's directory, so a project that changes
//! either gets another one, and its VMs run on in the former. Reads only. Tests: below, `tests/it/lost.rs`.

use std::path::Path;

use super::observed;
use super::output::Diagnostic;
use super::selection::Target;
use super::session::Session;
use super::workspace::{Identity, KnownWorkspace, Origin, known};
use crate::config::Project;

/// How a workspace belongs to a project that has another now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// Its config is the project's, which had another name then.
    Renamed,
    /// Its project has the same name, and its config is gone.
    Moved,
}

/// What runs in workspaces that `project` had, or may have had, and how to end it.
pub(crate) fn still_running(session: &Session, project: &Project) -> Vec<Diagnostic> {
    let here = Target::of_project(project.clone());
    let former = |it: KnownWorkspace| -> Option<Diagnostic> {
        let identity = it.record.workspace.clone();
        let tie = tie(&identity, project, Path::exists)?;
        let target = Target::of_known(session, it);
        if target.is_same_place(&here) {
            return None;
        }
        let vms = observed::observe(&target).unwrap_or_default();
        let live: Vec<_> = vms.iter().filter(|vm| vm.may_live()).map(|vm| format!("`{}`", vm.name)).collect();
        (!live.is_empty()).then(|| warning(&live, &identity, tie))
    };
    known(&session.dirs).into_iter().filter_map(former).collect()
}

/// How the workspace of `identity` belongs to `project`; none where it does not, or is its own. Pure but
/// for `exists`.
fn tie(identity: &Identity, project: &Project, exists: impl Fn(&Path) -> bool) -> Option<Tie> {
    if identity.id == project.workspace_id || identity.origin == Origin::Synthetic {
        return None;
    }
    if identity.config == project.config_path {
        return Some(Tie::Renamed);
    }
    let is_namesake = identity.project == project.name.as_str();
    (is_namesake && !exists(&identity.config)).then_some(Tie::Moved)
}

fn warning(live: &[String], identity: &Identity, tie: Tie) -> Diagnostic {
    let (vms, run) = if live.len() == 1 { ("VM", "runs") } else { ("VMs", "run") };
    let (live, id) = (live.join(", "), &identity.id);
    let (why, end) = match tie {
        Tie::Renamed => (
            format!("under the name `{}`, which this project had before", identity.project),
            format!("`castra down --workspace {id}` ends what runs there"),
        ),
        Tie::Moved => (
            format!(
                "for a project of the same name whose config was `{}`, which is gone",
                identity.config.display()
            ),
            format!("if the project was moved here: `castra down --workspace {id}` ends what runs there"),
        ),
    };
    Diagnostic::warning(format!("{vms} {live} still {run} {why}")).with_hint(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::UserDirs;

    fn project(config: &str, name: &str) -> Project {
        let dirs = UserDirs::from_values(Some("/home/me".into()), None).unwrap();
        let text = format!("[project]\nname = \"{name}\"\n[[vms]]\nname = \"web\"\n");
        crate::config::from_snapshot(&text, Path::new(config), &dirs).unwrap()
    }

    #[test]
    fn a_former_name_and_a_former_place_are_known_and_strangers_are_not() {
        let now = project("/src/shop/castra.toml", "shop");
        let of = |config: &str, name: &str, origin| {
            let then = project(config, name);
            let identity = Identity {
                id: then.workspace_id,
                project: name.to_owned(),
                root: then.state_root,
                config: config.into(),
                origin,
            };
            tie(&identity, &now, |config| config == Path::new("/src/there/castra.toml"))
        };
        let (here, gone) = ("/src/shop/castra.toml", "/src/old/castra.toml");
        assert_eq!(of(here, "shop", Origin::File), None);
        assert_eq!(of(here, "store", Origin::File), Some(Tie::Renamed));
        assert_eq!(of(gone, "shop", Origin::File), Some(Tie::Moved));
        assert_eq!(of(gone, "store", Origin::File), None);
        assert_eq!(of(gone, "shop", Origin::Synthetic), None);
        assert_eq!(of("/src/there/castra.toml", "shop", Origin::File), None);
    }
}
