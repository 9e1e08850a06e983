//! The node of the native wire, over TCP or the board's serial line.

use core::cell::Cell;
use core::fmt::{Display, Formatter, Result};
use core::pin::pin;

use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
#[cfg(feature = "identity")]
use handfast_core::flow::identity::held::NotHeld;
use handfast_core::flow::native::node::{
    CertificateWish, NativeMemory, NativeNodeEvent, NodeIdentity, Paired, Timing, Trust,
};
#[cfg(feature = "identity")]
use handfast_core::grant::certificate::CompactDefect;
use handfast_core::link::dispatch::DispatchEnd;
#[cfg(feature = "identity")]
use handfast_core::rfc3339;
use handfast_core::wire::native::pair::{AskedScopes, PairRefusal};
use handfast_core::wire::registration::{PairRequest, Profile};
#[cfg(feature = "identity")]
use handfast_edge::native::CertificateNews;
#[cfg(feature = "identity")]
use handfast_edge::native::memory::CertificateFlash as NodeFlash;
#[cfg(not(feature = "identity"))]
use handfast_edge::native::memory::DispatchFlash as NodeFlash;
use handfast_edge::native::memory::{NativeFlash, NativeStorage as _, keys};
use handfast_edge::native::{
    self, DispatchBuffers, Dispatching, NativeBuffers, NativeCommand, NativeOwnerPort, NativePorts,
    NativeReport, NotSent, TaskNews,
};
use handfast_edge::ports::{Clock, Connector};
use rand_core::CryptoRng;

use crate::Pin;
use crate::capabilities::{BoardCapabilities, OUTPUT};
use crate::desk::{Desk, DeskStanding, Wanted};
use crate::light::{self, BoardSensors, SharedPin};
use crate::node::{CertificateSpace, NO_FLASH, in_place};
use crate::readings::{FromConsole, Readings};
use crate::settings::BoardSettings;
use crate::words::{Harmless, Seconds, broken_in_words, flash as flash_in_words};

/// Loads the node's keys, or generates them at first boot, and gives the desk their fingerprint.
pub(crate) async fn wake<I: Read, O: Write, E: CryptoRng, F: NorFlash>(
    desk: &mut Desk<'_, I, O>,
    (entropy, flash, start): (&mut E, &mut F, u32),
    own: &mut Option<OwnKeys>,
) -> core::result::Result<(), i32> {
    let Ok(mut keep) = NativeFlash::new(flash, start) else { return Err(NO_FLASH) };
    let made = pin!(in_place(|| keys(&mut keep, entropy))).await;
    match made {
        Ok(keys) => {
            desk.own = Some(Fingerprint::of(keys.channel.public()));
            *own = Some(keys);
            Ok(())
        }
        Err(error) => {
            desk.told(format_args!("the keys cannot be kept: {}", flash_in_words(error))).await;
            Err(NO_FLASH)
        }
    }
}

/// Runs the driver until the desk stops it.
///
/// # Errors
/// The exit code of the program.
pub(crate) async fn run<I: Read, O: Write, G: Connector, E: CryptoRng, F: NorFlash, C, P: Pin>(
    desk: &mut Desk<'_, I, O>,
    (gateway, entropy, flash, start, clock): (G, &mut E, &mut F, u32, C),
    (settings, keys, readings): (&BoardSettings, &OwnKeys, &Cell<Readings>),
    pin: &mut P,
    (buffers, tasks, certificate): (
        &mut NativeBuffers,
        &mut DispatchBuffers<OUTPUT>,
        &mut CertificateSpace,
    ),
) -> core::result::Result<(), i32>
where
    C: Clock + Copy,
{
    let Ok(mut keep) = NodeFlash::new(flash, start) else { return Err(NO_FLASH) };
    let memory = keep.load().await;
    desk.standing = if matches!(memory, Ok(NativeMemory::Blank)) {
        DeskStanding::Silent
    } else {
        DeskStanding::Connecting
    };
    match memory {
        Ok(NativeMemory::Blank) if !desk.has_orders() => {
            desk.say("not paired: `pair pin`, `pair approval` or `pair code`");
        }
        Ok(NativeMemory::Asked { gateway }) => desk.peer = Some(Fingerprint::of(&gateway)),
        Ok(NativeMemory::Paired(Paired { gateway, node_id, .. })) => {
            desk.peer = Some(Fingerprint::of(&gateway));
            desk.show(format_args!("paired as {node_id}; connects"));
        }
        // The driver reports the errors; a blank memory with a command in the queue needs no
        // message.
        Ok(NativeMemory::Blank) | Err(_) => {}
    }
    let about =
        PairRequest { name: settings.name(), room: settings.room(), profile: Profile::EMPTY };
    let pin = SharedPin::new(pin);
    let capabilities =
        BoardCapabilities { pin: &pin, clock, name: settings.name(), own: desk.own, pulse: None };
    let ports = NativePorts {
        gateway,
        clock,
        keep,
        capabilities: Dispatching::new(capabilities, tasks),
        certificate: certificate.port(),
        rng: entropy,
        owner: NativeDeskOwner { desk, pin: &pin, answers: false },
        sensors: BoardSensors { console: FromConsole::new(readings), pin: &pin },
        own: NodeIdentity {
            keys,
            about,
            setup: None,
            wants: AskedScopes::NONE,
            certificate: CertificateWish::None,
            dispatch: false,
        },
    };
    let timing = Timing { heartbeat_every: settings.heartbeat_every(), ..Timing::DEFAULT };
    let pump_settings = native::NativeSettings { timing, ..native::NativeSettings::DEFAULT };
    pin!(in_place(|| native::run(ports, &pump_settings, buffers))).await;
    Ok(())
}

