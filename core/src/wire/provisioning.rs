//! The JSON bodies with which a phone provisions a node, and the answer of the command center at
//! which the node registers (the Jarvis dialect over HTTP).
//!
//! A defect names the field and what is wrong with it, never a value: the bodies hold the
//! passphrase of a network.

mod body;
mod country;
mod network;
pub mod sealed;
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use super::invite::Invite;
use super::json::{self, Value};
use crate::crypto::base64url;
use crate::crypto::x25519::PublicKey;
use crate::limits::{
    COMMAND_CENTER_URL_BYTES, EXTERNAL_ID_BYTES, GATEWAY_ADDRESS_BYTES, INVITE_BYTES, K2_CHARS,
    PASSPHRASE_BYTES, PROVISIONING_SECRET_BYTES, SSID_BYTES,
};
use crate::secret::Secret;
use crate::text::Label;
use crate::time::UnixTime;

use body::Reader;
pub use body::{BodyDefect, FieldDefects, Problem};
pub use country::Country;
pub use network::NetworkRequest;

/// The name of a Wi-Fi network: 1 to 32 bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssid(heapless::String<SSID_BYTES>);

impl Ssid {
    /// Checks the length of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        heapless::String::try_from(text).ok().filter(|name| !name.is_empty()).map(Self)
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Ssid {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

/// A secret text of a body. Its output is redacted; whoever owns the body wipes it.
#[derive(Clone, Copy)]
pub struct SecretText<'b>(&'b str);

impl<'b> SecretText<'b> {
    /// Borrows the secret text.
    #[must_use]
    pub const fn expose(&self) -> &'b str {
        self.0
    }
}

crate::secret::redacted!(SecretText<'_>);

/// The request that gives a node its network, its room and its command center.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProvisionRequest<'b> {
    /// The network to join.
    pub ssid: Ssid,
    /// The network's passphrase; empty for an open network.
    pub passphrase: SecretText<'b>,
    /// The room where the node stands.
    pub room: Label<'b>,
    /// The id under which the node is known from then on.
    pub node_id: &'b str,
    /// Where the node belongs.
    pub target: Target<'b>,
    /// The URL of a further service, which only the application interprets.
    pub config_service: Option<&'b str>,
    /// The country whose rules hold for the radio. The dialect does not know it.
    pub country: Option<Country>,
}

/// Where a node belongs, and what lets it in there once.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Target<'b> {
    /// A command center, at which the node registers over HTTP.
    CommandCenter {
        /// The URL of the command center.
        url: &'b str,
        /// The household of the node, which only the command center interprets.
        household_id: &'b str,
        /// The token that lets the node register once.
        token: SecretText<'b>,
    },
    /// A gateway, with which the node pairs over the native wire by this
    /// [invitation](super::invite::Invite).
    Gateway(SecretText<'b>),
}

impl<'b> ProvisionRequest<'b> {
    const FIELDS: [&'static str; 10] = [
        "wifi_ssid",
        "wifi_password",
        "room",
        "command_center_url",
        "household_id",
        "node_id",
        "provisioning_token",
        "config_service_url",
        "wifi_country",
        "gateway",
    ];

    /// Reads a body of the dialect. `room` takes texts with escapes and needs at most the length of the body.
    ///
    /// # Errors
    /// [`BodyDefect`], with every field that is wrong.
    pub fn read(body: &'b str, room: &'b mut [u8]) -> Result<Self, BodyDefect> {
        Self::read_with(body, room, |_| None)
    }

    /// Reads a body of a sealed exchange, in which `gateway` may stand in place of the command
    /// center: an invitation, which is a secret and so has no place in the dialect. `room` takes
    /// texts with escapes and needs at most the length of the body.
    ///
    /// # Errors
    /// [`BodyDefect`], with every field that is wrong.
    pub fn read_sealed(body: &'b str, room: &'b mut [u8]) -> Result<Self, BodyDefect> {
        const GATEWAY: &str = "gateway";
        Self::read_with(body, room, |reader| {
            let text = reader.optional(GATEWAY, INVITE_BYTES)?;
            if Invite::parse(text).is_err() {
                reader.wrong::<()>(GATEWAY, Problem::NotAnInvitation);
            }
            Some(SecretText(text))
        })
    }

    fn read_with(
        body: &'b str,
        room: &'b mut [u8],
        gateway: impl FnOnce(&mut Reader<'b, 10>) -> Option<SecretText<'b>>,
    ) -> Result<Self, BodyDefect> {
        let mut reader = Reader::new(body, &Self::FIELDS, room)?;
        let [ssid, password, room, url, household, node_id, token, service, country, _] =
            Self::FIELDS;
        let request = Self {
            ssid: Ssid::read(&mut reader, ssid),
            passphrase: SecretText(reader.text(password, PASSPHRASE_BYTES)),
            room: reader.label(room),
            node_id: reader.id(node_id),
            target: match gateway(&mut reader) {
                Some(invitation) => Target::Gateway(invitation),
                None => Target::CommandCenter {
                    url: reader.some(url, COMMAND_CENTER_URL_BYTES),
                    household_id: reader.text(household, EXTERNAL_ID_BYTES),
                    token: SecretText(reader.visible(token, PROVISIONING_SECRET_BYTES)),
                },
            },
            config_service: reader.optional(service, COMMAND_CENTER_URL_BYTES),
            country: reader.country(country),
        };
        reader.finish(request)
    }
}

/// The request that gives a node the key K2.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct K2Request<'b> {
    /// The node for which the key is meant.
    pub node_id: &'b str,
    /// The key's own id.
    pub kid: &'b str,
    /// The key, or the reason for which the text is none.
    pub k2: Result<Secret<32>, NoK2>,
    /// The time at which the key was made.
    pub created_at: UnixTime,
}

