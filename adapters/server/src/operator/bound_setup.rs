//! Setup codes that pair a node with keys: the grant is bound to the key that presented the code.

use handfast_core::flow::native::settle::{
    PolicyVerdict, Proven, SettleRequest, Settlement, not_redeemed, settle,
};
use handfast_core::registry::record::Mode;
use handfast_core::registry::sessions::NotRedeemed;
use handfast_store::{SaveError, StoreError, Yield};

use super::sessions::Redeemable;
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::policy::request::{OwnedRefusal, OwnedRequest, OwnedVerdict};
use crate::policy::rules::ApprovalTerms;
use crate::telemetry::Verification;
use crate::telemetry::log_lines::{CausedBy, limited};

/// A verified setup code that a node has presented on its sealed channel.
pub(crate) type OwnedSetup = Redeemable;

impl Gateway {
    /// Pairs the node that presented the code, in the step that spends it: making the code was the
    /// operator's approval. A node that presents it again with the same key, because the answer was
    /// lost, gets the same offer again.
    pub(crate) async fn settle_setup(
        &self,
        request: &OwnedRequest,
        code: OwnedSetup,
    ) -> OwnedVerdict {
        let (gateway, request) = (self.clone(), request.clone());
        let settled = tokio::spawn(async move { gateway.settle_setup_now(&request, &code).await });
        match settled.await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                limited!(error, CausedBy::Any, { %error, } "a setup code could not be redeemed");
                OwnedVerdict::Refused(OwnedRefusal::CANNOT_STORE)
            }
            Err(_) => OwnedVerdict::Refused(OwnedRefusal::BUSY),
        }
    }

    async fn settle_setup_now(
        &self,
        request: &OwnedRequest,
        code: &OwnedSetup,
    ) -> Result<OwnedVerdict, StoreError> {
        let inner = &self.inner;
        for _ in 0..MOST_CONFLICTS {
            let known = self.known_key(&request.key).await?;
            let stored = &known.stored;
            let authority = self.authority_of(code.maker).await?;
            let asked = SettleRequest {
                standing: known.standing(),
                rejection: None,
                method: request.method,
                proof: match authority {
                    Some(_) => Proven::Setup,
                    // The code has ended with the session that made it.
                    None => Proven::Void,
                },
            };
            let settled = settle(&asked, PolicyVerdict::NotAsked, inner.clock.unix());
            let (Settlement::Pair, Some(authority)) = (settled, authority) else {
                return self.settled_without(request, settled).await;
            };
            let permissions = inner.setup.settings.permissions_of(code.profile.as_str()).clone();
            // The grant lasts no longer than a session could, however often it was refreshed.
            let longest =
                inner.setup.settings.session_longest.min(inner.pairing.settings.token_expiry);
            let terms =
                ApprovalTerms { permissions: Some(permissions), ..ApprovalTerms::default() };
            let made = match self.to_be_paired(
                &authority,
                request,
                stored.as_ref(),
                &terms,
                longest,
                Mode::Full,
            ) {
                Ok(Some(made)) => made,
                Ok(None) => return Ok(OwnedVerdict::Refused(OwnedRefusal::BUSY)),
                Err(wider) => {
                    limited!(warn, CausedBy::Any, { %wider, } "a setup code brings more than its maker may give by now; it brings nothing");
                    return Ok(OwnedVerdict::Refused(OwnedRefusal::Expired));
                }
            };
            if let Some(stored) = stored {
                self.pairs_anew(&stored.record).await?;
            }
            let yields = Yield::Node {
                record: Box::new(made.record.clone()),
                profile: request.profile.clone(),
                read_at: stored.as_ref().map(|stored| stored.version),
                grant: Box::new(made.fresh.grant.clone()),
                ceiling: Some(Box::new(made.ceiling.clone())),
            };
            let (outcome, verdict) = match self.spend_setup(code, yields).await {
                Ok(Ok(())) => (Verification::Ok, Ok(self.paired_now(made, None))),
                Ok(Err(reason)) => {
                    (Verification::of(reason), self.not_redeemed(request, reason).await)
                }
                // The record has changed since it was read, so the decision is made again.
                Err(SaveError::Conflict | SaveError::Missing) => continue,
                Err(SaveError::Store(error)) => (Verification::Error, Err(error)),
            };
            inner.telemetry.bootstrap_token_verified(outcome);
            return verdict;
        }
        Ok(OwnedVerdict::Refused(OwnedRefusal::BUSY))
    }

    /// Answers a node whose code could not be redeemed.
    async fn not_redeemed(
        &self,
        request: &OwnedRequest,
        reason: NotRedeemed,
    ) -> Result<OwnedVerdict, StoreError> {
        let known = self.known_key(&request.key).await?;
        let settled = not_redeemed(known.standing(), reason);
        self.settled_without(request, settled).await
    }

    /// Answers a node that is not paired by its code.
    async fn settled_without(
        &self,
        request: &OwnedRequest,
        settled: Settlement,
    ) -> Result<OwnedVerdict, StoreError> {
        match settled {
            Settlement::Refuse(denial) => Ok(OwnedVerdict::Refused(OwnedRefusal::of(denial, None))),
            Settlement::OfferAgain => {
                let stored = self.inner.store.by_key(&request.key).await?;
                self.once_more(stored.as_ref()).await
            }
            // Making the code was the approval, so nobody is asked.
            Settlement::AskPolicy | Settlement::AskOperator | Settlement::Pair => {
                Ok(OwnedVerdict::Refused(OwnedRefusal::Expired))
            }
        }
    }
}
