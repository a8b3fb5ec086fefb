//! The guest that is measured: the tiny image, one processor, 128 MiB, its SSH server forwarded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bare::Bare;
use super::error::BenchError;
use super::lab::{Lab, free_port, output, timed};

/// A project of one guest, and the same guest without Castra.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The project's directory.
    pub(crate) dir: PathBuf,
    /// The same QEMU without Castra.
    pub(crate) bare: Bare,
}

/// One guest's life, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boot {
    /// From the start of the command to the SSH banner.
    pub(crate) up: Duration,
    /// From the power button to the end of QEMU, Castra's own end included.
    pub(crate) down: Duration,
}

impl Guest {
    /// Builds the image and boots it once, so that every cache is warm and the accelerator chosen.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(crate) fn prepare(lab: &Lab<'_>) -> Result<Self, BenchError> {
        let dir = lab.project("guest", &config("guest", &[free_port()?]))?;
        build_image(lab, &dir)?;
        lab.say("Booting it once");
        output(&mut lab.castra(&dir, &["up", "--quiet"]))?;
        let bare = Bare::of_process(pid(lab, &dir)?, lab.path("bare"), free_port()?)?;
        output(&mut lab.castra(&dir, &["down", "--quiet"]))?;
        Ok(Self { dir, bare })
    }

    /// A life under Castra.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(crate) fn under_castra(&self, lab: &Lab<'_>) -> Result<Boot, BenchError> {
        let up = timed(&mut lab.castra(&self.dir, &["up", "--wait", "ssh", "--quiet"]))?;
        let down = timed(&mut lab.castra(&self.dir, &["down", "--quiet"]))?;
        Ok(Boot { up, down })
    }

    /// The same life without it.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(crate) fn bare(&self) -> Result<Boot, BenchError> {
        let run = self.bare.start()?;
        let up = run.until_banner()?;
        Ok(Boot { up, down: run.powerdown()? })
    }
}

/// Builds the image every guest lies on, where it is not built yet.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn build_image(lab: &Lab<'_>, dir: &Path) -> Result<(), BenchError> {
    if !lab.path("home/.castra").exists() {
        lab.say("Building the tiny image");
        output(&mut lab.castra(dir, &["image", "build", "tiny", "--quiet"]))?;
    }
    Ok(())
}

/// A castra.toml of one VM per port, each with that port leading to its SSH server.
pub(crate) fn config(project: &str, ports: &[u16]) -> String {
    let mut text = format!("version = 1\n[project]\nname = \"{project}\"\n");
    for (number, port) in ports.iter().enumerate() {
        text.push_str(&format!(
            "[[vms]]\nname = \"vm-{number}\"\nbase_image = \"tiny\"\nmemory = \"128 MiB\"\n\
             port_forwards = [{{ host = {port}, guest = 22 }}]\n"
        ));
    }
    text
}

/// The process of the first VM of a project.
///
/// # Errors
/// [`BenchError::Unexpected`] where it does not run.
pub(crate) fn pid(lab: &Lab<'_>, dir: &Path) -> Result<u64, BenchError> {
    let status = lab.ask(dir, &["status", "--config", "castra.toml"])?;
    let pid = status.pointer("/outcome/workspaces/0/vms/0/pid").and_then(serde_json::Value::as_u64);
    pid.ok_or_else(|| BenchError::Unexpected {
        what: "the status of a VM that runs",
        found: status.to_string(),
    })
}
