//! The node of the `missy` dialect, over a WebSocket.

use core::cell::Cell;
use core::fmt::{Display, Formatter, Result, Write as _};
use core::pin::pin;

use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::Refusal;
use handfast_core::flow::registration::node::{RegistrationMemory, RegistrationNodeEvent, Timing};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::ports::{Clock, Command, Owner, Report};
use handfast_edge::registration::driver::{self, RegistrationBuffers, RegistrationPorts};
use handfast_edge::registration::memory::{KeepError, RegistrationFlash, RegistrationStorage as _};
use handfast_edge::websocket::{Client, WebSocketTarget};
use rand_core::CryptoRng;

use crate::Network;
use crate::desk::{Desk, DeskStanding, Wanted};
use crate::node::{NO_FLASH, NetworkConnector, in_place};
use crate::readings::{FromConsole, Readings};
use crate::settings::{BoardSettings, GatewaySetting, MAX_HOST};
use crate::words::{Harmless, Seconds, broken_in_words, flash as flash_in_words};

/// Maximum length of a message from the gateway in bytes.
pub(crate) const FRAME: usize = 1024;

/// Maximum length of a host, a colon and a port.
const MAX_TARGET: usize = MAX_HOST + 6;

/// Runs the driver until the desk stops it. A blank node without the order to pair stays silent,
/// and only the desk runs.
///
/// # Errors
/// The exit code of the program.
pub(crate) async fn run<I: Read, O: Write, N: Network, E: CryptoRng, F: NorFlash, C: Clock>(
    desk: &mut Desk<'_, I, O>,
    (network, entropy, flash, clock): (&mut N, &mut E, &mut F, C),
    (settings, gateway): (&BoardSettings, &GatewaySetting),
    readings: &Cell<Readings>,
    buffers: &mut RegistrationBuffers<FRAME>,
) -> core::result::Result<(), i32> {
    let Ok(mut keep) = RegistrationFlash::new(flash, 0) else { return Err(NO_FLASH) };
    let memory = keep.load().await;
    if !settings.asks && memory == Ok(RegistrationMemory::Blank) {
        desk.idle().await;
        return Ok(());
    }
    starts(desk, &memory);
    // The memory may hold the token, and the driver loads it again itself.
    drop(memory);
    let mut authority = heapless::String::<MAX_TARGET>::new();
    // The string has room for the longest host.
    let _ = write!(authority, "{}:{}", gateway.host, gateway.port);
    // The settings hold only valid hosts.
    let Ok(target) = WebSocketTarget::new(&authority, "/") else { return Err(NO_FLASH) };
    let ports = RegistrationPorts {
        gateway: Client::new(NetworkConnector { network, gateway }, target),
        clock,
        keep,
        rng: entropy,
        owner: MissyDeskOwner(desk),
        sensors: FromConsole::new(readings),
        identity: PairRequest {
            name: settings.name(),
            room: settings.room(),
            profile: Profile::EMPTY,
        },
    };
    let timing = Timing { heartbeat_every: settings.heartbeat_every(), ..Timing::DEFAULT };
    let driver_settings =
        driver::RegistrationSettings { timing, ..driver::RegistrationSettings::DEFAULT };
    pin!(in_place(|| driver::run(ports, &driver_settings, buffers))).await;
    Ok(())
}

/// Announces the start of the driver with this memory. The machine reports only changes, so the
/// initial state is shown here.
fn starts<I: Read, O: Write>(
    desk: &mut Desk<'_, I, O>,
    memory: &core::result::Result<RegistrationMemory, KeepError>,
) {
    desk.standing = DeskStanding::Connecting;
    if desk.has_orders() {
        return;
    }
    match memory {
        Ok(RegistrationMemory::Blank) => desk.say("asks to be paired"),
        Ok(RegistrationMemory::Asked { node_id }) => {
            desk.standing = DeskStanding::WaitsForApproval(Some(*node_id));
            desk.show(format_args!(
                "{}",
                MissyReportText(Report::News(RegistrationNodeEvent::WaitsForApproval(*node_id)))
            ));
        }
        Ok(RegistrationMemory::Paired { node_id, .. }) => {
            desk.show(format_args!("paired as {node_id}; connects"));
        }
        // The driver reports this error.
        Err(_) => {}
    }
}