/// A [`NativeOwnerPort`] that borrows the desk, and the pin that messages switch.
struct NativeDeskOwner<'d, 'r, I, O, P> {
    desk: &'d mut Desk<'r, I, O>,
    pin: P,
    /// `true` while the gateway is owed the level of the light.
    answers: bool,
}

impl<I: Read, O: Write, P: Pin> NativeOwnerPort for NativeDeskOwner<'_, '_, I, O, P> {
    async fn command(&mut self) -> NativeCommand {
        if core::mem::take(&mut self.answers) {
            return NativeCommand::Send(light::LEVEL);
        }
        loop {
            return match self.desk.command().await {
                Wanted::Pair(wish) => {
                    self.desk.standing = DeskStanding::Connecting;
                    NativeCommand::Pair(wish, None)
                }
                Wanted::Code(code) => NativeCommand::EnterCode(code),
                Wanted::Forget => NativeCommand::Forget,
                Wanted::Stop => NativeCommand::Stop,
                Wanted::Token(_) | Wanted::AskAgain => {
                    self.desk.say("the native wire has no tokens to type: `pair pin`, `pair approval` or `pair code`");
                    continue;
                }
            };
        }
    }

    async fn tell(&mut self, report: NativeReport<'_>) {
        if let NativeReport::App(app) = &report
            && let Some(is_on) = light::obey(app, &mut self.pin)
        {
            self.answers = true;
            self.desk.told(format_args!("the light is {}", light::word(is_on))).await;
            return;
        }
        #[cfg(feature = "identity")]
        if let NativeReport::Certificate(CertificateNews::Held(held)) = &report {
            self.desk.certificate = Some(held.not_after);
        }
        if let NativeReport::News(news) = &report {
            match news {
                NativeNodeEvent::Gateway { fingerprint, .. } => self.desk.peer = Some(*fingerprint),
                NativeNodeEvent::TypeThePin { .. } | NativeNodeEvent::WrongCode { .. } => {
                    self.desk.standing = DeskStanding::WaitsForPin;
                }
                NativeNodeEvent::WaitsForApproval { .. } => {
                    self.desk.standing = DeskStanding::WaitsForApproval(None);
                }
                NativeNodeEvent::Granted { .. } | NativeNodeEvent::CodeConfirmed => {
                    self.desk.standing = DeskStanding::Connecting;
                }
                NativeNodeEvent::Linked(node_id) => {
                    self.desk.standing = DeskStanding::Linked(*node_id);
                }
                NativeNodeEvent::RetryIn(_) => self.desk.standing = DeskStanding::Apart,
                NativeNodeEvent::GatewayUnproven
                | NativeNodeEvent::PairingRefused(_)
                | NativeNodeEvent::NotAsked(_) => {
                    self.desk.standing = DeskStanding::Silent;
                }
                NativeNodeEvent::Forgotten | NativeNodeEvent::Unpaired => {
                    self.desk.peer = None;
                    self.desk.certificate = None;
                    self.desk.forgot();
                }
                NativeNodeEvent::OtherGateway(_)
                | NativeNodeEvent::PairAgain
                | NativeNodeEvent::Expired
                | NativeNodeEvent::TurnedAway
                | NativeNodeEvent::OtherVersion
                | NativeNodeEvent::Broken
                | NativeNodeEvent::Muted
                | NativeNodeEvent::Replaced
                | NativeNodeEvent::Unmuted
                | NativeNodeEvent::NotAllowed { .. }
                | NativeNodeEvent::Renewed
                | NativeNodeEvent::NotRenewed
                | NativeNodeEvent::GatewayName(_)
                | NativeNodeEvent::CertificateRenewed
                | NativeNodeEvent::CertificateNotRenewed => {}
            }
        }
        self.desk.told(format_args!("{}", NativeReportText(&report))).await;
    }
}

