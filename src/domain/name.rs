//! Names of scopes and stores (SPEC 2), and their catalogue ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid name: use 1 to 63 letters, digits, '.', '_' or '-', starting with a letter, \
     and not true, false or none"
)]
pub struct NameError(pub String);

fn valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && name.len() <= 63
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        // These words mean something in policies and on the command line.
        && !matches!(name, "true" | "false" | "none")
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `name` against the rule of SPEC 2.
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                if valid(&name) { Ok(Self(name)) } else { Err(NameError(name)) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(s: String) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// The name of a scope.
    ScopeName
);
name_type!(
    /// The name of a store.
    StoreName
);

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);
    };
}

id_type!(
    /// A scope's row in the catalogue; never reused.
    ScopeId(u32)
);
id_type!(
    /// A store's row in the catalogue; never reused.
    StoreId(u32)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_spec_2() {
        for good in ["a", "local", "B2.cold_1-x", &"a".repeat(63)] {
            assert!(StoreName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "-a", "a b", "a/b", "true", "false", "none", "ä", &"a".repeat(64)] {
            assert!(ScopeName::new(bad).is_err(), "{bad}");
        }
    }
}
