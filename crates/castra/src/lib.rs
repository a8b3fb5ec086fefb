//! A project's virtual machines on plain QEMU, described in `castra.toml`.
