//! What passes between the HTTP API and the driver.

use handfast_core::flow::provisioning::contract::Answer;
use handfast_core::flow::provisioning::node::ProvisioningNode;
use handfast_core::flow::provisioning::status::PublicState;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// A request of a phone. The bodies were read once, so that the driver reads them again without a
/// defect.
pub(super) enum ApiRequest {
    Provision(Zeroizing<String>, RequestForm),
    Network(Zeroizing<String>),
    K2(Zeroizing<String>),
    FactoryReset,
    StatusRead,
}

/// The form of a request for new settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestForm {
    /// The dialect's, over the plain API.
    Plain,
    /// Over a sealed exchange, in which a gateway's invitation may stand.
    Sealed,
}

/// A request with the place for its answer.
pub(super) type Asked = (ApiRequest, Option<oneshot::Sender<Answer>>);
pub(super) type AskedSender = mpsc::Sender<Asked>;

/// What a phone reads of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatusSnapshot {
    /// The id that the command center gave the node.
    pub(super) node_id: Option<String>,
    pub(super) state: PublicState,
    pub(super) message: String,
    pub(super) progress_percent: u8,
    pub(super) error: Option<String>,
    pub(super) error_code: Option<&'static str>,
    pub(super) registration_status: &'static str,
    pub(super) retryable: bool,
    pub(super) hotspot_restored: bool,
    /// `true` if the access point is open, because the radio starts no protected one.
    pub(super) open_instead: bool,
    pub(super) previously_provisioned: bool,
}

impl StatusSnapshot {
    pub(super) fn of(node: &ProvisioningNode, node_id: Option<String>) -> Self {
        let status = node.status();
        let failed = status.step.state() == PublicState::Error;
        Self {
            node_id,
            state: status.step.state(),
            message: status.step.to_string(),
            progress_percent: status.step.percent(),
            error: status.failure.map(ToString::to_string),
            error_code: status.failure.map(|failure| failure.outcome.code()),
            registration_status: status.registration.as_str(),
            retryable: status.failure.is_some_and(|failure| failure.outcome.is_retryable()),
            open_instead: status.open_instead,
            hotspot_restored: failed && status.hotspot,
            previously_provisioned: status.provisioned_before,
        }
    }
}
