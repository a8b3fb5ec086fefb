//! `logs`: what the guests, QEMU and Castra itself have said in a workspace.
//!
//! ```text
//! [host]         logs/events.jsonl       what commands did, one event a line
//! [host-broker]  logs/host-broker.log    what the broker of the guest channels did
//! [web:qemu]     logs/web.log            what QEMU printed
//! [web:serial]   logs/web-serial.log     what the guest wrote to its console
//! [web:bootstrap] logs/bootstrap/web-*    what its last bootstrap did and said
//! ```
//!
//! Owns: finding the logs, their ends, and following them. Never does: write, talk to a VM, or print.
//! Only the first two carry a time, so logs are given one after the other, and as they come when followed.
//! Tests: in each file, below, and `tests/it/logs.rs`.

mod cursor;
mod tail;
mod text;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use plasmavmc_host::{IoContext, Layout};
use plasmavmc_hypervisor::block_on;
use plasmavmc_types::{Event, VmName};
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use tail::last_lines;
pub use text::readable;

use self::cursor::Cursor;
use super::backend;
use super::bootstrap::logs_of;
use super::error::Error;
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::selection::{Target, WorkspaceSelection, target};
use super::session::Session;

/// Time between two looks at logs that are followed: short enough to feel live, and cheap.
const POLL: Duration = Duration::from_millis(150);

/// What `logs` is asked.
#[derive(Debug, Clone, Default)]
pub struct LogsOptions {
    /// Which workspace.
    pub selection: WorkspaceSelection,
    /// Which VMs; all of them where empty.
    pub vms: Vec<VmName>,
    /// Which logs; all of them where empty.
    pub sources: Vec<LogSource>,
    /// How many lines of each log; none for all.
    pub tail: Option<usize>,
    /// Whether to go on when the ends are reached.
    pub follow: Follow,
}

/// Whether to go on at the end of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// Stop there.
    #[default]
    No,
    /// Wait for more, until the reader has enough.
    Yes,
}

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Castra's events.
    Host,
    /// What the broker of the guest channels did.
    Broker,
    /// What QEMU printed.
    Qemu,
    /// What the guest wrote to its serial console.
    Serial,
    /// What the VM's last bootstrap did and said, as JSON.
    Bootstrap,
}

impl LogSource {
    /// Every source, in the order they are given.
    pub const ALL: [Self; 5] = [Self::Host, Self::Broker, Self::Qemu, Self::Serial, Self::Bootstrap];

    /// Its name, as JSON and the command line have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Broker => "broker",
            Self::Qemu => "qemu",
            Self::Serial => "serial",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// One line of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// Whose log.
    pub source: LogSource,
    /// The VM; none for the host's own lines.
    pub vm: Option<&'a VmName>,
    /// The line as it was written, without its newline; at most 64 KiB.
    pub bytes: &'a [u8],
}

impl LogLine<'_> {
    /// The line as harmless text.
    pub fn text(&self) -> String {
        readable(self.bytes)
    }

    /// The event of a host line; none where it is not one.
    pub fn event(&self) -> Option<Event> {
        if self.source != LogSource::Host {
            return None;
        }
        serde_json::from_slice(self.bytes).ok()
    }
}

/// What a reader of logs is handed.
#[derive(Debug, Clone, Copy)]
pub enum LogItem<'a> {
    /// A line.
    Line(LogLine<'a>),
    /// Nothing new right now: what was buffered may be shown. Comes after every pass over the logs.
    Quiet,
}

/// What `logs` gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogsOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// The logs it looked at, whether they exist or not.
    pub files: Vec<PathBuf>,
    /// Lines given.
    pub lines: u64,
}

/// A log and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    source: LogSource,
    vm: Option<VmName>,
    path: PathBuf,
}

