//! Scripts of a simulated world: lists of operations, to which any bytes decode. Seeds and the
//! fuzzer use the same form.

use crate::clocks::ClockOp;
use crate::prng::Prng;

/// A script: the set-up of a world, and its events.
#[derive(Clone, Debug)]
pub struct Script {
    /// Set-up of the world.
    pub setup: Setup,
    /// Events in order.
    pub ops: Vec<Op>,
}

/// The set-up of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Number of nodes.
    pub nodes: usize,
    /// `true` if strangers can read what nodes send (plain WebSocket), `false` under TLS.
    pub in_clear: bool,
    /// `true` if nodes and strangers share one address.
    pub one_source: bool,
    /// Seed of delays and random choices.
    pub seed: u64,
}

impl Setup {
    /// A set-up with one node and no listening strangers.
    pub const CALM: Self = Self { nodes: 1, in_clear: false, one_source: false, seed: 7 };
}

/// One event. Indices wrap around the existing items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Time passes.
    Run {
        /// Time in milliseconds.
        millis: u64,
    },
    /// Time passes until a machine is in a certain state, so that the next event happens at that
    /// moment; at most a minute and a half.
    RunUntil {
        /// Name of the state.
        state: &'static str,
    },
    /// The operator decides about a record.
    Decide {
        /// Index of the record.
        record: u8,
        /// Decision of the operator.
        verdict: Verdict,
    },
    /// The owner types a token into a node.
    TypeToken {
        /// Index of the node.
        node: u8,
        /// Kind of the token.
        which: Typed,
    },
    /// The owner makes a node request again.
    AskAgain {
        /// Index of the node.
        node: u8,
    },
    /// The owner makes a node forget its pairing.
    Forget {
        /// Index of the node.
        node: u8,
    },
    /// The operator and the owner bring a node closer to its link.
    Help {
        /// Index of the node.
        node: u8,
    },
    /// A connection is lost in mid-exchange.
    CutConnection {
        /// Index of the connection.
        connection: u8,
        /// `true` if its ends are not told.
        silent: bool,
    },
    /// A node loses power after some more effects.
    CutNode {
        /// Index of the node.
        node: u8,
        /// Number of effects that it still carries out.
        after: u8,
    },
    /// The gateway loses power after some more effects.
    CutGateway {
        /// Number of effects that it still carries out.
        after: u8,
    },
    /// The gateway stops in order and starts again.
    Restart,
    /// No connection can be opened for a while.
    NetworkDown {
        /// Time in seconds.
        secs: u8,
    },
    /// Something befalls the clocks of the gateway's system.
    Clock(ClockOp),
    /// The gateway's next store operations fail.
    StoreFails {
        /// Number of failing operations.
        times: u8,
    },
    /// A stranger opens a connection.
    StrangerConnects,
    /// A stranger replays an overheard message.
    StrangerReplays {
        /// Index of the stranger's connection.
        connection: u8,
        /// Index of the recording.
        recording: u8,
    },
    /// A stranger sends a forged frame.
    StrangerSends {
        /// Index of the stranger's connection.
        connection: u8,
        /// Kind of the frame.
        frame: Forged,
    },
}

impl Op {
    /// States in which an operation is in progress.
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

/// A decision of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Approves the request.
    Approve,
    /// Issues a new token.
    Reissue,
    /// Rejects the request.
    Reject,
    /// Mutes the node.
    Mute,
    /// Unmutes the node.
    Unmute,
    /// Sets the mode that admits only harmless requests.
    SafeChat,
    /// Sets the full mode.
    Full,
    /// Revokes the node for good.
    Unpair,
}

/// The kind of token that an owner types in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The token shown last for this node.
    Newest,
    /// The token shown first for this node.
    Oldest,
    /// A token that no node has.
    Wrong,
    /// The token shown last for another node.
    AnotherNodes,
}

/// A frame that a stranger may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forged {
    /// The pairing request of a node, word for word.
    AskAs(u8),
    /// A pairing request of the stranger's own.
    Ask(u8),
    /// An authentication as a known record, with a made-up token.
    Guess(u8),
    /// An authentication with an unknown id.
    Nobody,
    /// A heartbeat without a link.
    Heartbeat,
    /// A frame of the application.
    Application,
    /// A binary frame.
    Binary,
    /// Arbitrary text.
    Text(String),
}

impl Script {
    /// Returns the script of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let length = 60 + prng.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        Self::decode(&bytes)
    }

    /// Decodes bytes to a script; any bytes are one.
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

/// Maximum number of operations. Longer inputs gain nothing, so a fuzzer does not grow them.
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
