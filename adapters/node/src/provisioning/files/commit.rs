//! Putting into force what has worked. Each change is repeated at the next start if it was cut off.

use handfast_core::flow::native::node::NativeMemory;
use handfast_core::wire::invite::Invite;

use super::{
    ANSWER, CONFIG, K2, K2_METADATA, K2Metadata, MARKER, NETWORK, ProvisioningFileError,
    ProvisioningFiles, REQUEST, SETTINGS, StoredAnswer, StoredConfig, StoredRequest, StoredWifi,
    WIFI, json,
};
use crate::native::{GatewayAt, NativeIdentity, open_tokens, read_public, record};
use crate::provisioning::invited::{gateways_of, label};
use crate::state::{HeldState, NATIVE};

impl ProvisioningFiles {
    pub(super) fn commit(&self) -> Result<(), ProvisioningFileError> {
        // What was interrupted behind the removal of the request is done.
        let Some(request) = self.request()? else { return Ok(()) };
        let answer: StoredAnswer = self.read_sealed(ANSWER)?.ok_or_else(|| self.damaged(ANSWER))?;
        let k2 = self.read(K2_METADATA)?;
        let k2: Option<K2Metadata> = k2.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(bound) = k2.and_then(|k2| k2.node_id)
            && bound != request.node_id
        {
            tracing::warn!(
                "K2 was sent for {bound:?}, and this node is now {:?}: K2 is removed; send it again",
                request.node_id
            );
            self.remove(K2_METADATA)?;
            self.remove(K2)?;
            self.remove(SETTINGS)?;
        }
        self.commit_native(&request, &answer)?;
        self.write(
            CONFIG,
            &json(&StoredConfig {
                node_id: answer.node_id.clone(),
                node_key: answer.node_key.clone(),
                room: request.room.clone(),
                household_id: request.household_id.clone(),
                command_center_url: request.command_center_url.clone(),
                config_service_url: request.config_service_url.clone(),
                gateway_key: answer.gateway_key.clone(),
                gateway_address: answer.gateway_address.clone(),
            }),
        )?;
        let wifi = StoredWifi { ssid: request.ssid.clone(), password: request.password.clone() };
        self.write_sealed(WIFI, &wifi)?;
        self.write(MARKER, b"")?;
        self.remove(REQUEST)?;
        self.remove(ANSWER)
    }

    /// Puts the requested network into force. Interrupted behind the first write, the node joins the
    /// same network once more at its next start.
    pub(super) fn commit_network(&self) -> Result<(), ProvisioningFileError> {
        let Some(network): Option<StoredWifi> = self.read_sealed(NETWORK)? else { return Ok(()) };
        self.write_sealed(WIFI, &network)?;
        self.remove(NETWORK)
    }

    /// Stores the gateway of the native link as one that was asked: the node then fetches its grant
    /// by its key, and from no other gateway.
    fn commit_native(
        &self,
        request: &StoredRequest,
        answer: &StoredAnswer,
    ) -> Result<(), ProvisioningFileError> {
        let held = self.hold()?;
        let (Some(key), Some(address)) = (&answer.gateway_key, &answer.gateway_address) else {
            // With another command center there is no native link, also not an earlier one.
            forget_pairing(&held)?;
            return Ok(());
        };
        let key = read_public(key)
            .and_then(|key| handfast_core::crypto::x25519::PublicKey::parse(&key).ok())
            .ok_or_else(|| self.damaged(ANSWER))?;
        let invite = request.invitation.as_deref().and_then(|text| Invite::parse(text).ok());
        let identity = NativeIdentity {
            gateways: match &invite {
                Some(invite) => gateways_of(invite),
                None => vec![gateway_at(address)?],
            },
            name: label(&request.node_id),
            room: label(&request.room),
            tokens: self.state.join("tokens.json"),
            plain_tokens: false,
        };
        forget_pairing(&held)?;
        let memory = NativeMemory::Asked { gateway: key };
        Ok(held.write_file(NATIVE, &record::write_native(&identity, &memory))?)
    }
}

/// Removes the pairing of the native link with its token. What cannot be read must not keep the node
/// from new settings.
pub(super) fn forget_pairing(held: &HeldState) -> Result<(), ProvisioningFileError> {
    let identity = match held.dir().load_native() {
        Ok(Some((identity, _))) => identity,
        Ok(None) => return Ok(()),
        Err(why) => {
            tracing::warn!("the earlier pairing cannot be read and is replaced: {why}");
            return Ok(());
        }
    };
    if let Some(gateway) = identity.gateways.first() {
        let tokens = open_tokens(&identity, held.dir().path());
        if let Err(why) = tokens.and_then(|tokens| tokens.remove(&gateway.router())) {
            tracing::warn!("the token of the earlier pairing stays in its store: {why}");
        }
    }
    Ok(held.write_file(NATIVE, &record::write_native(&identity, &NativeMemory::Blank))?)
}

pub(super) fn gateway_at(address: &str) -> Result<GatewayAt, ProvisioningFileError> {
    let none = |_| ProvisioningFileError::Address { address: address.to_owned() };
    address.parse().map_err(none)
}
