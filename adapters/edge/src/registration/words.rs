//! Words for the reports of a node of the `missy` dialect.

use core::fmt::{Display, Formatter, Result};

use handfast_core::Refusal;
use handfast_core::flow::registration::node::RegistrationNodeEvent;

use crate::ports::Report;
use crate::words::{Harmless, Seconds};

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::News(event) => news(event, f),
            Self::NotLoaded(error) => write!(f, "the memory cannot be read: {error}"),
            Self::NotKept(error) => write!(f, "the memory cannot be stored yet: {error}"),
            Self::NoConnection(broken) => write!(f, "no connection: {broken}"),
        }
    }
}

fn news(event: &RegistrationNodeEvent<'_>, f: &mut Formatter<'_>) -> Result {
    match event {
        RegistrationNodeEvent::WaitsForApproval(id) => write!(f, "waits for approval as {id}"),
        RegistrationNodeEvent::TokenKept => f.write_str("the token is stored"),
        RegistrationNodeEvent::Linked { node_id, room } => {
            write!(f, "linked as {node_id} in room {}", Harmless(room.as_str()))
        }
        RegistrationNodeEvent::Refused(refusal) => refused(refusal, f),
        RegistrationNodeEvent::Complaint(text) => {
            write!(f, "the gateway reports an error: {}", Harmless(text))
        }
        RegistrationNodeEvent::RetryIn(wait) => write!(f, "tries again in {}", Seconds(*wait)),
        RegistrationNodeEvent::NothingAsked => f.write_str("no token is awaited: pair first"),
        RegistrationNodeEvent::Forgotten => f.write_str("the pairing is forgotten"),
    }
}

fn refused(refusal: &Refusal, f: &mut Formatter<'_>) -> Result {
    f.write_str("refused: ")?;
    f.write_str(match refusal {
        Refusal::InvalidCredentials => "the gateway does not know this node or its token",
        Refusal::NotApproved => "the operator has not decided yet",
        Refusal::Muted => "the operator has muted this node",
        Refusal::AlreadyPaired => "this node is paired already",
        Refusal::Revoked => "this node was revoked for good",
        Refusal::NotPaired => "this node is not paired",
        Refusal::NoToken => "this node has keys, and no token",
        Refusal::Expired => "the request has expired: ask again",
        Refusal::Rejected { wait } => {
            return write!(
                f,
                "the operator rejected the request; it may be repeated in {}",
                Seconds(*wait)
            );
        }
        Refusal::Barred => "the operator rejected this node for good",
        Refusal::TooManyPending => "too many requests wait at the gateway",
        Refusal::RateLimited => "too many attempts failed: try again later",
        Refusal::AtCapacity => "the gateway has no free place",
        Refusal::ClockInDoubt => "the gateway's clock is in doubt",
        Refusal::StoreFailed => "the gateway cannot store the decision",
    })
}
