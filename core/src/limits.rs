//! Every bound of the system, in one place. Operators may change those that are fields of
//! [`Limits`]; the constants are part of the formats.

use crate::time::Span;

/// Most characters (Unicode scalar values) of a name or a room.
pub const LABEL_CHARS: usize = 64;
/// Most bytes of a name or a room: 64 characters of four bytes.
pub const LABEL_BYTES: usize = 256;
/// Most bytes of a hardware profile as JSON, on the gateway.
pub const PROFILE_BYTES: usize = 4096;
/// Most bytes of one frame of the `missy` dialect; a larger one ends the connection with 1009.
pub const FRAME_BYTES: usize = 1_048_576;
/// Most entries of a header of reverse proxies that are looked at, from its right end.
pub const FORWARDED_ENTRIES: usize = 32;
/// Most bytes that a PROXY header has behind its first 16: addresses, and what else a proxy tells.
pub const PROXY_HEADER_BYTES: usize = 4096;
/// How long a proxy may take to send its PROXY header.
pub const PROXY_HEADER_WITHIN: Span = Span::from_secs(2);
/// Deepest nesting of JSON that is read.
pub const JSON_DEPTH: u32 = 127;
/// Most characters of a number in JSON that is handed on.
pub const NUMBER_CHARS: usize = 40;
/// What a step may need of scratch to decode the texts of one frame.
pub const DECODE_SCRATCH: usize = 768;
/// What a step may need of scratch for decoding and encoding together. A node whose profile is
/// longer than [`SMALL_PROFILE_BYTES`] needs as much more as the profile is longer.
pub const SCRATCH: usize = 2048;
/// The longest profile with which [`SCRATCH`] suffices for a node, whatever its name and room.
pub const SMALL_PROFILE_BYTES: usize = 512;
/// Iterations of PBKDF2 in the `missy` dialect.
pub const PBKDF2_ITERATIONS: u32 = 100_000;
/// Most bytes of one message of the native wire, sealed.
pub const MESSAGE_BYTES: usize = 1024;
/// Most bytes of one message of the native wire before it is sealed: its tag takes 16.
pub const PLAINTEXT_BYTES: usize = MESSAGE_BYTES - 16;
/// Most bytes of a message that the native wire sends in clear; every answer of a Noise handshake
/// is longer.
pub const CLEAR_BYTES: usize = 16;
/// Most versions that a gateway names.
pub const VERSIONS: usize = 8;
/// The same for a node, which sends no grants: the end of a handshake, a request and an element.
pub const NATIVE_NODE_SCRATCH: usize = MESSAGE_BYTES + 256;
/// The same for a node that may be paired with a setup code, which goes out with all of that.
pub const NATIVE_SETUP_SCRATCH: usize = NATIVE_NODE_SCRATCH + MESSAGE_BYTES;
/// How often a minute one source may fail with tokens for one paired node before it waits with the
/// strangers.
pub const FAILURES_FOR_ONE_NODE: u32 = 10;
/// How often a node's readings, and that it was there, are written.
pub const READINGS_EVERY: Span = Span::from_secs(5);
/// How soon after they were written last they are written once more because it has left.
pub const READINGS_LAST: Span = Span::from_secs(1);
/// Messages of one linked peer that are read in a minute, in every dialect: of a node, a delegate
/// or a companion. What it sends above that is read later.
pub const MESSAGES_A_MINUTE: u32 = 12_000;
/// How many of them may come at once.
pub const MESSAGES_AT_ONCE: u32 = 400;
/// Lines of one kind that one source, node or session may cause in the log within
/// [`LOG_LINES_WITHIN`]; then one line says how many were left out.
pub const LOG_LINES: u32 = 10;
/// The same of all sources together: a stranger may have many.
pub const LOG_LINES_OF_STRANGERS: u32 = 60;
/// How long lines of the log are counted together.
pub const LOG_LINES_WITHIN: Span = Span::from_secs(60);
/// Wrong guesses that kill a PIN or a code.
pub const GUESSES_PER_CODE: u8 = 5;
/// Wrong PINs that close a pairing window, over all PINs of it.
pub const GUESSES_PER_WINDOW: u8 = 20;
/// Wrong PINs of one source in a pairing window; then it hears that PINs are locked, while others
/// go on.
pub const GUESSES_PER_SOURCE: u8 = 8;
/// Most PINs of one source that live at once.
pub const PINS_PER_SOURCE: usize = 4;
/// How many PINs a minute one source is shown: each stands on the operator's display, and should be
/// read there.
pub const PINS_A_MINUTE: u32 = 20;
/// How often a minute the operator's displays are told of what one source asks for or fails at.
pub const TOLD_A_MINUTE: u32 = 64;
/// The same of all sources together.
pub const TOLD_A_MINUTE_OF_ALL: u32 = 256;
/// Handshakes of one known key that may wait at once for their first sealed message.
pub const PROVING_PER_KEY: usize = 4;
/// How long each may.
pub const PROVE_WITHIN: Span = Span::from_secs(3);
/// How long none of them is displaced by another of the same key.
pub const PROVING_AT_LEAST: Span = Span::from_secs(1);
/// First messages of links that are remembered, so that a recording of one is told from a node.
pub const REPLAYS: usize = 65_536;
/// After this time, whoever has begun a handshake and owes its next message is the first to lose
/// its seat.
pub const STALLED_AFTER: Span = Span::from_secs(1);
/// How long a grant that was offered waits for the node to confirm that it has stored it.
pub const OFFERED_FOR: Span = Span::from_secs(24 * 3600);
/// By how much the wall clock and the time in use may differ before that is a step.
pub const CLOCK_STEP: Span = Span::from_secs(60);
/// By how much the wall clock may be past all that is known before it is doubted.
pub const CLOCK_FAR: Span = Span::from_secs(30 * 24 * 3600);
/// For how long a doubted clock is synchronised without another step before it is believed.
pub const CLOCK_BELIEVED_AFTER: Span = Span::from_secs(24 * 3600);
/// How often the mark of the time is written: so much a crash may take from it.
pub const MARK_EVERY: Span = Span::from_secs(20);
/// Most patterns to which one link subscribes.
pub const SUBSCRIPTIONS: usize = 16;
/// Most bytes of a hardware profile on the native wire.
pub const NATIVE_PROFILE_BYTES: usize = 256;
/// Most bytes of a certificate request on the native wire.
pub const CSR_BYTES: usize = 512;
/// Most bytes of a reason that one side tells the other.
pub const REASON_BYTES: usize = 160;
/// Most characters of the name of a capability.
pub const CAPABILITY_NAME_CHARS: usize = 32;
/// Most bytes of what an application sends in one message, and of what a dispatch carries and
/// yields.
pub const PAYLOAD_BYTES: usize = 864;
/// Longest token chain that stands within the message that means it; a longer one goes ahead in
/// parts.
pub const INLINE_CHAIN_BYTES: usize = 448;
/// Bytes of every part of a larger object but its last.
pub const PART_BYTES: usize = 1000;
/// Most bytes of a certificate set.
pub const CERTIFICATES_BYTES: usize = 4096;
/// Most bytes of a token chain.
pub const CHAIN_BYTES: usize = CAPABILITY_BYTES;
/// What a step of the native wire's machines needs of scratch: the longest grant is two parts and a
/// message.
pub const NATIVE_SCRATCH: usize = 3 * MESSAGE_BYTES;
/// Length of the checksum behind each message on a byte stream.
pub const CHECKSUM_BYTES: usize = 4;
/// What a decoder of a byte stream needs as its buffer for the longest message.
pub const STREAM_BUFFER: usize = MESSAGE_BYTES + CHECKSUM_BYTES;
/// Most bytes of a frame on a byte stream: a code for every 254 bytes begun, a zero before and a
/// zero after.
pub const STREAM_FRAME: usize = STREAM_BUFFER + STREAM_BUFFER.div_ceil(254) + 2;
/// Most bytes of an address, or of a pattern of addresses.
pub const PATH_BYTES: usize = 128;
/// Most segments of an address, or of a pattern with its wildcards.
pub const PATH_SEGMENTS: usize = 16;
/// Most scopes of one grant.
pub const SCOPES: usize = 16;
/// Most bytes of the scopes of one grant as text, one a line.
pub const SCOPES_BYTES: usize = 1024;
/// Most blocks of a capability: the gateway's and three delegations.
pub const CAPABILITY_DEPTH: usize = 4;
/// Most characters of a capability as text.
pub const CAPABILITY_CHARS: usize = 2048;
/// Most bytes of a capability: what as text, behind its four characters of version, has
/// [`CAPABILITY_CHARS`].
pub const CAPABILITY_BYTES: usize = (CAPABILITY_CHARS - 4) / 4 * 3;
/// Most bytes of an invitation.
pub const INVITE_BYTES: usize = 300;
/// Most addresses of a gateway in one invitation.
pub const INVITE_ADDRESSES: usize = 3;
/// Most bytes of one of them.
pub const GATEWAY_ADDRESS_BYTES: usize = 96;

