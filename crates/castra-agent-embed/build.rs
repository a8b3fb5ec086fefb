//! Builds the agent with a Cargo of its own: static, and with the profile `agent`.
//!
//! What wraps or steers the outer build (lints, coverage, flags for one target) has no say in what
//! goes into guests, so its variables are taken away; the outer Cargo's job slots are shared.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables the inner build keeps; all others of Cargo's and the compiler's are taken away.
const KEPT: [&str; 6] = [
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_OFFLINE",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_TERM_COLOR",
];

fn main() {
    let out = PathBuf::from(required("OUT_DIR"));
    let manifest = PathBuf::from(required("CARGO_MANIFEST_DIR"));
    let workspace =
        manifest.ancestors().nth(2).expect("crates/castra-agent-embed is in a workspace").to_owned();
    for part in ["crates/castra-agent", "crates/castra-agent-proto"] {
        for kind in ["src", "Cargo.toml"] {
            println!("cargo::rerun-if-changed={}", workspace.join(part).join(kind).display());
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(file).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let target = format!("{}-unknown-linux-gnu", required("CARGO_CFG_TARGET_ARCH"));
    let built = build(&workspace, &out.join("agent"), &target);
    println!("cargo::rustc-env=CASTRA_AGENT={}", built.display());
}

/// Builds the agent and tells where it is.
fn build(workspace: &Path, target_dir: &Path, target: &str) -> PathBuf {
    let mut command = Command::new(required("CARGO"));
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let steers =
            ["CARGO", "RUST", "CLIPPY", "LLVM_", "__CARGO"].iter().any(|start| text.starts_with(start));
        if steers && !KEPT.contains(&text) {
            command.env_remove(&name);
        }
    }
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.current_dir(workspace).args(["build", "--quiet", "--locked", "--profile", "agent"]);
    command.args(["--package", "castra-agent", "--bin", "castra-agent", "--target", target]);
    command.arg("--target-dir").arg(target_dir);
    let status = command.status().expect("cargo can be started by its own build script");
    assert!(status.success(), "the agent does not build for {target}: see above");
    target_dir.join(target).join("agent").join("castra-agent")
}

fn required(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name}"))
}
