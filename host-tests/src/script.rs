//! What happens in a simulated world, as a list of operations that any bytes decode to: the same
//! for seeds and for the fuzzer.

use crate::clocks::ClockOp;
use crate::prng::Prng;

/// How the world is set up, and what then happens to it.
#[derive(Clone, Debug)]
pub struct Script {
    /// The set-up.
    pub setup: Setup,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

/// The set-up of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// How many nodes there are.
    pub nodes: usize,
    /// Whether strangers can read what nodes send (plain WebSocket) or not (TLS).
    pub in_clear: bool,
    /// Whether nodes and strangers share one address.
    pub one_source: bool,
    /// Where delays and chances come from.
    pub seed: u64,
}

impl Setup {
    /// One node, nobody listens.
    pub const CALM: Self = Self { nodes: 1, in_clear: false, one_source: false, seed: 7 };
}

/// One thing that happens. Indices wrap around whatever there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Time passes.
    Run {
        /// How much, in milliseconds.
        millis: u64,
    },
    /// Time passes until a machine is in a certain state, so that what follows happens at that
    /// moment; at most a minute and a half.
    RunUntil {
        /// The state's name.
        state: &'static str,
    },
    /// The operator decides about some record.
    Decide {
        /// Which record.
        record: u8,
        /// What.
        verdict: Verdict,
    },
    /// The owner types a token into a node.
    TypeToken {
        /// Which node.
        node: u8,
        /// Which token.
        which: Typed,
    },
    /// The owner makes a node ask again.
    AskAgain {
        /// Which node.
        node: u8,
    },
    /// The owner makes a node forget.
    Forget {
        /// Which node.
        node: u8,
    },
    /// Operator and owner do what brings a node closer to its link.
    Help {
        /// Which node.
        node: u8,
    },
    /// A connection is lost in mid-exchange.
    CutConnection {
        /// Which connection.
        connection: u8,
        /// Whether the ends are not told.
        silent: bool,
    },
    /// A node loses power after some more effects.
    CutNode {
        /// Which node.
        node: u8,
        /// How many effects it still carries out.
        after: u8,
    },
    /// The gateway loses power after some more effects.
    CutGateway {
        /// How many effects it still carries out.
        after: u8,
    },
    /// The gateway stops in order and starts again.
    Restart,
    /// Nobody can open a connection for a while.
    NetworkDown {
        /// How long, in seconds.
        secs: u8,
    },
    /// Something befalls the clocks of the gateway's system.
    Clock(ClockOp),
    /// The gateway's next store operations fail.
    StoreFails {
        /// How many.
        times: u8,
    },
    /// A stranger opens a connection.
    StrangerConnects,
    /// A stranger sends again what it has overheard.
    StrangerReplays {
        /// Over which of its connections.
        connection: u8,
        /// What.
        recording: u8,
    },
    /// A stranger sends a frame of its own making.
    StrangerSends {
        /// Over which of its connections.
        connection: u8,
        /// What.
        frame: Forged,
    },
}

impl Op {
    /// States in which something is under way.
    const MOMENTS: [&str; 8] = [
        "Attaching",
        "Hashing",
        "Attaching",
        "Loading",
        "Asking",
        "Keeping",
        "AwaitPending",
        "AwaitAuth",
    ];
}

/// An operator's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it in.
    Approve,
    /// Another token.
    Reissue,
    /// Turn it down.
    Reject,
    /// Keep it out for a while.
    Mute,
    /// Let it in again.
    Unmute,
    /// Let it in, harmless.
    SafeChat,
    /// Let it in, fully.
    Full,
    /// Out for good.
    Unpair,
}

/// Which token an owner types in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The one shown last for this node.
    Newest,
    /// The one shown first for this node.
    Oldest,
    /// One that belongs to nobody.
    Wrong,
    /// The one shown last for some other node.
    AnotherNodes,
}