/// Formats a report for the terminal.
struct NativeReportText<'w, 'b>(&'w NativeReport<'b>);

impl Display for NativeReportText<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            NativeReport::News(news) => news_in_words(news, f),
            NativeReport::App(app) => {
                write!(f, "{} bytes for {}", app.bytes.as_bytes().len(), app.address.as_str())
            }
            NativeReport::NotSent(NotSent::NoLink) => f.write_str("not sent: there is no link"),
            NativeReport::NotSent(NotSent::NoMessage) => f.write_str("not sent: no such message"),
            NativeReport::Task(news) => task_in_words(news, f),
            #[cfg(feature = "identity")]
            NativeReport::Certificate(news) => certificate_in_words(news, f),
            // This node keeps one address, so it is told none.
            NativeReport::Addresses(_) => Ok(()),
            NativeReport::TasksNotLoaded(error) => {
                write!(
                    f,
                    "the record of earlier tasks cannot be read: {}; none is taken until `forget`",
                    flash_in_words(*error)
                )
            }
            NativeReport::NotLoaded(error) => {
                write!(
                    f,
                    "flash cannot be read: {}; tried again, `forget` gives up what it held",
                    flash_in_words(*error)
                )
            }
            NativeReport::NotKept(error) => {
                write!(f, "flash cannot be written: {}; tried again", flash_in_words(*error))
            }
            NativeReport::NoConnection(broken) => broken_in_words(*broken, f),
        }
    }
}

#[cfg(feature = "identity")]
fn certificate_in_words(news: &CertificateNews, f: &mut Formatter<'_>) -> Result {
    match news {
        CertificateNews::Held(held) => {
            write!(f, "the certificate counts until {}", rfc3339::write(held.not_after))
        }
        CertificateNews::Refused(why) => {
            f.write_str("a certificate is not used: ")?;
            f.write_str(not_held(why))
        }
        CertificateNews::NotLoaded(error) => {
            write!(
                f,
                "the certificate cannot be read: {}; asks for another",
                flash_in_words(*error)
            )
        }
    }
}

#[cfg(feature = "identity")]
const fn not_held(why: &NotHeld) -> &'static str {
    match why {
        NotHeld::Incomplete => "a part of it is missing",
        NotHeld::NoSigner => "the gateway has not told its key",
        NotHeld::Defect(CompactDefect::Expired) => "it has run out",
        NotHeld::Defect(CompactDefect::NotYet) => "it does not count yet",
        NotHeld::Defect(CompactDefect::Signature) => "the gateway did not sign it",
        NotHeld::Defect(CompactDefect::Malformed(_) | CompactDefect::Life) => "it is malformed",
        NotHeld::OtherNode | NotHeld::OtherKeys => "it is another node's",
    }
}

fn task_in_words(news: &TaskNews<'_>, f: &mut Formatter<'_>) -> Result {
    match news {
        TaskNews::Taken { capability, .. } => write!(f, "dispatched: {}", Harmless(capability)),
        TaskNews::Ended(_, end) => f.write_str(match end {
            DispatchEnd::Succeeded => "dispatch done",
            DispatchEnd::Failed => "dispatch failed",
            DispatchEnd::Rejected => "dispatch rejected",
            DispatchEnd::TimedOut => "dispatch not done in time",
            DispatchEnd::Cancelled => "dispatch cancelled",
        }),
    }
}

