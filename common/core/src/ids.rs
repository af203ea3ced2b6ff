//! Names and numbers that identify things: one newtype each, checked where text comes in.
//!
//! Everything that came from a file or the network is parsed into one of these before it is
//! used in a path, an environment variable or a message. None of them may contain a path
//! separator, white space or a control character.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// The kind of identifier.
        what: &'static str,
    },
    /// The text is longer than the limit.
    #[error("{what} `{text}…` has {len} bytes; at most {max} are allowed")]
    TooLong {
        /// The kind of identifier.
        what: &'static str,
        /// The first bytes of the text.
        text: String,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A character that the identifier may not contain.
    #[error(
        "{what} `{text}` contains {bad:?}; use letters, digits, `-`, `_` and `.`, beginning with a letter, a digit or `_`"
    )]
    BadChar {
        /// The kind of identifier.
        what: &'static str,
        /// The whole text.
        text: String,
        /// The first character that is refused.
        bad: char,
    },
}

fn check_word(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > max {
        let text: String = text.chars().take(24).collect();
        return Err(IdError::TooLong { what, len: text.len().max(max + 1), text, max });
    }
    let bad_first = text.chars().next().filter(|c| !(c.is_alphanumeric() || *c == '_'));
    let bad = bad_first
        .or_else(|| text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))));
    match bad {
        Some(bad) => Err(IdError::BadChar { what, text: text.escape_debug().to_string(), bad }),
        None => Ok(()),
    }
}

macro_rules! word_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text, as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check_word($what, text, $max)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                check_word($what, &text, $max)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

word_id!(
    /// The name of a job: `job.name`, else the stem of the job file.
    JobName, "job name", 128
);
word_id!(
    /// The id of one run of a job, unique per head: `<job name, shortened>-<8 hex digits>`.
    RunId, "run id", 64
);
word_id!(
    /// `agents[].id`.
    AgentId, "agent id", 128
);

/// The name of a host, never rewritten: what the user wrote in a hostfile or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// The text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        const WHAT: &str = "host name";
        if text.is_empty() {
            return Err(IdError::Empty { what: WHAT });
        }
        // RFC 1035 §2.3.4 allows 253 visible characters; IPv6 literals and zone ids are shorter.
        if text.len() > 253 {
            let start: String = text.chars().take(24).collect();
            return Err(IdError::TooLong { what: WHAT, text: start, len: text.len(), max: 253 });
        }
        let bad = text
            .chars()
            .enumerate()
            .find(|(i, c)| {
                let word = c.is_alphanumeric() || matches!(c, '_' | ':');
                let inner = matches!(c, '-' | '.' | '%');
                !(word || (*i > 0 && inner))
            })
            .map(|(_, c)| c);
        match bad {
            Some(bad) => {
                Err(IdError::BadChar { what: WHAT, text: text.escape_debug().to_string(), bad })
            }
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(id: HostName) -> String {
        id.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// An instance's number in the job, `0..size`, stable over restarts.
    Rank, u32
);
number_id!(
    /// One spawn of a rank; 1 is the first. Numbered by the step's record alone.
    Incarnation, u32
);
number_id!(
    /// The plan's generation. A daemon refuses a request that carries an older one.
    Generation, u64
);
number_id!(
    /// A request of a head within a generation. A replay of one starts nothing twice.
    RequestId, u64
);

/// The name of an instance, `agent[index]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName {
    /// The entry under `agents:`.
    pub agent: AgentId,
    /// Which copy of it, from 0.
    pub index: u32,
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}[{}]", self.agent, self.index))
    }
}

impl Serialize for InstanceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_refuse_what_could_leave_a_folder_or_break_a_line() {
        for bad in ["", "a/b", "..", ".hidden", "a b", "a\nb", "-x", "a\0b", &"x".repeat(129)] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad:?}");
        }
        for good in ["a", "new_york-2", "a.b", "_x", "9lives", "größe"] {
            assert!(good.parse::<AgentId>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn host_names_keep_what_was_written() {
        for good in ["w.1.net", "n1", "10.0.0.1", "::1", "fe80::1%eth0", "host_a", "a-b.c"] {
            assert_eq!(good.parse::<HostName>().map(|h| h.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-oProxyCommand=x", "a b", ".x", "a/b", "a;b", "$(x)"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
    }
}