/// What a stranger may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forged {
    /// The pairing request of a node, word by word.
    AskAs(u8),
    /// A pairing request of its own.
    Ask(u8),
    /// A made-up token for a known record.
    Guess(u8),
    /// An id that nobody has.
    Nobody,
    /// A heartbeat.
    Heartbeat,
    /// A frame of the application.
    Application,
    /// A binary frame.
    Binary,
    /// Any text.
    Text(String),
}

impl Script {
    /// The script that a seed stands for.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let length = 60 + prng.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        Self::decode(&bytes)
    }

    /// Any bytes are a script.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied();
        let flags = bytes.next().unwrap_or(0);
        let setup = Setup {
            nodes: 1 + usize::from(flags & 3),
            in_clear: flags & 4 != 0,
            one_source: flags & 8 != 0,
            seed: u64::from(flags) << 8 | u64::from(bytes.next().unwrap_or(0)),
        };
        let mut ops = Vec::new();
        while ops.len() < MOST_OPS {
            let Some(code) = bytes.next() else { break };
            let mut arg = || bytes.next().unwrap_or(0);
            ops.push(match code % 32 {
                0..=2 => Op::Run { millis: u64::from(arg()) / 8 },
                3 => Op::Run { millis: u64::from(arg()) * 7 },
                4 => Op::RunUntil { state: Op::MOMENTS[usize::from(arg()) % Op::MOMENTS.len()] },
                5 | 6 => Op::Run { millis: u64::from(arg()) * 500 },
                7 | 8 => Op::Help { node: arg() },
                9 => Op::Run { millis: u64::from(arg()) * 5_000 },
                10..=12 => Op::Decide { record: arg(), verdict: Verdict::Approve },
                13 => Op::Decide { record: arg(), verdict: Verdict::Reissue },
                14 | 15 => Op::Decide { record: arg(), verdict: Verdict::of(arg()) },
                16..=18 => Op::TypeToken { node: arg(), which: Typed::Newest },
                19 => Op::TypeToken { node: arg(), which: Typed::of(arg()) },
                20 => Op::AskAgain { node: arg() },
                21 if code & 32 == 0 => Op::Forget { node: arg() },
                21 => Op::Restart,
                22 | 23 => Op::CutConnection { connection: arg(), silent: code & 32 != 0 },
                24 => Op::CutNode { node: arg(), after: arg() % 12 },
                25 => Op::CutGateway { after: arg() % 24 },
                26 | 27 if code & 32 != 0 => Op::Clock(ClockOp::of(arg())),
                26 => Op::NetworkDown { secs: arg() },
                27 => Op::StoreFails { times: arg() % 4 },
                28 => Op::StrangerConnects,
                29 => Op::StrangerReplays { connection: arg(), recording: arg() },
                _ => {
                    let (connection, kind) = (arg(), arg());
                    Op::StrangerSends { connection, frame: Forged::of(kind, &mut arg) }
                }
            });
        }
        Self { setup, ops }
    }
}

/// More than these are not read, so that a fuzzer does not grow inputs for their length.
const MOST_OPS: usize = 200;

impl Verdict {
    const fn of(byte: u8) -> Self {
        match byte % 7 {
            0 => Self::Reject,
            1 | 2 => Self::Mute,
            3 => Self::Unmute,
            4 => Self::SafeChat,
            5 => Self::Full,
            _ => Self::Unpair,
        }
    }
}

impl Typed {
    const fn of(byte: u8) -> Self {
        match byte % 3 {
            0 => Self::Oldest,
            1 => Self::Wrong,
            _ => Self::AnotherNodes,
        }
    }
}

impl Forged {
    fn of(kind: u8, arg: &mut impl FnMut() -> u8) -> Self {
        match kind % 10 {
            0 | 1 => Self::AskAs(arg()),
            2 => Self::Ask(arg()),
            3 | 4 => Self::Guess(arg()),
            5 => Self::Nobody,
            6 => Self::Heartbeat,
            7 => Self::Application,
            8 => Self::Binary,
            _ => {
                let length = arg() % 32;
                let bytes: Vec<u8> = (0..length).map(|_| arg()).collect();
                Self::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }
}
