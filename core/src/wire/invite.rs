//! Invitations: a QR code or a copied line with which a node finds the gateway, verifies its key
//! and pairs.
//!
//! ```text
//! handfast:1?a=ws://192.168.1.10:8765&a=tcp://192.168.1.10:7331
//!     &k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-XXXXXXXXXXXXXXXX     (on one line)
//!
//! invite   = "handfast:1?" 1*3( "a=" address "&" ) "k=" fingerprint "&c=" code
//!                                                 ; at most 300 bytes, no address twice
//! address  = ( "ws" / "wss" / "tcp" ) "://" host ":" port    ; see GatewayAddress
//! code     = 4(letter / digit) "-" 13*64(letter / digit)
//! ```
//!
//! Nothing else is an invitation: no other parameter or order, no path, no user, no escape. It is
//! case-insensitive, so that a QR code may carry it in upper case, which takes fewer modules;
//! otherwise it has one spelling, that of [`Invite::write`].

use core::fmt::{self, Write};

use heapless::Vec;

use crate::crypto::code::{Code, NotACode, TYPED_BYTES};
use crate::crypto::fingerprint::{FINGERPRINT_CHARS, Fingerprint};
use crate::limits::{INVITE_ADDRESSES, INVITE_BYTES};
use crate::wire::gateway_address::GatewayAddress;
use crate::wire::native::pair::Selector;

/// Minimum length of the secret in an invitation, in characters: 65 bits of
/// [`Alphabet::Unambiguous`](crate::crypto::code::Alphabet::Unambiguous).
pub const INVITE_SECRET_CHARS_MIN: usize = 13;
/// Minimum length of the secret that a person types, in characters.
pub const TYPED_SECRET_CHARS_MIN: usize = 6;

const SCHEME: &str = "handfast";
const VERSION: &str = "1";

/// The first defect of a text that is not an invitation, or of the parts of one to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAnInvite {
    /// The invitation is longer than [`INVITE_BYTES`].
    TooLong,
    /// The text does not begin with `handfast:`.
    Scheme,
    /// The invitation is of another version.
    Version,
    /// A character is not allowed in an invitation, for instance a space or `%`.
    Character,
    /// A parameter is none of `a`, `k` and `c`.
    Parameter,
    /// A parameter is repeated, or not in the order `a`, `k`, `c`.
    Order,
    /// The parameter `a`, `k` or `c` is missing.
    Missing,
    /// An address is invalid.
    Address,
    /// The invitation has more than [`INVITE_ADDRESSES`] addresses.
    TooManyAddresses,
    /// An address is repeated.
    RepeatedAddress,
    /// The fingerprint is invalid.
    Fingerprint,
    /// The code is invalid, or its secret is too short for an invitation.
    Code,
}

impl NotAnInvite {
    /// Returns the reason as a phrase for people, to follow a colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "it is too long",
            Self::Scheme => "it does not begin with handfast:",
            Self::Version => "it is of another version than 1",
            Self::Character => "it has a character that stands in no invitation",
            Self::Parameter => "it has a parameter other than a, k and c",
            Self::Order => "a parameter comes twice, or not in the order a, k, c",
            Self::Missing => "it lacks the address, the fingerprint or the code",
            Self::Address => {
                "an address does not read ws://host:port, wss://host:port or tcp://host:port"
            }
            Self::TooManyAddresses => "it has more than three addresses",
            Self::RepeatedAddress => "an address comes twice",
            Self::Fingerprint => "the fingerprint is not six groups of four letters and digits",
            Self::Code => "the code is not four letters and digits, a dash, and 13 to 64 more",
        }
    }
}

impl fmt::Display for NotAnInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for NotAnInvite {}

/// A minted code in its two parts: the public selector and the secret.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TypedCode {
    /// The public name of the code.
    pub selector: Selector,
    /// The PIN or secret: the password of CPace.
    pub code: Code,
}