fn news_in_words(news: &NativeNodeEvent<'_>, f: &mut Formatter<'_>) -> Result {
    match news {
        NativeNodeEvent::Gateway { fingerprint, trust: Trust::FirstUse } => {
            write!(f, "the gateway is {fingerprint}: compare it; trusted on first use")
        }
        NativeNodeEvent::Gateway { fingerprint, trust: Trust::Pinned | Trust::Code } => {
            write!(f, "the gateway is {fingerprint}")
        }
        NativeNodeEvent::OtherGateway(fingerprint) => {
            write!(f, "another gateway answers, {fingerprint}; it was told nothing")
        }
        // The board pairs by no setup code, and its buffer holds any other request.
        NativeNodeEvent::NotAsked(_) => f.write_str("cannot ask to be paired"),
        NativeNodeEvent::TypeThePin { expires_in, attempts } => {
            write!(
                f,
                "the gateway shows a PIN: `pin` takes it, for {expires_in} s, {attempts} times at most"
            )
        }
        NativeNodeEvent::WrongCode { attempts_left } => {
            write!(f, "that was not it; {attempts_left} more may be tried with `pin`")
        }
        NativeNodeEvent::CodeConfirmed => f.write_str("the gateway knows it, too"),
        NativeNodeEvent::GatewayUnproven => {
            f.write_str("whoever answered did not know the code: no gateway of yours")
        }
        NativeNodeEvent::WaitsForApproval { .. } => {
            f.write_str("waits for approval; `fingerprint` shows what to compare")
        }
        NativeNodeEvent::PairingRefused(refusal) => refused(refusal, f),
        NativeNodeEvent::Granted { node_id, room, .. } => {
            write!(f, "paired as {node_id} in room {room}")
        }
        NativeNodeEvent::Linked(node_id) => write!(f, "linked as {node_id}"),
        NativeNodeEvent::PairAgain => {
            f.write_str("the gateway does not know this node any more: pair again")
        }
        NativeNodeEvent::Expired => f.write_str("the grant ran out; asking for it anew"),
        NativeNodeEvent::TurnedAway => f.write_str("turned away for now"),
        NativeNodeEvent::OtherVersion => {
            f.write_str("the gateway says that it speaks another version")
        }
        NativeNodeEvent::Broken => f.write_str("what came was not the gateway's; given up"),
        NativeNodeEvent::Muted => f.write_str("muted by the operator"),
        NativeNodeEvent::Replaced => {
            f.write_str("another board links with this one's key: was its flash copied?")
        }
        NativeNodeEvent::Unmuted => f.write_str("unmuted by the operator"),
        NativeNodeEvent::Unpaired => f.write_str("unpaired by the operator"),
        NativeNodeEvent::NotAllowed { pattern, .. } => {
            write!(f, "not allowed: {}", Harmless(pattern.as_str()))
        }
        NativeNodeEvent::Renewed => f.write_str("renewed"),
        NativeNodeEvent::NotRenewed => f.write_str("not renewed: pair again before it runs out"),
        NativeNodeEvent::GatewayName(name) => write!(f, "the gateway is called {name}"),
        NativeNodeEvent::CertificateRenewed => f.write_str("the certificate is renewed"),
        NativeNodeEvent::CertificateNotRenewed => f.write_str("the certificate is not renewed"),
        NativeNodeEvent::RetryIn(wait) => write!(f, "retry in {}", Seconds(*wait)),
        NativeNodeEvent::Forgotten => f.write_str("forgotten"),
    }
}

fn refused(refusal: &PairRefusal<'_>, f: &mut Formatter<'_>) -> Result {
    match refusal {
        PairRefusal::WrongCode { .. } => f.write_str("refused: wrong code"),
        PairRefusal::Expired => f.write_str("refused: it ran out"),
        PairRefusal::Locked => f.write_str("refused: too many wrong ones"),
        PairRefusal::Closed => f.write_str("refused: pairing is not open"),
        PairRefusal::Denied { reason: Some(reason) } => {
            write!(f, "refused: {}", Harmless(reason.as_str()))
        }
        PairRefusal::Denied { reason: None } => f.write_str("refused by the operator"),
        PairRefusal::Revoked => f.write_str("refused: this node was revoked for good"),
        PairRefusal::Busy { retry_in } => {
            write!(f, "refused for {retry_in} s: the gateway is busy")
        }
        PairRefusal::CannotStore { retry_in } => {
            write!(f, "refused for {retry_in} s: the gateway cannot store now")
        }
        PairRefusal::Protocol => f.write_str("refused: a message was out of place"),
        PairRefusal::Spent => f.write_str("refused: the setup code was used already"),
        PairRefusal::Unsigned => f.write_str("refused: a certificate takes a signing key"),
    }
}
