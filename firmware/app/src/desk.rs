//! The owner's side of the program: executes console commands and shows reports.

use core::cell::Cell;
use core::fmt::Arguments;

use embedded_io_async::{Read, Write};
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::PairMethod;
use handfast_core::rfc3339;
use handfast_core::wire::invite::TypedCode;
use handfast_core::wire::token::Token;
use handfast_core::{NodeId, UnixTime};

use crate::command::{self, HELP, NO_CODE, NO_PIN, NO_TOKEN, PairCommand, Typed};
use crate::console::{BadLine, Console};
use crate::readings::Readings;
use crate::settings::{BoardSettings, GatewaySetting, WireSetting, set};

/// The expected content of the next line.
#[derive(Clone, Copy)]
enum Expects {
    Command,
    Token,
    Pin,
    Code,
    /// `yes`, to confirm `forget`.
    Yes,
}

/// A request to the driver, independent of the wire.
#[derive(Debug)]
pub(crate) enum Wanted {
    // The native wire refuses it unread.
    #[cfg_attr(not(feature = "missy"), expect(dead_code, reason = "only a WebSocket has tokens"))]
    Token(Token),
    AskAgain,
    Pair(PairMethod),
    Code(Code),
    Forget,
    Stop,
}

/// The node's state for `status`.
#[derive(Clone, Copy)]
pub(crate) enum DeskStanding {
    Silent,
    Connecting,
    WaitsForPin,
    /// The id is `None` on the native wire, where none is assigned before the approval.
    WaitsForApproval(Option<NodeId>),
    Linked(NodeId),
    Apart,
}

/// The console and the state of its dialogue.
pub(crate) struct Desk<'r, I, O> {
    console: Console<'r, I, O>,
    readings: &'r Cell<Readings>,
    emulated: bool,
    expects: Expects,
    pub(crate) standing: DeskStanding,
    /// Requests that the driver stop.
    stops: bool,
    /// The command that the driver receives after the restart.
    next: Option<Wanted>,
    /// Requests that the driver stop once the pairing is erased.
    pub(crate) stops_when_forgotten: bool,
    /// Fingerprint of this node, once its keys exist.
    pub(crate) own: Option<Fingerprint>,
    /// End of the certificate that the node holds.
    pub(crate) certificate: Option<UnixTime>,
    /// Fingerprint of the paired gateway, or of the one that answered last.
    pub(crate) peer: Option<Fingerprint>,
    pub(crate) settings: &'r mut BoardSettings,
    /// The settings differ from those in flash.
    pub(crate) changed: bool,
    /// The exit code, once the program is to end.
    pub(crate) exit: Option<i32>,
}