impl TypedCode {
    /// Reads typed text: four characters of selector and 6 to 64 of secret, in any case, with
    /// dashes, white space and line ends anywhere.
    ///
    /// # Errors
    /// [`NotACode`].
    pub fn parse(typed: &str) -> Result<Self, NotACode> {
        // The length is bounded first, because separators may be typed without limit.
        if typed.len() > TYPED_BYTES {
            return Err(NotACode);
        }
        let mut characters = typed
            .char_indices()
            .filter(|(_, character)| *character != '-' && !character.is_whitespace());
        let mut selector = [0; 4];
        for place in &mut selector {
            let (_, character) = characters.next().ok_or(NotACode)?;
            *place = u8::try_from(character).map_err(|_| NotACode)?;
        }
        let selector =
            core::str::from_utf8(&selector).ok().and_then(Selector::parse).ok_or(NotACode)?;
        let (at, _) = characters.next().ok_or(NotACode)?;
        let code = Code::parse(typed.get(at..).ok_or(NotACode)?)?;
        if code.expose().len() < TYPED_SECRET_CHARS_MIN {
            Err(NotACode)
        } else {
            Ok(Self { selector, code })
        }
    }
}

/// An invitation: with it, one node finds a gateway, verifies its key and pairs. Its `Debug` hides
/// the secret; [`Invite::write`] reveals it.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Invite<'b> {
    addresses: Vec<GatewayAddress<'b>, INVITE_ADDRESSES>,
    gateway: Fingerprint,
    code: TypedCode,
}

impl<'b> Invite<'b> {
    /// Makes an invitation to a gateway. The node tries the addresses in their order.
    ///
    /// # Errors
    /// The first defect of a part, or [`NotAnInvite::TooLong`] for all of them together.
    pub fn new(
        addresses: &[GatewayAddress<'b>],
        gateway: Fingerprint,
        code: TypedCode,
    ) -> Result<Self, NotAnInvite> {
        let mut invite = Self { addresses: Vec::new(), gateway, code };
        for address in addresses {
            add(&mut invite.addresses, *address)?;
        }
        if invite.addresses.is_empty() {
            return Err(NotAnInvite::Missing);
        }
        if !is_scanned(invite.code.code.expose()) {
            return Err(NotAnInvite::Code);
        }
        // The text is measured by a writer that only counts, because there is no allocator.
        let mut length = Length(0);
        invite.put(&mut length).map_err(|_| NotAnInvite::TooLong)?;
        if length.0 > INVITE_BYTES { Err(NotAnInvite::TooLong) } else { Ok(invite) }
    }

    /// Reads scanned or pasted text.
    ///
    /// # Errors
    /// The first part that is wrong.
    pub fn parse(text: &'b str) -> Result<Self, NotAnInvite> {
        if text.len() > INVITE_BYTES {
            return Err(NotAnInvite::TooLong);
        }
        let (scheme, rest) = text.split_once(':').ok_or(NotAnInvite::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(NotAnInvite::Scheme);
        }
        // The version is checked before the characters, because a later version may allow others.
        let (version, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        if version != VERSION {
            return Err(NotAnInvite::Version);
        }
        if !parameters
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":/&=-.[]".contains(&byte))
        {
            return Err(NotAnInvite::Character);
        }
        let (mut addresses, mut gateway, mut code) = (Vec::new(), None, None);
        for parameter in parameters.split('&') {
            let (name, value) = parameter.split_once('=').ok_or(NotAnInvite::Parameter)?;
            // A parameter is accepted only while the later ones are absent, which fixes the order.
            match (name, &gateway, &code) {
                ("a" | "A", None, None) => {
                    add(&mut addresses, GatewayAddress::parse(value).ok_or(NotAnInvite::Address)?)?;
                }
                ("k" | "K", None, None) => {
                    gateway = Some(fingerprint(value).ok_or(NotAnInvite::Fingerprint)?);
                }
                ("c" | "C", _, None) => code = Some(scanned(value).ok_or(NotAnInvite::Code)?),
                ("a" | "A" | "k" | "K" | "c" | "C", ..) => return Err(NotAnInvite::Order),
                _ => return Err(NotAnInvite::Parameter),
            }
        }
        match (gateway, code) {
            (Some(gateway), Some(code)) if !addresses.is_empty() => {
                Ok(Self { addresses, gateway, code })
            }
            _ => Err(NotAnInvite::Missing),
        }
    }

    /// Returns the gateway's addresses: one to three, all different, in the order in which the node
    /// tries them.
    #[must_use]
    pub fn addresses(&self) -> &[GatewayAddress<'b>] {
        &self.addresses
    }

    /// Returns the fingerprint of the inviting gateway's key. A gateway with another key is an
    /// impostor.
    #[must_use]
    pub const fn gateway(&self) -> &Fingerprint {
        &self.gateway
    }

    /// Returns the public name of the code.
    #[must_use]
    pub const fn selector(&self) -> Selector {
        self.code.selector
    }

    /// Returns the secret of the code.
    #[must_use]
    pub const fn code(&self) -> &Code {
        &self.code.code
    }

    /// Returns both parts of the code, for the machine that proves it.
    #[must_use]
    pub fn into_code(self) -> TypedCode {
        self.code
    }

    /// Writes the invitation as a line to copy; returns `None` if `out` is too short.
    /// [`INVITE_BYTES`] always suffice. The line holds the secret, so anyone who reads it can pair.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Option<&'o str> {
        let mut cursor = Cursor::new(out);
        self.put(&mut cursor).ok()?;
        cursor.finish()
    }

