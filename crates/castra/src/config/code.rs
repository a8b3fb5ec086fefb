//! The stable names of the kinds of faults of a config.
//!
//! A name once released keeps its meaning. Tests: `tests/config`; the page that lists them is generated.

plasmavmc_source::codes! {
    /// The text is not UTF-8.
    NotUtf8 = "not-utf8",
    /// The text is not TOML.
    Syntax = "syntax",
    /// A key stands twice in one table.
    DuplicateKey = "duplicate-key",
    /// The format's version is not one this Castra reads.
    UnsupportedVersion = "unsupported-version",
    /// A table has a key that means nothing there.
    UnknownKey = "unknown-key",
    /// A table lacks a key.
    MissingKey = "missing-key",
    /// A value has another type than its key takes.
    WrongType = "wrong-type",
    /// A number is outside its range.
    OutOfRange = "out-of-range",
    /// A text is none of the words its key takes.
    NotAChoice = "not-a-choice",
    /// The name of a VM or a project cannot be used.
    BadName = "bad-name",
    /// Two VMs would have one name, or files of one name.
    DuplicateName = "duplicate-name",
    /// A text is not a size, or the size cannot be used.
    BadSize = "bad-size",
    /// A path cannot be used.
    BadPath = "bad-path",
    /// The workspace would not be a directory of its own.
    BadStateDir = "bad-state-dir",
    /// An image is neither named nor given as a path.
    BadImage = "bad-image",
    /// The address of a forward cannot be used.
    BadAddress = "bad-address",
    /// Two forwards would listen on one port of the host.
    PortConflict = "port-conflict",
    /// An overlay is used for something else too.
    OverlayConflict = "overlay-conflict",
    /// A cloud-init text stands where the path of its file belongs, or says what its image would ignore.
    BadCloudInit = "bad-cloud-init",
    /// A bootstrap's environment or check cannot be used.
    BadBootstrap = "bad-bootstrap",
    /// A folder cannot be given to a guest, or not there.
    BadMount = "bad-mount",
    /// Replicas or their overrides do not fit together.
    BadReplicas = "bad-replicas",
    /// There is more of something than a project may have.
    TooMany = "too-many",
    /// There are more faults than are shown.
    TooManyFaults = "too-many-faults",
}
