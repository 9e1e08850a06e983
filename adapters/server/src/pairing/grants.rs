//! Creation of grants, their capability tokens, and the offers that carry them.

use handfast_core::grant::capability::{self, BlockTerms, CannotIssue, Holder};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::{CAPABILITY_BYTES, OFFERED_FOR};
use handfast_core::registry::authority::Maker;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::Record;
use handfast_core::wire::native::ReasonText;
use handfast_core::{NodeId, UnixTime};

use crate::entropy;
use crate::gateway::Gateway;
use crate::policy::request::OwnedOffer;

/// A grant that is not in the registry yet, and its capability token.
#[derive(Clone, Debug)]
pub(crate) struct FreshGrant {
    pub(crate) grant: Grant,
    /// `None` for a grant without scopes or without an end.
    pub(super) chain: Option<Vec<u8>>,
}

impl Gateway {
    /// Creates a grant that begins now, ends at the given time and has the given maker.
    pub(super) fn fresh_grant(
        &self,
        node_id: NodeId,
        holder: &Holder,
        scopes: ScopesBuf,
        (ends, maker): (UnixTime, Maker),
        now: UnixTime,
    ) -> Result<FreshGrant, CannotIssue> {
        let grant = Grant {
            id: GrantId::new(&entropy::draw()),
            node_id,
            // The token is made from the grant, so its id is entered after that.
            capability: None,
            scopes,
            not_before: now,
            expires: Some(ends),
            moved: 0,
            state: State::Offered { until: now.after(OFFERED_FOR) },
            maker,
        };
        let (capability, chain) = self.capability(holder, &grant)?.unzip();
        Ok(FreshGrant { grant: Grant { capability, ..grant }, chain })
    }

    /// Issues the capability token of a grant, and returns its id and bytes; they are the same each
    /// time. Returns `None` for a grant without scopes or without an end.
    pub(super) fn capability(
        &self,
        holder: &Holder,
        grant: &Grant,
    ) -> Result<Option<(capability::Id, Vec<u8>)>, CannotIssue> {
        let scopes = grant.scopes.scopes();
        let (not_before, expires) = grant.as_issued();
        let Some(expires) = expires.filter(|_| !scopes.as_slice().is_empty()) else {
            return Ok(None);
        };
        let terms = BlockTerms { scopes, not_before, expires, audience: None };
        let mut out = [0; CAPABILITY_BYTES];
        let chain = capability::issue(&self.keys().signing, holder, &terms, &mut out)?;
        Ok(Some((*chain.root().id(), chain.as_bytes().to_vec())))
    }

    /// Builds the offer that the node of a grant receives. Returns `None` if its capability token
    /// cannot be reproduced, because the grant was made for other keys than the node has now.
    pub(super) fn offer_of(
        &self,
        record: &Record,
        grant: &Grant,
        message: Option<String>,
    ) -> Option<OwnedOffer> {
        let made = self.capability(record.keys.as_ref()?, grant).ok()?;
        // The token is not stored but made again; for other keys its id differs.
        if made.as_ref().map(|(id, _)| *id) != grant.capability {
            return None;
        }
        Some(offer_with(record, grant, made.map(|(_, bytes)| bytes), message))
    }
}

/// Builds the offer of a grant whose capability token is at hand.
pub(super) fn offer_with(
    record: &Record,
    grant: &Grant,
    chain: Option<Vec<u8>>,
    message: Option<String>,
) -> OwnedOffer {
    let message = message.filter(|text| {
            let fits = ReasonText::parse(text).is_some();
            if !fits {
                tracing::warn!(node_id = %record.node_id, "what was to be said to the node is too long or not one line; it is not said");
            }
            fits
        });
    OwnedOffer {
        id: grant.id,
        node_id: record.node_id,
        room: record.room.clone(),
        token: None,
        chain,
        message,
    }
}
