//! Every bound of the system, in one place. Operators may change the fields of [`Limits`]; the
//! constants are part of the formats.

use crate::time::Span;

/// Maximum length of a name or a room, in characters (Unicode scalar values).
pub const LABEL_CHARS: usize = 64;
/// Maximum length of a name or a room, in bytes: 64 characters of four bytes.
pub const LABEL_BYTES: usize = 256;
/// Maximum length of a hardware profile as JSON on the gateway, in bytes.
pub const PROFILE_BYTES: usize = 4096;
/// Maximum length of one frame of the `missy` dialect, in bytes; a larger one ends the connection
/// with close code 1009.
pub const FRAME_BYTES: usize = 1_048_576;
/// Maximum number of entries read from a reverse proxy's header, from its right end.
pub const FORWARDED_ENTRIES: usize = 32;
/// Maximum number of bytes of a PROXY header behind its first 16: addresses and further fields.
pub const PROXY_HEADER_BYTES: usize = 4096;
/// Time in which a proxy must send its PROXY header.
pub const PROXY_HEADER_WITHIN: Span = Span::from_secs(2);
/// Maximum depth of nesting in JSON.
pub const JSON_DEPTH: u32 = 127;
/// Maximum length of a JSON number that is passed on, in characters.
pub const NUMBER_CHARS: usize = 40;
/// Scratch that decoding the texts of one frame needs, in bytes.
pub const DECODE_SCRATCH: usize = 768;
/// Scratch that a step needs for decoding and encoding together, in bytes. A node whose profile is
/// longer than [`SMALL_PROFILE_BYTES`] needs the difference in addition.
pub const SCRATCH: usize = 2048;
/// Longest profile for which [`SCRATCH`] suffices on a node, whatever its name and room, in bytes.
pub const SMALL_PROFILE_BYTES: usize = 512;
/// Iterations of PBKDF2 in the `missy` dialect.
pub const PBKDF2_ITERATIONS: u32 = 100_000;
/// Maximum length of one sealed message of the native wire, in bytes.
pub const MESSAGE_BYTES: usize = 1024;
/// Maximum length of one message of the native wire before sealing, in bytes: the tag takes 16.
pub const PLAINTEXT_BYTES: usize = MESSAGE_BYTES - 16;
/// Maximum length of a message that the native wire sends in clear, in bytes. Every answer of a
/// Noise handshake is longer.
pub const CLEAR_BYTES: usize = 16;
/// Maximum number of protocol versions that a gateway names.
pub const VERSIONS: usize = 8;
/// Scratch of a native node, in bytes. A node sends no grants: only the end of a handshake, a
/// request and an element.
pub const NATIVE_NODE_SCRATCH: usize = MESSAGE_BYTES + 256;
/// Scratch of a native node that may pair with a setup code, in bytes; the code goes out together
/// with all of [`NATIVE_NODE_SCRATCH`].
pub const NATIVE_SETUP_SCRATCH: usize = NATIVE_NODE_SCRATCH + MESSAGE_BYTES;
/// Failed tokens a minute from one source for one paired node. Above it, further attempts share the
/// budget of unknown nodes.
pub const FAILURES_FOR_ONE_NODE: u32 = 10;
/// Interval at which a node's readings and its presence are written.
pub const READINGS_EVERY: Span = Span::from_secs(5);
/// Minimum time between the last write of a node's readings and the final write after it has left.
pub const READINGS_LAST: Span = Span::from_secs(1);
/// Messages of one linked peer that are read in a minute, in every dialect: of a node, a delegate
/// or a companion. What it sends above that is read later.
pub const MESSAGES_A_MINUTE: u32 = 12_000;
/// The number of these messages that may come at once.
pub const MESSAGES_AT_ONCE: u32 = 400;
/// Lines of one kind that one source, node or session may cause in the log within
/// [`LOG_LINES_WITHIN`]; then one line says how many were left out.
pub const LOG_LINES: u32 = 10;
/// Lines of one kind from all sources together, because a stranger may have many sources.
pub const LOG_LINES_OF_STRANGERS: u32 = 60;
/// The period over which lines of the log are counted together.
pub const LOG_LINES_WITHIN: Span = Span::from_secs(60);
/// Wrong guesses that kill a PIN or a code.
pub const GUESSES_PER_CODE: u8 = 5;
/// Wrong PINs that close a pairing window, counted over all its PINs.
pub const GUESSES_PER_WINDOW: u8 = 20;
/// Wrong PINs of one source in a pairing window. Above it, the source hears that PINs are locked,
/// while other sources continue.
pub const GUESSES_PER_SOURCE: u8 = 8;
/// Maximum number of live PINs of one source.
pub const PINS_PER_SOURCE: usize = 4;
/// PINs a minute for one source. Each appears on the operator's display and should be read there.
pub const PINS_A_MINUTE: u32 = 20;
/// Events a minute that the operator's displays show of one source's requests and failures.
pub const TOLD_A_MINUTE: u32 = 64;
/// Events a minute that the displays show of all sources together.
pub const TOLD_A_MINUTE_OF_ALL: u32 = 256;
/// Pings a minute of one node that delegated rights may ask for. Each wakes the node; those of the
/// operator are not limited.
pub const PINGS_A_MINUTE: u32 = 20;
/// Handshakes of one known key that may wait at once for their first sealed message.
pub const PROVING_PER_KEY: usize = 4;
/// Time in which each of those handshakes must send its first sealed message.
pub const PROVE_WITHIN: Span = Span::from_secs(3);
/// Time during which such a handshake is not displaced by another one of the same key.
pub const PROVING_AT_LEAST: Span = Span::from_secs(1);
/// Number of first messages of links that the gateway remembers to detect a replay.
pub const REPLAYS: usize = 65_536;
/// Time after which a peer that has begun a handshake and owes its next message is the first to
/// lose its connection slot.
pub const STALLED_AFTER: Span = Span::from_secs(1);
/// Time that an offered grant waits for the node to confirm that it has stored it.
pub const OFFERED_FOR: Span = Span::from_secs(24 * 3600);
/// Difference between the wall clock and the time in use above which it counts as a step.
pub const CLOCK_STEP: Span = Span::from_secs(60);
/// Distance of the wall clock beyond all known times above which it is in doubt.
pub const CLOCK_FAR: Span = Span::from_secs(30 * 24 * 3600);
/// Time for which a clock in doubt must stay synchronised without another step before it is
/// believed.
pub const CLOCK_BELIEVED_AFTER: Span = Span::from_secs(24 * 3600);
/// Interval at which the mark of the time is written: the most time a crash can lose.
pub const MARK_EVERY: Span = Span::from_secs(20);
/// Time without a complete reading of the log of changes after which a gateway that shares its
/// registry is cut off.
pub const CUT_OFF_AFTER: Span = Span::from_secs(2);
/// Time for which links that stand outlive the contact of their gateway with the registry.
pub const CUT_OFF_GRACE: Span = Span::from_secs(30);
/// Time for which a message between gateways is fresh, in both directions.
pub const BUS_FRESH: Span = Span::from_secs(10);
/// Maximum number of runs of gateways that send messages to one in some times [`BUS_FRESH`].
pub const BUS_RUNS: usize = 64;
/// Maximum number of patterns to which one link subscribes.
pub const SUBSCRIPTIONS: usize = 16;
/// Maximum length of a hardware profile on the native wire, in bytes.
pub const NATIVE_PROFILE_BYTES: usize = 256;
/// Maximum length of a certificate request on the native wire, in bytes.
pub const CSR_BYTES: usize = 512;
/// Maximum length of the permissions that a node asks for, as text, in bytes.
pub const ASKED_SCOPES_BYTES: usize = 96;
/// Maximum length of a reason that one side tells the other, in bytes.
pub const REASON_BYTES: usize = 160;
/// Maximum length of a capability's name, in characters.
pub const CAPABILITY_NAME_CHARS: usize = 32;
/// Maximum length of an application's payload in one message, and of a dispatch's payload and
/// result, in bytes.
pub const PAYLOAD_BYTES: usize = 864;
/// Longest token chain that is inlined in its message, in bytes; a longer one is sent ahead in
/// parts.
pub const INLINE_CHAIN_BYTES: usize = 448;
/// Length of every part of a larger object except the last, in bytes.
pub const PART_BYTES: usize = 1000;
/// Maximum length of a certificate set, in bytes: three parts, so that one step sends all of it.
pub const CERTIFICATES_BYTES: usize = 3 * PART_BYTES;
/// Maximum length of a compact certificate, in bytes.
pub const COMPACT_CERTIFICATE_BYTES: usize = 256;
/// Maximum length of a token chain, in bytes.
pub const CHAIN_BYTES: usize = CAPABILITY_BYTES;
/// Scratch that a step of the native wire's machines needs, in bytes: the longest certificate set
/// is three parts, and a message follows it.
pub const NATIVE_SCRATCH: usize = 4 * MESSAGE_BYTES;
/// Length of the checksum behind each message on a byte stream, in bytes.
pub const CHECKSUM_BYTES: usize = 4;
/// Buffer that a decoder of a byte stream needs for the longest message, in bytes.
pub const STREAM_BUFFER: usize = MESSAGE_BYTES + CHECKSUM_BYTES;
/// Maximum length of a frame on a byte stream, in bytes: one code byte for every 254 bytes begun,
/// and a zero on either side.
pub const STREAM_FRAME: usize = STREAM_BUFFER + STREAM_BUFFER.div_ceil(254) + 2;
/// Maximum length of an address or a pattern of addresses, in bytes.
pub const PATH_BYTES: usize = 128;
/// Maximum number of segments of an address, or of a pattern including its wildcards.
pub const PATH_SEGMENTS: usize = 16;
/// Maximum number of scopes of one grant.
pub const SCOPES: usize = 16;
/// Maximum length of the scopes of one grant as text, one a line, in bytes.
pub const SCOPES_BYTES: usize = 1024;
/// Maximum number of blocks of a capability token: the gateway's and three delegations.
pub const CAPABILITY_DEPTH: usize = 4;
/// Maximum length of a capability token as text, in characters.
pub const CAPABILITY_CHARS: usize = 2048;
/// Maximum length of a capability token, in bytes: the base64url text of [`CAPABILITY_CHARS`]
/// without its four characters of version.
pub const CAPABILITY_BYTES: usize = (CAPABILITY_CHARS - 4) / 4 * 3;
/// Maximum length of an invitation, in bytes.
pub const INVITE_BYTES: usize = 300;
/// Maximum number of gateway addresses in one invitation.
pub const INVITE_ADDRESSES: usize = 3;
/// Maximum number of gateways that a search of the local network lists.
pub const FOUND_GATEWAYS: usize = 32;
/// Maximum number of addresses of one gateway that a search keeps.
pub const FOUND_ADDRESSES: usize = 8;
/// Maximum number of found addresses that a paired node tries after one search.
pub const SEARCH_ADDRESSES: u8 = 8;
/// Maximum length of one gateway address, in bytes.
pub const GATEWAY_ADDRESS_BYTES: usize = 96;
/// Maximum number of addresses that a gateway tells its nodes: two for each of four gateways that
/// share a registry.
pub const TOLD_ADDRESSES: usize = 8;
/// Maximum length of the list of these addresses, in bytes.
pub const TOLD_ADDRESSES_BYTES: usize = TOLD_ADDRESSES * (GATEWAY_ADDRESS_BYTES + 1) - 1;

