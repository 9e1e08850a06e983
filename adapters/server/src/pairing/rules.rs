//! The pairing handler by configuration: rules, of which the first that fits decides.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::record::Mode;

use super::handler::{Method, PairingDecision, PairingHandler, PairingRequest};
use super::net::Net;
use super::settings::{Approve, PairingSettings};

/// When it applies, and what then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// When.
    pub when: When,
    /// What.
    pub verdict: Verdict,
}

/// Which requests a rule is for: those for which all holds that is set. One without conditions is
/// for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// What its name looks like.
    pub name: Option<Glob>,
    /// What was shown.
    pub method: Option<Method>,
    /// Where it comes from; a serial line lies in no network.
    pub address: Option<Net>,
}

/// What a rule says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is approved.
    Approve(Terms),
    /// The operator is asked, and these are the terms unless they choose others.
    Ask(Terms),
    /// It is turned down.
    Reject {
        /// What the other side is told.
        reason: Option<String>,
    },
}

/// What an approval brings; what is not set is as for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What may be done.
    pub permissions: Option<ScopesBuf>,
    /// How long the grant lives, in whole seconds.
    pub expires: Option<Duration>,
    /// What the other side is told.
    pub message: Option<String>,
}

impl When {
    fn fits(&self, name: &str, method: Method, address: Option<IpAddr>) -> bool {
        self.name.as_ref().is_none_or(|glob| glob.matches(name))
            && self.method.is_none_or(|wanted| wanted == method)
            && self.address.is_none_or(|net| address.is_some_and(|address| net.contains(address)))
    }
}

/// What a name looks like: `*` stands for any characters or none, `?` for exactly one, everything
/// else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// One that reads so; every text is one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name looks like this; capitals count.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) =
            (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut seen) = (0, 0);
        // Behind the last star, and how much of the name that star has taken. Only the last one has
        // to take more when it gets stuck.
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

/// The handler that every gateway has unless it is given another: the first rule that fits decides.
/// Where none does, a right PIN or code is enough or the operator is asked, as the settings say,
/// and whoever showed neither waits for the operator.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    approve: Approve,
    permissions: ScopesBuf,
}

impl Rules {
    /// As the settings say.
    #[must_use]
    pub fn new(settings: &PairingSettings) -> Self {
        Self {
            rules: settings.rules.clone(),
            approve: settings.approve,
            permissions: settings.default_permissions.clone(),
        }
    }

    fn approved(&self, request: &PairingRequest<'_>, terms: Terms) -> PairingDecision {
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
            .find(|rule| rule.when.fits(request.name, request.method, request.address));
        match fitting.map(|rule| &rule.verdict) {
            Some(Verdict::Approve(terms)) => self.approved(request, terms.clone()),
            Some(Verdict::Ask(terms)) => PairingDecision::Propose(terms.clone()),
            Some(Verdict::Reject { reason }) => PairingDecision::Reject { reason: reason.clone() },
            None => match (request.method, self.approve) {
                (Method::Pin | Method::Code, Approve::Auto) => {
                    self.approved(request, Terms::default())
                }
                (Method::Pin | Method::Code, Approve::Manual)
                | (Method::Approval | Method::Setup, _) => PairingDecision::Ask,
            },
        }
    }
}

#[cfg(test)]
mod tests;
