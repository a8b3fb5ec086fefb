//! The `bkt` command. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bkt::cli::main()
}
