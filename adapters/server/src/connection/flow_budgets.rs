//! How often each source may fail in the flows that need no budget of another shape. Each has one
//! of its own: a wrong bearer costs nobody a setup code.

use handfast_core::limits::Limits;

use crate::connection::rate_limit::Failures;

/// One budget a flow.
#[derive(Debug)]
pub(crate) struct FlowBudgets {
    /// Setup codes that companions show.
    pub(crate) codes: Failures,
    /// Tokens of sessions that companions show on `/pair`.
    pub(crate) sessions: Failures,
    /// Bearers in the headers of HTTP.
    pub(crate) bearers: Failures,
}

impl FlowBudgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        let each = || Failures::new(limits.failures_per_minute);
        Self { codes: each(), sessions: each(), bearers: each() }
    }
}
