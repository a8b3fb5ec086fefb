//! The stable names of the kinds of faults.
//!
//! A name once released keeps its meaning. Each face lists its own with [`codes!`](crate::codes). Tests:
//! below; the pages that list them are generated.

/// The stable name of a kind of fault.
pub trait Code: Copy + Ord {
    /// The name, in kebab case.
    fn as_str(self) -> &'static str;
}

/// Makes the enum of a format's codes: each a name with what it means, written the same in JSON.
///
/// The crate that uses it depends on `serde` and `schemars`.
#[macro_export]
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// The stable name of a kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::schemars::JsonSchema)]
        pub enum FaultCode {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl FaultCode {
            /// Every code, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as text, in kebab case: the same as in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// What is wrong, as a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => ::core::concat!($($doc),+).trim_ascii(),)+
                }
            }
        }

        impl $crate::Code for FaultCode {
            fn as_str(self) -> &'static str {
                self.as_str()
            }
        }

        impl ::core::fmt::Display for FaultCode {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes what a face publishes")]
pub(crate) mod tests {
    codes! {
        /// The text is not UTF-8.
        NotUtf8 = "not-utf8",
        /// A key means nothing
        /// there.
        UnknownKey = "unknown-key",
        /// There are more faults than are shown.
        TooManyFaults = "too-many-faults",
    }

    #[test]
    fn a_code_is_written_the_same_in_json() {
        for code in FaultCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(code.to_string(), code.as_str());
        }
    }

    #[test]
    fn what_a_code_means_is_one_line() {
        assert_eq!(FaultCode::UnknownKey.meaning(), "A key means nothing there.");
    }
}
