//! One entry of the store: what a node or companion keeps of a gateway that it is paired with.

use std::fmt;

use handfast_core::crypto::base64url;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::id::NodeId;
use handfast_core::time::{UnixTime, rfc3339};
use zeroize::Zeroizing;

use super::document::Fields;

/// A token as text: wiped when dropped, never shown by `Debug`, not `Clone`.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes ownership of the text; copies that the caller made are the caller's to wipe.
    #[must_use]
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// The text itself.
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

/// What is kept of one gateway. The first three fields are always there; an entry of another
/// program may have no others.
#[derive(Debug)]
pub struct Entry {
    /// What proves to the gateway that this client is paired.
    pub token: SecretText,
    /// When that was, in whole seconds; a time beyond the year 9999 is kept as the end of that
    /// year.
    pub paired_at: UnixTime,
    /// What people call the gateway.
    pub name: String,
    /// The gateway's X25519 static key; the native wire connects to no other.
    pub gateway_key: Option<PublicKey>,
    /// What people compared.
    pub fingerprint: Option<Fingerprint>,
    /// What the gateway calls this client.
    pub node_id: Option<NodeId>,
    /// Which grant the token belongs to.
    pub grant: Option<[u8; 16]>,
    /// From then on the token counts no more, in whole seconds; the client pairs again.
    pub expires_at: Option<UnixTime>,
    /// The scopes of the token, to show them. The token itself decides.
    pub permissions: Option<Vec<String>>,
}

impl Entry {
    /// An entry with the three fields that each one has.
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

    /// Whether the token counts no more, so that only pairing again helps.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Reads all but the token, which the caller has opened. The error says what is wrong, and
    /// never shows what was read.
    pub(super) fn read(fields: &Fields, token: SecretText) -> Result<Self, String> {
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

    /// Writes all but the token over what is there, and leaves fields alone that it does not know.
    pub(super) fn write(&self, fields: &mut Fields) {
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
            self.expires_at.map(rfc3339::write).as_ref().map(rfc3339::Text::as_str),
        );
        fields.set("permissions", self.permissions.as_ref());
    }
}

/// What can be told of an entry without its key. A field that is missing or damaged is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The gateway's address, as the entry stands under it.
    pub router: String,
    /// What people call the gateway.
    pub name: Option<String>,
    /// When the client was paired with it.
    pub paired_at: Option<UnixTime>,
    /// From when on its token counts no more.
    pub expires_at: Option<UnixTime>,
    /// Whether its token is encrypted.
    pub sealed: bool,
}

impl Listed {
    pub(super) fn read(router: &str, fields: &Fields, sealed: bool) -> Self {
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
    fields: &Fields,
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

/// Exactly 32 hex digits; `u128` alone would take a sign, too.
fn read_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)).flatten()
}
