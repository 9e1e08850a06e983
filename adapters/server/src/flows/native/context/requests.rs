//! The jobs of a connection, each carried out by its part of the context.

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{Confirmation, NativeRequest};

use super::{NativeContext, TaskOrder};
use crate::flows::native::effects::{NativeAnswer, NativeJob};
use crate::flows::native::reports::NodeReport;

impl NativeContext {
    /// Carries out a job for the peer with this key.
    pub(in crate::flows::native) async fn answer(
        &mut self,
        key: Option<PublicKey>,
        job: NativeJob,
    ) -> Option<NativeAnswer> {
        if let Some(unserved) = without(&job)
            && !self.may_bother(key.as_ref())
        {
            tracing::debug!("a peer asks for more than it needs; it is not served");
            return unserved;
        }
        match job {
            NativeJob::Request(request) => return self.answer_request(key, request).await,
            NativeJob::Issue(issue) => return Some(self.issue(issue).await),
            NativeJob::Report(report) => return self.told(report).await.map(ordered),
            NativeJob::Tasks => return Some(NativeAnswer::Orders(self.orders().await)),
            NativeJob::Ask(request) => return Some(self.ask(request).await),
            NativeJob::Settle(code) => return Some(self.settle(code).await),
            NativeJob::SettleSetup(code) => return Some(self.settle_setup(*code).await),
            NativeJob::Present(chain) => {
                return Some(self.present(chain.as_deref(), key.as_ref()).await);
            }
            NativeJob::LookAgain(peer) => return self.look_again(peer, key.as_ref()).await,

            NativeJob::Observe(observation) => self.observe(observation),
            NativeJob::Describe(profile) => self.describe(profile).await,
            NativeJob::App(action, address, bytes) => {
                self.app(key.as_ref(), action, &address, &bytes).await;
            }
            NativeJob::Subscribe(pattern) => self.subscribe(pattern),
        }
        None
    }

    async fn answer_request(
        &mut self,
        key: Option<PublicKey>,
        request: NativeRequest,
    ) -> Option<NativeAnswer> {
        match request {
            NativeRequest::Find(key) => return Some(self.find(&key).await),
            NativeRequest::Enter(key, ephemeral) => return Some(self.enter(&key, &ephemeral)),
            NativeRequest::FindNode(node_id) => return Some(self.find_node(node_id).await),
            NativeRequest::Attach(node_id, mark) => {
                return Some(self.attach(node_id, mark, key.as_ref()).await);
            }
            NativeRequest::Name => {
                return self.gateway.name().map(|name| NativeAnswer::Name(name.to_owned()));
            }
            NativeRequest::Addresses => return self.addresses().await,
            NativeRequest::NotDispatched(id) => return self.not_dispatched(id).await.map(ordered),
            NativeRequest::Reserve(code) => return Some(self.reserve(code).await),
            NativeRequest::Spend(code) => return Some(self.spend(code).await),
            NativeRequest::Activate(grant) => {
                return Some(self.activate(grant, key.as_ref()).await);
            }
            NativeRequest::Renew(what) => return Some(self.renew(what).await),

            NativeRequest::Refund => self.refund(),
            NativeRequest::Linked(peer) => self.linked(peer),
            NativeRequest::Detach => self.detach(),
            NativeRequest::GuessWrong { left } => self.guessed_wrong(left).await,
            NativeRequest::CertificateStored(number) => self.certificate_stored(number).await,
            NativeRequest::MarkStored(mark) => self.mark_stored(&mark).await,
            NativeRequest::KnowsAddresses => self.knows_addresses().await,
            NativeRequest::KnowsKey(known) => self.knows_key(&known).await,
            NativeRequest::Ponged(number, answer) => self.ponged(number, answer),
        }
        None
    }
}

fn ordered(order: TaskOrder) -> NativeAnswer {
    NativeAnswer::Orders(vec![order])
}

/// Returns what a peer is answered that exceeds its budget of efforts; `None` for a job that the
/// budget does not bound.
const fn without(job: &NativeJob) -> Option<Option<NativeAnswer>> {
    match job {
        NativeJob::Request(NativeRequest::Activate(_)) => {
            Some(Some(NativeAnswer::Activated(Ok(Confirmation::NotThere))))
        }
        NativeJob::Request(NativeRequest::Renew(_)) => Some(Some(NativeAnswer::Renewed(None))),
        NativeJob::Present(_) => Some(Some(NativeAnswer::Presented(None))),
        NativeJob::Issue(_) => Some(Some(NativeAnswer::Issued(Ok(None)))),
        NativeJob::Request(NativeRequest::CertificateStored(_) | NativeRequest::MarkStored(_))
        | NativeJob::Observe(_)
        | NativeJob::Describe(_)
        | NativeJob::Report(NodeReport::Announced(_)) => Some(None),
        // The gateway has asked for these, and none may be lost.
        NativeJob::Report(
            NodeReport::Outcome(..) | NodeReport::Progress(..) | NodeReport::Answered { .. },
        )
        | NativeJob::Request(NativeRequest::NotDispatched(_)) => None,
        NativeJob::Request(
            NativeRequest::Refund
            | NativeRequest::Find(_)
            | NativeRequest::Enter(..)
            | NativeRequest::FindNode(_)
            | NativeRequest::Attach(..)
            | NativeRequest::Linked(_)
            | NativeRequest::Name
            | NativeRequest::Addresses
            | NativeRequest::KnowsAddresses
            | NativeRequest::Detach
            | NativeRequest::Reserve(_)
            | NativeRequest::GuessWrong { .. }
            | NativeRequest::Spend(_)
            | NativeRequest::KnowsKey(_)
            | NativeRequest::Ponged(..),
        )
        | NativeJob::Tasks
        | NativeJob::Ask(_)
        | NativeJob::Settle(_)
        | NativeJob::SettleSetup(_)
        | NativeJob::LookAgain(_)
        | NativeJob::App(..)
        | NativeJob::Subscribe(_) => None,
    }
}
