//! Where the owner sits: obeys the console, shows what the node reports.

use core::cell::Cell;

use embedded_io_async::{Read, Write};
use handfast_core::flow::registration::node::{Memory, News};
use handfast_core::id::NodeId;
use handfast_core::wire::token::Token;
use handfast_edge::memory::KeepError;
use handfast_edge::ports::{Command, Owner, Report};

use crate::command::{self, HELP, NO_TOKEN, Typed};
use crate::console::{BadLine, Console};
use crate::readings::Readings;
use crate::settings::{Gateway, Settings, set};
use crate::words::Words;

/// What the next line is.
#[derive(Clone, Copy)]
enum Expects {
    Command,
    Token,
    /// `yes`, to forget.
    Yes,
}

/// How the node stands, for `status`.
#[derive(Clone, Copy)]
enum Standing {
    Silent,
    Connecting,
    WaitsForApproval(NodeId),
    Linked(NodeId),
    Apart,
}

/// The console and what was said there.
pub(crate) struct Desk<'r, I, O> {
    console: Console<'r, I, O>,
    readings: &'r Cell<Readings>,
    emulated: bool,
    expects: Expects,
    standing: Standing,
    /// The pump is to stop.
    stops: bool,
    /// What the pump is told after that.
    next: Option<Command>,
    /// The pump is to stop once it has forgotten.
    stops_when_forgotten: bool,
    pub(crate) settings: &'r mut Settings,
    /// The settings differ from what is kept.
    pub(crate) changed: bool,
    /// The program is to end with this code.
    pub(crate) exit: Option<i32>,
}

impl<'r, I: Read, O: Write> Desk<'r, I, O> {
    pub(crate) fn new(
        console: Console<'r, I, O>,
        settings: &'r mut Settings,
        readings: &'r Cell<Readings>,
        emulated: bool,
    ) -> Self {
        let (expects, standing) = (Expects::Command, Standing::Silent);
        let (stops, next, stops_when_forgotten, changed, exit) = (false, None, false, false, None);
        Self { console, readings, emulated, expects, standing, stops, next, stops_when_forgotten, settings, changed, exit }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.console.say(format_args!("{text}"));
    }

    /// The last word.
    pub(crate) async fn leave(&mut self) {
        self.say("bye");
        self.console.drain().await;
    }

    /// Whether something is to be forgotten or asked again, which only the pump can do.
    const fn has_orders(&self) -> bool {
        self.next.is_some()
    }

    /// The pump starts, with this memory. The machine reports only what changes, so the rest is said here.
    pub(crate) fn starts(&mut self, memory: &Result<Memory, KeepError>) {
        self.standing = Standing::Connecting;
        if self.has_orders() {
            return;
        }
        match memory {
            Ok(Memory::Blank) => self.say("asks to be paired"),
            Ok(Memory::Asked { node_id }) => {
                self.standing = Standing::WaitsForApproval(*node_id);
                self.console.say(format_args!("{}", Words(Report::News(News::WaitsForApproval(*node_id)))));
            }
            Ok(Memory::Paired { node_id, .. }) => self.console.say(format_args!("paired as {node_id}; connects")),
            // The pump reports it.
            Err(_) => {}
        }
    }

    /// Obeys the console while no pump runs, until there is a reason to look again.
    pub(crate) async fn idle(&mut self) {
        self.standing = Standing::Silent;
        if self.settings.gateway.is_none() {
            self.say("no gateway yet: `gateway HOST PORT`, then `pair`; `help` lists the commands");
        } else {
            self.say("not paired: `pair` asks");
        }
        loop {
            match self.command().await {
                Command::Stop => return,
                Command::TokenEntered(_) => self.console.say(format_args!("{}", Words(Report::News(News::NothingAsked)))),
                // There is nothing to forget.
                Command::Forget | Command::AskAgain => self.say("forgotten"),
            }
        }
    }

