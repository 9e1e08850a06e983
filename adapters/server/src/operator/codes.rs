//! Pairing codes that the operator mints in advance, to be scanned or typed.

use std::time::Duration;

use handfast_core::crypto::code::{Alphabet, Code};
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::INVITE_BYTES;
use handfast_core::registry::authority::{Authority, Maker, Until};
use handfast_core::registry::codes::{CodeId, Counted, Kind, NoGuess, is_live};
use handfast_core::registry::delivery::Ticket;
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_core::wire::invite::{Invite, TypedCode};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Label, Name, Span, UnixTime};
use handfast_store::held::Cut;
use handfast_store::{CODES, CODES_AT_ONCE, NotMinted, StoredCode};

use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::hex::hex;
use crate::policy::settings::OPEN_FOR;

/// Characters of the secret in a QR code: 130 bits.
const SCANNED_CHARS: usize = 26;
/// Characters of the secret of a code of letters and digits that is typed: 40 bits.
const TYPED_CHARS: usize = 8;
/// Maximum number of draws of a free selector.
const MOST_DRAWS: usize = 16;
/// Maximum length of a code's label in characters.
const LABEL_CHARS: usize = 64;

/// The way in which a code reaches the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CodeKind {
    /// Scanned or copied: a secret of 130 bits.
    #[default]
    Qr,
    /// Typed: letters and digits, a secret of 40 bits.
    Letters,
    /// Typed: as long as a PIN, but at least six characters.
    Typed,
}

/// Options of a new code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// Permissions of the nodes that pair with the code; `None` for those of the settings.
    pub permissions: Option<ScopesBuf>,
    /// Lifetime of the code in whole seconds. `None` for five minutes, or less if the minting
    /// authority ends earlier.
    pub expires: Option<Duration>,
    /// Number of nodes that may pair with the code; at least 1.
    pub uses: u64,
    /// Lifetime of the resulting grant in whole seconds; `None` for that of the settings.
    pub grant_for: Option<Duration>,
    /// Label for people; at most 64 characters on one line.
    pub label: String,
    /// The way in which the code reaches the node.
    pub kind: CodeKind,
}

impl Default for NewCode {
    /// Returns the options of a QR code for one node, valid for five minutes.
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

/// A code that was just minted. Its secret is shown only now.
#[derive(Debug)]
pub struct MintedCode {
    /// Id of the code in the registry.
    pub id: CodeId,
    /// The public selector and the secret.
    pub code: TypedCode,
    /// End of the code's validity.
    pub expires: UnixTime,
    /// Permissions of the nodes that pair with the code.
    pub permissions: ScopesBuf,
    /// Ticket for [`Gateway::confirm_delivery`], with its deadline.
    pub delivery: Ticket,
}

impl MintedCode {
    /// Returns selector, dash and secret, the form that people carry.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}-{}",
            self.code.selector.as_str(),
            std::str::from_utf8(self.code.code.expose()).unwrap_or_default()
        )
    }
}

/// What new codes are to be, checked.
struct CodePlan {
    alphabet: Alphabet,
    length: usize,
    expires: UnixTime,
    uses: u8,
    scopes: ScopesBuf,
    grant_for: Option<u64>,
    label: String,
    maker: Maker,
}

/// A PIN or code that can be used now, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCode {
    /// Id of the code in the registry.
    pub id: CodeId,
    /// Kind, expiry, guesses and remaining uses.
    pub counted: Counted,
    /// Permissions of the nodes that pair with it; empty for a PIN, whose permissions the handler
    /// decides.
    pub permissions: ScopesBuf,
    /// Time at which it was minted.
    pub created: UnixTime,
    /// Label for people; may be empty.
    pub label: String,
    /// The maker, with whose right it ends.
    pub maker: Maker,
    /// The name of the node that may register by a provisioning token.
    pub provisions: Option<Name>,
}

impl Gateway {
    /// Mints a code. Pairing by PIN may be closed: the operator approves by minting.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for invalid options, or if too many codes are valid already;
    /// [`OperatorError::Store`] if the registry fails.
    pub async fn mint_code(&self, new: NewCode) -> Result<MintedCode, OperatorError> {
        self.mint_code_by(&Authority::OWNER, new).await
    }