/// Maximum length of a setup code's claims, in bytes.
pub const SETUP_CLAIMS_BYTES: usize = 640;
/// Maximum length of a setup code's token, in characters: the claims in base64, a dot, and the tag.
pub const SETUP_TOKEN_CHARS: usize = (SETUP_CLAIMS_BYTES * 4).div_ceil(3) + 1 + 43;
/// Maximum length of a gateway's URL in a setup code, in bytes.
pub const SETUP_URL_BYTES: usize = 256;
/// Maximum length of a setup code's payload, in characters.
pub const SETUP_PAYLOAD_CHARS: usize = 3456;
/// Default lifetime of a setup code.
pub const SETUP_TTL: Span = Span::from_secs(600);
/// Shortest lifetime of a setup code.
pub const SETUP_TTL_MIN: Span = Span::from_secs(30);
/// Longest lifetime of a setup code.
pub const SETUP_TTL_MAX: Span = Span::from_secs(24 * 3600);
/// Maximum length of a companion's first frame, in bytes.
pub const COMPANION_FIRST_BYTES: usize = 64 * 1024;
/// Scratch that a step of a companion's connection needs, in bytes.
pub const COMPANION_SCRATCH: usize = 3 * SETUP_CLAIMS_BYTES + 1024;
/// Maximum length of a channel's name, an account or a sender, in bytes.
pub const SENDER_BYTES: usize = 128;
/// Length of the code that challenges an unknown sender, in characters.
pub const CHALLENGE_CHARS: usize = 8;
/// Maximum length of a channel's metadata about an unknown sender, as JSON, in bytes.
pub const SENDER_META_BYTES: usize = 1024;

