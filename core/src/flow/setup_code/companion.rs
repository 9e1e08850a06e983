//! The companion's end: it shows a setup code and gets a session.

use crate::grant::session::Token;
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::companion::Answer;
use crate::wire::json_write::ObjectWriter;

/// Time in which the gateway must answer.
pub const ANSWER_WITHIN: Span = Span::from_secs(10);

/// The machine of a companion that shows its code.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Companion(State);

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Waiting { until: Instant },
    Done,
}

/// An event for a companion.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// A text frame arrived.
    Text(&'b str),
    /// A binary frame arrived.
    Binary,
    /// The deadline has come.
    Tick,
    /// The connection is closed.
    Closed,
}

/// The outcome for the companion.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// The token of the new session. Store it durably, where no one else can read it.
    Keep(Token),
    /// The gateway refused with this text, which is untrusted; escape it for display.
    Refused(&'b str),
    /// The gateway's answer cannot be understood.
    NotUnderstood,
    /// The gateway did not answer in time, or the connection ended first.
    NoAnswer,
}

impl Companion {
    /// Makes the machine and the frame to send. Returns `None` if the frame does not fit into
    /// `out`.
    pub fn begin<'o>(
        now: Instant,
        bootstrap_token: &str,
        out: &'o mut [u8],
    ) -> Option<(Self, &'o str)> {
        let frame = ObjectWriter::new(out).text("bootstrap_token", bootstrap_token).finish()?;
        Some((Self(State::Waiting { until: now.after(ANSWER_WITHIN) }), frame))
    }
}

impl Machine for Companion {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let State::Waiting { until } = self.0 else { return Effects::none() };
        let effect = match input {
            // A tick may come early, and then means nothing.
            Input::Tick if now < until => return Effects::none(),
            Input::Text(frame) => match Answer::parse(frame, scratch) {
                Answer::Opened(token) => Effect::Keep(token),
                Answer::Error(word) => Effect::Refused(word),
                Answer::Other => Effect::NotUnderstood,
            },
            Input::Binary => Effect::NotUnderstood,
            Input::Tick | Input::Closed => Effect::NoAnswer,
        };
        self.0 = State::Done;
        Effects::of([effect])
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match self.0 {
            State::Waiting { until } => Some((until, DeadlineReason::Answer)),
            State::Done => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Returns `false`: the outcome has no answer.
    fn awaits_answer(&self) -> bool {
        false
    }

    fn state_name(&self) -> &'static str {
        match self.0 {
            State::Waiting { .. } => "Waiting",
            State::Done => "Done",
        }
    }
}

const _: () =
    assert!(core::mem::size_of::<Companion>() <= 32, "a companion may be a microcontroller");

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

    fn after(input: Input<'_>, millis: u64) -> std::string::String {
        let mut out = [0; 64];
        let (mut companion, frame) =
            Companion::begin(Instant::from_millis(0), "a.b", &mut out).unwrap();
        assert_eq!(frame, r#"{"bootstrap_token":"a.b"}"#);
        let mut scratch = [0; 64];
        let effects = companion.step(Instant::from_millis(millis), input, &mut scratch);
        assert_ne!(companion.is_closed(), effects.is_empty());
        let mut told = effects.into_iter().map(|effect| match effect {
            Effect::Keep(token) => std::format!("keep {}", token.expose()),
            other => std::format!("{other:?}"),
        });
        told.next().unwrap_or_default()
    }

    #[test]
    fn it_keeps_the_token_that_it_is_given_and_hears_why_it_is_given_none() {
        let opened = std::format!(r#"{{"session_token":"{TOKEN}"}}"#);
        assert_eq!(after(Input::Text(&opened), 1), std::format!("keep {TOKEN}"));
        assert_eq!(
            after(Input::Text(r#"{"error":"already used"}"#), 1),
            "Refused(\"already used\")"
        );
        assert_eq!(after(Input::Text("{}"), 1), "NotUnderstood");
        assert_eq!(after(Input::Binary, 1), "NotUnderstood");
    }

    #[test]
    fn it_waits_for_ten_seconds_and_no_longer() {
        assert_eq!(after(Input::Tick, 9_999), "");
        assert_eq!(after(Input::Tick, 10_000), "NoAnswer");
        assert_eq!(after(Input::Closed, 1), "NoAnswer");
    }
}
