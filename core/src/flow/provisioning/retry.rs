//! How often a node tries to register at its command center.

use super::outcome::Outcome;
use crate::budget::Backoff;
use crate::entropy::Entropy;
use crate::limits::REGISTER_ATTEMPTS;
use crate::text::Label;
use crate::time::Span;

/// The failure of one attempt to register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RegisterFailure<'b> {
    /// No answer came.
    Unreachable,
    /// The URL is none that this node can call.
    NoUrl,
    /// The command center answered with this HTTP status.
    Status {
        /// The status.
        status: u16,
        /// The command center's own words.
        detail: Option<Label<'b>>,
    },
    /// The command center agreed, but its answer cannot be read.
    Unreadable,
    /// The gateway of an invitation refused to pair the node.
    NotPaired,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Next {
    /// Another attempt follows after this wait.
    Again(Span),
    /// The node gives up.
    GiveUp(Outcome),
}

/// The attempts of one run.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attempts {
    made: u8,
    backoff: Backoff,
}

impl Attempts {
    /// Returns the count before the first attempt.
    #[must_use]
    pub const fn none() -> Self {
        Self { made: 0, backoff: Backoff::new() }
    }

    /// Counts a failed attempt, and decides whether another one follows.
    pub fn failed(&mut self, failure: &RegisterFailure<'_>, entropy: &Entropy<2>) -> Next {
        let outcome = match failure {
            RegisterFailure::Unreachable => Outcome::GatewayUnreachable,
            // A fault of the server may pass, unlike a refusal.
            RegisterFailure::Status { status: 500.., .. } => Outcome::GatewayUnreachable,
            // A URL that cannot be called gets no better by another attempt.
            RegisterFailure::NoUrl => return Next::GiveUp(Outcome::GatewayUnreachable),
            RegisterFailure::Status { status: ..500, .. }
            | RegisterFailure::Unreadable
            | RegisterFailure::NotPaired => {
                return Next::GiveUp(Outcome::GatewayRefused);
            }
        };
        self.made = self.made.saturating_add(1);
        if self.made >= REGISTER_ATTEMPTS {
            return Next::GiveUp(outcome);
        }
        let (wait, backoff) = self.backoff.wait(entropy);
        self.backoff = backoff;
        Next::Again(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: [u8; 2] = [0xff, 0x7f];

    fn status(status: u16) -> RegisterFailure<'static> {
        RegisterFailure::Status { status, detail: None }
    }

    #[test]
    fn no_answer_and_a_servers_own_failure_are_tried_again_with_growing_waits() {
        for failure in [RegisterFailure::Unreachable, status(500), status(503)] {
            let mut attempts = Attempts::none();
            let mut waits = std::vec::Vec::new();
            let end = loop {
                match attempts.failed(&failure, &Entropy::from_recorded(MIDDLE)) {
                    Next::Again(wait) => waits.push(wait.as_secs()),
                    Next::GiveUp(outcome) => break outcome,
                }
            };
            assert_eq!((waits, end), (std::vec![0, 1, 3, 7], Outcome::GatewayUnreachable));
        }
    }

    #[test]
    fn a_refusal_and_an_answer_that_cannot_be_read_are_final() {
        for failure in [
            status(301),
            status(400),
            status(401),
            status(404),
            status(422),
            status(499),
            RegisterFailure::Unreadable,
        ] {
            assert_eq!(
                Attempts::none().failed(&failure, &Entropy::from_recorded(MIDDLE)),
                Next::GiveUp(Outcome::GatewayRefused),
                "{failure:?}"
            );
        }
        assert_eq!(
            Attempts::none().failed(&RegisterFailure::NoUrl, &Entropy::from_recorded(MIDDLE)),
            Next::GiveUp(Outcome::GatewayUnreachable)
        );
    }
}
