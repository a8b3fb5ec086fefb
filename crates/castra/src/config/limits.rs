//! The limits of a `castra.toml`, each with its reason.

use std::num::NonZeroU32;

use plasmavmc_types::ByteSize;

/// The newest format of `castra.toml`; a file without `version` is read as this one.
pub const VERSION: u32 = 1;

/// The largest config that is read, in bytes: room for 256 VMs with 4 KiB of cloud-init each.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The most VMs of a project, replicas counted: each is a process with its own memory.
pub const MAX_VMS: u32 = 256;

/// The most port forwards of one VM.
pub const MAX_PORT_FORWARDS: usize = 64;

/// The most mounts of one VM: the functions of the one PCI slot they have.
pub const MAX_MOUNTS: usize = 8;

/// The most virtual processors: what 8-bit APIC ids can number; more need an emulated IOMMU.
pub const MAX_CPUS: u32 = 255;

/// Virtual processors where the config names none: one starts on every host.
pub const DEFAULT_CPUS: NonZeroU32 = NonZeroU32::MIN;

/// The least guest memory: below it no kernel of the catalogue unpacks itself.
pub const MIN_MEMORY: ByteSize = ByteSize::mib(64);

/// Guest memory where the config names none: what the most demanding image of the catalogue needs
/// for its first boot with cloud-init.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::gib(1);

/// The longest wait of a shutdown step, in seconds: an hour.
pub const MAX_WAIT_SECS: u32 = 3600;

/// The longest a step of a bootstrap may take, in seconds: a day.
pub const MAX_BOOTSTRAP_SECS: u32 = 86_400;

/// How long a step of a bootstrap may take where the config does not say, in seconds: what a
/// distribution's package manager needs for a large installation without hardware acceleration.
pub const DEFAULT_BOOTSTRAP_SECS: u32 = 600;

/// The most environment variables of a bootstrap.
pub const MAX_ENV_VARIABLES: usize = 64;

/// The longest name of an environment variable, in bytes.
pub const MAX_ENV_NAME: usize = 128;

/// The most bytes of all environment variables of a bootstrap with their names: a request to the
/// guest holds them all, each byte written with up to six.
pub const MAX_ENV_BYTES: usize = 8 * 1024;

/// The most bytes of a `verify`, for the same reason: env, `verify` and what Castra adds fit 64 KiB.
pub const MAX_VERIFY_BYTES: usize = 2 * 1024;

/// The shortest freshness window, in seconds: a guest is asked every 2 s, and needs time to answer.
pub const MIN_FRESHNESS_WINDOW_SECS: u32 = 3;

/// The longest freshness window, in seconds: whoever waits longer for a guest has lost it.
pub const MAX_FRESHNESS_WINDOW_SECS: u32 = 300;

/// The longest path, in bytes: Linux's `PATH_MAX` without its end mark.
pub const MAX_PATH_BYTES: usize = 4095;

/// The longest name in a path, in bytes: `NAME_MAX` of Linux's file systems.
pub const MAX_NAME_BYTES: usize = 255;

pub use plasmavmc_source::MAX_FAULTS;
