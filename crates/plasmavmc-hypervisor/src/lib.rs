//! The port: what Castra asks of a hypervisor, and how it is asked.
//!
//! Owns: [`Observe`] (reading), [`HypervisorBackend`] (changing), the registry, the capabilities,
//! the [`Clock`] and the event sink that the engine needs, a fake backend for the pure layers, and
//! the conformance suite that every backend passes. Never does: I/O of its own.
//!
//! Backends may block inside their async methods, each call within a bound it documents: the local
//! faces drive them with [`block_on`] on plain threads, a server on threads set apart for blocking.

mod backend;
mod capabilities;
mod clock;
pub mod conformance;
mod error;
mod fake;
mod registry;
mod sink;

pub use backend::{HypervisorBackend, Observe, StopMethod, VmEvent, VmEvents};
pub use capabilities::BackendCapabilities;
pub use clock::Clock;
pub use error::{BackendError, Error};
pub use fake::{FakeBackend, FakeBehaviour};
pub use pollster::block_on;
pub use registry::HypervisorRegistry;
pub use sink::EventSink;
