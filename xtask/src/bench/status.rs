//! `castra status --json` against `virsh list --all`, with one VM, and with many workspaces.
//!
//! Both are whole processes, from before they are made to after they have ended. The many VMs were
//! all started once and stopped, one of them runs; all are asked for at once.

use std::time::Duration;

use super::error::BenchError;
use super::guest::{Guest, config};
use super::lab::{Lab, free_port, output, timed};
use super::libvirt::{Libvirt, list, list_in_process};
use super::outcome::{Goal, Line, Unit};
use super::rows::{ratio, skipped, time};
use super::stats::Pair;

const WORKSPACES: usize = 20;
const VMS_EACH: usize = 5;

/// Measures `status` with one VM that runs.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn one(lab: &Lab<'_>, guest: &Guest, runs: usize) -> Result<Vec<Line>, BenchError> {
    output(&mut lab.castra(&guest.dir, &["up", "--quiet"]))?;
    let status = || timed(&mut lab.castra(&guest.dir, &["status", "--json"]));
    let what = "`status --json` with one VM, `virsh list --all`";
    let mut lines = Vec::new();
    let libvirt = Libvirt::open();
    let mut alone: Vec<Duration> = Vec::new();
    match &libvirt {
        Ok(_) => {
            let pairs = lab.pairs(runs, status, || timed(&mut list()))?;
            alone.extend(pairs.iter().map(|pair| pair.ours));
            lines.push(ratio(what, &pairs, Goal::AtMost(0.25)));
            let pairs = lab.pairs(runs, status, || timed(&mut list_in_process()))?;
            alone.extend(pairs.iter().map(|pair: &Pair| pair.ours));
            lines.push(ratio("the same, `virsh` with its driver in the process", &pairs, Goal::None));
        }
        Err(why) => {
            lines.push(skipped(what, why, Unit::Times, Goal::AtMost(0.25)));
            for _ in 0..runs {
                alone.push(status()?);
            }
        }
    }
    lines.push(time("`status --json` with one VM", &alone, Goal::Under(5.0)));
    output(&mut lab.castra(&guest.dir, &["down", "--quiet"]))?;
    Ok(lines)
}

/// Measures `status` with many VMs.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn many(lab: &Lab<'_>, guest: &Guest, runs: usize) -> Result<Vec<Line>, BenchError> {
    lab.say("Starting and stopping 100 VMs in 20 workspaces");
    for number in 0..WORKSPACES {
        lab.check_interrupted()?;
        let ports = (0..VMS_EACH).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let name = format!("many-{number}");
        let dir = lab.project(&name, &config(&name, &ports))?;
        output(&mut lab.castra(&dir, &["up", "--wait", "none", "--force", "--quiet"]))?;
        output(&mut lab.castra(&dir, &["down", "--now", "--quiet", "--config", "castra.toml"]))?;
    }
    output(&mut lab.castra(&guest.dir, &["up", "--quiet"]))?;
    let outside = lab.path("home");
    let known = lab.ask(&outside, &["status"])?;
    let vms = known.pointer("/outcome/workspaces").and_then(serde_json::Value::as_array);
    let count: usize = vms.into_iter().flatten().filter_map(|it| Some(it["vms"].as_array()?.len())).sum();
    if count < WORKSPACES * VMS_EACH {
        let found = format!("{count} VMs");
        return Err(BenchError::Unexpected { what: "what castra status knows", found });
    }
    let mut times = Vec::new();
    for _ in 0..runs {
        lab.check_interrupted()?;
        times.push(timed(&mut lab.castra(&outside, &["status", "--json"]))?);
    }
    output(&mut lab.castra(&guest.dir, &["down", "--quiet", "--config", "castra.toml"]))?;
    Ok(vec![time("`status --json` with 100 VMs in 20 workspaces", &times, Goal::Under(50.0))])
}