    /// Mints a code with an authority. A delegated one mints nothing wider or longer-lived than
    /// itself, not even by default, and its codes end with it.
    ///
    /// # Errors
    /// As for [`Gateway::mint_code`], and [`OperatorError::Wider`].
    pub async fn mint_code_by(
        &self,
        authority: &Authority,
        new: NewCode,
    ) -> Result<MintedCode, OperatorError> {
        let mut minted = self.mint_codes_by(authority, new, 1).await?;
        minted.pop().ok_or_else(|| OperatorError::Usage("no code was asked for".to_owned()))
    }

    /// Mints many codes of one kind with an authority: all of them or none, in one step. Each has a
    /// delivery of its own, so that the first use of one confirms no other.
    ///
    /// # Errors
    /// As for [`Gateway::mint_code_by`]; [`OperatorError::Usage`] also for none, or for more than
    /// [`CODES_AT_ONCE`].
    pub async fn mint_codes_by(
        &self,
        authority: &Authority,
        new: NewCode,
        count: usize,
    ) -> Result<Vec<MintedCode>, OperatorError> {
        if !(1..=CODES_AT_ONCE).contains(&count) {
            return Err(OperatorError::Usage(format!(
                "{count} codes cannot be made at once: between 1 and {CODES_AT_ONCE} are, because \
                 they are stored in one step, which holds up every other, and at most {CODES} codes \
                 live; make the others by a call of their own"
            )));
        }
        let now = self.inner.clock.unix();
        let plan = self.plan_codes(authority, new, now)?;
        for _ in 0..MOST_DRAWS {
            let drawn =
                (0..count).map(|_| self.draw_code(&plan, now)).collect::<Result<Vec<_>, _>>()?;
            let stored = drawn.iter().map(|(stored, minted)| (stored.clone(), minted.delivery));
            match self.store().mint_all(stored.collect(), now).await? {
                Ok(()) => {
                    self.delivery_begun();
                    self.changed("code");
                    return Ok(drawn.into_iter().map(|(_, minted)| minted).collect());
                }
                // Another code has one of these selectors: the next draw has others.
                Err(NotMinted::Taken) => {}
                Err(NotMinted::TooMany) => {
                    return Err(OperatorError::Usage(format!(
                        "too many codes live already: at most {CODES}, of which sessions make three \
                         quarters; withdraw some, or wait until they expire"
                    )));
                }
                Err(NotMinted::Closed | NotMinted::Locked) => {
                    return Err(OperatorError::Usage(
                        "pairing is closed; open it first".to_owned(),
                    ));
                }
                Err(NotMinted::MakerEnded) => return Err(self.has_ended(plan.maker)),
            }
        }
        Err(OperatorError::Usage("no free selector was found; withdraw some codes".to_owned()))
    }

    /// Checks the options of new codes against the settings and the authority.
    fn plan_codes(
        &self,
        authority: &Authority,
        new: NewCode,
        now: UnixTime,
    ) -> Result<CodePlan, OperatorError> {
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
        if !is_label(&label) {
            return usage("what a code is called has at most 64 characters, on one line");
        }
        let pairing = &self.inner.pairing;
        let (alphabet, length) = match kind {
            CodeKind::Qr => (Alphabet::Unambiguous, SCANNED_CHARS),
            CodeKind::Letters => (Alphabet::Unambiguous, TYPED_CHARS),
            CodeKind::Typed => {
                (pairing.settings.pin_alphabet, usize::from(pairing.settings.pin_length.max(6)))
            }
        };
        let scopes = permissions.unwrap_or_else(|| pairing.settings.default_permissions.clone());
        let lives = Span::from_secs(expires.unwrap_or(OPEN_FOR).as_secs());
        let grants = grant_for.map(|lives| Span::from_secs(lives.as_secs()));
        // A named life is refused if it is too long; the default is shortened to the authority's.
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
        Ok(CodePlan {
            alphabet,
            length,
            expires,
            uses: u8::try_from(uses).unwrap_or(u8::MAX),
            scopes,
            grant_for: grant_for.map(|lives| lives.as_secs()),
            label,
            maker: authority.code_maker()?,
        })
    }