impl<'r, I: Read, O: Write> Desk<'r, I, O> {
    pub(crate) fn new(
        console: Console<'r, I, O>,
        settings: &'r mut BoardSettings,
        readings: &'r Cell<Readings>,
        emulated: bool,
    ) -> Self {
        let (expects, standing) = (Expects::Command, DeskStanding::Silent);
        let (stops, next, stops_when_forgotten, changed, exit) = (false, None, false, false, None);
        let (own, peer, certificate) = (None, None, None);
        Self {
            console,
            readings,
            emulated,
            expects,
            standing,
            stops,
            next,
            stops_when_forgotten,
            own,
            certificate,
            peer,
            settings,
            changed,
            exit,
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.console.say(format_args!("{text}"));
    }

    pub(crate) fn show(&mut self, text: Arguments<'_>) {
        self.console.say(text);
    }

    /// Shows a report of the driver.
    pub(crate) async fn told(&mut self, text: Arguments<'_>) {
        self.console.say(text);
        self.console.drain().await;
    }

    /// Records that the driver has erased the pairing.
    pub(crate) fn forgot(&mut self) {
        self.standing = DeskStanding::Silent;
        self.stops |= core::mem::take(&mut self.stops_when_forgotten);
    }

    /// Shows the last message before the program ends.
    pub(crate) async fn leave(&mut self) {
        self.say("bye");
        self.console.drain().await;
    }

    /// Returns `true` if a command waits for the driver.
    pub(crate) const fn has_orders(&self) -> bool {
        self.next.is_some()
    }

    /// Executes console commands while no driver runs. Returns when the main loop must look again.
    pub(crate) async fn idle(&mut self) {
        self.standing = DeskStanding::Silent;
        if self.settings.gateway.is_none() {
            self.say("no gateway yet: `gateway tcp HOST PORT`, then `pair pin`; `help` lists the commands");
        } else {
            self.say("not paired: `pair` asks");
        }
        loop {
            match self.command().await {
                Wanted::Stop => return,
                Wanted::Token(_) => self.say("no token is awaited; `pair` asks for one"),
                Wanted::Pair(_) | Wanted::Code(_) => self.say(NO_GATEWAY),
                // No driver runs, so there is no pairing to erase.
                Wanted::Forget | Wanted::AskAgain => self.say("forgotten"),
            }
        }
    }

    /// Returns the next command for the driver. Dropping the future loses nothing.
    pub(crate) async fn command(&mut self) -> Wanted {
        loop {
            if core::mem::take(&mut self.stops) {
                return Wanted::Stop;
            }
            if let Some(next) = self.next.take() {
                return next;
            }
            self.console.until_line().await;
            self.obey();
        }
    }

    /// Executes one complete line. It does not await, so it cannot be interrupted half-way.
    fn obey(&mut self) {
        // Whatever this line is, the next one is a command again.
        let (emulated, expects) =
            (self.emulated, core::mem::replace(&mut self.expects, Expects::Command));
        let Self { console, readings, settings, .. } = self;
        let order = console.take(|line| match (line, expects) {
            (Err(BadLine::TooLong), _) => LineAction::Say("this line is too long"),
            (Err(BadLine::NotText), _) => LineAction::Say("this line is not UTF-8"),
            (Ok(line), Expects::Token) => {
                Token::parse(line).map_or(LineAction::Say(NO_TOKEN), LineAction::Token)
            }
            (Ok(line), Expects::Pin) => {
                Code::parse(line).map_or(LineAction::Say(NO_PIN), LineAction::Pin)
            }
            (Ok(line), Expects::Code) => {
                TypedCode::parse(line).map_or(LineAction::Say(NO_CODE), LineAction::Code)
            }
            (Ok("yes"), Expects::Yes) => LineAction::Forget,
            (Ok(_), Expects::Yes) => LineAction::Say("nothing is forgotten"),
            (Ok(line), Expects::Command) => command::parse(line, emulated)
                .map_or_else(LineAction::Say, |typed| order(typed, settings, readings)),
        });
        self.carry_out(order);
    }

    fn carry_out(&mut self, order: LineAction) {
        match order {
            LineAction::Nothing => {}
            LineAction::Say(text) => self.say(text),
            LineAction::Status => self.status(),
            LineAction::Changed => {
                self.changed = true;
                self.restart(None);
            }
            LineAction::Fingerprint => self.fingerprints(),
            LineAction::Token(token) => self.next = Some(Wanted::Token(token)),
            LineAction::TokenFollows => {
                self.ask_for("the token, which is not shown:", Expects::Token);
            }
            LineAction::PinFollows => self.ask_for("the PIN, which is not shown:", Expects::Pin),
            LineAction::ForgetIfYes => {
                self.say("this forgets the pairing for good; `yes` does it:");
                self.expects = Expects::Yes;
            }
            // The settings are stored first: a node whose power fails between the two must not ask
            // on its own.
            LineAction::Forget if self.is_native() => self.next = Some(Wanted::Forget),
            LineAction::Forget => {
                self.change_asks(false);
                self.stops_when_forgotten = true;
                self.restart(Some(Wanted::Forget));
            }
            LineAction::Pair
            | LineAction::PairBy(_)
            | LineAction::Pin(_)
            | LineAction::Code(_)
            | LineAction::Retry
            | LineAction::Again
                if self.settings.gateway.is_none() =>
            {
                self.say(NO_GATEWAY);
            }
            LineAction::Pair | LineAction::Again if self.is_native() => {
                self.say("how? `pair pin`, `pair approval` or `pair code`");
            }
            LineAction::PairBy(_) | LineAction::Pin(_) | LineAction::Code(_)
                if !self.is_native() =>
            {
                self.say("over a WebSocket there are only tokens: `pair` asks for one; `gateway tcp HOST PORT` chooses the native wire");
            }
            LineAction::PairBy(PairCommand::Pin) => self.next = Some(Wanted::Pair(PairMethod::Pin)),
            LineAction::PairBy(PairCommand::Approval) => {
                self.fingerprints();
                self.next = Some(Wanted::Pair(PairMethod::Approval));
            }
            LineAction::PairBy(PairCommand::Code) => {
                self.ask_for("the code, which is not shown:", Expects::Code);
            }
            LineAction::Pin(code) => self.next = Some(Wanted::Code(code)),
            LineAction::Code(TypedCode { selector, code }) => {
                self.next = Some(Wanted::Pair(PairMethod::Code { selector, code }));
            }
            LineAction::Pair => {
                self.change_asks(true);
                self.restart(None);
            }
            LineAction::Again => {
                self.change_asks(true);
                self.restart(Some(Wanted::AskAgain));
            }
            LineAction::Retry => self.restart(None),
            LineAction::Exit(code) => {
                self.exit = Some(code);
                self.restart(None);
            }
            LineAction::Overflow => {
                let depth = overflow(1);
                self.console.say(format_args!("survived {depth}"));
            }
        }
    }

    fn ask_for(&mut self, what: &str, expects: Expects) {
        self.say(what);
        self.console.hide();
        self.expects = expects;
    }

    fn is_native(&self) -> bool {
        self.settings
            .gateway
            .as_ref()
            .is_some_and(|gateway| gateway.wire != WireSetting::WEB_SOCKET)
    }

    fn fingerprints(&mut self) {
        match self.own {
            Some(own) => self.console.say(format_args!("this node {own}")),
            None => self.say("this node has no keys"),
        }
        match self.peer {
            Some(peer) => self.console.say(format_args!("its gateway {peer}")),
            None => self.say("its gateway is not known yet"),
        }
    }

    fn change_asks(&mut self, asks: bool) {
        self.changed |= self.settings.asks != asks;
        self.settings.asks = asks;
    }

    /// Restarts the driver with the current settings and this command first. It boots from the
    /// stored memory, so nothing is lost.
    fn restart(&mut self, first: Option<Wanted>) {
        self.stops = true;
        self.next = first;
    }

    fn status(&mut self) {
        let Self { console, settings, .. } = self;
        match &settings.gateway {
            Some(GatewaySetting { wire: WireSetting::WEB_SOCKET, host, port }) => {
                console.say(format_args!("gateway {host} {port}"));
            }
            Some(GatewaySetting { wire: WireSetting::TCP, host, port }) => {
                console.say(format_args!("gateway tcp {host} {port}"));
            }
            Some(_) => console.say(format_args!("gateway uart")),
            None => console.say(format_args!("gateway not set")),
        }
        console.say(format_args!("name {}\r\nroom {}", settings.name(), settings.room()));
        console.say(format_args!("heartbeat every {} ms", settings.heartbeat_every().as_millis()));
        match self.standing {
            DeskStanding::Silent => console.say(format_args!("not paired")),
            DeskStanding::Connecting => console.say(format_args!("connecting")),
            DeskStanding::WaitsForPin => {
                console.say(format_args!("waiting for the PIN that the gateway shows"));
            }
            DeskStanding::WaitsForApproval(Some(node_id)) => {
                console.say(format_args!("waiting for approval as {node_id}"));
            }
            DeskStanding::WaitsForApproval(None) => {
                console.say(format_args!("waiting for approval"));
            }
            DeskStanding::Linked(node_id) => console.say(format_args!("linked as {node_id}")),
            DeskStanding::Apart => console.say(format_args!("not connected; tries again")),
        }
        if let Some(ends) = self.certificate {
            console.say(format_args!("certificate until {}", rfc3339::write(ends)));
        }
    }
}

/// Message for commands that need a gateway.
const NO_GATEWAY: &str =
    "no gateway yet: `gateway tcp HOST PORT`, `gateway uart` or `gateway HOST PORT`";

/// The action that a line requests; the line itself is already wiped.
enum LineAction {
    Nothing,
    Say(&'static str),
    Status,
    /// The settings have changed.
    Changed,
    Fingerprint,
    Token(Token),
    TokenFollows,
    PinFollows,
    Pair,
    PairBy(PairCommand),
    Pin(Code),
    Code(TypedCode),
    Retry,
    Again,
    ForgetIfYes,
    Forget,
    Exit(i32),
    Overflow,
}

/// Applies a command's settings and returns the remaining action.
fn order(typed: Typed<'_>, settings: &mut BoardSettings, readings: &Cell<Readings>) -> LineAction {
    match typed {
        Typed::Nothing => LineAction::Nothing,
        Typed::Help => LineAction::Say(HELP),
        Typed::Status => LineAction::Status,
        Typed::Gateway { wire, host, port } => {
            settings.set_gateway(wire, host, port);
            LineAction::Changed
        }
        Typed::Name(name) => {
            set(&mut settings.name, name.as_str());
            LineAction::Changed
        }
        Typed::Room(room) => {
            set(&mut settings.room, room.as_str());
            LineAction::Changed
        }
        Typed::Heartbeat(values) => {
            let mut now = readings.take();
            now.update(&values);
            readings.set(now);
            match values.every {
                None => LineAction::Say("told with the next heartbeat"),
                Some(every) => {
                    settings.heartbeat_every = Some(every);
                    LineAction::Changed
                }
            }
        }
        Typed::Pair => LineAction::Pair,
        Typed::PairBy(way) => LineAction::PairBy(way),
        Typed::PinFollows => LineAction::PinFollows,
        Typed::Pin(code) => LineAction::Pin(code),
        Typed::Code(code) => LineAction::Code(code),
        Typed::Fingerprint => LineAction::Fingerprint,
        Typed::Retry => LineAction::Retry,
        Typed::Again => LineAction::Again,
        Typed::Forget => LineAction::ForgetIfYes,
        Typed::TokenFollows => LineAction::TokenFollows,
        Typed::Token(token) => LineAction::Token(token),
        Typed::Exit(code) => LineAction::Exit(code),
        Typed::Overflow => LineAction::Overflow,
    }
}

/// Recurses until the stack is exhausted.
#[expect(unconditional_recursion, reason = "the stack guard is what is tried")]
#[inline(never)]
fn overflow(depth: u32) -> u32 {
    let frame = core::hint::black_box([depth; 64]);
    overflow(depth.wrapping_add(1)).wrapping_add(frame.iter().copied().fold(0, u32::wrapping_add))
}