/// Gives the lines of a workspace's logs until their ends are reached, or for ever when followed;
/// the reader stops it with a break.
///
/// # Errors
/// [`Error`] where a workspace or VM is not known, or a log cannot be read.
pub fn logs(
    session: &Session,
    options: &LogsOptions,
    give: &mut dyn FnMut(LogItem<'_>) -> ControlFlow<()>,
) -> Result<OperationOutput<LogsOutcome>, Error> {
    let target = target(session, &options.selection)?;
    let known = vms(&target);
    if let Some(unknown) = options.vms.iter().find(|vm| !known.contains(vm)) {
        return Err(Error::UnknownVm { vm: unknown.to_string(), known });
    }
    let logs = chosen(&target.layout, &known, options);
    let mut lines = 0;
    let mut counted = |item: LogItem<'_>| {
        lines += u64::from(matches!(item, LogItem::Line(_)));
        give(item)
    };
    read(&logs, options, &mut counted)?;
    let files: Vec<PathBuf> = logs.into_iter().map(|log| log.path).collect();
    let none = !files.iter().any(|file| file.exists());
    let value = LogsOutcome { workspace: target.id, files, lines };
    let mut output = OperationOutput { value, diagnostics: target.note.into_iter().collect() };
    if none {
        let note = Diagnostic::note("there are no logs yet");
        output.diagnostics.push(note.with_hint("`castra up` starts the VMs, and their logs with them"));
    }
    Ok(output)
}

/// The VMs a workspace may have logs of.
fn vms(target: &Target) -> Vec<VmName> {
    let mut names: Vec<VmName> =
        target.project.iter().flat_map(|project| &project.vms).map(|vm| vm.name.clone()).collect();
    // A record that cannot be read is no reason to keep the logs back: they may tell why.
    let recorded = block_on(backend::observer(&target.layout).list_vms()).unwrap_or_default();
    names.extend(recorded.into_iter().map(|vm| vm.name));
    names.sort();
    names.dedup();
    names
}

/// The logs asked for, in the order in which they are given.
fn chosen(layout: &Layout, known: &[VmName], options: &LogsOptions) -> Vec<Log> {
    let wanted = |source| options.sources.is_empty() || options.sources.contains(&source);
    let mut logs = Vec::new();
    if wanted(LogSource::Host) {
        logs.push(Log { source: LogSource::Host, vm: None, path: layout.events_log() });
    }
    if wanted(LogSource::Broker) {
        logs.push(Log { source: LogSource::Broker, vm: None, path: layout.broker_log() });
    }
    for vm in known.iter().filter(|vm| options.vms.is_empty() || options.vms.contains(vm)) {
        let of = |source, path| Log { source, vm: Some(vm.clone()), path };
        let both = [of(LogSource::Qemu, layout.vm_log(vm)), of(LogSource::Serial, layout.serial_log(vm))];
        logs.extend(both.into_iter().filter(|log| wanted(log.source)));
        if wanted(LogSource::Bootstrap) {
            let newest = logs_of(&layout.bootstrap_logs(), vm).pop();
            logs.extend(newest.map(|path| of(LogSource::Bootstrap, path)));
        }
    }
    logs
}

