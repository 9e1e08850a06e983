//! The pairing handler by configuration: a list of rules, of which the first that matches decides.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::record::Mode;

use super::handler::{PairingDecision, PairingHandler, PairingRequest, ProofMethod};
use super::settings::{Approve, PairingSettings};
use crate::public_url::Net;

/// A rule: conditions and a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Conditions on the request.
    pub when: When,
    /// Verdict for a request that meets the conditions.
    pub verdict: RuleVerdict,
}

/// Conditions of a rule. A request must meet all that are set; without any, every request matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Pattern for the node's name.
    pub name: Option<Glob>,
    /// The kind of proof.
    pub method: Option<ProofMethod>,
    /// Network of the node's address. A serial line lies in none. A rule with a network approves no
    /// web page of a foreign origin, which says only in whose browser it was opened.
    pub address: Option<Net>,
}

/// Verdict of a rule about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleVerdict {
    /// The request is approved with these terms.
    Approve(ApprovalTerms),
    /// The operator decides; these are the terms unless they choose others.
    Ask(ApprovalTerms),
    /// The request is rejected.
    Reject {
        /// Reason for the node; `None` for no reason.
        reason: Option<String>,
    },
}

/// Terms of an approval. A field that is `None` takes its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalTerms {
    /// Permissions of the node; `None` for those of the code, or else of the settings.
    pub permissions: Option<ScopesBuf>,
    /// Lifetime of the grant in whole seconds; `None` for that of the code, or else of the
    /// settings.
    pub expires: Option<Duration>,
    /// Message for the node; `None` for no message.
    pub message: Option<String>,
}

impl When {
    fn fits(&self, request: &PairingRequest<'_>) -> bool {
        let lies_in = |net: Net| request.address.is_some_and(|address| net.contains(address));
        self.name.as_ref().is_none_or(|glob| glob.matches(request.name))
            && self.method.is_none_or(|wanted| wanted == request.method)
            && self.address.is_none_or(lies_in)
    }
}

impl Rule {
    /// Returns `true` if the rule would approve a web page of a foreign origin for the network of
    /// the browser that shows it.
    const fn would_trust_a_page(&self, request: &PairingRequest<'_>) -> bool {
        let approves = match self.verdict {
            RuleVerdict::Approve(_) => true,
            RuleVerdict::Ask(_) | RuleVerdict::Reject { .. } => false,
        };
        approves && request.foreign_page && self.when.address.is_some()
    }
}

/// A pattern for names: `*` stands for any number of characters, `?` for exactly one, and every
/// other character for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Creates a pattern; every text is valid.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` if a name matches; case matters.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) =
            (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut seen) = (0, 0);
        // Position behind the last star in the pattern, and the position in the name up to which
        // that star has matched. On a mismatch only the last star has to match more.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&character) = name.get(seen) {
            match (pattern.get(at), star) {
                (Some('*'), _) => {
                    at += 1;
                    star = Some((at, seen));
                }
                (Some(&expected), _) if expected == '?' || expected == character => {
                    at += 1;
                    seen += 1;
                }
                (_, Some((behind, taken))) => {
                    at = behind;
                    seen = taken + 1;
                    star = Some((behind, seen));
                }
                (_, None) => return false,
            }
        }
        pattern.iter().skip(at).all(|&rest| rest == '*')
    }
}

/// The default handler of a gateway: the first rule that matches decides. Where none does, a
/// correct PIN or code is approved or waits for the operator, as the settings say; a node that
/// proved neither waits for the operator.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    approve: Approve,
    permissions: ScopesBuf,
}

impl Rules {
    /// Creates the handler from the settings.
    #[must_use]
    pub fn new(settings: &PairingSettings) -> Self {
        Self {
            rules: settings.rules.clone(),
            approve: settings.approve,
            permissions: settings.default_permissions.clone(),
        }
    }

    fn approved(&self, request: &PairingRequest<'_>, terms: ApprovalTerms) -> PairingDecision {
        // The rule's terms come before the code's, and those before the settings.
        let permissions = terms.permissions.or_else(|| request.code_permissions.cloned());
        PairingDecision::Approve {
            permissions: permissions.unwrap_or_else(|| self.permissions.clone()),
            expires_in: terms.expires.or(request.code_expires_in),
            mode: Mode::Full,
            message: terms.message,
        }
    }
}

#[async_trait]
impl PairingHandler for Rules {
    async fn decide(&self, request: &PairingRequest<'_>) -> PairingDecision {
        let fitting = self
            .rules
            .iter()
            .find(|rule| rule.when.fits(request) && !rule.would_trust_a_page(request));
        match fitting.map(|rule| &rule.verdict) {
            Some(RuleVerdict::Approve(terms)) => self.approved(request, terms.clone()),
            Some(RuleVerdict::Ask(terms)) => PairingDecision::Propose(terms.clone()),
            Some(RuleVerdict::Reject { reason }) => {
                PairingDecision::Reject { reason: reason.clone() }
            }
            None => match (request.method, self.approve) {
                (ProofMethod::Pin | ProofMethod::Code, Approve::Auto) => {
                    self.approved(request, ApprovalTerms::default())
                }
                (ProofMethod::Pin | ProofMethod::Code, Approve::Manual)
                | (ProofMethod::Approval | ProofMethod::Setup, _) => PairingDecision::Ask,
            },
        }
    }
}

/// The default handler with rules that may be replaced while the gateway runs.
#[derive(Debug)]
pub(crate) struct LiveRules(RwLock<Arc<Rules>>);

impl LiveRules {
    pub(crate) fn new(settings: &PairingSettings) -> Self {
        Self(RwLock::new(Arc::new(Rules::new(settings))))
    }

    /// Replaces the rules, for requests from now on.
    pub(crate) fn replace(&self, rules: Vec<Rule>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Only the rules are replaced; the other settings stay those of the start.
        let Rules { approve, ref permissions, .. } = **current;
        *current = Arc::new(Rules { rules, approve, permissions: permissions.clone() });
    }

    fn current(&self) -> Arc<Rules> {
        // A handle is copied, so that no lock is held while the rules decide.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl PairingHandler for LiveRules {
    async fn decide(&self, request: &PairingRequest<'_>) -> PairingDecision {
        self.current().decide(request).await
    }
}

#[cfg(test)]
mod tests;
