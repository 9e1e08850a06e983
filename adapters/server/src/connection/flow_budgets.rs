//! The budgets of failures of the flows that need no other shape. Each flow has its own, so that a
//! wrong bearer does not count against setup codes.

use handfast_core::limits::Limits;

use crate::connection::rate_limit::Failures;

/// One budget of failures for each flow.
#[derive(Debug)]
pub(crate) struct FlowBudgets {
    /// Failures of companions' setup codes.
    pub(crate) codes: Failures,
    /// Failures of session tokens that companions show on `/pair`.
    pub(crate) sessions: Failures,
    /// Failures of bearers in HTTP headers.
    pub(crate) bearers: Failures,
    /// Failures of provisioning tokens, and of the keys of nodes that registered by them.
    pub(crate) provisioning: Failures,
    /// Failures of login links, and of operators' sessions and tokens.
    pub(crate) logins: Failures,
}

impl FlowBudgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        let each = || Failures::new(limits.failures_per_minute);
        Self {
            codes: each(),
            sessions: each(),
            bearers: each(),
            provisioning: each(),
            logins: each(),
        }
    }
}
