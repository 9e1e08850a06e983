//! Connections of every flow: transports, mailboxes, slots, rates.

pub(crate) mod common;
pub(crate) mod flow_budgets;
pub(crate) mod framed;
pub(crate) mod hub;
pub(crate) mod live_links;
pub(crate) mod mailbox;
pub(crate) mod message_rate;
pub(crate) mod preauth_bytes;
pub(crate) mod rate_limit;
pub(crate) mod slots;
pub(crate) mod subscriptions;
pub(crate) mod transport;
