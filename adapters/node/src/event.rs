//! What a node tells its owner while it runs, and what its owner may tell it.

use std::fmt;
use std::time::Duration;

use handfast_core::error::Refusal;
use handfast_core::flow::registration::node::News;
use handfast_core::id::NodeId;
use handfast_core::wire::json::Number;
use handfast_core::wire::registration::Heartbeat;
use handfast_core::wire::token::Token;
use tokio::sync::{broadcast, mpsc};

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It tries to reach the gateway.
    Connecting,
    /// The operator can approve it under this id now; the id is kept.
    WaitsForApproval(NodeId),
    /// The token that the owner entered is kept.
    TokenKept,
    /// The link is open.
    Linked {
        /// The node itself.
        node_id: NodeId,
        /// Where the registry says it stands.
        room: String,
    },
    /// The gateway does not let it in.
    Refused(Refusal),
    /// The gateway said that something was wrong, in these words (one line, without anything as
    /// long as a token).
    Complaint(String),
    /// The connection is gone, or never came about.
    Lost(Lost),
    /// The next attempt comes after this wait.
    RetryIn(Duration),
    /// A token came before there was an id to use it with.
    NothingAsked,
    /// Everything is forgotten.
    Forgotten,
}

impl From<News<'_>> for Event {
    fn from(news: News<'_>) -> Self {
        match news {
            News::WaitsForApproval(node_id) => Self::WaitsForApproval(node_id),
            News::TokenKept => Self::TokenKept,
            News::Linked { node_id, room } => {
                Self::Linked { node_id, room: room.as_str().to_owned() }
            }
            News::Refused(refusal) => Self::Refused(refusal),
            News::Complaint(words) => Self::Complaint(presentable(words)),
            News::RetryIn(wait) => Self::RetryIn(Duration::from_millis(wait.as_millis())),
            News::NothingAsked => Self::NothingAsked,
            News::Forgotten => Self::Forgotten,
        }
    }
}

/// Why there is no connection any more, or none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It could not be opened; says where it failed and why.
    NotOpened(String),
    /// The gateway closed it.
    Closed {
        /// Its code, 1005 if it gave none.
        code: u16,
        /// Its reason, without characters that fool a terminal and without anything that looks like
        /// a token.
        reason: String,
    },
    /// It broke.
    Broken(String),
    /// The gateway did not take or answer anything in time.
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

/// Text of a peer as it may be shown: one line, bounded, and nothing in it that is as long as a
/// token.
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
    shown.truncate(123);
    shown
}

/// What a node tells its gateway of itself from time to time. What is `None` leaves the last value
/// as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Whether somebody is there.
    pub occupancy: Option<bool>,
    /// How loud it is, in the node's own unit. Not a number and infinity count as `None`.
    pub noise_level: Option<f64>,
    /// Whether the wake word fired by mistake.
    pub wake_word_fp: Option<bool>,
}

impl Vitals {
    /// The noise level as it is written.
    pub(crate) fn noise(&self) -> Option<String> {
        let level = self.noise_level.filter(|level| level.is_finite())?;
        let plain = format!("{level}");
        Some(if Number::parse(&plain).is_some() { plain } else { format!("{level:e}") })
    }

    pub(crate) fn heartbeat<'b>(&self, noise: Option<&'b str>) -> Heartbeat<'b> {
        let noise_level = noise.and_then(Number::parse);
        Heartbeat { occupancy: self.occupancy, noise_level, wake_word_fp: self.wake_word_fp }
    }
}

/// What the owner may tell a running node.
#[derive(Debug)]
pub(crate) enum Word {
    Token(Token),
    AskAgain,
    Forget,
    Vitals(Vitals),
}

/// The owner's end of a node: may be cloned, and used from any task. Whatever is told to a node
/// that has ended is lost.
#[derive(Clone, Debug)]
pub struct Owner(pub(crate) mpsc::Sender<Word>);

impl Owner {
    /// The token that the operator was shown. The node keeps it in its state, and then links.
    pub async fn token_entered(&self, token: Token) {
        let _ = self.0.send(Word::Token(token)).await;
    }

    /// Ask again, under the id the gateway then gives.
    pub async fn ask_again(&self) {
        let _ = self.0.send(Word::AskAgain).await;
    }

    /// Forget the node id and the token, and begin again.
    pub async fn forget(&self) {
        let _ = self.0.send(Word::Forget).await;
    }

    /// What the next heartbeats tell.
    pub async fn tell(&self, vitals: Vitals) {
        let _ = self.0.send(Word::Vitals(vitals)).await;
    }
}

/// The events of a node, from the moment this was taken.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next one; `None` once the node has ended. Whoever falls hundreds of events behind loses
    /// the oldest.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
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
