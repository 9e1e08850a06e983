//! Grants, PINs and codes as a store returns them.

use handfast_core::crypto::x25519;
use handfast_core::grant::capability;
use handfast_core::grant::keyed_secret::KeyedHash;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::codes::{CodeId, Counted, NoGuess};
use handfast_core::registry::provisioning::StoredToken;
use handfast_core::registry::sessions::Maker;
use handfast_core::{Name, Source, UnixTime};

/// Maximum number of live PINs. Each is shown to a person, so more are never needed; the limit
/// bounds the memory that strangers can fill by asking for PINs.
/// [`handfast_core::registry::codes::pin_room`] divides it among sources.
pub const PINS: u32 = 64;
/// Maximum number of live codes. [`handfast_core::registry::codes::has_room`] limits the share of
/// sessions.
pub const CODES: u32 = 256;

/// Maximum number of codes that one call mints: they share a transaction, which holds up every other
/// write, and one answer, which is shown as a whole or not at all; and they leave room for others.
pub const CODES_AT_ONCE: usize = 100;

/// The outcome of a node's confirmation of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The grant is the node's, by this call or already before.
    Active {
        /// The capabilities that ended by it.
        ended: Vec<capability::Id>,
    },
    /// The grant does not exist, belongs to another node, has ended, or has expired.
    NotThere,
}

/// The subject of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// A block, and with it every chain that contains it.
    Block(capability::Id),
    /// All blocks of the holder of this static key.
    Key(x25519::PublicKey),
}

/// A PIN, or a code or provisioning token that the operator minted in advance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCode {
    /// The code's id.
    pub id: CodeId,
    /// Kind of the code, and its counters.
    pub counted: Counted,
    /// The secret, sealed by the caller; of a provisioning token, its hash. Empty once it is erased,
    /// and in listings.
    pub sealed: Vec<u8>,
    /// Scopes of the nodes that pair with it.
    pub scopes: ScopesBuf,
    /// Lifetime of the grant in seconds; `None` for the caller's default.
    pub grant_for: Option<u64>,
    /// Time of minting.
    pub created_at: UnixTime,
    /// The operator's name for it.
    pub label: String,
    /// Maker of the code. It ends with the maker's session.
    pub maker: Maker,
    /// The source that asked for a PIN, if it is known; `None` for an operator's code.
    pub source: Option<Source>,
    /// The name of the node that may register by a provisioning token.
    pub provisions: Option<Name>,
}

impl StoredCode {
    /// Returns the code as the provisioning token that it is; `None` for a code of another kind.
    #[must_use]
    pub fn as_token(&self) -> Option<StoredToken<'_>> {
        // An erased token has no hash, and nothing matches it then.
        let hash: Option<[u8; 32]> = self.sealed.as_slice().try_into().ok();
        Some(StoredToken {
            counted: self.counted,
            hash: hash.map(KeyedHash::from_bytes),
            external: self.provisions.as_ref()?.as_str(),
            created_at: self.created_at,
        })
    }
}

/// The reason for which a PIN or code was not minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMinted {
    /// Pairing is not open.
    Closed,
    /// Too many wrong PINs have closed the window.
    Locked,
    /// The limit [`PINS`] or [`CODES`], or the source's share of it, is reached, and no live one
    /// can make room; or more than [`CODES_AT_ONCE`] were to be minted.
    TooMany,
    /// A live code has this selector; draw another.
    Taken,
    /// The maker's session has ended.
    MakerEnded,
}

impl From<NoGuess> for NotMinted {
    fn from(no: NoGuess) -> Self {
        match no {
            // A window never reports an expired code; if it did, pairing would not be possible with
            // it either.
            NoGuess::Closed | NoGuess::Expired => Self::Closed,
            NoGuess::Locked => Self::Locked,
        }
    }
}
