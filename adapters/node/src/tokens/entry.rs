//! One entry of the store: the data that a node or companion keeps of a gateway.

use std::fmt;

use handfast_core::crypto::base64url;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::{NodeId, UnixTime, rfc3339};
use zeroize::Zeroizing;

use super::document::DocumentFields;

/// A token as text: wiped on drop, never shown by `Debug`, not `Clone`.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes ownership of the text. The caller must wipe any copies it made.
    #[must_use]
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// The stored data of one gateway. The first three fields are always there; an entry of another
/// program may have no others.
#[derive(Debug)]
pub struct TokenEntry {
    /// The token that authenticates this client to the gateway.
    pub token: SecretText,
    /// Time of the pairing in whole seconds; times after the year 9999 are stored as the end of
    /// that year.
    pub paired_at: UnixTime,
    /// The gateway's name for people.
    pub name: String,
    /// The gateway's X25519 static key; the native wire connects to no other.
    pub gateway_key: Option<PublicKey>,
    /// The gateway's fingerprint, which people compared.
    pub fingerprint: Option<Fingerprint>,
    /// The id that the gateway gave this client.
    pub node_id: Option<NodeId>,
    /// The id of the grant that the token belongs to.
    pub grant: Option<[u8; 16]>,
    /// End of the token's validity in whole seconds; after it the client has to pair again.
    pub expires_at: Option<UnixTime>,
    /// The scopes of the token, for display. The token itself decides.
    pub permissions: Option<Vec<String>>,
}

impl TokenEntry {
    /// Creates an entry with the three fields that every entry has.
    #[must_use]
    pub fn new(token: SecretText, paired_at: UnixTime, name: impl Into<String>) -> Self {
        Self {
            token,
            paired_at,
            name: name.into(),
            gateway_key: None,
            fingerprint: None,
            node_id: None,
            grant: None,
            expires_at: None,
            permissions: None,
        }
    }

    /// Returns `true` if the token has expired, so that only pairing again helps.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Parses all fields but the token, which the caller has opened. The error never contains any
    /// part of the file.
    pub(super) fn read(fields: &DocumentFields, token: SecretText) -> Result<Self, String> {
        let missing = |what: &str| format!("it has no {what}");
        let time = |what| text(fields, what, rfc3339::read);
        Ok(Self {
            token,
            paired_at: time("paired_at")?.ok_or_else(|| missing("paired_at"))?,
            name: text(fields, "name", |text| Some(text.to_owned()))?
                .ok_or_else(|| missing("name"))?,
            gateway_key: text(fields, "gateway_key", read_key)?,
            fingerprint: text(fields, "fingerprint", |text| Fingerprint::parse(text).ok())?,
            node_id: text(fields, "node_id", NodeId::parse)?,
            grant: text(fields, "grant", read_hex)?,
            expires_at: time("expires_at")?,
            permissions: fields.get("permissions").map_err(|()| wrong("permissions"))?,
        })
    }

    /// Writes all fields but the token, and leaves unknown fields alone.
    pub(super) fn write(&self, fields: &mut DocumentFields) {
        fields.set("paired_at", Some(rfc3339::write(self.paired_at).as_str()));
        fields.set("name", Some(&self.name));
        fields.set("gateway_key", self.gateway_key.as_ref().map(write_key).as_ref());
        fields.set("fingerprint", self.fingerprint.map(|it| it.to_string()).as_ref());
        fields.set("node_id", self.node_id.map(|it| it.to_string()).as_ref());
        fields.set(
            "grant",
            self.grant.map(|id| format!("{:032x}", u128::from_be_bytes(id))).as_ref(),
        );
        fields.set(
            "expires_at",
            self.expires_at.map(rfc3339::write).as_ref().map(rfc3339::Rfc3339Text::as_str),
        );
        fields.set("permissions", self.permissions.as_ref());
    }
}

/// The part of an entry that can be read without its key. A field that is missing or damaged is
/// `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The gateway's address, which is the key of the entry.
    pub router: String,
    /// The gateway's name for people.
    pub name: Option<String>,
    /// Time of the pairing.
    pub paired_at: Option<UnixTime>,
    /// End of the token's validity.
    pub expires_at: Option<UnixTime>,
    /// The token is encrypted.
    pub sealed: bool,
}

impl Listed {
    pub(super) fn read(router: &str, fields: &DocumentFields, sealed: bool) -> Self {
        // A damaged field does not keep its entry out of the list.
        let time = |what| text(fields, what, rfc3339::read).ok().flatten();
        Self {
            router: router.to_owned(),
            name: fields.get("name").ok().flatten(),
            paired_at: time("paired_at"),
            expires_at: time("expires_at"),
            sealed,
        }
    }
}

fn text<T>(
    fields: &DocumentFields,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    let found: Option<String> = fields.get(what).map_err(|()| wrong(what))?;
    found.map(|text| parse(&text).ok_or_else(|| wrong(what))).transpose()
}

fn wrong(what: &str) -> String {
    format!("its {what} is none")
}

fn write_key(key: &PublicKey) -> String {
    base64url::encode_32(key.as_bytes()).into_iter().map(char::from).collect()
}

fn read_key(text: &str) -> Option<PublicKey> {
    let mut bytes = [0; 32];
    let length = base64url::decode(text, &mut bytes)?.len();
    (length == bytes.len()).then(|| PublicKey::parse(&bytes).ok()).flatten()
}

/// Parses exactly 32 hex digits; `u128` alone would also accept a sign.
fn read_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)).flatten()
}