/// Most bytes of what a setup code claims.
pub const SETUP_CLAIMS_BYTES: usize = 640;
/// Most characters of a setup code's token: the claims in base64, a dot, and the tag.
pub const SETUP_TOKEN_CHARS: usize = (SETUP_CLAIMS_BYTES * 4).div_ceil(3) + 1 + 43;
/// Most bytes of a gateway's URL in a setup code.
pub const SETUP_URL_BYTES: usize = 256;
/// Most characters of a setup code's payload.
pub const SETUP_PAYLOAD_CHARS: usize = 3456;
/// How long a setup code is good for, where nobody says otherwise.
pub const SETUP_TTL: Span = Span::from_secs(600);
/// The shortest time for which one is made.
pub const SETUP_TTL_MIN: Span = Span::from_secs(30);
/// The longest.
pub const SETUP_TTL_MAX: Span = Span::from_secs(24 * 3600);
/// Most bytes of a companion's first frame.
pub const COMPANION_FIRST_BYTES: usize = 64 * 1024;
/// What a step of a companion's connection needs of scratch.
pub const COMPANION_SCRATCH: usize = 3 * SETUP_CLAIMS_BYTES + 1024;
/// Most bytes of a channel's name, an account or a sender.
pub const SENDER_BYTES: usize = 128;
/// Characters of the code with which a stranger is challenged.
pub const CHALLENGE_CHARS: usize = 8;
/// Most bytes of what a channel tells of a stranger, as JSON.
pub const SENDER_META_BYTES: usize = 1024;