/// An [`Owner`] that borrows the desk.
struct MissyDeskOwner<'d, 'r, I, O>(&'d mut Desk<'r, I, O>);

impl<I: Read, O: Write> Owner for MissyDeskOwner<'_, '_, I, O> {
    async fn command(&mut self) -> Command {
        loop {
            return match self.0.command().await {
                Wanted::Token(token) => Command::TokenEntered(token),
                Wanted::AskAgain => Command::AskAgain,
                Wanted::Forget => Command::Forget,
                Wanted::Stop => Command::Stop,
                // The desk refuses both while this wire is selected.
                Wanted::Pair(_) | Wanted::Code(_) => continue,
            };
        }
    }

    async fn tell(&mut self, report: Report<'_>) {
        match report {
            Report::News(RegistrationNodeEvent::WaitsForApproval(node_id)) => {
                self.0.standing = DeskStanding::WaitsForApproval(Some(node_id));
            }
            Report::News(RegistrationNodeEvent::Linked { node_id, .. }) => {
                self.0.standing = DeskStanding::Linked(node_id);
            }
            Report::News(RegistrationNodeEvent::TokenKept) => {
                self.0.standing = DeskStanding::Connecting;
            }
            Report::News(RegistrationNodeEvent::RetryIn(_)) => {
                self.0.standing = DeskStanding::Apart;
            }
            Report::News(RegistrationNodeEvent::Forgotten) => self.0.forgot(),
            Report::News(
                RegistrationNodeEvent::Refused(_)
                | RegistrationNodeEvent::Complaint(_)
                | RegistrationNodeEvent::NothingAsked,
            )
            | Report::NotLoaded(_)
            | Report::NotKept(_)
            | Report::NoConnection(_) => {}
        }
        self.0.told(format_args!("{}", MissyReportText(report))).await;
    }
}

/// Formats a report for the terminal.
struct MissyReportText<'b>(Report<'b>);

impl Display for MissyReportText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Report::News(news) => news_in_words(news, f),
            Report::NotLoaded(error) => {
                write!(
                    f,
                    "flash cannot be read: {}; tried again, `forget` gives up what it held",
                    flash_in_words(error)
                )
            }
            Report::NotKept(error) => {
                write!(f, "flash cannot be written: {}; tried again", flash_in_words(error))
            }
            Report::NoConnection(broken) => broken_in_words(broken, f),
        }
    }
}

fn news_in_words(news: RegistrationNodeEvent<'_>, f: &mut Formatter<'_>) -> Result {
    match news {
        RegistrationNodeEvent::WaitsForApproval(node_id) => {
            write!(f, "waits for approval as {node_id}")
        }
        RegistrationNodeEvent::TokenKept => f.write_str("token kept"),
        RegistrationNodeEvent::Linked { node_id, room } => {
            write!(f, "linked as {node_id} in room {room}")
        }
        RegistrationNodeEvent::Refused(refusal) => f.write_str(refused(refusal)),
        RegistrationNodeEvent::Complaint(text) => {
            write!(f, "the gateway complains: {}", Harmless(text))
        }
        RegistrationNodeEvent::RetryIn(wait) => write!(f, "retry in {}", Seconds(wait)),
        RegistrationNodeEvent::NothingAsked => {
            f.write_str("no token is awaited; `pair` asks for one")
        }
        RegistrationNodeEvent::Forgotten => f.write_str("forgotten"),
    }
}

/// Returns the message for a refusal. A node only ever receives the first three.
const fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidCredentials => {
            "refused: invalid credentials; `token` takes another token, `again` asks once more"
        }
        Refusal::NotApproved => "refused: not yet approved",
        Refusal::Muted => "muted by the operator",
        Refusal::AlreadyPaired
        | Refusal::Revoked
        | Refusal::NotPaired
        | Refusal::NoToken
        | Refusal::Expired
        | Refusal::Rejected { .. }
        | Refusal::Barred
        | Refusal::TooManyPending
        | Refusal::RateLimited
        | Refusal::AtCapacity
        | Refusal::StoreFailed
        | Refusal::ClockInDoubt => "refused",
    }
}
