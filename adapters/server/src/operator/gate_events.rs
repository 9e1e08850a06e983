//! Events of the inbound gate as events of the gateway.

use std::sync::{Arc, OnceLock, Weak};

use handfast_store::SenderName;

use crate::events::Event;
use crate::gateway::{Gateway, Inner};
use crate::inbound::{GateEvent, GateObserver};

/// The place of a gateway for the parts of it that are made first. It is weak, because the gateway
/// owns these parts.
#[derive(Clone, Default)]
pub(crate) struct GatewayCell(Arc<OnceLock<Weak<Inner>>>);

impl GatewayCell {
    /// Takes the gateway in. A second one is ignored.
    pub(crate) fn set(&self, inner: &Arc<Inner>) {
        let _ = self.0.set(Arc::downgrade(inner));
    }

    /// Returns the gateway; `None` before its start and after its end.
    pub(crate) fn gateway(&self) -> Option<Gateway> {
        self.0.get().and_then(Weak::upgrade).map(Gateway::new)
    }
}

/// Turns events of the inbound gate into events of the gateway.
pub(crate) fn observer(cell: &GatewayCell) -> GateObserver {
    let cell = cell.clone();
    Arc::new(move |event: &GateEvent| {
        if let Some(gateway) = cell.gateway() {
            gateway.event(of_gate(event));
        }
    })
}

fn of_gate(event: &GateEvent) -> Event {
    match event {
        GateEvent::Asked { sender, code: _ } => {
            let SenderName { channel, account, sender } = sender.clone();
            Event::SenderAsked { channel, account, sender }
        }
        GateEvent::Approved { sender, via: _ } => {
            let SenderName { channel, account, sender } = sender.clone();
            Event::SenderAllowed { channel, account, sender }
        }
        GateEvent::Changed { channel, account, sender, change } => Event::SenderDecided {
            channel: channel.clone(),
            account: account.clone(),
            sender: sender.clone(),
            decision: change,
        },
        GateEvent::Seeded { channel, account, added } => Event::SendersSeeded {
            channel: channel.clone(),
            account: account.clone(),
            added: *added,
        },
    }
}
