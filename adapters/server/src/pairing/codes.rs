//! Codes that the operator mints beforehand: to be scanned, or to be typed.

use std::time::Duration;

use handfast_core::crypto::code::{Alphabet, Code};
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::INVITE_BYTES;
use handfast_core::registry::authority::{Authority, Maker, Until};
use handfast_core::registry::codes::{CodeId, Counted, Kind, is_live};
use handfast_core::registry::delivery::{Outcome, Ticket};
use handfast_core::text::is_forbidden;
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_core::wire::invite::{Invite, TypedCode};
use handfast_core::wire::native::pair::Selector;
use handfast_store::held::Cut;
use handfast_store::{Delivered, NotMinted};

use super::settings::OPEN_FOR;
use crate::chance;
use crate::gateway::{Gateway, OperatorError};

/// Characters of the secret in a QR code: 80 bits.
const SCANNED_CHARS: usize = 16;
/// How often another selector is drawn.
const MOST_DRAWS: usize = 16;
/// Most characters of what people call a code.
const LABEL_CHARS: usize = 64;

/// How a code gets to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CodeKind {
    /// Scanned or copied: a secret of 80 bits.
    #[default]
    Qr,
    /// Typed: as long as a PIN, six characters at least.
    Typed,
}

/// What code is to be minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// What whoever pairs with it may do; as the settings say, if it does not say.
    pub permissions: Option<ScopesBuf>,
    /// How long the code lives, in whole seconds; five minutes, if it does not say, or as long as
    /// whoever mints it may.
    pub expires: Option<Duration>,
    /// How many nodes may pair with it.
    pub uses: u64,
    /// How long the grant lives that it brings, in whole seconds; as the settings say, if it does
    /// not say.
    pub grant_for: Option<Duration>,
    /// What people call it; at most 64 characters.
    pub label: String,
    /// How it gets to the node.
    pub kind: CodeKind,
}

impl Default for NewCode {
    /// A QR code for one node and five minutes.
    fn default() -> Self {
        Self {
            permissions: None,
            expires: None,
            uses: 1,
            grant_for: None,
            label: String::new(),
            kind: CodeKind::Qr,
        }
    }
}

/// A code that was just minted; the only time its secret is shown.
#[derive(Debug)]
pub struct MintedCode {
    /// Which.
    pub id: CodeId,
    /// Its public and its secret part.
    pub code: TypedCode,
    /// From then on it is dead.
    pub expires: UnixTime,
    /// How it is to be [confirmed](Gateway::confirm_delivery), and until when.
    pub delivery: Ticket,
}

impl MintedCode {
    /// Selector, dash and secret, as people carry it.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}-{}",
            self.code.selector.as_str(),
            std::str::from_utf8(self.code.code.expose()).unwrap_or_default()
        )
    }
}

/// A PIN or code that lives, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCode {
    /// Which.
    pub id: CodeId,
    /// What it is for, and what is counted of it.
    pub counted: Counted,
    /// What whoever pairs with it may do; empty for a PIN, which brings what the handler decides.
    pub permissions: ScopesBuf,
    /// When it was minted.
    pub created: UnixTime,
    /// What people call it.
    pub label: String,
    /// Who minted it.
    pub maker: Maker,
}

impl Gateway {
    /// Mints a code. It needs no open pairing: minting it is the operator's word.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for what cannot be minted, or if too many codes live already;
    /// [`OperatorError::Store`].
    pub async fn mint_code(&self, new: NewCode) -> Result<MintedCode, OperatorError> {
        self.mint_code_by(&Authority::OWNER, new).await
    }

