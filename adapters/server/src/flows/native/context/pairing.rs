//! Effects of a node that pairs.

use handfast_core::NodeId;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::record::Standing;
use handfast_core::wire::native::pair::Method;
use handfast_store::Over;
use handfast_store::audit::Who;

use super::NativeContext;
use crate::events::Event;
use crate::flows::native::effects::NativeAnswer;
use crate::gateway::common::{failed, shut_down};
use crate::operator::bound_setup::OwnedSetup;
use crate::policy::request::{OwnedPrepared, OwnedRefusal, OwnedRequest, OwnedVerdict};

impl NativeContext {
    pub(in crate::flows::native) async fn ask(
        &mut self,
        request: Box<OwnedRequest>,
    ) -> NativeAnswer {
        // A request is not entered while the registry may have changed unseen.
        if !self.gateway.inner.hub.contact().admits() {
            return NativeAnswer::Prepared(OwnedPrepared::Refused(OwnedRefusal::BUSY));
        }
        let prepared = self.gateway.prepare(&request).await;
        if !matches!(prepared, OwnedPrepared::Refused(_)) {
            self.request = Some(request);
        }
        if let OwnedPrepared::Pin { id, .. } = &prepared {
            self.pin = Some(*id);
            self.gateway.inner.hub.wait_for_pin(*id, &self.mailbox);
            // Pairing may have been closed before the mailbox was registered.
            let window = self.gateway.inner.store.window().await;
            let now = self.now();
            if window.is_ok_and(|window| window.admits_source(0, now) == Err(NoGuess::Closed)) {
                return NativeAnswer::Prepared(OwnedPrepared::Refused(OwnedRefusal::Closed));
            }
        }
        NativeAnswer::Prepared(prepared)
    }

    pub(in crate::flows::native) async fn reserve(&mut self, code: Option<CodeId>) -> NativeAnswer {
        // `spend` needs the time, to tell if the window was opened anew since.
        self.reserved_at = self.now();
        match self.gateway.inner.store.reserve(code, self.source(), self.reserved_at).await {
            Ok(reserved) => {
                if let (Some(code), Err(NoGuess::Expired)) = (code, reserved) {
                    self.gateway.note_over(Over::Code(code)).await;
                }
                if reserved == Err(NoGuess::Locked) {
                    self.gateway.event(Event::CodeLocked);
                }
                NativeAnswer::Reserved(reserved)
            }
            // A guess that is not counted is not compared, and the code is not to blame.
            Err(error) => {
                failed(error);
                NativeAnswer::StoreFailed
            }
        }
    }

    /// Emits the event of a wrong guess, and that of the code or window that it locked.
    pub(in crate::flows::native) async fn guessed_wrong(&self, left: u8) {
        let pin =
            self.request.as_ref().is_some_and(|request| matches!(request.method, Method::Pin));
        let address = self.address;
        self.gateway.event(Event::CodeWrong { pin, left, address });
        if left == 0 {
            let store = &self.gateway.inner.store;
            let guessers =
                if pin { store.guessers().await.unwrap_or_default() } else { Vec::new() };
            let too_often = guessers
                .iter()
                .any(|guesser| guesser.source == self.source() && guesser.is_locked());
            self.gateway.event(match store.window().await {
                Ok(window) if pin && window.is_locked() => {
                    self.gateway.inner.hub.all_pins_ended(NoGuess::Locked);
                    Event::WindowLocked
                }
                Ok(_) if too_often => Event::PinsLockedFor { address },
                Ok(_) | Err(_) => Event::CodeLocked,
            });
        }
    }

    pub(in crate::flows::native) async fn spend(&self, code: CodeId) -> NativeAnswer {
        NativeAnswer::Spent(
            self.gateway
                .inner
                .store
                .spend(code, self.source(), self.reserved_at, self.now())
                .await
                .map_err(failed),
        )
    }

    /// Decides about the request, or has it decided. A handler may take long, and must not hold up
    /// the shutdown.
    pub(in crate::flows::native) async fn settle(&mut self, code: Option<CodeId>) -> NativeAnswer {
        let Some(request) = self.request.take() else {
            return NativeAnswer::Settled(OwnedVerdict::Refused(OwnedRefusal::BUSY));
        };
        if !self.gateway.inner.hub.contact().admits() {
            return NativeAnswer::Settled(OwnedVerdict::Refused(OwnedRefusal::BUSY));
        }
        // A code was given out by somebody; without one, the policy decides or the node waits.
        let who = code.map_or(Who::Policy, Who::Code);
        let gateway = self.gateway.by(who, Some(self.address));
        let mut verdict = tokio::select! {
            verdict = gateway.settle(&request, code) => verdict,
            // The settling goes on in its own task; the node hears its outcome when it asks again.
            () = shut_down(&gateway.inner) => return NativeAnswer::Unable,
        };
        if let OwnedVerdict::Waits { node_id, .. } = verdict
            && self.waits_from_now(node_id)
        {
            // The decision may have come before the mailbox was registered for it.
            verdict = match gateway.inner.store.load(node_id).await {
                Ok(Some(stored)) if matches!(stored.record.standing, Standing::Pending { .. }) => {
                    verdict
                }
                Ok(_) => gateway.settle(&request, code).await,
                Err(error) => {
                    failed(error);
                    OwnedVerdict::Refused(OwnedRefusal::CANNOT_STORE)
                }
            };
        }
        match &verdict {
            OwnedVerdict::Waits { node_id, .. } => {
                // The second settling may have entered the request under another id.
                self.waits_from_now(*node_id);
                self.request = Some(request);
            }
            OwnedVerdict::Offered(offer) => {
                self.offers(offer.node_id);
                // A certificate that the request asks for is issued next.
                self.request = Some(request);
            }
            OwnedVerdict::Refused(_) => {}
        }
        NativeAnswer::Settled(verdict)
    }

    /// Pairs the node that proved this setup code.
    pub(in crate::flows::native) async fn settle_setup(
        &mut self,
        code: OwnedSetup,
    ) -> NativeAnswer {
        let Some(request) = self.request.take() else {
            return NativeAnswer::Settled(OwnedVerdict::Refused(OwnedRefusal::BUSY));
        };
        let gateway = self.gateway.by(Who::SetupCode(code.nonce), Some(self.address));
        let verdict = gateway.settle_setup(&request, code).await;
        if let OwnedVerdict::Offered(offer) = &verdict {
            self.offers(offer.node_id);
            self.request = Some(request);
        }
        NativeAnswer::Settled(verdict)
    }

    /// Registers for the decision; returns `false` if the connection is registered already.
    fn waits_from_now(&mut self, node_id: NodeId) -> bool {
        if self.waiting == Some(node_id) {
            return false;
        }
        let hub = &self.gateway.inner.hub;
        if let Some(before) = self.waiting.replace(node_id) {
            hub.wait_no_more(before, &self.mailbox);
        }
        hub.wait(node_id, &self.mailbox);
        true
    }
}
