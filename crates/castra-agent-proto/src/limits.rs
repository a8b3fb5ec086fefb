//! Every number that both ends must agree on.

/// The version of the protocol. An end that is asked for another declines and says so.
pub const PROTOCOL: u32 = 1;

/// The virtio-serial port the agent opens: `/dev/virtio-ports/` and this name.
pub const PORT_NAME: &str = "org.castra.agent.0";

/// The most bytes a frame carries.
///
/// A guest's write to a virtio-serial port moves at most 32 KiB (Linux, `drivers/char/virtio_console.c`);
/// twice that keeps the share of headers small and a decoder's buffer too.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Bytes one end may send on a stream before the other grants more.
pub const WINDOW: u32 = 256 * 1024;

/// Streams a guest serves at once. The one more is refused.
pub const MAX_STREAMS: usize = 32;

/// Milliseconds between two keepalives.
pub const KEEPALIVE_MS: u64 = 2_000;

/// Names of capabilities in one hello, and the letters of one.
pub const MAX_CAPABILITIES: usize = 32;
/// Letters of a capability's name: `a-z`, `0-9`, `-`.
pub const MAX_CAPABILITY: usize = 32;

/// Bytes of a topic on the bus.
pub const MAX_TOPIC: usize = 128;
/// Bytes of one message on the bus: in hexadecimal, and with all that is said about it, it fits a frame.
pub const MAX_MESSAGE: usize = 32 * 1024 - 512;

/// Bytes of any other text a guest says of itself: its version, its boot id, a reason.
pub const MAX_TEXT: usize = 256;

/// Capabilities this version of the agent can have.
pub mod capability {
    /// Runs programs.
    pub const EXEC: &str = "exec";
    /// Reads and writes files.
    pub const FILES: &str = "files";
    /// Mounts folders of the host.
    pub const MOUNT: &str = "mount";
    /// Publishes on the bus and hears what the host publishes.
    pub const BUS: &str = "bus-v1";
    /// Powers the guest off and restarts it.
    pub const SHUTDOWN: &str = "shutdown";
    /// Sets the guest's clock.
    pub const TIME: &str = "time";
    /// Tells how far the guest's boot got.
    pub const STAGES: &str = "stages";
}