fn read(
    logs: &[Log],
    options: &LogsOptions,
    give: &mut dyn FnMut(LogItem<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let open = |log: &Log| Cursor::open(log.path.clone(), options.tail).context("read", &log.path);
    let mut cursors = logs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    loop {
        for (log, cursor) in logs.iter().zip(&mut cursors) {
            let mut line = |bytes: &[u8]| give_line(log, bytes, &options.vms, give);
            let mut flow = cursor.poll(&mut line).context("read", &log.path)?;
            if options.follow == Follow::No && flow.is_continue() {
                flow = cursor.flush(&mut line);
            }
            if flow.is_break() {
                return Ok(());
            }
        }
        if give(LogItem::Quiet).is_break() || options.follow == Follow::No {
            return Ok(());
        }
        thread::sleep(POLL);
    }
}

/// Hands a line on, unless it is an event of a VM that was not asked for.
fn give_line(
    log: &Log,
    bytes: &[u8],
    vms: &[VmName],
    give: &mut dyn FnMut(LogItem<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let line = LogLine { source: log.source, vm: log.vm.as_ref(), bytes };
    let vm = match log.source {
        LogSource::Host => line.event().and_then(|event| event.vm),
        LogSource::Broker => named(bytes),
        LogSource::Qemu | LogSource::Serial | LogSource::Bootstrap => return give(LogItem::Line(line)),
    };
    let asked = vms.is_empty() || vm.as_ref().is_some_and(|vm| vms.contains(vm));
    if asked { give(LogItem::Line(LogLine { vm: vm.as_ref(), ..line })) } else { ControlFlow::Continue(()) }
}

/// The VM a line of the broker's is about: `vm=NAME` or `vm:NAME`, before anything a guest said.
fn named(line: &[u8]) -> Option<VmName> {
    let text = std::str::from_utf8(line).ok()?;
    text.split(' ')
        .find_map(|word| word.strip_prefix("vm=").or_else(|| word.strip_prefix("vm:")))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn workspace() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir(layout.logs()).unwrap();
        (dir, layout)
    }

    fn given(layout: &Layout, options: &LogsOptions) -> Vec<String> {
        let known = ["db", "web"].map(|name| name.parse().unwrap());
        let mut lines = Vec::new();
        let mut give = |item: LogItem<'_>| {
            if let LogItem::Line(line) = item {
                let vm = line.vm.map(VmName::as_str).unwrap_or_default();
                lines.push(format!("{vm}:{} {}", line.source.as_str(), line.text()));
            }
            ControlFlow::Continue(())
        };
        read(&chosen(layout, &known, options), options, &mut give).unwrap();
        lines
    }

    #[test]
    fn logs_are_given_one_after_the_other_and_each_with_its_own_tail() {
        let (_dir, layout) = workspace();
        let [db, web] = ["db", "web"].map(|name| name.parse().unwrap());
        fs::write(layout.serial_log(&web), "one\ntwo\nlogin: ").unwrap();
        fs::write(layout.vm_log(&web), "qemu\n").unwrap();
        fs::write(layout.serial_log(&db), "db\n").unwrap();
        let options = LogsOptions { tail: Some(2), ..LogsOptions::default() };
        assert_eq!(
            given(&layout, &options),
            ["db:serial db", "web:qemu qemu", "web:serial two", "web:serial login: "]
        );
        let options =
            LogsOptions { sources: vec![LogSource::Serial], vms: vec![web], ..LogsOptions::default() };
        assert_eq!(given(&layout, &options), ["web:serial one", "web:serial two", "web:serial login: "]);
    }

    #[test]
    fn events_of_other_vms_are_left_out_where_vms_are_named() {
        let (_dir, layout) = workspace();
        let event = |vm: &str| {
            format!(
                r#"{{"seq":1,"at":"2026-01-01T00:00:00.000Z","vm":"{vm}","event":"VmReady","elapsed_ms":1}}"#
            )
        };
        fs::write(layout.events_log(), format!("{}\n{}\nnot an event\n", event("web"), event("db"))).unwrap();
        let lines = |vms| {
            given(&layout, &LogsOptions { vms, sources: vec![LogSource::Host], ..LogsOptions::default() })
        };
        assert_eq!(lines(Vec::new()).len(), 3, "a broken line is shown, not hidden");
        let of_web = lines(vec!["web".parse().unwrap()]);
        assert_eq!(of_web.len(), 1);
        assert!(of_web[0].starts_with("web:host"));
    }

    #[test]
    fn the_brokers_lines_are_told_apart_by_their_vm() {
        let (_dir, layout) = workspace();
        let log = "t handshake vm=web capabilities=exec outcome=ok\nt hello from vm:web\n\
                   t handshake vm=db capabilities= outcome=declined reason=\"vm=web\"\nt broker started pid=1\n";
        fs::write(layout.broker_log(), log).unwrap();
        let of = |vms| given(&layout, &LogsOptions { vms, ..LogsOptions::default() });
        assert_eq!(of(Vec::new()).len(), 4);
        assert_eq!(
            of(vec!["web".parse().unwrap()]),
            ["web:broker t handshake vm=web capabilities=exec outcome=ok", "web:broker t hello from vm:web"]
        );
    }

    #[test]
    fn a_follower_is_given_what_comes_and_stops_when_it_has_enough() {
        let (_dir, layout) = workspace();
        let web: VmName = "web".parse().unwrap();
        fs::write(layout.serial_log(&web), "before\n").unwrap();
        let options =
            LogsOptions { follow: Follow::Yes, sources: vec![LogSource::Serial], ..LogsOptions::default() };
        let logs = chosen(&layout, std::slice::from_ref(&web), &options);
        let mut lines = Vec::new();
        let mut passes = 0;
        let mut give = |item: LogItem<'_>| {
            match item {
                LogItem::Line(line) => lines.push(line.text()),
                LogItem::Quiet if passes == 0 => fs::write(layout.serial_log(&web), "a\n").unwrap(),
                LogItem::Quiet => {}
            }
            passes += u32::from(matches!(item, LogItem::Quiet));
            assert!(passes < 100, "what was written is never given: {lines:?}");
            if lines.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        read(&logs, &options, &mut give).unwrap();
        assert_eq!(lines, ["before", "a"]);
    }
}