    /// Draws a code with its ids, its secret and its delivery.
    fn draw_code(
        &self,
        plan: &CodePlan,
        now: UnixTime,
    ) -> Result<(StoredCode, MintedCode), OperatorError> {
        let (id, selector) = (CodeId::new(&entropy::draw()), Selector::mint(&entropy::draw()));
        let Some(code) = Code::mint(plan.alphabet, plan.length, &entropy::draw()) else {
            return Err(OperatorError::Usage("there is no code of that length".to_owned()));
        };
        let stored = StoredCode {
            id,
            counted: Counted {
                kind: Kind::Code(selector),
                expires: plan.expires,
                guesses: 0,
                uses_left: plan.uses,
            },
            sealed: self.inner.pairing.seal.seal_code(id.as_bytes(), &code),
            scopes: plan.scopes.clone(),
            grant_for: plan.grant_for,
            created_at: now,
            label: plan.label.clone(),
            maker: plan.maker,
            source: None,
            provisions: None,
        };
        let minted = MintedCode {
            id,
            code: TypedCode { selector, code },
            expires: plan.expires,
            permissions: plan.scopes.clone(),
            delivery: self.ticket(),
        };
        Ok((stored, minted))
    }

    /// Returns the error for a session that ended while its right was in use.
    pub(crate) fn has_ended(&self, maker: Maker) -> OperatorError {
        let id = match maker {
            Maker::Operator => String::new(),
            Maker::Session(id) => hex(id.as_bytes()),
            Maker::Login(id) => hex(id.as_bytes()),
        };
        OperatorError::NoSuchSession(id)
    }

    /// Returns the fingerprint of this gateway's static key, for nodes and people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.keys().channel.public())
    }

    /// Writes a code as an invitation, with this gateway's fingerprint and the given addresses;
    /// without any, with those of the settings.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] if an address is invalid, or if there is none.
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
        // The invitation contains the secret, so its buffer is wiped.
        let mut out = zeroize::Zeroizing::new([0; INVITE_BYTES]);
        let text = invite.write(&mut *out).map(str::to_owned);
        text.ok_or_else(|| usage("no invitation can be made: it is too long".to_owned()))
    }

    /// Returns the named addresses, or those of the settings if none are named.
    pub(crate) fn addresses<'a>(&'a self, named: &'a [String]) -> &'a [String] {
        if named.is_empty() { &self.inner.pairing.settings.addresses } else { named }
    }

    /// Returns the PINs and codes that can be used now, the newest first. Expired, spent and locked
    /// ones are left out, and so are PINs while pairing is closed.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if the registry cannot be read.
    pub async fn codes(&self) -> Result<Vec<LiveCode>, OperatorError> {
        let now = self.inner.clock.unix();
        let window = self.inner.store.window().await?;
        let mut live = self.inner.store.codes(now).await?;
        let guessers = self.inner.store.guessers().await?;
        live.retain(|code| {
            // A source that guessed too often has no usable PIN, though others have.
            let guesser = guessers.iter().find(|guesser| Some(guesser.source) == code.source);
            is_live(&code.counted, &window, guesser.map_or(0, |guesser| guesser.guesses), now)
        });
        let view = |code: StoredCode| LiveCode {
            id: code.id,
            counted: code.counted,
            permissions: code.scopes,
            created: code.created_at,
            label: code.label,
            maker: code.maker,
            provisions: code.provisions,
        };
        Ok(live.into_iter().map(view).collect())
    }

    /// Withdraws a PIN or code, even while a node is proving it.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchCode`] if no valid code has this id, and [`OperatorError::Store`].
    pub async fn withdraw_code(&self, id: CodeId) -> Result<(), OperatorError> {
        let store = self.store();
        let stored = store.withdraw(id, self.inner.clock.unix());
        match self
            .cut(
                Cut::Code(id),
                format!("code {}", hex(id.as_bytes())),
                |gateway| gateway.inner.hub.pin_ended(id, NoGuess::Expired),
                stored,
            )
            .await?
        {
            true => {
                self.changed("code");
                Ok(())
            }
            false => Err(OperatorError::NoSuchCode(hex(id.as_bytes()))),
        }
    }
}

/// Returns `true` for a text that may be a code's label.
pub(super) fn is_label(text: &str) -> bool {
    text.chars().count() <= LABEL_CHARS && !text.chars().any(Label::forbids)
}
