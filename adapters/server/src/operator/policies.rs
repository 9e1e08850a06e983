//! Approvals in advance: made, listed and ended by an operator.

use std::time::Duration;

use handfast_core::Span;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::{Authority, Until};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::policies::{
    ApprovalPolicy, NotInForce, POLICIES, POLICY_LIFE, POLICY_USES, PolicyId,
};
use handfast_store::{Filter, StoreError, StoredPolicy};

use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::hex::hex;
use crate::public_url::Net;

/// Number of waiting nodes that are read from the store at once.
const PAGE: usize = 500;

/// Options of a new approval policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPolicy {
    /// The network whose nodes are approved.
    pub from: Net,
    /// Life of the policy in whole seconds; at most [`POLICY_LIFE`].
    pub lasts: Duration,
    /// Number of nodes that it approves; at most [`POLICY_USES`].
    pub most: u64,
    /// Permissions of the nodes; `None` for those of their rule or the settings.
    pub permissions: Option<ScopesBuf>,
    /// Lifetime of the grants in whole seconds; `None` for that of the rule or the settings.
    pub grant_for: Option<Duration>,
}

/// An approval policy as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// The policy.
    pub policy: ApprovalPolicy,
    /// The network whose nodes are approved.
    pub from: String,
    /// The reason for which it approves nobody now, if it does not.
    pub state: Result<(), NotInForce>,
}

impl Gateway {
    /// Approves in advance, with an authority, whoever asks from a network, for a time and a number
    /// of nodes. Nodes with keys that wait already are approved at once. A delegated right makes
    /// nothing wider or longer than itself, and a policy ends with its maker's right.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for invalid options, or if too many policies are in force;
    /// [`OperatorError::Wider`]; [`OperatorError::Store`].
    pub async fn make_policy_by(
        &self,
        authority: &Authority,
        new: NewPolicy,
    ) -> Result<PolicyStatus, OperatorError> {
        let NewPolicy { from, lasts, most, permissions, grant_for } = new;
        let usage = |problem: String| Err(OperatorError::Usage(problem));
        let lives = Span::from_secs(lasts.as_secs());
        if lives.as_millis() == 0 || lives > POLICY_LIFE {
            return usage(format!(
                "a policy lives for a second at least and {} hours at most, because nobody looks \
                 at what it approves",
                POLICY_LIFE.as_secs() / 3600
            ));
        }
        let Some(most) = u16::try_from(most).ok().filter(|most| (1..=POLICY_USES).contains(most))
        else {
            return usage(format!("a policy approves between 1 and {POLICY_USES} nodes"));
        };
        if grant_for.is_some_and(|lives| lives.as_secs() == 0) {
            return usage("a grant lives for a second at least".to_owned());
        }
        let net = from.to_string();
        if net.ends_with("/0") {
            return usage(format!(
                "{net} holds every address, so whoever asks would be approved; name the network \
                 of the nodes"
            ));
        }
        let settings = &self.inner.pairing.settings;
        let now = self.inner.clock.unix();
        let scopes = permissions.as_ref().unwrap_or(&settings.default_permissions);
        let ends_at = authority.mint(&scopes.scopes(), Until::Exactly(now.after(lives)))?;
        if let Some(lives) = grant_for.map(|lives| Span::from_secs(lives.as_secs())) {
            authority.mint(&scopes.scopes(), Until::Exactly(now.after(lives)))?;
            settings.bounds.check_grant(lives).map_err(|which| self.exceeded(which))?;
        }
        let policy = ApprovalPolicy {
            id: PolicyId::new(&entropy::draw()),
            made_at: now,
            ends_at,
            most,
            used: 0,
            scopes: permissions,
            grant_for: grant_for.map(|lives| lives.as_secs()),
            maker: authority.code_maker()?,
            ended_at: None,
        };
        let stored = StoredPolicy { policy, net };
        if !self.store().add_policy(stored.clone(), now).await? {
            return usage(format!("{POLICIES} policies are in force already; end some of them"));
        }
        self.changed("policy");
        self.wake_those_from(&[from]).await?;
        Ok(self.policy_status(stored))
    }

    /// Has the waiting nodes for which a policy is in force ask once more, after another gateway has
    /// made one.
    ///
    /// # Errors
    /// [`StoreError`] if the policies or the nodes cannot be read.
    pub(crate) async fn wake_those_with_a_policy(&self) -> Result<(), StoreError> {
        let (moment, is_good) = (self.inner.clock.moment(), self.inner.clock.trusted().is_good());
        let mut nets = Vec::new();
        for StoredPolicy { policy, net } in self.inner.store.policies().await? {
            if policy.admits(&moment, is_good).is_ok() {
                nets.extend(net.parse::<Net>());
            }
        }
        match nets.is_empty() {
            true => Ok(()),
            false => self.wake_those_from(&nets).await,
        }
    }

    /// Has the waiting nodes of these networks with keys ask once more, so that a policy decides.
    async fn wake_those_from(&self, nets: &[Net]) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let now = self.inner.clock.unix();
            let page = self.inner.store.list(Filter::Pending, after, PAGE, now).await?;
            let full = page.len() == PAGE;
            after = page.last().map(handfast_store::node_id);
            for entry in page.into_iter().flatten() {
                let record = entry.record;
                if record.keys.is_some() && nets.iter().any(|net| net.contains(record.address)) {
                    self.push(record.node_id, Some(Notice::Decided));
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Returns all policies in the order of their making, and for a day those that are over.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn policies(&self) -> Result<Vec<PolicyStatus>, OperatorError> {
        let all = self.inner.store.policies().await?;
        Ok(all.into_iter().map(|stored| self.policy_status(stored)).collect())
    }

    /// Ends a policy for good. Nodes that it has approved stay approved.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchPolicy`], and [`OperatorError::Store`].
    pub async fn end_policy(&self, id: PolicyId) -> Result<(), OperatorError> {
        match self.store().end_policy(id, self.inner.clock.unix()).await? {
            true => {
                self.changed("policy");
                Ok(())
            }
            false => Err(OperatorError::NoSuchPolicy(hex(id.as_bytes()))),
        }
    }

    fn policy_status(&self, StoredPolicy { policy, net }: StoredPolicy) -> PolicyStatus {
        let clock = &self.inner.clock;
        let state = policy.admits(&clock.moment(), clock.trusted().is_good());
        PolicyStatus { policy, from: net, state }
    }
}