/// Life of a provisioning token.
pub const PROVISIONING_TOKEN_LIFE: Span = Span::from_secs(600);
/// Maximum length of a Wi-Fi network's name, in bytes (IEEE 802.11).
pub const SSID_BYTES: usize = 32;
/// Maximum length of a Wi-Fi passphrase, in bytes: 63 characters, or 64 hex digits of a key.
pub const PASSPHRASE_BYTES: usize = 64;
/// Maximum length of a JSON body that provisions a node, in bytes.
pub const PROVISIONING_BODY_BYTES: usize = 8 * 1024;
/// Maximum length of an id that another system gave to a node or a household, in bytes.
pub const EXTERNAL_ID_BYTES: usize = 128;
/// Maximum length of a command center's URL, in bytes.
pub const COMMAND_CENTER_URL_BYTES: usize = 512;
/// Maximum length of a provisioning token and of the key that a command center gives a node, in
/// bytes.
pub const PROVISIONING_SECRET_BYTES: usize = 512;
/// Maximum length of K2 as text, in bytes; only 43 or 44 of them can be right.
pub const K2_CHARS: usize = 512;
/// Maximum number of fields of a provisioning request.
pub const PROVISIONING_FIELDS: usize = 10;
/// Pushes of settings whose nonces a node remembers.
pub const PUSH_NONCES: usize = 64;
/// Maximum number of phones that provision a node at once over sealed exchanges.
pub const SEALED_EXCHANGES: usize = 2;
/// Maximum length of the part of a body in one sealed message, in bytes.
pub const SEALED_PART_BYTES: usize = 1000;
/// Time in which a phone must prove itself, before a newcomer may take its place.
pub const SEALED_PROVE_WITHIN: Span = Span::from_secs(5);
/// Time without a message after which a sealed exchange ends.
pub const SEALED_SILENCE: Span = Span::from_secs(60);
/// Time after a start, or after its button, in which a node takes new settings from a phone.
pub const SETUP_WINDOW: Span = Span::from_secs(600);
/// Time in which a node that lost its network tries to join it.
pub const REJOIN_FOR: Span = Span::from_secs(120);
/// Time for which a node that could not join its network offers its access point.
pub const ACCESS_POINT_FOR: Span = Span::from_secs(600);
/// Time that the radio has to join a network. NetworkManager waits 45 s for an address.
pub const JOIN_WITHIN: Span = Span::from_secs(60);
/// Time that the command center has for one attempt to register, with all of its connection.
pub const REGISTER_WITHIN: Span = Span::from_secs(30);
/// Attempts to register that end without an answer, or with a server's own failure, before the node
/// gives up.
pub const REGISTER_ATTEMPTS: u8 = 5;

