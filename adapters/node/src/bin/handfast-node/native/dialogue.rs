//! The dialogue while a node is being paired.

use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::Trust;
use handfast_core::wire::invite::TypedCode;
use handfast_core::wire::native::pair::Selector;
use handfast_node::native::{GatewayAt, NativeEvent, NativeEvents, NativeOwner, PairingRefusal};
use handfast_stdio::{Unwritten, note_line};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::Failure;
use crate::ask::Question;
use crate::hint::Hints;
use crate::native::pair::{LINK_WITHIN, pin};
use crate::native::run::list;

/// The secret that the owner may be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    Pin,
    /// A code with this selector.
    Code(Selector),
}

/// Data for the messages to the owner.
pub(crate) struct PairingTexts {
    pub(crate) own: Fingerprint,
    pub(crate) gateways: Vec<GatewayAt>,
    pub(crate) hints: Hints,
}

pub(crate) struct PairingDialogue {
    shown: PairingTexts,
    asks: Asks,
    question: Option<Question>,
    /// The instant at which the gateway's PIN expires.
    pin_until: Option<Instant>,
    /// The gateway has accepted the code or the request, so a lost connection is retried.
    known: bool,
    granted: Option<String>,
    why: Option<String>,
    attempts: u8,
    /// The first write error of the output. It does not end the pairing.
    unwritten: Option<Unwritten>,
}

/// Number of retries after the code was confirmed; then retrying is left to `run`.
const ATTEMPTS: u8 = 5;

impl PairingDialogue {
    pub(crate) fn new(shown: PairingTexts, asks: Asks) -> Self {
        Self {
            shown,
            asks,
            question: None,
            pin_until: None,
            known: false,
            granted: None,
            why: None,
            attempts: 0,
            unwritten: None,
        }
    }

