//! What a store tells of grants, PINs and codes.

use handfast_core::crypto::x25519;
use handfast_core::grant::capability;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::id::Source;
use handfast_core::registry::codes::{CodeId, Counted, NoGuess};
use handfast_core::registry::sessions::Maker;
use handfast_core::time::UnixTime;

/// Most PINs that are live at once. Each is shown to somebody, and nobody reads more; it bounds
/// what strangers who ask for PINs can fill. How sources share them,
/// [`handfast_core::registry::codes::pin_room`] says.
pub const PINS: u32 = 64;
/// Most codes that are live at once. How many of them sessions may make,
/// [`handfast_core::registry::codes::has_room`] says.
pub const CODES: u32 = 256;

/// What became of a grant that a node has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It is the node's grant, from now on or already.
    Active {
        /// The capabilities that ended by it.
        ended: Vec<capability::Id>,
    },
    /// There is no such grant, or it is another node's, or it has ended or run out.
    NotThere,
}

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// A block, and so every chain with it.
    Block(capability::Id),
    /// All blocks of whoever holds this static key.
    Key(x25519::PublicKey),
}

/// A PIN, or a code that the operator minted beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Which.
    pub id: CodeId,
    /// What it is for, and what is counted of it.
    pub counted: Counted,
    /// The secret, sealed by the caller. Empty where it was erased, and in listings.
    pub sealed: Vec<u8>,
    /// What whoever pairs with it may do.
    pub scopes: ScopesBuf,
    /// For how many seconds; the caller's default if there is none.
    pub grant_for: Option<u64>,
    /// When it was minted.
    pub created_at: UnixTime,
    /// What people call it.
    pub label: String,
    /// Who minted it. It ends with a session that did.
    pub maker: Maker,
    /// Who asked for a PIN, if that is known; nobody for a code of the operator's.
    pub source: Option<Source>,
}

/// Why a PIN or code was not minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMinted {
    /// Pairing is not open.
    Closed,
    /// Too many wrong PINs have closed it.
    Locked,
    /// [`PINS`] or [`CODES`] are live already, or as many of the source's as may be, and none can
    /// make room.
    TooMany,
    /// A live code has this selector; draw another.
    Taken,
    /// The session that would make it has ended.
    MakerEnded,
}

impl From<NoGuess> for NotMinted {
    fn from(no: NoGuess) -> Self {
        match no {
            // A window never says that a code ran out; if it did, there would be no pairing with it
            // either.
            NoGuess::Closed | NoGuess::Expired => Self::Closed,
            NoGuess::Locked => Self::Locked,
        }
    }
}
