//! The half of libvirt that changes domains: one virsh process a change.
//!
//! A domain is addressed by its UUID, a definition goes in through standard input: nothing of a VM stands
//! on a command line but its UUID, targets and paths. Never does: undefine what has disks, NVRAM or TPM
//! state and take those along, unless [`Writer::undefine_wholly`] is asked to. Tests: `tests/it/`.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use plasmavmc_types::VmId;

use super::program::Access;
use super::{Connection, VirshError};
use crate::domain::DomainXml;

/// How long libvirt has to take a definition: milliseconds, unless its disk is slow.
const DEFINE_BOUND: Duration = Duration::from_secs(30);
/// How long QEMU has to start: seconds with an emulated TPM, more on a host that swaps.
const START_BOUND: Duration = Duration::from_secs(120);
/// How long a request to the guest may take to be handed over; libvirt may wait for a guest agent first.
const REQUEST_BOUND: Duration = Duration::from_secs(30);
/// How long QEMU has to be gone: libvirt itself gives up on one that does not end after some 15 s.
const DESTROY_BOUND: Duration = Duration::from_secs(60);

/// Changes what libvirt has.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'c> {
    connection: &'c Connection,
}

impl<'c> Writer<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    /// What a domain will be at its next cold boot, with its passwords: what a definition has to start
    /// from, or it would lose them. Needs a connection that may write; changes nothing.
    ///
    /// # Errors
    /// [`VirshError::NoDomain`] and every other.
    pub fn with_secrets(&self, id: VmId) -> Result<DomainXml, VirshError> {
        let uuid = id.to_string();
        let args = ["dumpxml", "--inactive", "--security-info", &uuid];
        let text = self.on(id, "show a domain's XML", &args, self.connection.question_bound)?;
        let uri = || self.connection.shown_uri();
        DomainXml::parse(text.trim()).map_err(|source| VirshError::Xml { uri: uri(), id, source })
    }

    /// Defines a domain, or gives the one with its UUID another definition. A running domain takes it at
    /// its next cold boot. Where it fails libvirt keeps the old definition.
    ///
    /// # Errors
    /// [`VirshError::Invalid`] where `validate` found that the XML does not fit the schema;
    /// [`VirshError::Refused`] where libvirt did not take it.
    pub fn define(&self, xml: &DomainXml, validate: bool) -> Result<(), VirshError> {
        let validate = validate.then_some("--validate");
        let args: Vec<&str> = ["define", "--file", "/dev/stdin"].into_iter().chain(validate).collect();
        self.run("define the domain", &args, xml.as_str().as_bytes(), DEFINE_BOUND).map(drop)
    }

    /// Has a domain started with the host, or not.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn set_autostart(&self, id: VmId, autostart: bool) -> Result<(), VirshError> {
        let uuid = id.to_string();
        let disable = (!autostart).then_some("--disable");
        let args: Vec<&str> = ["autostart", &uuid].into_iter().chain(disable).collect();
        self.on(id, "change the domain's autostart", &args, DEFINE_BOUND).map(drop)
    }

    /// Starts a domain; one whose memory was saved goes on from there.
    ///
    /// # Errors
    /// [`VirshError`]; also where it runs.
    pub fn start(&self, id: VmId) -> Result<(), VirshError> {
        self.on(id, "start the domain", &["start", &id.to_string()], START_BOUND).map(drop)
    }

    /// Asks the guest to power off, and returns at once.
    ///
    /// # Errors
    /// [`VirshError`]; also where it does not run.
    pub fn shutdown(&self, id: VmId) -> Result<(), VirshError> {
        self.on(id, "ask the guest to shut down", &["shutdown", &id.to_string()], REQUEST_BOUND).map(drop)
    }

    /// Ends the domain's process, as pulling the plug does. With `graceful` only by SIGTERM, so that disks
    /// are flushed: it fails where the process does not end.
    ///
    /// # Errors
    /// [`VirshError`]; also where it does not run.
    pub fn destroy(&self, id: VmId, graceful: bool) -> Result<(), VirshError> {
        let uuid = id.to_string();
        let graceful = graceful.then_some("--graceful");
        let args: Vec<&str> = ["destroy", &uuid].into_iter().chain(graceful).collect();
        self.on(id, "end the domain", &args, DESTROY_BOUND).map(drop)
    }

    /// Freezes a running domain.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn suspend(&self, id: VmId) -> Result<(), VirshError> {
        self.on(id, "pause the domain", &["suspend", &id.to_string()], REQUEST_BOUND).map(drop)
    }

    /// Lets a paused domain run on.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn resume(&self, id: VmId) -> Result<(), VirshError> {
        self.on(id, "resume the domain", &["resume", &id.to_string()], REQUEST_BOUND).map(drop)
    }

    /// Resets a domain, as its button does.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn reset(&self, id: VmId) -> Result<(), VirshError> {
        self.on(id, "reset the domain", &["reset", &id.to_string()], REQUEST_BOUND).map(drop)
    }

    /// Forgets a domain's definition. Its disks, NVRAM and TPM state stay; libvirt refuses where a saved
    /// memory or snapshots would be lost.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn undefine_keeping(&self, id: VmId) -> Result<(), VirshError> {
        let uuid = id.to_string();
        let args = ["undefine", &uuid, "--keep-nvram", "--keep-tpm"];
        self.on(id, "undefine the domain", &args, DEFINE_BOUND).map(drop)
    }

    /// Forgets a domain and everything libvirt keeps of it: NVRAM, TPM state, saved memory, what it notes of
    /// snapshots. Its disks stay.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn undefine_wholly(&self, id: VmId) -> Result<(), VirshError> {
        let uuid = id.to_string();
        let args = ["undefine", &uuid, "--nvram", "--managed-save", "--snapshots-metadata"];
        self.on(id, "undefine the domain", &args, DEFINE_BOUND).map(drop)
    }

    /// Puts a medium into a drive, in the place of what is in it; none empties it. With `live` in the
    /// running guest too, else from the next cold boot on.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn change_media(
        &self,
        id: VmId,
        target: &str,
        medium: Option<&Path>,
        live: bool,
    ) -> Result<(), VirshError> {
        let uuid = id.to_string();
        let mut args: Vec<&OsStr> = ["change-media", &uuid, "--path", target].map(OsStr::new).into();
        match medium {
            Some(path) => args.extend([OsStr::new("--source"), path.as_os_str(), OsStr::new("--update")]),
            None => args.push(OsStr::new("--eject")),
        }
        // One of the two: with both, virsh looks for the medium in the inactive XML alone.
        args.push(OsStr::new(if live { "--live" } else { "--config" }));
        self.on(id, "change the medium", &args, REQUEST_BOUND).map(drop)
    }

    /// Puts an element into a domain's metadata, in the place of one of the same namespace; none removes it.
    ///
    /// # Errors
    /// [`VirshError`].
    pub(crate) fn set_metadata(
        &self,
        id: VmId,
        namespace: &str,
        key: &str,
        element: Option<&str>,
    ) -> Result<(), VirshError> {
        let uuid = id.to_string();
        let mut args = vec!["metadata", &uuid, "--uri", namespace, "--config"];
        match element {
            Some(element) => args.extend(["--key", key, "--set", element]),
            None => args.push("--remove"),
        }
        self.on(id, "note something in the domain", &args, DEFINE_BOUND).map(drop)
    }

    fn on<A: AsRef<OsStr>>(
        &self,
        id: VmId,
        action: &'static str,
        args: &[A],
        bound: Duration,
    ) -> Result<String, VirshError> {
        self.run(action, args, &[], bound).map_err(|error| error.of_domain(self.connection, id))
    }

    fn run<A: AsRef<OsStr>>(
        &self,
        action: &'static str,
        args: &[A],
        input: &[u8],
        bound: Duration,
    ) -> Result<String, VirshError> {
        self.connection.run(Access::Write, action, args, input, bound)
    }
}
