//! Sizes in bytes, read and shown the way QEMU means them.
//!
//! `2G`, `2 GiB` and `2Gi` are 2 × 2³⁰ as in `qemu-img`; `2 GB` is 2 × 10⁹. Whole numbers only, so
//! that a size never depends on rounding. Tests: below.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
///
/// Serialised as a plain number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(u64);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

impl ByteSize {
    /// A size of `bytes` bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of `mib` × 2²⁰ bytes; saturates.
    pub const fn mib(mib: u64) -> Self {
        Self(mib.saturating_mul(MIB))
    }

    /// A size of `gib` × 2³⁰ bytes; saturates.
    pub const fn gib(gib: u64) -> Self {
        Self(gib.saturating_mul(GIB))
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Whole MiB, rounded down: the unit of QEMU's `-m`.
    pub const fn as_mib(self) -> u64 {
        self.0 / MIB
    }
}

/// Why a text is not a [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// The text does not begin with a whole number.
    #[error("`{text}` is not a size: write a whole number and a unit, such as `512 MiB` or `2 GiB`")]
    Number {
        /// The text as given.
        text: String,
    },
    /// The number has no unit.
    #[error("`{text}` has no unit: write for example `{text} MiB`")]
    NoUnit {
        /// The text as given.
        text: String,
    },
    /// The unit is not known.
    #[error("`{unit}` is not a unit of size: use B, KiB, MiB, GiB or TiB (K, M, G and T mean the same)")]
    Unit {
        /// The unit as given.
        unit: String,
    },
    /// The size does not fit in 64 bits.
    #[error("`{text}` is larger than 2^64 bytes")]
    Overflow {
        /// The text as given.
        text: String,
    },
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        if number.is_empty() || unit.starts_with('.') {
            return Err(ByteSizeError::Number { text: text.to_owned() });
        }
        let number: u64 = number.parse().map_err(|_| ByteSizeError::Overflow { text: text.to_owned() })?;
        let unit = unit.trim_start();
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" if number == 0 => 1,
            "" => return Err(ByteSizeError::NoUnit { text: text.to_owned() }),
            "b" => 1,
            "k" | "ki" | "kib" => KIB,
            "m" | "mi" | "mib" => MIB,
            "g" | "gi" | "gib" => GIB,
            "t" | "ti" | "tib" => TIB,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(ByteSizeError::Unit { unit: unit.to_owned() }),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| ByteSizeError::Overflow { text: text.to_owned() })
    }
}

/// Shows a size for people: exact where a binary unit divides it, else one decimal.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        let text: Cow<'static, str> = match units.iter().find(|(size, _)| self.0 >= *size) {
            None => format!("{} B", self.0).into(),
            Some((size, unit)) if self.0.is_multiple_of(*size) => format!("{} {unit}", self.0 / size).into(),
            Some((size, unit)) => {
                let tenths = u128::from(self.0) * 10 / u128::from(*size);
                format!("{}.{} {unit}", tenths / 10, tenths % 10).into()
            }
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary_unless_they_say_otherwise() {
        for (text, bytes) in [
            ("2 GiB", 2 * GIB),
            ("2G", 2 * GIB),
            ("2gi", 2 * GIB),
            (" 512 MiB ", 512 * MIB),
            ("20 GB", 20_000_000_000),
            ("1 TiB", TIB),
            ("0", 0),
            ("7B", 7),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_says_why() {
        assert!(matches!("lots".parse::<ByteSize>(), Err(ByteSizeError::Number { .. })));
        assert!(matches!("1.5 GiB".parse::<ByteSize>(), Err(ByteSizeError::Number { .. })));
        assert!(matches!("-1 GiB".parse::<ByteSize>(), Err(ByteSizeError::Number { .. })));
        assert!(matches!("2048".parse::<ByteSize>(), Err(ByteSizeError::NoUnit { .. })));
        assert!(matches!("2 gigs".parse::<ByteSize>(), Err(ByteSizeError::Unit { .. })));
        assert!(matches!("99999999999 TiB".parse::<ByteSize>(), Err(ByteSizeError::Overflow { .. })));
        assert!(matches!("99999999999999999999 B".parse::<ByteSize>(), Err(ByteSizeError::Overflow { .. })));
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (2 * GIB, "2 GiB"),
            (GIB + GIB / 2, "1.5 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(ByteSize::bytes(bytes).to_string(), text);
        }
    }
}
