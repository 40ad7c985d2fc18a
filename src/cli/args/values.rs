//! Values of options, parsed once here.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::api::PolicyChange;
use crate::domain::{Policy, parse_duration, parse_limit, plain_types};

/// A priority, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorityArg(pub Option<i32>);

impl FromStr for PriorityArg {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        text.parse()
            .map(|n| Self(Some(n)))
            .map_err(|_| "write a whole number of at most 32 bits, or none".to_owned())
    }
}

/// A limit in bytes, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitArg(pub Option<u64>);

impl FromStr for LimitArg {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_limit(text)
            .map(|limit| Self(limit.map(|bytes| bytes.0)))
            .map_err(|e| format!("{e}, or none"))
    }
}

/// `--policy`: a whole policy; keys that are not given take their default. What is wrong in it is a
/// refused policy [37], not wrong usage: the command fails like the server would.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyArg(pub String);

impl FromStr for PolicyArg {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl PolicyArg {
    /// The change that leads to this policy from whatever stands.
    pub fn as_change(&self) -> Result<PolicyChange, String> {
        let policy: Policy =
            serde_json::from_str(&self.0).map_err(|e| plain_types(&e.to_string()))?;
        Ok(PolicyChange {
            populate: Some(policy.populate),
            drain: Some(policy.drain),
            read_only: Some(policy.read_only),
            write_only: Some(policy.write_only),
            soft_max_size: Some(policy.soft_max_size),
        })
    }
}

/// Where a secret is read from; never the secret itself, which would stand in the process list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretArg {
    StandardInput,
    File(PathBuf),
}

impl FromStr for SecretArg {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::StandardInput } else { Self::File(text.into()) })
    }
}

/// `env`, `file:PATH` or `systemd:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsArg(pub String);

impl FromStr for CredentialsArg {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("file:") {
            Some(path) if path.starts_with('/') => Ok(Self(text.to_owned())),
            Some(_) => Err("the path after file: has to be absolute, as the server reads it"),
            None if text == "env" || text.starts_with("systemd:") => Ok(Self(text.to_owned())),
            None => Err("write env, file:PATH, or systemd:NAME"),
        }
    }
}

/// The lifetime of presigned URLs, in seconds.
pub fn presign_ttl(text: &str) -> Result<u32, String> {
    let ttl = parse_duration(text)?;
    if (Duration::from_secs(10)..=Duration::from_hours(1)).contains(&ttl) {
        u32::try_from(ttl.as_secs()).map_err(|e| e.to_string())
    } else {
        Err("allowed are 10s to 1h".to_owned())
    }
}

/// A duration that is sent on as it was written.
pub fn duration_text(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}
