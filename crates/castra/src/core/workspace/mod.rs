//! Workspaces: the directories that hold a project's state, and the list of all of them.
//!
//! Owns: the workspace's record, finding workspaces, and making one ready for `up`. Never does:
//! touch a VM. Reading never writes; only [`prepare`] and [`forget`] change something.
//! Tests: in each file.

mod prepare;
mod record;
mod registry;

pub(crate) use prepare::legacy;
pub use prepare::{forget, prepare, prune_legacy};
pub use record::{Identity, Invocation, Origin, SCHEMA, WorkspaceRecord};
pub use registry::{KnownWorkspace, known, of_id};
pub(crate) use registry::{dangling, links_root, links_to};
