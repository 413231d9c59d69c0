//! What a device is to run by, and what it does run by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The release that a device is to run by, whole: a device that was away for a month needs nothing that came between.
/// Retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Which device.
    pub source: String,
    /// JSON of a release (`linefree_bus::release::Release`), as the bytes that are signed.
    pub text: String,
    /// Ed25519 signature of `linefree-release-v1`, a line feed and the text; 128 hexadecimal digits.
    pub signature: String,
}

/// The release that a device runs by. Retained; sent at each change and every ten seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// Which device.
    pub source: String,
    /// Its role.
    pub role: String,
    /// The release's number; 0 for the device's own store.toml.
    pub number: u64,
    /// Is it still on trial?
    pub trial: bool,
    /// The newest release that it refused or came back from; left out when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedRelease>,
}

/// A release that a device does not run by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedRelease {
    /// Its number; 0 when it cannot even be read.
    pub number: u64,
    /// Why, and what to do.
    pub reason: String,
}
