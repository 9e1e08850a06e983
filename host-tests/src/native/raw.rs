//! Peers by hand, message by message: what an attacker with keys of his own can do to a gateway,
//! and to a node.

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::transport::{Receiving, Sending};
use handfast_core::crypto::noise::{Established, HandshakeHash, ik, xx};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::entropy::Entropy;
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::native::link::{self, Admission};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair;

use super::World;
use super::wires::{ConnId, Side};

/// One end of a sealed channel.
pub struct Channel {
    /// What both ends saw.
    pub hash: HandshakeHash,
    /// Who is at the other end.
    pub peer: PublicKey,
    sending: Sending,
    receiving: Option<Receiving>,
}

impl Channel {
    /// The end that a handshake yields.
    #[must_use]
    pub fn new(established: Established) -> Self {
        let Established { hash, peer, sending, receiving } = established;
        Self { hash, peer, sending, receiving: Some(receiving) }
    }

    /// Seals what is said.
    ///
    /// # Panics
    /// If it is too long.
    #[must_use]
    pub fn seal(&mut self, said: &impl Says) -> Vec<u8> {
        let mut buffer = [0; MESSAGE_BYTES];
        let said = said.bytes();
        buffer[..said.len()].copy_from_slice(&said);
        self.sending.seal(&mut buffer, said.len()).expect("it can be sealed").to_vec()
    }

    /// Opens what came; nothing once something could not be opened.
    pub fn open(&mut self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let (receiving, text) = self.receiving.take()?.open(&mut frame).ok()?;
        self.receiving = Some(receiving);
        Some(text.to_vec())
    }
}

/// A message as bytes.
pub trait Says {
    /// The bytes.
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
says!(pair::FromNode<'_> pair::FromGateway<'_> link::FromNode<'_> link::FromGateway<'_>);

impl Says for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

/// A client by hand.
pub struct Raw {
    /// Its connection.
    pub conn: ConnId,
    /// Its end of the channel.
    pub channel: Channel,
}

/// Keys that belong to nobody in the world.
#[must_use]
pub fn keys(seed: u8) -> OwnKeys {
    OwnKeys::generate(&Entropy::from_recorded([seed; 64]))
}

impl Raw {
    /// Calls the gateway with XX. `None` if the gateway ends it.
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

    /// Calls the gateway with IK.
    pub fn links(world: &mut World, keys: &OwnKeys) -> Option<(Self, Admission)> {
        let conn = world.connect(None);
        let open = Open::new(Intent::Link);
        let mut room = [0; MESSAGE_BYTES];
        let entropy = Entropy::from_recorded(world.chance());
        let gateway = *world.gateway.keys.channel.public();
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
        let admission = Admission::parse(admission).ok()?;
        Some((Self { conn, channel: Channel::new(established) }, admission))
    }

    /// Says something, and lets the world go on.
    pub fn says(&mut self, world: &mut World, said: &impl Says) {
        let frame = self.channel.seal(said);
        world.inject(self.conn, Side::Gateway, frame);
        world.run();
    }

    /// What came next.
    pub fn hears(&mut self, world: &mut World) -> Option<Vec<u8>> {
        self.channel.open(world.heard_over(self.conn)?)
    }
}

/// A gateway by hand, for a node whose frames reach nobody else: see [`World::isolate`].
pub struct Rogue {
    /// The node's connection.
    pub conn: ConnId,
    /// The rogue's end of the channel.
    pub channel: Channel,
    read: usize,
}

impl Rogue {
    /// Answers the node that has just called over this connection with XX.
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

    /// Says something, and lets the world go on.
    pub fn says(&mut self, world: &mut World, said: &impl Says) {
        let frame = self.channel.seal(said);
        world.inject(self.conn, Side::Client, frame);
        world.run();
    }

    /// What the node said next.
    pub fn hears(&mut self, world: &World) -> Option<Vec<u8>> {
        let frame = world.sent_by_client(self.conn, self.read)?;
        self.read += 1;
        self.channel.open(frame)
    }
}

impl World {
    /// From now on what nodes and gateway send is overheard, and reaches nobody.
    pub fn isolate(&mut self) {
        self.on_the_way = Some(Box::new(|_| Vec::new()));
    }

    /// The next frame that came over a stranger's connection.
    pub fn heard_over(&mut self, conn: ConnId) -> Option<Vec<u8>> {
        self.inbox.get_mut(&conn)?.pop_front()
    }

    /// A frame that a client sent, by its number.
    #[must_use]
    pub fn sent_by_client(&self, of: ConnId, number: usize) -> Option<Vec<u8>> {
        let sent =
            self.overheard.iter().filter(|(conn, to, _)| *conn == of && *to == Side::Gateway);
        sent.map(|(.., bytes)| bytes.clone()).nth(number)
    }

    /// Chance, for whoever plays by hand.
    pub fn chance<const N: usize>(&mut self) -> [u8; N] {
        self.prng.bytes()
    }
}
