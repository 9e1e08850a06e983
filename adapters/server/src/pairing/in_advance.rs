//! Requests that an approval policy decides about, before the operator is asked.

use std::time::Duration;

use handfast_core::Source;
use handfast_core::registry::policies::NotInForce;
use handfast_core::registry::record::{Mode, Standing};
use handfast_store::{ByPolicy, Over, SaveError, StoreError, Stored, StoredPolicy};

use super::session::ToBePaired;
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::policy::handler::VerifiedCode;
use crate::policy::request::{OwnedRefusal, OwnedRequest, OwnedVerdict};
use crate::policy::rules::ApprovalTerms;
use crate::public_url::Net;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The outcome of asking the policies about a request.
enum InAdvance {
    /// One has approved it.
    Approved(Box<OwnedVerdict>),
    /// The node's record has changed meanwhile.
    Changed,
    /// None has.
    Nobody,
}

impl Gateway {
    /// Lets a policy approve the request, or passes it to the operator. Returns `None` if the record
    /// changed meanwhile.
    pub(super) async fn policy_or_operator(
        &self,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: ApprovalTerms,
        shown: Option<&VerifiedCode>,
    ) -> Result<Option<OwnedVerdict>, StoreError> {
        match self.approve_in_advance(request, stored, &terms, shown).await? {
            InAdvance::Approved(verdict) => Ok(Some(*verdict)),
            InAdvance::Changed => Ok(None),
            InAdvance::Nobody => self.ask_operator(request, terms, shown).await,
        }
    }

    async fn approve_in_advance(
        &self,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: &ApprovalTerms,
        shown: Option<&VerifiedCode>,
    ) -> Result<InAdvance, StoreError> {
        // A person has decided about every other standing, and that counts more.
        let waits = stored.is_none_or(|stored| match stored.record.standing {
            Standing::Pending { .. } => true,
            Standing::Unapproved { .. }
            | Standing::Paired { .. }
            | Standing::Muted { .. }
            | Standing::Revoked { .. } => false,
        });
        let Some(address) = request.network_address().filter(|_| waits) else {
            return Ok(InAdvance::Nobody);
        };
        for one in self.inner.store.policies().await? {
            let is_for_it = one.net.parse::<Net>().is_ok_and(|net| net.contains(address));
            if is_for_it && self.is_in_force(&one).await {
                match self.try_policy(&one, request, stored, terms, shown).await? {
                    InAdvance::Nobody => {}
                    outcome @ (InAdvance::Approved(_) | InAdvance::Changed) => return Ok(outcome),
                }
            }
        }
        Ok(InAdvance::Nobody)
    }

    async fn is_in_force(&self, StoredPolicy { policy, .. }: &StoredPolicy) -> bool {
        let inner = &self.inner;
        // The lock of the clock is not held while something is written.
        let is_good = inner.clock.trusted().is_good();
        match policy.admits(&inner.clock.moment(), is_good) {
            Ok(()) => true,
            Err(NotInForce::Ended) => {
                if policy.ended_at.is_none() {
                    self.note_over(Over::Policy(policy.id)).await;
                }
                false
            }
            Err(NotInForce::UsedUp | NotInForce::ClockInDoubt) => false,
        }
    }

    async fn try_policy(
        &self,
        StoredPolicy { policy, net }: &StoredPolicy,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: &ApprovalTerms,
        shown: Option<&VerifiedCode>,
    ) -> Result<InAdvance, StoreError> {
        let settings = &self.inner.pairing.settings;
        // The policy has ended with its maker's right.
        let Some(authority) = self.authority_of(policy.maker).await? else {
            return Ok(InAdvance::Nobody);
        };
        let permissions = policy
            .scopes
            .clone()
            .or_else(|| terms.permissions.clone())
            .or_else(|| shown?.permissions.clone())
            .unwrap_or_else(|| settings.default_permissions.clone());
        let terms = ApprovalTerms {
            permissions: Some(permissions),
            expires: policy
                .grant_for
                .map(Duration::from_secs)
                .or(terms.expires)
                .or_else(|| shown?.expires_in),
            message: terms.message.clone(),
        };
        let usual = settings.token_expiry;
        let (from, name) = (CausedBy::Source(Source::of(request.address)), &request.name);
        let made = match self.to_be_paired(&authority, request, stored, &terms, usual, Mode::Full) {
            Ok(Some(made)) => made,
            Ok(None) => {
                return Ok(InAdvance::Approved(Box::new(OwnedVerdict::Refused(
                    OwnedRefusal::BUSY,
                ))));
            }
            Err(wider) => {
                limited!(warn, from, { ?name, %wider, } "an approval policy brings more than its maker may give by now");
                return Ok(InAdvance::Nobody);
            }
        };
        let ToBePaired { record, fresh, ceiling } = made.clone();
        let offered = ByPolicy {
            policy: policy.id,
            record,
            profile: request.profile.clone(),
            read_at: stored.map(|stored| stored.version),
            grant: fresh.grant,
            ceiling,
        };
        match self.store().offer_by_policy(offered, self.inner.clock.unix()).await {
            Ok(Some(_)) => {
                let (id, address) = (hex(policy.id.as_bytes()), request.address);
                limited!(info, from, { ?name, %address, policy = id, net, } "an approval policy approved a node");
                Ok(InAdvance::Approved(Box::new(self.paired_now(made, terms.message))))
            }
            // Others have used it up meanwhile.
            Ok(None) => Ok(InAdvance::Nobody),
            Err(SaveError::Conflict | SaveError::Missing) => Ok(InAdvance::Changed),
            Err(SaveError::Store(error)) => Err(error),
        }
    }
}