    /// Deals with a whole line. It awaits nothing, so nothing of it can get lost.
    fn obey(&mut self) {
        let (emulated, expects) = (self.emulated, core::mem::replace(&mut self.expects, Expects::Command));
        let Self { console, readings, settings, .. } = self;
        let order = console.take(|line| match (line, expects) {
            (Err(BadLine::TooLong), _) => Order::Say("this line is too long"),
            (Err(BadLine::NotText), _) => Order::Say("this line is not UTF-8"),
            (Ok(line), Expects::Token) => Token::parse(line).map_or(Order::Say(NO_TOKEN), Order::Token),
            (Ok("yes"), Expects::Yes) => Order::Forget,
            (Ok(_), Expects::Yes) => Order::Say("nothing is forgotten"),
            (Ok(line), Expects::Command) => {
                command::parse(line, emulated).map_or_else(Order::Say, |typed| order(typed, settings, readings))
            }
        });
        self.carry_out(order);
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Nothing => {}
            Order::Say(text) => self.say(text),
            Order::Status => self.status(),
            Order::Changed => {
                self.changed = true;
                self.restart(None);
            }
            Order::Token(token) => self.next = Some(Command::TokenEntered(token)),
            Order::TokenFollows => {
                self.say("the token, which is not shown:");
                self.console.hide();
                self.expects = Expects::Token;
            }
            Order::ForgetIfYes => {
                self.say("this forgets the token for good; `yes` does it:");
                self.expects = Expects::Yes;
            }
            // The settings first: a node that was cut off between the two must not ask by itself.
            Order::Forget => {
                self.change_asks(false);
                self.stops_when_forgotten = true;
                self.restart(Some(Command::Forget));
            }
            Order::Pair | Order::Retry | Order::Again if self.settings.gateway.is_none() => {
                self.say("no gateway yet: `gateway HOST PORT`");
            }
            Order::Pair => {
                self.change_asks(true);
                self.restart(None);
            }
            Order::Again => {
                self.change_asks(true);
                self.restart(Some(Command::AskAgain));
            }
            Order::Retry => self.restart(None),
            Order::Exit(code) => {
                self.exit = Some(code);
                self.restart(None);
            }
            Order::Overflow => {
                let depth = overflow(1);
                self.console.say(format_args!("survived {depth}"));
            }
        }
    }

    fn change_asks(&mut self, asks: bool) {
        self.changed |= self.settings.asks != asks;
        self.settings.asks = asks;
    }

    /// Ends the pump, so that it starts anew with the settings and this command first. It boots from what is kept, so nothing is lost.
    fn restart(&mut self, first: Option<Command>) {
        self.stops = true;
        self.next = first;
    }

    fn status(&mut self) {
        let Self { console, settings, .. } = self;
        match &settings.gateway {
            Some(Gateway { host, port }) => console.say(format_args!("gateway {host} {port}")),
            None => console.say(format_args!("gateway not set")),
        }
        console.say(format_args!("name {}\r\nroom {}", settings.name(), settings.room()));
        console.say(format_args!("heartbeat every {} ms", settings.heartbeat_every().as_millis()));
        match self.standing {
            Standing::Silent => console.say(format_args!("not paired")),
            Standing::Connecting => console.say(format_args!("connecting")),
            Standing::WaitsForApproval(node_id) => console.say(format_args!("waiting for approval as {node_id}")),
            Standing::Linked(node_id) => console.say(format_args!("linked as {node_id}")),
            Standing::Apart => console.say(format_args!("not connected; tries again")),
        }
    }
}

impl<I: Read, O: Write> Owner for Desk<'_, I, O> {
    async fn command(&mut self) -> Command {
        loop {
            if core::mem::take(&mut self.stops) {
                return Command::Stop;
            }
            if let Some(next) = self.next.take() {
                return next;
            }
            self.console.until_line().await;
            self.obey();
        }
    }

    async fn tell(&mut self, report: Report<'_>) {
        match report {
            Report::News(News::WaitsForApproval(node_id)) => self.standing = Standing::WaitsForApproval(node_id),
            Report::News(News::Linked { node_id, .. }) => self.standing = Standing::Linked(node_id),
            Report::News(News::TokenKept) => self.standing = Standing::Connecting,
            Report::News(News::RetryIn(_)) => self.standing = Standing::Apart,
            Report::News(News::Forgotten) => self.stops |= core::mem::take(&mut self.stops_when_forgotten),
            Report::News(News::Refused(_) | News::Complaint(_) | News::NothingAsked)
            | Report::NotLoaded(_)
            | Report::NotKept(_)
            | Report::NoConnection(_) => {}
        }
        self.console.say(format_args!("{}", Words(report)));
        self.console.drain().await;
    }
}

/// What a line asks for, after the line itself was wiped.
enum Order {
    Nothing,
    Say(&'static str),
    Status,
    /// The settings have changed.
    Changed,
    Token(Token),
    TokenFollows,
    Pair,
    Retry,
    Again,
    ForgetIfYes,
    Forget,
    Exit(i32),
    Overflow,
}

/// Takes over what a command sets, and says what is left to do.
fn order(typed: Typed<'_>, settings: &mut Settings, readings: &Cell<Readings>) -> Order {
    match typed {
        Typed::Nothing => Order::Nothing,
        Typed::Help => Order::Say(HELP),
        Typed::Status => Order::Status,
        Typed::Gateway { host, port } => {
            settings.set_gateway(host, port);
            Order::Changed
        }
        Typed::Name(name) => {
            set(&mut settings.name, name.as_str());
            Order::Changed
        }
        Typed::Room(room) => {
            set(&mut settings.room, room.as_str());
            Order::Changed
        }
        Typed::Heartbeat(values) => {
            let mut now = readings.take();
            now.update(&values);
            readings.set(now);
            match values.every {
                None => Order::Say("told with the next heartbeat"),
                Some(every) => {
                    settings.heartbeat_every = Some(every);
                    Order::Changed
                }
            }
        }
        Typed::Pair => Order::Pair,
        Typed::Retry => Order::Retry,
        Typed::Again => Order::Again,
        Typed::Forget => Order::ForgetIfYes,
        Typed::TokenFollows => Order::TokenFollows,
        Typed::Token(token) => Order::Token(token),
        Typed::Exit(code) => Order::Exit(code),
        Typed::Overflow => Order::Overflow,
    }
}

/// Uses up the stack.
#[expect(unconditional_recursion, reason = "the stack guard is what is tried")]
#[inline(never)]
fn overflow(depth: u32) -> u32 {
    let frame = core::hint::black_box([depth; 64]);
    overflow(depth.wrapping_add(1)).wrapping_add(frame.iter().copied().fold(0, u32::wrapping_add))
}