/// The reason for which a text is not the key K2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoK2 {
    /// It decodes to this number of bytes, which is not 32.
    Length(usize),
    /// It is not base64url.
    Encoding,
}

impl<'b> K2Request<'b> {
    const FIELDS: [&'static str; 4] = ["node_id", "kid", "k2", "created_at"];

    /// Reads a body, as [`ProvisionRequest::read`] does.
    ///
    /// # Errors
    /// [`BodyDefect`], with every field that is wrong. A key that is none is no defect of the body.
    pub fn read(body: &'b str, room: &'b mut [u8]) -> Result<Self, BodyDefect> {
        let mut reader = Reader::new(body, &Self::FIELDS, room)?;
        let [node_id, kid, k2, created_at] = Self::FIELDS;
        let request = Self {
            node_id: reader.id(node_id),
            kid: reader.some(kid, EXTERNAL_ID_BYTES),
            k2: read_k2(reader.text(k2, K2_CHARS)),
            created_at: reader.time(created_at),
        };
        reader.finish(request)
    }
}

/// Reads a key of 32 bytes in base64url, with or without padding.
fn read_k2(text: &str) -> Result<Secret<32>, NoK2> {
    let bare = text.trim_end_matches('=');
    let padding = text.len().saturating_sub(bare.len());
    // Padding fills the last four characters, or is left out.
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return Err(NoK2::Encoding);
    }
    let mut room = Zeroizing::new([0; K2_CHARS]);
    let bytes = base64url::decode(bare, &mut room[..]).ok_or(NoK2::Encoding)?;
    let key: &[u8; 32] = bytes.try_into().map_err(|_| NoK2::Length(bytes.len()))?;
    Ok(Secret::new(*key))
}

/// The answer of a command center that has registered a node.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegisterAnswer<'b> {
    /// The id under which the command center knows the node.
    pub node_id: &'b str,
    /// The key that proves this id in later calls.
    pub node_key: SecretText<'b>,
    /// The gateway to which the node links natively, if the command center is one.
    pub gateway: Option<NativeGateway<'b>>,
}

/// A gateway of the native wire, as a command center names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NativeGateway<'b> {
    /// The gateway's static key.
    pub key: PublicKey,
    /// The gateway's address.
    pub address: &'b str,
}

impl<'b> RegisterAnswer<'b> {
    /// Makes the answer of a gateway that has paired the node by its invitation. There is no key for
    /// HTTP: the node authenticates by its own.
    #[must_use]
    pub const fn paired(node_id: &'b str, gateway: NativeGateway<'b>) -> Self {
        Self { node_id, node_key: SecretText(""), gateway: Some(gateway) }
    }

    const FIELDS: [&'static str; 4] = ["node_id", "node_key", "gateway_key", "gateway_address"];

    /// Reads an answer, as [`ProvisionRequest::read`] does. Half of a gateway is a defect.
    ///
    /// # Errors
    /// [`BodyDefect`], with every field that is wrong.
    pub fn read(body: &'b str, room: &'b mut [u8]) -> Result<Self, BodyDefect> {
        let mut reader = Reader::new(body, &Self::FIELDS, room)?;
        let [node_id, node_key, gateway_key, gateway_address] = Self::FIELDS;
        let key = reader.optional(gateway_key, 43);
        let address = reader.optional(gateway_address, GATEWAY_ADDRESS_BYTES);
        let gateway = match (key, address) {
            (Some(key), Some(address)) => match read_public(key) {
                Some(key) => Some(NativeGateway { key, address }),
                None => reader.wrong(gateway_key, Problem::Characters),
            },
            (Some(_), None) => reader.wrong(gateway_address, Problem::Missing),
            (None, Some(_)) => reader.wrong(gateway_key, Problem::Missing),
            (None, None) => None,
        };
        let answer = Self {
            node_id: reader.id(node_id),
            node_key: SecretText(reader.visible(node_key, PROVISIONING_SECRET_BYTES)),
            gateway,
        };
        reader.finish(answer)
    }
}

fn read_public(text: &str) -> Option<PublicKey> {
    let mut bytes = [0; 32];
    let whole = base64url::decode(text, &mut bytes)?.len() == 32;
    PublicKey::parse(&bytes).ok().filter(|_| whole)
}

/// Returns the member `detail` of a refusal, as far as it can be displayed.
pub fn refusal_detail<'b>(body: &'b str, mut room: &'b mut [u8]) -> Option<Label<'b>> {
    let mut detail = None;
    let read = json::members(body, |key, value| {
        if key.is("detail") {
            detail = Some(value);
        }
    });
    match (read, detail) {
        (Ok(()), Some(Value::Text(text))) => text.decode(&mut room).and_then(Label::beginning),
        (Ok(()), Some(_) | None) | (Err(_), _) => None,
    }
}