    /// Runs until the node is paired and linked, or the pairing has failed.
    pub(crate) async fn follow(
        &mut self,
        owner: NativeOwner,
        mut events: NativeEvents,
    ) -> Result<(), Failure> {
        self.tell(&format!("This node  {}\n", self.shown.own));
        loop {
            // A paired node need not wait for its first link: `run` opens it later.
            let patience = if self.granted.is_some() { LINK_WITHIN } else { Duration::MAX };
            let until = self.pin_until.filter(|_| self.question.is_some());
            let asking = async {
                match &mut self.question {
                    Some(question) => question.answer(until).await,
                    None => std::future::pending().await,
                }
            };
            let expired = async move {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => if self.hear(event)? { return self.told() },
                    None => return Err(Failure::Failed("the node ended before it was paired".into())),
                },
                typed = asking => {
                    self.question = None;
                    let typed = typed.ok_or_else(|| Failure::Failed("not paired: nothing more was typed".into()))?;
                    self.entered(&owner, typed).await?;
                }
                () = expired => {
                    self.question = None;
                    return Err(self.failed("the PIN ran out before it was typed; pair again for another one"));
                }
                () = tokio::time::sleep(patience) => {
                    self.tell(&format!(
                        "Not linked yet. Go on with that:\n\n  {}\n",
                        self.shown.hints.run()
                    ));
                    return self.told();
                }
            }
        }
    }

    /// Prints to standard output, unless an earlier write failed.
    fn tell(&mut self, text: &str) {
        // After a failed write nothing more is shown, and the pairing goes on.
        if self.unwritten.is_none() {
            self.unwritten = handfast_stdio::put(text).err();
        }
    }

    /// Returns the outcome for a paired node: `Ok`, or the write error.
    fn told(&mut self) -> Result<(), Failure> {
        self.unwritten.take().map_or(Ok(()), |unwritten| Err(Failure::Unwritten(unwritten)))
    }

    /// Handles an event. Returns `true` once the node is paired and linked.
    fn hear(&mut self, event: NativeEvent) -> Result<bool, Failure> {
        match event {
            NativeEvent::Gateway { fingerprint, trust } => self.tell(&format!(
                "Gateway    {fingerprint}  {}\n",
                match trust {
                    Trust::Pinned => "(as expected)",
                    Trust::Code => "(the code will verify it)",
                    Trust::FirstUse =>
                        "(trust on first use: compare it with what the gateway shows, or name it with --gateway-key)",
                }
            )),
            NativeEvent::OtherGateway(fingerprint) => {
                return Err(Failure::Failed(format!(
                    "gateway_key_mismatch: another gateway answers: {fingerprint}. Nothing was told to it. Check the \
                     address and the fingerprint; if this node asked another gateway before, {}",
                    self.shown.hints.forget_first()
                )));
            }
            NativeEvent::TypeThePin { expires_in, attempts } => {
                note_line(&format!("The gateway shows a PIN for {} s; it may be tried {attempts} times.", expires_in.as_secs()));
                self.pin_until = Instant::now().checked_add(expires_in);
                self.question = Some(Question::ask("PIN"));
            }
            NativeEvent::WrongCode { attempts_left } => self.wrong(attempts_left)?,
            NativeEvent::CodeConfirmed => {
                self.known = true;
                self.tell("The code is right, and the gateway is the one that knows it.\n");
            }
            NativeEvent::GatewayUnproven => {
                return Err(Failure::Failed(
                    "whoever answers at that address does not know the code, so it is not the gateway that made it. Nothing of theirs was \
                     taken; check the address, and have a new code made"
                        .into(),
                ));
            }
            NativeEvent::WaitsForApproval { expires_in } => {
                self.known = true;
                self.tell(&format!(
                    "Waits for the operator ({} s), who compares\n\n  {}\n\nand approves it. \
                     Ctrl-C ends the waiting here; this goes on with it:\n\n  {}\n",
                    expires_in.as_secs(),
                    self.shown.own,
                    self.shown.hints.run()
                ));
            }
            NativeEvent::PairingRefused(refusal) => return Err(self.refused(&refusal)),
            NativeEvent::Granted { node_id, room, message } => {
                self.tell(&format!("Paired     {node_id} (room {room})\n"));
                if let Some(message) = message {
                    self.tell(&format!("The gateway says: {message}\n"));
                }
                self.granted = Some(node_id.to_string());
            }
            NativeEvent::Linked(_) if self.granted.is_some() => {
                self.tell(&format!("Linked. Stay so with\n\n  {}\n", self.shown.hints.run()));
                return Ok(true);
            }
            NativeEvent::GatewayName(name) => self.tell(&format!("The gateway is called {name}\n")),
            NativeEvent::Lost(lost) => self.why = Some(lost.to_string()),
            NativeEvent::TurnedAway => {
                self.why = Some("turned away, unsigned; a gateway that has too much to do says so: try again later".into());
            }
            NativeEvent::OtherVersion => {
                self.why = Some("told, unsigned, that another version is spoken there; update this node or the gateway".into());
            }
            NativeEvent::Broken => self.why = Some("what came was not what the gateway would send; try again".into()),
            NativeEvent::RetryIn(_) if self.granted.is_none() => {
                self.attempts = self.attempts.saturating_add(1);
                // Before the gateway has accepted anything, its address may be wrong, so there is
                // no retry.
                if !self.known || self.attempts > ATTEMPTS {
                    return Err(self.failed("the gateway does not answer"));
                }
            }
            NativeEvent::Resting => return Err(self.failed("the time for it ran out; pair again")),
            NativeEvent::Connecting
            | NativeEvent::Linked(_)
            | NativeEvent::PairAgain
            | NativeEvent::Expired
            | NativeEvent::RetryIn(_)
            | NativeEvent::Muted
            | NativeEvent::Replaced
            | NativeEvent::Unmuted
            | NativeEvent::Unpaired
            | NativeEvent::NotAllowed { .. }
            | NativeEvent::Renewed
            | NativeEvent::NotRenewed
            | NativeEvent::CertificateRenewed
            | NativeEvent::CertificateNotRenewed
            | NativeEvent::Bearer(_)
            | NativeEvent::App(_)
            | NativeEvent::Forgotten => {}
            // An event of a newer library does not end the pairing.
            _ => {}
        }
        Ok(false)
    }

    fn wrong(&mut self, attempts_left: u8) -> Result<(), Failure> {
        let prompt = match self.asks {
            Asks::Pin => "PIN",
            Asks::Code(_) => "Code",
            Asks::Nothing => {
                return Err(Failure::Failed(
                    "not paired: the gateway does not accept this invitation; have a new one made"
                        .into(),
                ));
            }
        };
        let attempts = if attempts_left == 1 { "attempt" } else { "attempts" };
        // A gateway does not tell a stranger which codes there are, so a code that was spent or
        // withdrawn looks like a wrong one. Of the node's own PIN it tells more.
        let may_be = match self.asks {
            Asks::Code(_) => " (mistyped, or it was used, withdrawn or ran out)",
            Asks::Pin | Asks::Nothing => "",
        };
        note_line(&format!(
            "wrong {prompt}, {attempts_left} {attempts} left{may_be}",
            prompt = prompt_in_words(prompt)
        ));
        self.question = Some(Question::ask(prompt));
        Ok(())
    }

    /// Passes the typed secret to the machine. Malformed input is asked for again, which costs no
    /// attempt.
    async fn entered(
        &mut self,
        owner: &NativeOwner,
        typed: Zeroizing<String>,
    ) -> Result<(), Failure> {
        match self.asks {
            Asks::Pin => match pin(&typed) {
                Ok(code) => owner.enter_code(code).await,
                Err(why) => {
                    note_line(why);
                    self.question = Some(Question::ask("PIN"));
                }
            },
            Asks::Code(selector) => match TypedCode::parse(&typed) {
                Ok(typed) if typed.selector == selector => owner.enter_code(typed.code).await,
                Ok(_) => {
                    return Err(Failure::Failed(format!(
                        "that is another code than the first one; begin anew:\n  {}",
                        self.shown.hints.pair("--code", &self.shown.gateways)
                    )));
                }
                Err(_) => {
                    note_line("that is no code: it reads like K7QF-847291");
                    self.question = Some(Question::ask("Code"));
                }
            },
            Asks::Nothing => {}
        }
        Ok(())
    }

    fn failed(&mut self, otherwise: &str) -> Failure {
        let why = self.why.take().unwrap_or_else(|| otherwise.to_owned());
        Failure::Failed(format!("not paired with {}: {why}", list(&self.shown.gateways)))
    }

    fn refused(&self, refusal: &PairingRefusal) -> Failure {
        let mut text = format!("not paired: {refusal}");
        if *refusal == PairingRefusal::Revoked {
            text += &format!("; {}", self.shown.hints.pair_anew(&self.shown.gateways));
        }
        Failure::Failed(text)
    }
}

fn prompt_in_words(prompt: &str) -> &str {
    if prompt == "Code" { "code" } else { prompt }
}
