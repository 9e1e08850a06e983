//! The signing key of a node that was paired by its static key alone.
//!
//! A node that registers over HTTP names its static key only, and proves its signing key when it
//! first asks over the native wire. Tokens and certificates are for both keys, so it is given a
//! grant for both, with the rights and the end of the one that it had.

use handfast_core::flow::native::settle::offered_again;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::Record;
use handfast_store::{SaveError, StoreError, Stored};

use super::grants::{FreshGrant, offer_with};
use crate::events::Event;
use crate::gateway::Gateway;
use crate::policy::request::{OwnedRequest, OwnedVerdict};

/// The outcome of looking for a signing key that the registry does not have.
pub(super) enum SigningKeyNews {
    /// The request proves none, or the record has one.
    Nothing,
    /// The key is recorded, and the node is offered its grant for both keys.
    Offered(Box<OwnedVerdict>),
    /// The record changed meanwhile.
    Conflict,
}

impl Gateway {
    /// Records the signing key that a paired node has proven with its request, if the registry has
    /// none, and offers the node its rights anew.
    pub(super) async fn with_signing_key(
        &self,
        request: &OwnedRequest,
        stored: Option<&Stored>,
    ) -> Result<SigningKeyNews, StoreError> {
        let Some(Stored { record, version, .. }) = stored else {
            return Ok(SigningKeyNews::Nothing);
        };
        let Some(keys) = record.keys.and_then(|keys| keys.completed_by(request.signing)) else {
            return Ok(SigningKeyNews::Nothing);
        };
        let inner = &self.inner;
        let moment = inner.clock.moment();
        let grants = inner.store.grants(record.node_id).await?;
        let Ok(Grant { scopes, expires: Some(ends), maker, .. }) = offered_again(&grants, &moment)
        else {
            return Ok(SigningKeyNews::Nothing);
        };
        let (scopes, now) = (scopes.clone(), moment.now);
        let FreshGrant { grant, chain } = match self.fresh_grant(
            record.node_id,
            &keys,
            scopes,
            (*ends, *maker),
            now,
        ) {
            Ok(grant) => grant,
            Err(error) => {
                tracing::error!(node_id = %record.node_id, ?error, "no capability can be issued for the node's signing key");
                return Ok(SigningKeyNews::Nothing);
            }
        };
        let record = Record { keys: Some(keys), ..record.clone() };
        let (profile, id) = (request.profile.clone(), grant.id);
        match self
            .store()
            .offer(record.clone(), profile, Some(*version), grant.clone(), None, now)
            .await
        {
            Ok(_) => {}
            Err(SaveError::Conflict | SaveError::Missing) => return Ok(SigningKeyNews::Conflict),
            Err(SaveError::Store(error)) => return Err(error),
        }
        self.event(Event::GrantOffered { node_id: record.node_id, grant: id });
        let verdict = OwnedVerdict::Offered(offer_with(&record, &grant, chain, None));
        Ok(SigningKeyNews::Offered(Box::new(verdict)))
    }
}
