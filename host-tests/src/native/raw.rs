//! Manual peers, message by message: the means of an attacker with keys of their own against a
//! gateway and a node.

use handfast_core::Entropy;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::transport::{Receiving, Sending};
use handfast_core::crypto::noise::{Established, HandshakeHash, ik, xx};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{self, Admission, Admitted, FromNode, Hello};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair;

use super::World;
use super::wires::{ConnId, Side};

/// One end of a sealed channel.
pub struct Channel {
    /// The handshake hash that both ends share.
    pub hash: HandshakeHash,
    /// The static key of the other end.
    pub peer: PublicKey,
    sending: Sending,
    receiving: Option<Receiving>,
}

impl Channel {
    /// Creates the end that a handshake yields.
    #[must_use]
    pub fn new(established: Established) -> Self {
        let Established { hash, peer, sending, receiving } = established;
        Self { hash, peer, sending, receiving: Some(receiving) }
    }

    /// Encrypts a message.
    ///
    /// # Panics
    /// If the message is too long.
    #[must_use]
    pub fn seal(&mut self, said: &impl Says) -> Vec<u8> {
        let mut buffer = [0; MESSAGE_BYTES];
        let said = said.bytes();
        buffer[..said.len()].copy_from_slice(&said);
        self.sending.seal(&mut buffer, said.len()).expect("it can be sealed").to_vec()
    }

    /// Decrypts a frame; always `None` after the first failure.
    pub fn open(&mut self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let (receiving, text) = self.receiving.take()?.open(&mut frame).ok()?;
        self.receiving = Some(receiving);
        Some(text.to_vec())
    }
}

/// A message that can be encoded.
pub trait Says {
    /// Returns the encoded message.
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! says {
    ($($message:ty)*) => {$(
        impl Says for $message {
            fn bytes(&self) -> Vec<u8> {
                self.write(&mut [0; MESSAGE_BYTES]).map(<[u8]>::to_vec).unwrap_or_default()
            }
        }
    )*};
}
says!(pair::PairFromNode<'_> pair::PairFromGateway<'_> link::FromNode<'_> link::FromGateway<'_>);

impl Says for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

/// A manual client of the gateway.
pub struct Raw {
    /// The client's connection.
    pub conn: ConnId,
    /// The client's end of the channel.
    pub channel: Channel,
}

/// Returns keys that no node in the world has.
#[must_use]
pub fn keys(seed: u8) -> OwnKeys {
    OwnKeys::generate(&Entropy::from_recorded([seed; 64]))
}

/// Returns the first message of a node that holds no grant.
#[must_use]
pub const fn hello<'b>() -> FromNode<'b> {
    FromNode::Hello(Hello { features: Features::APP.with(Features::PING), mark: None, holds: None })
}

impl Raw {
    /// Connects with an XX handshake; `None` if the gateway ends it.
    pub fn introduces_itself(world: &mut World, intent: Intent, keys: &OwnKeys) -> Option<Self> {
        let conn = world.connect(None);
        let open = Open::new(intent);
        let mut room = [0; MESSAGE_BYTES];
        let entropy = Entropy::from_recorded(world.chance());
        let (initiator, first) =
            xx::Initiator::start(open.prologue(), &entropy, &[], &mut room).ok()?;
        world.inject(conn, Side::Gateway, open.as_bytes().to_vec());
        world.inject(conn, Side::Gateway, first.to_vec());
        world.run();
        let mut second = world.heard_over(conn)?;
        let (introduced, _) = initiator.read_second(&mut second).ok()?;
        let (established, third) = introduced.write_third(&keys.channel, &[], &mut room).ok()?;
        world.inject(conn, Side::Gateway, third.to_vec());
        world.run();
        Some(Self { conn, channel: Channel::new(established) })
    }

