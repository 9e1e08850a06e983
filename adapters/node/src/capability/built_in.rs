//! Capabilities that every node on Linux has, unless it is started without.

use std::time::Duration;

use handfast_core::crypto::base64url;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use serde_json::{Value, json};

use super::{CapabilityCall, CapabilityHandler, CapabilityOutcome};

/// Version of the built-in capabilities.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `echo`: the result is the input.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

#[async_trait::async_trait]
impl CapabilityHandler for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn version(&self) -> &str {
        VERSION
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn call(&self, call: CapabilityCall) -> CapabilityOutcome {
        CapabilityOutcome::Succeeded(call.input().to_vec())
    }
}

/// `system.health`: load, memory and uptime of the machine, as a JSON object.
#[derive(Clone, Copy, Debug)]
pub struct SystemHealth;

#[async_trait::async_trait]
impl CapabilityHandler for SystemHealth {
    fn name(&self) -> &str {
        "system.health"
    }

    fn version(&self) -> &str {
        VERSION
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn call(&self, _: CapabilityCall) -> CapabilityOutcome {
        CapabilityOutcome::Succeeded(health().to_string().into_bytes())
    }
}

/// Returns what the kernel says of the machine.
#[allow(clippy::useless_conversion, reason = "32-bit systems have shorter numbers")]
fn health() -> Value {
    /// Scale of the kernel's load averages.
    const LOAD_SCALE: f64 = 65_536.0;
    let system = rustix::system::sysinfo();
    // A unit of 0 would make every size 0.
    let unit = u64::from(system.mem_unit.max(1));
    let load = |raw: u64| (raw as f64 / LOAD_SCALE * 100.0).round() / 100.0;
    let uptime = Duration::from_secs(u64::try_from(system.uptime).unwrap_or_default());
    json!({
        "uptime_seconds": uptime.as_secs(),
        "load": system.loads.map(|raw| load(u64::from(raw))),
        "memory_bytes": u64::from(system.totalram) * unit,
        "memory_free_bytes": (u64::from(system.freeram) + u64::from(system.bufferram)) * unit,
        "processes": system.procs,
    })
}

/// `system.identity`: the node's public keys, its fingerprint and its software, as a JSON object.
#[derive(Clone, Debug)]
pub struct SystemIdentity(Value);

impl SystemIdentity {
    /// Describes the node with these keys.
    #[must_use]
    pub fn new(keys: &OwnKeys) -> Self {
        let system = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let key = |key: &[u8; 32]| -> String {
            base64url::encode_32(key).into_iter().map(char::from).collect()
        };
        Self(json!({
            "fingerprint": Fingerprint::of(keys.channel.public()).to_string(),
            "channel_key": key(keys.channel.public().as_bytes()),
            "signing_key": key(keys.signing.public().as_bytes()),
            "version": VERSION,
            "system": text(system.sysname()),
            "release": text(system.release()),
            "machine": text(system.machine()),
        }))
    }
}

#[async_trait::async_trait]
impl CapabilityHandler for SystemIdentity {
    fn name(&self) -> &str {
        "system.identity"
    }

    fn version(&self) -> &str {
        VERSION
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn call(&self, _: CapabilityCall) -> CapabilityOutcome {
        CapabilityOutcome::Succeeded(self.0.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_of_this_machine_is_plausible() {
        let health = health();
        let (total, free) = (
            health["memory_bytes"].as_u64().unwrap(),
            health["memory_free_bytes"].as_u64().unwrap(),
        );
        assert!(total > 1 << 20 && free <= total, "{health}");
        assert!(health["uptime_seconds"].as_u64().is_some_and(|up| up > 0), "{health}");
        assert_eq!(health["load"].as_array().map(Vec::len), Some(3));
    }
}
