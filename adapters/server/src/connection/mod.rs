//! Connections of every flow: their driver, transports, mailboxes, slots, and the limits on failures
//! and rates.
//!
//! The flows, the listeners and the gateway's shared state use these modules. The `driver` runs a
//! connection for its flow, and the decisions of an operator reach it through its mailbox in the
//! `hub`.

pub(crate) mod action;
pub(crate) mod claimed_links;
pub(crate) mod contact;
pub(crate) mod driver;
pub(crate) mod flow_budgets;
pub(crate) mod framed;
pub(crate) mod handshake_budgets;
pub(crate) mod hub;
pub(crate) mod live_links;
pub(crate) mod mailbox;
pub(crate) mod message_rate;
pub(crate) mod preauth_bytes;
pub(crate) mod rate_limit;
pub(crate) mod slot_state;
pub(crate) mod slots;
pub(crate) mod subscriptions;
pub(crate) mod transport;
