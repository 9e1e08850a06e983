//! Events of a running node, and commands of its owner.

use std::fmt;
use std::time::Duration;

use handfast_core::flow::registration::node::RegistrationNodeEvent;
use handfast_core::wire::json::Number;
use handfast_core::wire::registration::Heartbeat;
use handfast_core::wire::token::Token;
use handfast_core::{NodeId, Refusal};
use tokio::sync::{broadcast, mpsc};

/// An event of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationEvent {
    /// The node tries to reach the gateway.
    Connecting,
    /// The operator can now approve the node under this id, which is stored.
    WaitsForApproval(NodeId),
    /// The token that the owner entered is stored.
    TokenKept,
    /// The link is open.
    Linked {
        /// The node's own id.
        node_id: NodeId,
        /// The node's room in the gateway's registry.
        room: String,
    },
    /// The gateway refused the node.
    Refused(Refusal),
    /// The gateway reported an error, in these words (one line, without any word as long as a
    /// token).
    Complaint(String),
    /// The connection is lost, or was never opened.
    Lost(Lost),
    /// The next attempt follows after this wait.
    RetryIn(Duration),
    /// A token was entered before the node had an id to use it with.
    NothingAsked,
    /// The node has erased everything that it stored.
    Forgotten,
}

impl From<RegistrationNodeEvent<'_>> for RegistrationEvent {
    fn from(news: RegistrationNodeEvent<'_>) -> Self {
        match news {
            RegistrationNodeEvent::WaitsForApproval(node_id) => Self::WaitsForApproval(node_id),
            RegistrationNodeEvent::TokenKept => Self::TokenKept,
            RegistrationNodeEvent::Linked { node_id, room } => {
                Self::Linked { node_id, room: room.as_str().to_owned() }
            }
            RegistrationNodeEvent::Refused(refusal) => Self::Refused(refusal),
            RegistrationNodeEvent::Complaint(words) => Self::Complaint(presentable(words)),
            RegistrationNodeEvent::RetryIn(wait) => {
                Self::RetryIn(Duration::from_millis(wait.as_millis()))
            }
            RegistrationNodeEvent::NothingAsked => Self::NothingAsked,
            RegistrationNodeEvent::Forgotten => Self::Forgotten,
        }
    }
}

/// The reason for which there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection could not be opened; the text names the place and the cause.
    NotOpened(String),
    /// The gateway closed the connection.
    Closed {
        /// The close code, 1005 if the gateway gave none.
        code: u16,
        /// The close reason, without characters that mislead a terminal and without any word as
        /// long as a token.
        reason: String,
    },
    /// The connection failed, with this cause.
    Broken(String),
    /// The gateway did not accept or answer something in time.
    Silent,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpened(why) => f.write_str(why),
            Self::Closed { code, reason } if reason.is_empty() => {
                write!(f, "the gateway closed the connection (code {code})")
            }
            Self::Closed { code, reason } => {
                write!(f, "the gateway closed the connection (code {code}: {reason})")
            }
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Silent => f.write_str("the gateway does not answer"),
        }
    }
}

/// Makes a peer's text safe to display: one line of at most 123 characters, printable ASCII only,
/// with words longer than 40 characters replaced.
pub(crate) fn presentable(text: &str) -> String {
    const LONGEST_RUN: usize = 40;
    let mut shown = String::new();
    for word in text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    {
        if word.len() > LONGEST_RUN {
            shown.push_str("[left out]");
        } else {
            shown.extend(
                word.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }),
            );
        }
    }
    // The text is ASCII by now, and the reason of a close frame has at most 123 bytes.
    shown.truncate(123);
    shown
}

/// Readings that a node reports in its heartbeats. A field that is `None` leaves the last value
/// unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Presence of people.
    pub occupancy: Option<bool>,
    /// Noise level in the node's own unit. NaN and infinity count as `None`.
    pub noise_level: Option<f64>,
    /// A false activation of the wake word.
    pub wake_word_fp: Option<bool>,
}

impl Vitals {
    /// Returns the noise level as a JSON number.
    pub(crate) fn noise(&self) -> Option<String> {
        let level = self.noise_level.filter(|level| level.is_finite())?;
        let plain = format!("{level}");
        // A very large or small number is shorter with an exponent.
        Some(if Number::parse(&plain).is_some() { plain } else { format!("{level:e}") })
    }

    pub(crate) fn heartbeat<'b>(&self, noise: Option<&'b str>) -> Heartbeat<'b> {
        let noise_level = noise.and_then(Number::parse);
        Heartbeat { occupancy: self.occupancy, noise_level, wake_word_fp: self.wake_word_fp }
    }
}

/// A command of the owner for a running node.
#[derive(Debug)]
pub(crate) enum OwnerCommand {
    Token(Token),
    AskAgain,
    Forget,
    Vitals(Vitals),
}

/// The owner's handle to a node. It can be cloned and used from any task. Commands to a node that
/// has ended are lost.
#[derive(Clone, Debug)]
pub struct Owner(pub(crate) mpsc::Sender<OwnerCommand>);

impl Owner {
    /// Enters the token that the operator was shown. The node stores it, and then links.
    pub async fn token_entered(&self, token: Token) {
        // A node that has ended obeys no command.
        let _ = self.0.send(OwnerCommand::Token(token)).await;
    }

    /// Asks the gateway again; the node then has a new id.
    pub async fn ask_again(&self) {
        let _ = self.0.send(OwnerCommand::AskAgain).await;
    }

    /// Erases the node id and the token. The node then asks to be paired under a new id.
    pub async fn forget(&self) {
        let _ = self.0.send(OwnerCommand::Forget).await;
    }

    /// Sets the readings of the next heartbeats.
    pub async fn tell(&self, vitals: Vitals) {
        let _ = self.0.send(OwnerCommand::Vitals(vitals)).await;
    }
}

/// The events of a node since this receiver was created.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<RegistrationEvent>);

impl Events {
    /// Waits for the next event; `None` once the node has ended. A receiver that falls hundreds of
    /// events behind loses the oldest.
    pub async fn next(&mut self) -> Option<RegistrationEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                // A receiver that fell behind goes on with what is left.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_gateway_is_shown_without_tokens_and_tricks() {
        assert_eq!(presentable("Node is muted"), "Node is muted");
        let token = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
        let shown = presentable(&format!("no: {token}, \u{1b}[2J{token}\u{202e}x"));
        assert!(
            !shown.contains("HTrGw") && shown.is_ascii() && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert!(presentable(&"ab ".repeat(1000)).len() <= 123);
    }

    #[test]
    fn every_finite_noise_level_is_a_json_number() {
        for level in [0.0, -0.25, 61.5, 1e300, 5e-324, f64::MAX] {
            let vitals = Vitals { noise_level: Some(level), ..Vitals::default() };
            let text = vitals.noise().unwrap();
            assert_eq!(
                vitals.heartbeat(Some(&text)).noise_level.unwrap().as_str().parse::<f64>().unwrap(),
                level
            );
        }
        for level in [f64::NAN, f64::INFINITY] {
            assert_eq!(Vitals { noise_level: Some(level), ..Vitals::default() }.noise(), None);
        }
    }
}
