//! What an event says of the node's standing.

use crate::native::event::NativeEvent;
use crate::standing::NodeStanding;

/// Returns the node's standing after an event; `None` if the event does not change it.
pub(super) const fn standing_after(event: &NativeEvent) -> Option<NodeStanding> {
    match event {
        NativeEvent::Connecting => Some(NodeStanding::Connecting),
        NativeEvent::WaitsForApproval { .. } => Some(NodeStanding::Waiting),
        NativeEvent::Granted { .. } => Some(NodeStanding::Paired),
        NativeEvent::Linked(_) | NativeEvent::Unmuted => Some(NodeStanding::Linked),
        NativeEvent::Muted => Some(NodeStanding::Muted),
        NativeEvent::Expired => Some(NodeStanding::Expired),
        NativeEvent::PairAgain => Some(NodeStanding::Refused),
        NativeEvent::Unpaired => Some(NodeStanding::Unpaired),
        NativeEvent::Gateway { .. }
        | NativeEvent::OtherGateway(_)
        | NativeEvent::TypeThePin { .. }
        | NativeEvent::WrongCode { .. }
        | NativeEvent::CodeConfirmed
        | NativeEvent::GatewayUnproven
        | NativeEvent::PairingRefused(_)
        | NativeEvent::TurnedAway
        | NativeEvent::OtherVersion
        | NativeEvent::Broken
        | NativeEvent::Replaced
        | NativeEvent::NotAllowed { .. }
        | NativeEvent::Renewed
        | NativeEvent::NotRenewed
        | NativeEvent::Bearer(_)
        | NativeEvent::GatewayName(_)
        | NativeEvent::CertificateRenewed
        | NativeEvent::CertificateNotRenewed
        | NativeEvent::App(_)
        | NativeEvent::Lost(_)
        | NativeEvent::RetryIn(_)
        | NativeEvent::Forgotten
        | NativeEvent::Resting => None,
    }
}
