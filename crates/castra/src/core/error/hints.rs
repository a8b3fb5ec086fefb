//! What to do about the failures that are the operations' own.

use plasmavmc_types::VmName;

use super::Error;
use crate::core::ready::Stall;
use crate::core::ssh::FORWARD_HINT;

impl Error {
    /// What a person can do about a failure that is none of an area's.
    pub(super) fn own_hints(&self) -> Vec<String> {
        match self {
            Self::UnknownVm { known, .. } | Self::WhichVm { known } if !known.is_empty() => {
                let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                vec![format!("there is {}", known.join(", "))]
            }
            Self::UnknownVm { .. } | Self::UnknownWorkspace { .. } => {
                vec!["`castra status` lists every workspace and its VMs".to_owned()]
            }
            Self::VmOfWhich { vm, workspaces } => {
                workspaces.iter().map(|id| format!("`castra down {vm} --workspace {id}`")).collect()
            }
            Self::PortHeld { .. } => {
                vec!["give the forward another `host` port in castra.toml, or stop what holds it".to_owned()]
            }
            Self::NoSshForward { .. } => {
                vec![FORWARD_HINT.to_owned(), "or wait for less: `castra up --wait running`".to_owned()]
            }
            Self::NoWayForSsh { vm } => vec![
                FORWARD_HINT.to_owned(),
                format!(
                    "without it: `castra exec {vm} -- <command>`, `castra shell {vm}`, `castra console {vm}`"
                ),
            ],
            Self::NotMounted { vm, .. } => vec![
                "its kernel has to know 9p: that of the image `tiny-full` does, Debian's cloud kernel does not"
                    .to_owned(),
                format!("copy what it needs instead: `castra cp <folder> {vm}:<place>`"),
            ],
            Self::NoHostKey { vm } => {
                vec![format!("`castra down {vm}` and `castra up {vm}` give it one")]
            }
            Self::PathForSsh { .. } => {
                vec!["give the workspace another place: `state_dir` in castra.toml".to_owned()]
            }
            Self::NotReady { vm, stall, console, .. } => not_ready_hints(vm, *stall, console),
            Self::StoppedWhileStarting { vm, console, .. } => stopped_hints(vm, console),
            Self::WouldNotDie { vm, pid } => {
                let pid = pid.map_or_else(|| "<pid>".to_owned(), |pid| pid.to_string());
                vec![
                    format!(
                        "its process waits inside the kernel, mostly for a disk: `cat /proc/{pid}/stack`"
                    ),
                    format!("nothing of `{vm}` was deleted; run `castra down` again when it is gone"),
                ]
            }
            Self::LiveVm { workspace, .. } => vec![
                format!("stop it first: `castra down --workspace {workspace}`"),
                "`castra clean --force` removes what does not belong to it".to_owned(),
            ],
            Self::Stray { hint, .. } => vec![hint.clone()],
            Self::NotToBeCleaned { workspace, .. } => vec![format!(
                "correct the config, or clean what its last `castra up` left: `castra clean --workspace {workspace}`"
            )],
            Self::ConsoleTaken { vm } => vec![format!(
                "leave it there with Ctrl-], or only watch: `castra logs {vm} --source serial --follow`"
            )],
            Self::NoBootstrap { .. } => {
                vec!["add `[vms.bootstrap]` and below it `script = \"bootstrap.sh\"`".to_owned()]
            }
            Self::Exists { .. } => vec!["`--force` replaces it".to_owned()],
            Self::NothingRuns => vec!["start what castra.toml describes: `castra up`".to_owned()],
            Self::NotRunning { vm } => {
                vec![format!("start it with `castra up`; `castra logs {vm}` shows its last run")]
            }
            other => other.possession_hints(),
        }
    }

    /// Hints for errors about what belongs to somebody: a disk, a workspace, an image's bytes.
    fn possession_hints(&self) -> Vec<String> {
        match self {
            Self::ForeignOverlay { .. } => vec![
                "name another file as `overlay`, or move this one away".to_owned(),
                "to keep what is in it, set `persistent = true`".to_owned(),
            ],
            Self::PersistentDisk { path, .. } => vec![
                "to keep it, set `persistent = true` in castra.toml".to_owned(),
                format!("to lose it for good: `rm {}`", path.display()),
            ],
            Self::ForeignWorkspace { .. } => {
                vec!["give one of both another `state_dir`, or another `name` under [project]".to_owned()]
            }
            Self::ImagesDiffer { one, .. } => vec![
                format!("write `base_image = \"{one}\"` in both places"),
                format!("or give both the bytes of today: `castra image pull {one}`"),
            ],
            _ => Vec::new(),
        }
    }
}

fn not_ready_hints(vm: &VmName, stall: Stall, console: &[String]) -> Vec<String> {
    let mut hints = vec![format!("most likely {}", stall.sentence())];
    hints.extend(stall.hints(vm));
    if !console.is_empty() {
        hints.extend(last_words(console));
    }
    hints.push(format!(
        "it still runs: `castra logs {vm} --follow` and `castra console {vm}` show what it does"
    ));
    hints
}

fn stopped_hints(vm: &VmName, console: &[String]) -> Vec<String> {
    let mut hints = last_words(console);
    hints.push(format!("`castra logs {vm}` shows all it said"));
    hints
}

fn last_words(console: &[String]) -> Vec<String> {
    if console.is_empty() {
        return vec!["its serial console is empty: the image may not boot under this firmware".to_owned()];
    }
    vec![format!("its serial console ends with:\n    {}", console.join("\n    "))]
}