    /// The same by somebody's right: a delegated one mints nothing wider or longer than itself,
    /// also where something is left out, and what it minted ends with it.
    ///
    /// # Errors
    /// As for [`Gateway::mint_code`], and [`OperatorError::Wider`].
    pub async fn mint_code_by(
        &self,
        authority: &Authority,
        new: NewCode,
    ) -> Result<MintedCode, OperatorError> {
        let NewCode { permissions, expires, uses, grant_for, label, kind } = new;
        let usage = |problem: &str| Err(OperatorError::Usage(problem.to_owned()));
        if expires.is_some_and(|lives| lives.as_secs() == 0)
            || grant_for.is_some_and(|lives| lives.as_secs() == 0)
        {
            return usage("a code, and the grant that it brings, live for a second at least");
        }
        if uses == 0 {
            return usage("a code is for one node at least");
        }
        if label.chars().count() > LABEL_CHARS || label.chars().any(is_forbidden) {
            return usage("what a code is called has at most 64 characters, on one line");
        }
        let pairing = &self.inner.pairing;
        let (alphabet, length) = match kind {
            CodeKind::Qr => (Alphabet::Unambiguous, SCANNED_CHARS),
            CodeKind::Typed => {
                (pairing.settings.pin_alphabet, usize::from(pairing.settings.pin_length.max(6)))
            }
        };
        let now = self.inner.clock.unix();
        let scopes = permissions.unwrap_or_else(|| pairing.settings.default_permissions.clone());
        let lives = Span::from_secs(expires.unwrap_or(OPEN_FOR).as_secs());
        let grants = grant_for.map(|lives| Span::from_secs(lives.as_secs()));
        let until = if expires.is_some() {
            Until::Exactly(now.after(lives))
        } else {
            Until::AtMost(now.after(lives))
        };
        let expires = authority.mint(&scopes.scopes(), until)?;
        if let Some(lives) = grants {
            authority.mint(&scopes.scopes(), Until::Exactly(now.after(lives)))?;
        }
        pairing
            .settings
            .bounds
            .check_code(lives, uses, grants)
            .map_err(|which| self.exceeded(which))?;
        let (uses, maker) = (u8::try_from(uses).unwrap_or(u8::MAX), authority.maker()?);
        for _ in 0..MOST_DRAWS {
            let (id, selector) = (CodeId::new(&chance::draw()), Selector::mint(&chance::draw()));
            let Some(code) = Code::mint(alphabet, length, &chance::draw()) else {
                return usage("there is no code of that length");
            };
            let minted = handfast_store::Code {
                id,
                counted: Counted {
                    kind: Kind::Code(selector),
                    expires,
                    guesses: 0,
                    uses_left: uses,
                },
                sealed: pairing.seal.seal_code(id.as_bytes(), &code),
                scopes: scopes.clone(),
                grant_for: grant_for.map(|lives| lives.as_secs()),
                created_at: now,
                label: label.clone(),
                maker,
                source: None,
            };
            // Ahead of the code, so that there is none without it.
            let delivery = self.begin_delivery(Delivered::Code(id)).await?;
            let outcome = self.inner.store.mint(minted, now).await?;
            if outcome.is_err() {
                let _nothing_is_on_its_way =
                    self.inner.store.settle(delivery.id, Outcome::Cancelled, now).await?;
            }
            match outcome {
                Ok(()) => {
                    return Ok(MintedCode {
                        id,
                        code: TypedCode { selector, code },
                        expires,
                        delivery,
                    });
                }
                Err(NotMinted::Taken) => {}
                Err(NotMinted::TooMany) => {
                    return usage(
                        "too many codes live already; withdraw some, or wait until they expire",
                    );
                }
                Err(NotMinted::Closed | NotMinted::Locked) => {
                    return usage("pairing is closed; open it first");
                }
                Err(NotMinted::MakerEnded) => return Err(self.has_ended(maker)),
            }
        }
        usage("no free selector was found; withdraw some codes")
    }

    /// Whose right has ended while it was used.
    pub(crate) fn has_ended(&self, maker: Maker) -> OperatorError {
        OperatorError::NoSuchSession(
            maker.session().map(|id| hex(id.as_bytes())).unwrap_or_default(),
        )
    }

    /// The fingerprint of this gateway, for nodes and people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.keys().channel.public())
    }

    /// Writes a code as an invitation: with this gateway's fingerprint, and where nodes reach it
    /// (the settings' addresses, if none are named).
    ///
    /// # Errors
    /// [`OperatorError::Usage`] with what is wrong with the addresses, or that there are none.
    pub fn invitation(
        &self,
        minted: MintedCode,
        addresses: &[String],
    ) -> Result<String, OperatorError> {
        let usage = |problem: String| OperatorError::Usage(problem);
        let mut read = Vec::new();
        for text in self.addresses(addresses) {
            let not_one = || {
                format!(
                    "{text:?} is no address of a gateway: it reads ws://host:port, wss://host:port or tcp://host:port"
                )
            };
            read.push(GatewayAddress::parse(text).ok_or_else(|| usage(not_one()))?);
        }
        if read.is_empty() {
            return Err(usage(
                "an invitation needs an address by which nodes reach this gateway; name one"
                    .to_owned(),
            ));
        }
        let invite = Invite::new(&read, self.fingerprint(), minted.code);
        let invite =
            invite.map_err(|wrong| usage(format!("no invitation can be made: {wrong}")))?;
        let mut out = zeroize::Zeroizing::new([0; INVITE_BYTES]);
        let text = invite.write(&mut *out).map(str::to_owned);
        text.ok_or_else(|| usage("no invitation can be made: it is too long".to_owned()))
    }

    /// Where nodes reach this gateway: the settings' addresses, if none are named.
    pub(crate) fn addresses<'a>(&'a self, named: &'a [String]) -> &'a [String] {
        if named.is_empty() { &self.inner.pairing.settings.addresses } else { named }
    }

    /// The PINs and codes that may be used now, the newest first: those that have expired or are
    /// spent or locked are not among them, nor PINs while pairing is not open.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn codes(&self) -> Result<Vec<LiveCode>, OperatorError> {
        let now = self.inner.clock.unix();
        let window = self.inner.store.window().await?;
        let mut live = self.inner.store.codes(now).await?;
        let guessers = self.inner.store.guessers().await?;
        live.retain(|code| {
            let guesser = guessers.iter().find(|guesser| Some(guesser.source) == code.source);
            is_live(&code.counted, &window, guesser.map_or(0, |guesser| guesser.guesses), now)
        });
        let view = |code: handfast_store::Code| LiveCode {
            id: code.id,
            counted: code.counted,
            permissions: code.scopes,
            created: code.created_at,
            label: code.label,
            maker: code.maker,
        };
        Ok(live.into_iter().map(view).collect())
    }

    /// Kills a PIN or code that lives, even if somebody is about to prove it.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchCode`] if none with this id lives, and [`OperatorError::Store`].
    pub async fn withdraw_code(&self, id: CodeId) -> Result<(), OperatorError> {
        let stored = self.inner.store.withdraw(id, self.inner.clock.unix());
        match self
            .cut(Cut::Code(id), format!("code {}", hex(id.as_bytes())), |_| (), stored)
            .await?
        {
            true => Ok(()),
            false => Err(OperatorError::NoSuchCode(hex(id.as_bytes()))),
        }
    }
}

/// Bytes as lower-case hex, as ids of codes and grants are shown.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
