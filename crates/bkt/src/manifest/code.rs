//! The stable names of the kinds of faults of a manifest.
//!
//! A name once released keeps its meaning. Tests: `tests/manifest`; the page that lists them is generated.

plasmavmc_source::codes! {
    /// The text is not UTF-8.
    NotUtf8 = "not-utf8",
    /// The text is not JSON, or has what only relatives of JSON have.
    Syntax = "syntax",
    /// A key stands twice in one object.
    DuplicateKey = "duplicate-key",
    /// An object has a key that means nothing there.
    UnknownKey = "unknown-key",
    /// An object lacks a key.
    MissingKey = "missing-key",
    /// A value has another type than its key takes.
    WrongType = "wrong-type",
    /// A number is outside its range, or is not whole.
    OutOfRange = "out-of-range",
    /// A text is none of the words its key takes.
    NotAChoice = "not-a-choice",
    /// Two keys contradict each other.
    Contradiction = "contradiction",
    /// libvirt takes no such name.
    BadName = "bad-name",
    /// A title cannot be used.
    BadTitle = "bad-title",
    /// A path cannot be used.
    BadPath = "bad-path",
    /// A network cannot be used.
    BadNetwork = "bad-network",
    /// An address of a card cannot be used.
    BadMac = "bad-mac",
    /// A processor model cannot be used.
    BadCpuModel = "bad-cpu-model",
    /// A medium is neither a path nor a URL, or both.
    BadIsoSource = "bad-iso-source",
    /// A URL cannot be used.
    BadUrl = "bad-url",
    /// A checksum cannot be used.
    BadChecksum = "bad-checksum",
    /// The libvirt connection cannot be used.
    BadUri = "bad-uri",
    /// A disk, a medium or an address is used for something else too.
    UsedTwice = "used-twice",
    /// There is more of something than a VM may have.
    TooMany = "too-many",
    /// There are more faults than are shown.
    TooManyFaults = "too-many-faults",
}
