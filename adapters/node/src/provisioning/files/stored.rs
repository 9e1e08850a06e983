//! What the files hold.

use handfast_core::wire::invite::Invite;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::provisioning::invited::gateways_of;

/// A request that has not worked yet, as it is stored.
#[derive(Serialize, Deserialize)]
pub(in crate::provisioning) struct StoredRequest {
    pub(in crate::provisioning) ssid: String,
    pub(in crate::provisioning) password: String,
    pub(in crate::provisioning) room: String,
    pub(in crate::provisioning) command_center_url: String,
    pub(in crate::provisioning) household_id: String,
    pub(in crate::provisioning) node_id: String,
    pub(in crate::provisioning) token: String,
    pub(in crate::provisioning) config_service_url: Option<String>,
    /// The invitation of a gateway, in place of a command center.
    #[serde(default)]
    pub(in crate::provisioning) invitation: Option<String>,
}

impl Drop for StoredRequest {
    fn drop(&mut self) {
        self.password.zeroize();
        self.token.zeroize();
        self.invitation.zeroize();
    }
}

impl StoredRequest {
    /// Returns the first address of the gateway that invites the node.
    pub(in crate::provisioning) fn first_address(&self) -> Option<String> {
        let invite = Invite::parse(self.invitation.as_deref()?).ok()?;
        gateways_of(&invite).first().map(ToString::to_string)
    }
}

/// The command center's answer to it.
#[derive(Serialize, Deserialize)]
pub(in crate::provisioning) struct StoredAnswer {
    pub(in crate::provisioning) node_id: String,
    pub(in crate::provisioning) node_key: String,
    pub(in crate::provisioning) gateway_key: Option<String>,
    pub(in crate::provisioning) gateway_address: Option<String>,
}

impl Drop for StoredAnswer {
    fn drop(&mut self) {
        self.node_key.zeroize();
    }
}

/// What is in force, besides the network.
#[derive(Serialize, Deserialize)]
pub(in crate::provisioning) struct StoredConfig {
    pub(in crate::provisioning) node_id: String,
    pub(in crate::provisioning) node_key: String,
    pub(in crate::provisioning) room: String,
    pub(in crate::provisioning) household_id: String,
    pub(in crate::provisioning) command_center_url: String,
    pub(in crate::provisioning) config_service_url: Option<String>,
    pub(in crate::provisioning) gateway_key: Option<String>,
    pub(in crate::provisioning) gateway_address: Option<String>,
}

impl StoredConfig {
    /// Returns `true` if the node knows where it belongs.
    pub(in crate::provisioning) fn has_gateway(&self) -> bool {
        !self.command_center_url.is_empty() || self.gateway_key.is_some()
    }
}

impl Drop for StoredConfig {
    fn drop(&mut self) {
        self.node_key.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::provisioning) struct StoredWifi {
    pub(in crate::provisioning) ssid: String,
    pub(in crate::provisioning) password: String,
}

impl Drop for StoredWifi {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::provisioning) struct K2Metadata {
    pub(in crate::provisioning) kid: String,
    pub(in crate::provisioning) created_at: String,
    /// Absent in files of other programs, whose K2 is not bound.
    #[serde(default)]
    pub(in crate::provisioning) node_id: Option<String>,
}