    /// Writes the invitation in upper case, which takes the fewest modules in a QR code.
    pub fn write_for_qr<'o>(&self, out: &'o mut [u8]) -> Option<&'o str> {
        let length = self.write(out)?.len();
        let written = out.get_mut(..length)?;
        // Upper case selects the alphanumeric mode of QR codes, which needs fewer modules.
        written.make_ascii_uppercase();
        core::str::from_utf8(written).ok()
    }

    fn put(&self, to: &mut impl Write) -> fmt::Result {
        write!(to, "{SCHEME}:{VERSION}?")?;
        for address in &self.addresses {
            write!(to, "a={address}&")?;
        }
        let secret = core::str::from_utf8(self.code.code.expose()).map_err(|_| fmt::Error)?;
        write!(to, "k={}&c={}-{secret}", self.gateway, self.code.selector.as_str())
    }
}

/// Appends an address, unless it is present or the list is full.
fn add<'b>(
    to: &mut Vec<GatewayAddress<'b>, INVITE_ADDRESSES>,
    address: GatewayAddress<'b>,
) -> Result<(), NotAnInvite> {
    if to.contains(&address) {
        return Err(NotAnInvite::RepeatedAddress);
    }
    to.push(address).map_err(|_| NotAnInvite::TooManyAddresses)
}

/// Reads a fingerprint in any case; people's comparison takes upper case only.
fn fingerprint(text: &str) -> Option<Fingerprint> {
    let mut characters: [u8; FINGERPRINT_CHARS] = text.as_bytes().try_into().ok()?;
    characters.make_ascii_uppercase();
    Fingerprint::parse(core::str::from_utf8(&characters).ok()?).ok()
}

/// Reads a code in the only form of invitations: with a single dash.
fn scanned(text: &str) -> Option<TypedCode> {
    let (selector, secret) = text.split_once('-')?;
    let selector = Selector::parse(selector)?;
    // `Code` ignores dashes, and an invitation has only the one before the secret.
    is_scanned(secret.as_bytes()).then_some(())?;
    Some(TypedCode { selector, code: Code::parse(secret).ok()? })
}

/// Returns `true` if a secret is long enough for an invitation and holds only letters and digits.
fn is_scanned(secret: &[u8]) -> bool {
    secret.len() >= INVITE_SECRET_CHARS_MIN && secret.iter().all(u8::is_ascii_alphanumeric)
}

/// A writer into a buffer; a write that does not fit fails.
struct Cursor<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Cursor<'o> {
    const fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    fn finish(self) -> Option<&'o str> {
        core::str::from_utf8(self.out.get(..self.len)?).ok()
    }
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        self.out.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A counter of bytes, with which no secret is left in a buffer.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}