/// Default life of a node's certificate.
pub const CERTIFICATE_LIFE: Span = Span::from_secs(24 * 3600);
/// Time by which a certificate's validity begins before it is made, for clocks that run behind.
pub const CERTIFICATE_BACKDATED: Span = Span::from_secs(300);
/// Maximum number of certificates of one node within [`CERTIFICATES_WITHIN`].
pub const CERTIFICATES_A_DAY: u32 = 16;
/// The period over which a node's certificates are counted together.
pub const CERTIFICATES_WITHIN: Span = Span::from_secs(24 * 3600);
/// Minimum time between two new marks of one node.
pub const CLONE_MARK_EVERY: Span = Span::from_secs(3600);
/// Longest time from the beginning of a link's handshake to the node's first message, for the
/// judgement of marks.
pub const LINK_BEGINS_WITHIN: Span = Span::from_secs(10);
/// Number of dispatches that the board of a microcontroller keeps.
pub const BOARD_OF_DEVICE: usize = 8;
/// Number of dispatches that the board of a node on Linux keeps.
pub const BOARD_OF_LINUX: usize = 256;
/// Longest result that a board keeps, in bytes.
pub const BOARD_RESULT_BYTES: usize = 128;

/// Splits a step's scratch into the part for decoding and the part for encoding. If it is too
/// small, both are empty, and every operation that needs them fails closed.
pub(crate) fn split(scratch: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    if scratch.len() < SCRATCH {
        return (&mut [], &mut []);
    }
    scratch.split_at_mut_checked(DECODE_SCRATCH).unwrap_or((&mut [], &mut []))
}

/// The limits of a gateway that an operator may set. [`Limits::DEFAULT`] holds the documented
/// values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// Time in which a new connection must send its first message.
    pub first_message: Span,
    /// Interval between pings on an open connection.
    pub ping_every: Span,
    /// Time in which the peer must answer a ping.
    pub pong_within: Span,
    /// Time that a pending request waits for the operator.
    pub pending_for: Span,
    /// Maximum number of pending requests in total.
    pub pending_total: u32,
    /// Maximum number of pending requests of one source.
    pub pending_per_source: u32,
    /// Maximum number of unauthenticated connections in total.
    pub waiting_total: u32,
    /// Maximum number of unauthenticated connections of one source.
    pub waiting_per_source: u32,
    /// Maximum number of authenticated connections.
    pub linked_total: u32,
    /// Failed authentications of one source a minute.
    pub failures_per_minute: u32,
    /// Maximum number of tokens that wait to be hashed.
    pub hash_queue: u32,
    /// First messages of links read in a second, over all sources. Above it, sources that failed
    /// too often wait.
    pub first_messages_per_second: u32,
    /// Time after its grant's expiry in which a node with keys may renew the grant; zero forbids
    /// it.
    pub renew_after_expiry: Span,
    /// Time in which a secret that is shown once must be delivered before the decision is undone.
    pub deliver_within: Span,
}

impl Limits {
    /// The documented default values.
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
