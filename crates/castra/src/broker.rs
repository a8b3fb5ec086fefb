//! The `castra-broker` command: `castra broker` and nothing else. It lives as long as VMs do and a system
//! may hold a program in memory nearly whole, so it is a small one. Where it is missing, `castra` serves.

use std::process::ExitCode;

fn main() -> ExitCode {
    castra::cli::broker_main()
}
