//! Texts to senders, sent in the background: a slow channel delays only its own replies.

use std::sync::Arc;
use std::time::Duration;

use handfast_store::SenderName;

use super::adapter::{self, MOST_REPLIES, Registered};
use super::admission::SenderChallenge;
use super::gate::Gate;
use super::operator::InboundError;
use crate::telemetry;

/// Limit for a channel to send something.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// Maximum size of a picture in bytes.
pub const MOST_PNG_BYTES: usize = 512 * 1024;
/// The signature at the beginning of a PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

impl Gate {
    /// Sends a sender its code, if that is due, and counts the outcome.
    pub(super) fn tell_code(&self, challenge: SenderChallenge) {
        let metrics = self.inner.telemetry.channel(&challenge.sender.channel);
        if !challenge.reply {
            return metrics.challenged(telemetry::ChallengeResult::Throttled);
        }
        let Some(registered) = self.inner.channels.find(&challenge.sender.channel) else {
            return metrics.challenged(telemetry::ChallengeResult::NoWay);
        };
        let (of_task, told) = (Arc::clone(&metrics), |gone: bool| match gone {
            true => telemetry::ChallengeResult::DeliveredViaAdapter,
            false => telemetry::ChallengeResult::PublishFailed,
        });
        let is_under_way = send(registered, challenge.sender, challenge.text, move |gone| {
            of_task.challenged(told(gone));
        });
        if !is_under_way {
            metrics.challenged(telemetry::ChallengeResult::PublishFailed);
        }
    }

    /// Tells a sender that it was allowed, if its channel is registered.
    pub(super) fn tell_approved(&self, sender: SenderName) {
        let Some(registered) = self.inner.channels.find(&sender.channel) else { return };
        let text =
            adapter::text(|| registered.adapter.approved_text(), || "You are let in.".to_owned());
        // Hearing of it is a courtesy, so a failure changes nothing.
        send(registered, sender, text, |_| {});
    }

    /// Sends a QR code and waits for the outcome, at most 10 s.
    ///
    /// # Errors
    /// [`InboundError::NoChannel`], [`InboundError::NotASender`], [`InboundError::BadId`],
    /// [`InboundError::BadPng`] if the data is not a PNG of at most [`MOST_PNG_BYTES`],
    /// [`InboundError::Busy`] if too many replies are in progress on the channel, and
    /// [`InboundError::Adapter`] if the picture was not sent.
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

/// Sends a text in the background, and passes the outcome to `then`. Returns `false` if no permit
/// is free; nothing is sent then, and `then` is not called.
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
        // The permit bounds the replies in progress, so it is kept until this one is over.
        drop(place);
    });
    true
}