/// Splits a step's scratch into the part that decoding uses and the part that encoding uses. If it
/// is too small, both are empty, and what needs them fails closed.
pub(crate) fn split(scratch: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    if scratch.len() < SCRATCH {
        return (&mut [], &mut []);
    }
    scratch.split_at_mut_checked(DECODE_SCRATCH).unwrap_or((&mut [], &mut []))
}

/// The limits of a gateway that an operator may set. [`Limits::DEFAULT`] holds the documented
/// values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may be silent before its first message.
    pub first_message: Span,
    /// How often an open connection is asked whether it is still there.
    pub ping_every: Span,
    /// How long it may take to answer that.
    pub pong_within: Span,
    /// How long a pending request waits for the operator.
    pub pending_for: Span,
    /// Most pending requests in total.
    pub pending_total: u32,
    /// Most pending requests of one source.
    pub pending_per_source: u32,
    /// Most connections that have not authenticated, in total.
    pub waiting_total: u32,
    /// Most connections that have not authenticated, of one source.
    pub waiting_per_source: u32,
    /// Most authenticated connections.
    pub linked_total: u32,
    /// Failed authentications of one source a minute.
    pub failures_per_minute: u32,
    /// Most tokens that wait to be hashed.
    pub hash_queue: u32,
    /// First messages of links that are read in a second, of all sources together. Above it, those
    /// of sources that failed too often wait.
    pub first_messages_per_second: u32,
    /// How long after its grant ran out a node that is paired by its keys gets it again by
    /// renewing; never, if that is nothing.
    pub renew_after_expiry: Span,
    /// How long a secret that is shown once may be on its way before the decision is taken back.
    pub deliver_within: Span,
}

impl Limits {
    /// The documented values.
    pub const DEFAULT: Self = Self {
        first_message: Span::from_secs(10),
        ping_every: Span::from_secs(20),
        pong_within: Span::from_secs(20),
        pending_for: Span::from_secs(3600),
        pending_total: 1000,
        pending_per_source: 64,
        waiting_total: 1024,
        waiting_per_source: 64,
        linked_total: 20_000,
        failures_per_minute: 60,
        hash_queue: 256,
        first_messages_per_second: 2000,
        renew_after_expiry: Span::from_secs(365 * 24 * 3600),
        deliver_within: Span::from_secs(60),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