    /// Connects with an IK handshake.
    pub fn links(world: &mut World, keys: &OwnKeys) -> Option<(Self, Admission)> {
        let conn = world.connect(None);
        let open = Open::new(Intent::Link);
        let mut room = [0; MESSAGE_BYTES];
        let entropy = Entropy::from_recorded(world.chance());
        let gateway = *world.identity.keys.channel.public();
        let (initiator, first) = ik::Initiator::start(
            open.prologue(),
            &keys.channel,
            &gateway,
            &entropy,
            &[],
            &mut room,
        )
        .ok()?;
        world.inject(conn, Side::Gateway, open.as_bytes().to_vec());
        world.inject(conn, Side::Gateway, first.to_vec());
        world.run();
        let mut second = world.heard_over(conn)?;
        let (established, admission) = initiator.read_second(&keys.channel, &mut second).ok()?;
        let Admitted { admission, .. } = Admitted::parse(admission).ok()?;
        Some((Self { conn, channel: Channel::new(established) }, admission))
    }

    /// Sends a message, and lets the world run.
    pub fn says(&mut self, world: &mut World, said: &impl Says) {
        let frame = self.channel.seal(said);
        world.inject(self.conn, Side::Gateway, frame);
        world.run();
    }

    /// Returns the next message.
    pub fn hears(&mut self, world: &mut World) -> Option<Vec<u8>> {
        self.channel.open(world.heard_over(self.conn)?)
    }
}

/// A manual gateway for a node whose frames reach nobody else: see [`World::isolate`].
pub struct Rogue {
    /// The node's connection.
    pub conn: ConnId,
    /// The rogue's end of the channel.
    pub channel: Channel,
    read: usize,
}

impl Rogue {
    /// Answers a node's XX handshake on this connection.
    pub fn answers(world: &mut World, conn: ConnId, keys: &OwnKeys) -> Option<Self> {
        let mut room = [0; MESSAGE_BYTES];
        let sent = |world: &World, number| world.sent_by_client(conn, number);
        let (open, mut first) = (sent(world, 0)?, sent(world, 1)?);
        let (responder, _) =
            xx::Responder::read_first(Open::parse(&open).ok()?.prologue(), &mut first).ok()?;
        let entropy = Entropy::from_recorded(world.chance());
        let (answered, second) =
            responder.write_second(&keys.channel, &entropy, &[], &mut room).ok()?;
        world.inject(conn, Side::Client, second.to_vec());
        world.run();
        let (established, _) = answered
            .read_third(&mut sent(world, 2)?)
            .map(|(established, _)| (established, ()))
            .ok()?;
        Some(Self { conn, channel: Channel::new(established), read: 3 })
    }

    /// Sends a message, and lets the world run.
    pub fn says(&mut self, world: &mut World, said: &impl Says) {
        let frame = self.channel.seal(said);
        world.inject(self.conn, Side::Client, frame);
        world.run();
    }

    /// Returns the node's next message.
    pub fn hears(&mut self, world: &World) -> Option<Vec<u8>> {
        let frame = world.sent_by_client(self.conn, self.read)?;
        self.read += 1;
        self.channel.open(frame)
    }
}

impl World {
    /// Intercepts all frames of nodes and gateway from now on: they are recorded, and reach nobody.
    pub fn isolate(&mut self) {
        self.on_the_way = Some(Box::new(|_| Vec::new()));
    }

    /// Returns the next frame on a stranger's connection.
    pub fn heard_over(&mut self, conn: ConnId) -> Option<Vec<u8>> {
        self.inbox.get_mut(&conn)?.pop_front()
    }

    /// Returns a frame that a client sent, by its number.
    #[must_use]
    pub fn sent_by_client(&self, of: ConnId, number: usize) -> Option<Vec<u8>> {
        let sent =
            self.overheard.iter().filter(|(conn, to, _)| *conn == of && *to == Side::Gateway);
        sent.map(|(.., bytes)| bytes.clone()).nth(number)
    }

    /// Draws random bytes for manual peers.
    pub fn chance<const N: usize>(&mut self) -> [u8; N] {
        self.prng.bytes()
    }
}
