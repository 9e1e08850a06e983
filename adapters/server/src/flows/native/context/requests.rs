//! The requests of core, each carried out by its part of the context.

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Confirmation;

use super::NativeContext;
use crate::flows::native::effects::{NativeAnswer, NativeRequest};

impl NativeContext {
    /// Carries out a request of the peer with this key.
    pub(in crate::flows::native) async fn answer(
        &mut self,
        key: Option<PublicKey>,
        request: NativeRequest,
    ) -> Option<NativeAnswer> {
        if let Some(unserved) = without(&request)
            && !self.may_bother(key.as_ref())
        {
            tracing::debug!("a peer asks for more than it needs; it is not served");
            return unserved;
        }
        match request {
            NativeRequest::Find(key) => return Some(self.find(&key).await),
            NativeRequest::Enter(key, ephemeral) => return Some(self.enter(&key, &ephemeral)),
            NativeRequest::Attach(node_id) => {
                return Some(self.attach(node_id, key.as_ref()).await);
            }
            NativeRequest::Ask(request) => return Some(self.ask(request).await),
            NativeRequest::Reserve(code) => return Some(self.reserve(code).await),
            NativeRequest::Spend(code) => return Some(self.spend(code).await),
            NativeRequest::Settle(code) => return Some(self.settle(code).await),
            NativeRequest::SettleSetup(code) => return Some(self.settle_setup(*code).await),
            NativeRequest::Activate(grant) => {
                return Some(self.activate(grant, key.as_ref()).await);
            }
            NativeRequest::Present(chain) => {
                return Some(self.present(chain.as_deref(), key.as_ref()).await);
            }
            NativeRequest::Renew(what) => return Some(self.renew(what).await),
            NativeRequest::LookAgain(peer) => return self.look_again(peer, key.as_ref()).await,

            NativeRequest::Refund => self.refund(),
            NativeRequest::Detach => self.detach(),
            NativeRequest::GuessWrong { left } => self.guessed_wrong(left).await,
            NativeRequest::Observe(observation) => self.observe(observation),
            NativeRequest::App(action, address, bytes) => {
                self.app(key.as_ref(), action, &address, &bytes).await;
            }
            NativeRequest::Subscribe(pattern) => self.subscribe(pattern),
            NativeRequest::Ponged(number, answer) => self.ponged(number, answer),
        }
        None
    }
}

/// Returns what a peer is answered that exceeds its budget of efforts; `None` for a request that the
/// budget does not bound.
const fn without(request: &NativeRequest) -> Option<Option<NativeAnswer>> {
    match request {
        NativeRequest::Activate(_) => {
            Some(Some(NativeAnswer::Activated(Ok(Confirmation::NotThere))))
        }
        NativeRequest::Present(_) => Some(Some(NativeAnswer::Presented(None))),
        NativeRequest::Renew(_) => Some(Some(NativeAnswer::Renewed(None))),
        NativeRequest::Observe(_) => Some(None),
        NativeRequest::Refund
        | NativeRequest::Find(_)
        | NativeRequest::Enter(..)
        | NativeRequest::Attach(_)
        | NativeRequest::Detach
        | NativeRequest::Ask(_)
        | NativeRequest::Reserve(_)
        | NativeRequest::GuessWrong { .. }
        | NativeRequest::Spend(_)
        | NativeRequest::Settle(_)
        | NativeRequest::SettleSetup(_)
        | NativeRequest::LookAgain(_)
        | NativeRequest::App(..)
        | NativeRequest::Subscribe(_)
        | NativeRequest::Ponged(..) => None,
    }
}
