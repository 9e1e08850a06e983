//! Provisioning tokens, with which a phone lets a node register.

use std::time::Duration;

use handfast_core::grant::keyed_secret::{KEYED_SECRET_CHARS, KeyedSecret, SecretUse};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::PROVISIONING_TOKEN_LIFE;
use handfast_core::registry::authority::{Authority, Until};
use handfast_core::registry::codes::{CodeId, Counted, Kind};
use handfast_core::{Label, Name, NodeId, Span, UnixTime};
use handfast_store::{NotMinted, StoredCode};
use zeroize::Zeroizing;

use super::codes::is_label;
use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// Options of a new provisioning token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewProvisioningToken {
    /// The name by which the node will register: 1 to 64 characters on one line.
    pub node: String,
    /// Permissions of the node; `None` for those of the settings.
    pub permissions: Option<ScopesBuf>,
    /// Lifetime of the node's grant in whole seconds; `None` for that of the settings.
    pub grant_for: Option<Duration>,
    /// Label for people; at most 64 characters on one line.
    pub label: String,
}

/// A provisioning token that was just minted. Its text is shown only now.
pub struct ProvisioningToken {
    /// Id of the token, by which it is [listed](Gateway::codes) and
    /// [withdrawn](Gateway::withdraw_code).
    pub id: CodeId,
    /// The token.
    pub text: Zeroizing<String>,
    /// The name of the node that may register.
    pub node: Name,
    /// End of its validity.
    pub expires: UnixTime,
    /// Time until then.
    pub lives: Span,
}

impl std::fmt::Debug for ProvisioningToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProvisioningToken({}, redacted)", self.node)
    }
}

impl Gateway {
    /// Mints a token with an authority: for ten minutes, or less if the authority ends earlier. A
    /// delegated authority mints nothing wider than itself, and its tokens end with it.
    ///
    /// The token has no [delivery](Gateway::confirm_delivery): whoever asks for it in the dialect
    /// of command centers cannot confirm it, and it ends soon by itself.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for invalid options, or if too many codes and tokens are valid
    /// already; [`OperatorError::Wider`]; [`OperatorError::Store`] if the registry fails.
    pub async fn mint_provisioning_token_by(
        &self,
        authority: &Authority,
        new: NewProvisioningToken,
    ) -> Result<ProvisioningToken, OperatorError> {
        let NewProvisioningToken { node, permissions, grant_for, label } = new;
        let usage = |problem: &str| OperatorError::Usage(problem.to_owned());
        let name = Label::parse(&node).filter(|name| name.as_str() == node);
        let name = name.map(Name::from).ok_or_else(|| {
            usage("a provisioning token is for one node: name it with 1 to 64 characters, on one line")
        })?;
        if !is_label(&label) {
            return Err(usage("what a token is called has at most 64 characters, on one line"));
        }
        if grant_for.is_some_and(|lives| lives.as_secs() == 0) {
            return Err(usage("the grant that a token brings lives for a second at least"));
        }
        let (pairing, now) = (&self.inner.pairing, self.inner.clock.unix());
        let scopes = permissions.unwrap_or_else(|| pairing.settings.default_permissions.clone());
        let grants = grant_for.map(|lives| Span::from_secs(lives.as_secs()));
        let until = Until::AtMost(now.after(PROVISIONING_TOKEN_LIFE));
        let expires = authority.mint(&scopes.scopes(), until)?;
        if let Some(lives) = grants {
            authority.mint(&scopes.scopes(), Until::Exactly(now.after(lives)))?;
        }
        let bounds = &pairing.settings.bounds;
        bounds
            .check_code(PROVISIONING_TOKEN_LIFE, 1, grants)
            .map_err(|which| self.exceeded(which))?;
        let token =
            KeyedSecret::mint(SecretUse::ProvisioningToken, &entropy::draw(), &entropy::draw());
        let (id, maker) = (CodeId::from_bytes(*token.id()), authority.code_maker()?);
        let minted = StoredCode {
            id,
            counted: Counted { kind: Kind::Provisioning, expires, guesses: 0, uses_left: 1 },
            sealed: token.hash().as_bytes().to_vec(),
            scopes,
            grant_for: grant_for.map(|lives| lives.as_secs()),
            created_at: now,
            label,
            maker,
            source: None,
            provisions: Some(name.clone()),
        };
        match self.store().mint(minted, now).await? {
            Ok(()) => self.changed("code"),
            Err(NotMinted::MakerEnded) => return Err(self.has_ended(maker)),
            // A token has no selector and needs no open window, so only the limit is left.
            Err(NotMinted::TooMany | NotMinted::Taken | NotMinted::Closed | NotMinted::Locked) => {
                return Err(usage(
                    "too many codes and tokens live already; withdraw some, or wait until they \
                     expire",
                ));
            }
        }
        let mut room = Zeroizing::new([0; KEYED_SECRET_CHARS]);
        let text = Zeroizing::new(token.write(&mut room).to_owned());
        let lives = Span::from_secs(expires.as_secs().saturating_sub(now.as_secs()));
        Ok(ProvisioningToken { id, text, node: name, expires, lives })
    }
    /// Returns the name by which a node registered; `None` for a node of another flow.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if the registry cannot be read.
    pub async fn registered_name(&self, node_id: NodeId) -> Result<Option<Name>, OperatorError> {
        Ok(self.inner.store.provisioned(node_id).await?.map(|node| node.external))
    }
}
