//! Effects of the identity flow on a native connection: certificates, and the marks of nodes.

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::wire::native::link::CloneMark;

use handfast_store::audit::Who;

use super::NativeContext;
use crate::flows::native::effects::{Lookup, NativeAnswer};
use crate::flows::native::reports::OwnedIssue;
use crate::gateway::Gateway;
use crate::gateway::common::failed;
use crate::pairing::certificates::WantedCertificate;
use crate::policy::request::CertificateRequest;

impl NativeContext {
    /// Returns the gateway as the node at the other end acts on it.
    fn by_node(&self, node_id: NodeId) -> Gateway {
        self.gateway.by(Who::Node(node_id), Some(self.address))
    }

    /// Compares the mark that a node has shown, and adds the outcome to what was read of it.
    pub(super) async fn with_mark(&self, lookup: Lookup, mark: Option<CloneMark>) -> Lookup {
        let Some(mut loaded) = lookup? else { return Ok(None) };
        loaded.clone = self.gateway.compare_mark(&loaded.record, mark, self.address).await?;
        Ok(Some(loaded))
    }

    /// Issues the certificate of a verified request: of the node that was just granted something,
    /// or of the linked node.
    pub(in crate::flows::native) async fn issue(&self, issue: OwnedIssue) -> NativeAnswer {
        let issued = match (issue, self.attached, &self.offered, &self.request) {
            (OwnedIssue::Asked, _, Some(offered), Some(request)) => {
                let wanted = match &request.csr {
                    Some(csr) => WantedCertificate::X509(csr.clone()),
                    None => WantedCertificate::Compact,
                };
                self.by_node(offered.node_id).certify_paired(offered.node_id, wanted).await
            }
            (OwnedIssue::Renewal(csr), Some(Peer::Node(node_id)), _, _) => {
                let wanted = match csr {
                    Some(csr) => WantedCertificate::X509(CertificateRequest::read(&csr)),
                    None => WantedCertificate::Compact,
                };
                self.by_node(node_id).certify_renewed(node_id, wanted).await
            }
            // Nobody was granted anything here.
            (OwnedIssue::Asked, _, Some(_) | None, Some(_) | None)
            | (OwnedIssue::Renewal(_), Some(Peer::Delegate(_)) | None, _, _) => Ok(None),
        };
        NativeAnswer::Issued(issued)
    }

    /// Takes in that the node has stored its certificate. While it pairs, it confirms its grant
    /// next, and both are written in one step.
    pub(in crate::flows::native) async fn certificate_stored(&mut self, number: u64) {
        match self.attached {
            Some(Peer::Node(node_id)) => self.gateway.certificate_stored(node_id, number).await,
            Some(Peer::Delegate(_)) => {}
            None => {
                if let Some(offered) = &mut self.offered {
                    offered.certified = Some(number);
                }
            }
        }
    }

    /// Takes in that the node knows this static key of the gateway.
    pub(in crate::flows::native) async fn knows_key(&self, key: &PublicKey) {
        if let Some(Peer::Node(node_id)) = self.attached {
            self.gateway.knows_key(node_id, key).await;
        }
    }

    /// Returns the addresses that the node is to be told, if it has not confirmed them.
    pub(in crate::flows::native) async fn addresses(&mut self) -> Option<NativeAnswer> {
        let Some(Peer::Node(node_id)) = self.attached else { return None };
        let list = self.gateway.addresses_due(node_id).await?;
        self.told = Some(list.clone().into());
        Some(NativeAnswer::Addresses(list))
    }

    /// Takes in that the node has stored the addresses that it was told last.
    pub(in crate::flows::native) async fn knows_addresses(&mut self) {
        if let (Some(Peer::Node(node_id)), Some(list)) = (self.attached, self.told.take()) {
            self.gateway.knows_addresses(node_id, list.into()).await;
        }
    }

    pub(in crate::flows::native) async fn mark_stored(&self, mark: &CloneMark) {
        let Some(Peer::Node(node_id)) = self.attached else { return };
        match self.gateway.inner.store.load(node_id).await {
            Ok(Some(stored)) => self.gateway.mark_stored(&stored.record, mark).await,
            Ok(None) => {}
            // The next link shows the mark and confirms it, so the failure is only logged.
            Err(error) => drop(failed(error)),
        }
    }
}
