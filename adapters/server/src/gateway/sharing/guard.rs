//! Puts a lost contact in force: says so, and ends the links once it was lost for long.

use std::sync::Weak;
use std::time::Duration;

use handfast_core::registry::sharing::Contact;

use crate::gateway::Inner;

/// The interval at which the contact is looked at. Whoever is to be admitted looks by themselves.
const EVERY: Duration = Duration::from_millis(200);

/// Looks at the contact as long as the gateway lives.
pub(super) async fn guard(gateway: Weak<Inner>) {
    let mut said = Contact::InTouch;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(inner) = gateway.upgrade() else { return };
        let contact = inner.hub.contact().now();
        if contact != said {
            said = contact;
            let links = inner.hub.count();
            match contact {
                Contact::InTouch => tracing::info!(links, "in touch with the registry again"),
                Contact::CutOff => tracing::error!(
                    links,
                    "cut off from the registry: nobody is admitted and no task is given out until \
                     its changes can be read again; links that stand are kept for a while"
                ),
                Contact::Over => tracing::error!(
                    links,
                    "still cut off from the registry: links are closed, so that nodes go to \
                     another gateway"
                ),
            }
        }
        if !contact.keeps_links() {
            inner.hub.all_go_elsewhere();
        }
    }
}
