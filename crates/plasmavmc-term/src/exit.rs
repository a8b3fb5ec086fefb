//! Exit codes: the one place that knows them.
//!
//! A kind of failure has one code, and a code once released keeps its meaning. Generated page:
//! `docs/exit-codes.md`. Tests: below.

use plasmavmc_types::ErrorKind;

/// The command did what it was asked to.
pub const OK: u8 = 0;

/// The command was interrupted with Ctrl-C: 128 + SIGINT, as shells report it.
pub const INTERRUPTED: u8 = 130;

/// A program in a guest was to be run, and Castra or the guest failed first. Commands that run a
/// program end with the program's own code, so none of the codes below may stand for theirs; these are
/// the ones that programs which run others use, from `env` to container engines.
pub const PROGRAM_FAILED: u8 = 125;

/// The program is there and cannot be run.
pub const PROGRAM_NOT_RUNNABLE: u8 = 126;

/// There is no such program.
pub const PROGRAM_NOT_FOUND: u8 = 127;

/// The exit code of a kind of failure.
pub const fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Internal => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Config => 3,
        ErrorKind::Preflight => 4,
        ErrorKind::Image => 5,
        ErrorKind::Conflict => 6,
        ErrorKind::Launch => 7,
        ErrorKind::Timeout => 8,
        ErrorKind::Io => 9,
        ErrorKind::Bootstrap => 10,
    }
}

/// Nothing failed, and things are not as they are meant to be: changes are pending, or someone changed
/// them by hand. What commands end with that compare (`bkt`), so that a script can tell it from both
/// success and failure.
pub const PENDING: u8 = 2;

/// The command line is not understood, where 2 is [`PENDING`]: `EX_USAGE` of BSD's `sysexits.h`.
pub const USAGE_BESIDE_PENDING: u8 = 64;

/// The exit code of a kind of failure of a command whose 2 is [`PENDING`].
pub const fn exit_code_beside_pending(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => USAGE_BESIDE_PENDING,
        other => exit_code(other),
    }
}

/// One row of the table of exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCodeRow {
    /// The code, 0 to 255.
    pub code: u8,
    /// The kind of failure as `--json` names it.
    pub name: &'static str,
    /// What it means, one sentence without a full stop.
    pub meaning: &'static str,
}

/// Every exit code, in order.
pub fn exit_code_table() -> Vec<ExitCodeRow> {
    let ok = ExitCodeRow { code: OK, name: "ok", meaning: "the command did what it was asked to" };
    let interrupted = ExitCodeRow {
        code: INTERRUPTED,
        name: "interrupted",
        meaning: "the command was interrupted with Ctrl-C",
    };
    let failures = ErrorKind::ALL.into_iter().map(|kind| {
        let (name, meaning) = describe(kind);
        ExitCodeRow { code: exit_code(kind), name, meaning }
    });
    std::iter::once(ok).chain(failures).chain(std::iter::once(interrupted)).collect()
}

/// The kind's name as it is serialised, and what it means.
const fn describe(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::Internal => ("internal", "a fault in the program itself"),
        ErrorKind::Usage => {
            ("usage", "the command line asks for something that does not exist or does not fit together")
        }
        ErrorKind::Config => ("config", "the configuration file is missing or wrong"),
        ErrorKind::Preflight => {
            ("preflight", "the host lacks something: a program, a permission, memory, disk space")
        }
        ErrorKind::Image => ("image", "a base image cannot be had, or is not what it should be"),
        ErrorKind::Conflict => {
            ("conflict", "something else holds what is needed: a port, a lock, a running VM")
        }
        ErrorKind::Launch => ("launch", "the VM did not start"),
        ErrorKind::Timeout => ("timeout", "something took longer than it was allowed to"),
        ErrorKind::Io => ("io", "a file, socket or process operation failed"),
        ErrorKind::Bootstrap => ("bootstrap", "a VM's bootstrap failed; the VM runs, to be looked into"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_exactly_these() {
        let rows: Vec<_> = exit_code_table().iter().map(|row| (row.code, row.name)).collect();
        assert_eq!(
            rows,
            [
                (0, "ok"),
                (1, "internal"),
                (2, "usage"),
                (3, "config"),
                (4, "preflight"),
                (5, "image"),
                (6, "conflict"),
                (7, "launch"),
                (8, "timeout"),
                (9, "io"),
                (10, "bootstrap"),
                (130, "interrupted"),
            ]
        );
    }

    #[test]
    fn no_failure_looks_like_a_pending_change() {
        for kind in ErrorKind::ALL {
            assert!(![OK, PENDING].contains(&exit_code_beside_pending(kind)), "{kind:?}");
        }
    }

    #[test]
    fn a_kind_is_named_as_json_names_it() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), describe(kind).0);
        }
    }
}
