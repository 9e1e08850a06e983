//! Tasks for a node, and what it tells of them.

use handfast_core::flow::native::gateway::Input;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::{CloneMark, Dispatch, DispatchId, DispatchOutcome};
use handfast_core::wire::native::{CapabilityName, Payload};

use super::NOW;

/// A message about a task to a node. The task's number is also the byte of its id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    Dispatch(u8, &'static str, &'static [u8]),
    Cancel(u8),
    Query(u8),
    /// Addresses of the gateway.
    Addresses(&'static str),
}

/// What a node tells of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Announced(String),
    Outcome(u8, String),
    Progress(u8, Option<u8>),
    Answered(u8, String),
    MarkStored(CloneMark),
    NotDispatched,
    /// A message of the node, and its payload.
    App(String, Vec<u8>),
    Subscribed(String),
    RenewalAsked,
    KnowsAddresses,
}

/// Returns the id of the task with this number.
fn task(number: u8) -> DispatchId {
    DispatchId::from_bytes([number; 16])
}

pub(super) fn number(id: DispatchId) -> u8 {
    id.as_bytes()[0]
}

pub(super) fn to_node(sent: Sent) -> Input<'static> {
    match sent {
        Sent::Dispatch(number, capability, input) => {
            let dispatch = Dispatch {
                id: task(number),
                number: number.into(),
                capability: CapabilityName::parse(capability).unwrap(),
                remaining_ms: 60_000,
                max_payload: 500,
                input: Payload::new(input).unwrap(),
            };
            Input::Dispatch(dispatch, NOW)
        }
        Sent::Cancel(number) => Input::Cancel(task(number)),
        Sent::Query(number) => Input::Query(task(number), number.into()),
        Sent::Addresses(list) => Input::Addresses(GatewayAddresses::parse(list).unwrap()),
    }
}

/// Returns the outcome as a word, with the result or the reason.
pub(super) fn in_words(outcome: &DispatchOutcome<'_>) -> String {
    match outcome {
        DispatchOutcome::Succeeded(result) => {
            format!("Succeeded {}", String::from_utf8_lossy(result.as_bytes()))
        }
        DispatchOutcome::Failed(reason) => format!("Failed {}", reason.as_str()),
        DispatchOutcome::Rejected(reason) => format!("Rejected {}", reason.as_str()),
        other => format!("{other:?}"),
    }
}
