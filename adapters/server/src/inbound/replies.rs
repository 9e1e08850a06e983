//! What senders are told, in the background: a slow channel holds up nothing but its own replies.

use std::sync::Arc;
use std::time::Duration;

use handfast_store::SenderName;

use super::adapter::{self, MOST_REPLIES, Registered};
use super::admission::Challenge;
use super::gate::Gate;
use super::operator::InboundError;
use crate::telemetry;

/// How long a channel may take to send something.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// Largest picture that is sent.
pub const MOST_PNG_BYTES: usize = 512 * 1024;
/// With what a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

impl Gate {
    /// Tells a sender its code, if that is due, and counts what became of it.
    pub(super) fn tell_code(&self, challenge: Challenge) {
        let metrics = self.inner.telemetry.channel(&challenge.sender.channel);
        if !challenge.reply {
            return metrics.challenged(telemetry::Challenge::Throttled);
        }
        let Some(registered) = self.inner.channels.find(&challenge.sender.channel) else {
            return metrics.challenged(telemetry::Challenge::NoWay);
        };
        let (of_task, told) = (Arc::clone(&metrics), |gone: bool| match gone {
            true => telemetry::Challenge::DeliveredViaAdapter,
            false => telemetry::Challenge::PublishFailed,
        });
        let is_under_way = send(registered, challenge.sender, challenge.text, move |gone| {
            of_task.challenged(told(gone))
        });
        if !is_under_way {
            metrics.challenged(telemetry::Challenge::PublishFailed);
        }
    }

    /// Tells a sender that it was let in, if there is a way to.
    pub(super) fn tell_approved(&self, sender: SenderName) {
        let Some(registered) = self.inner.channels.find(&sender.channel) else { return };
        let text =
            adapter::text(|| registered.adapter.approved_text(), || "You are let in.".to_owned());
        send(registered, sender, text, |_| {});
    }

    /// Sends somebody a QR code, and waits for it: 10 s at most.
    ///
    /// # Errors
    /// [`InboundError::NoChannel`], [`InboundError::NotASender`], [`InboundError::BadId`],
    /// [`InboundError::BadPng`] if it is no PNG of at most [`MOST_PNG_BYTES`],
    /// [`InboundError::Busy`] if too much is under way on the channel, and
    /// [`InboundError::Adapter`] if it was not sent.
    pub async fn send_qr(
        &self,
        channel: &str,
        account: &str,
        to: &str,
        png: &[u8],
    ) -> Result<(), InboundError> {
        let name = self.name(channel, account, to).await?;
        if png.len() > MOST_PNG_BYTES || !png.starts_with(PNG) {
            return Err(InboundError::BadPng);
        }
        let registered = self
            .inner
            .channels
            .find(channel)
            .ok_or_else(|| InboundError::NoChannel(channel.to_owned()))?;
        let _place =
            registered.replies.try_acquire().map_err(|_| InboundError::Busy(channel.to_owned()))?;
        let sending = async { registered.adapter.send_qr(&name.account, &name.sender, png).await };
        Ok(adapter::ask(channel, SENT_WITHIN, sending).await?)
    }
}

/// Sends a text in the background, and says at the end whether it has gone. `false` if there is no
/// place for it, and then nothing else happens.
fn send(
    registered: Registered,
    to: SenderName,
    text: String,
    then: impl FnOnce(bool) + Send + 'static,
) -> bool {
    let Ok(place) = Arc::clone(&registered.replies).try_acquire_owned() else {
        tracing::debug!(channel = to.channel, "a reply is not sent: {MOST_REPLIES} are under way");
        return false;
    };
    tokio::spawn(async move {
        let sending = async { registered.adapter.send_reply(&to.account, &to.sender, &text).await };
        let sent = adapter::ask(&to.channel, SENT_WITHIN, sending).await;
        if let Err(error) = &sent {
            tracing::warn!("a reply was not sent: {error}");
        }
        then(sent.is_ok());
        drop(place);
    });
    true
}
