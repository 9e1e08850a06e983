//! Both machines under arbitrary inputs in any order, including the frames of a real conversation.

mod crypto;
mod gateway;
mod node;

use std::sync::OnceLock;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace::{self, Inputs};
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::{Terms, issue};
use handfast_core::limits::SETUP_TOKEN_CHARS;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::setup::ProfileName;
use handfast_core::{Entropy, Span, UnixTime};

pub use self::crypto::{cpace_messages, noise_messages};
pub use self::gateway::gateway;
pub use self::node::node;

use super::raw::keys;
use super::wires::Side;
use super::{World, setup_key};

/// A recorded conversation: the frames of both sides, and the gateway's state after it. Keys and
/// random numbers are fixed, so its frames can be decrypted again.
pub struct Recorded {
    /// The frames to each side.
    pub frames: [Vec<Vec<u8>>; 2],
    record: Record,
    grants: Vec<Grant>,
    scopes: ScopesBuf,
    bounds: [ScopesBuf; 1],
    ceiling: Ceiling,
}

/// Records a PIN pairing and a link.
///
/// # Panics
/// If the conversation does not succeed.
pub fn recorded() -> &'static Recorded {
    static ONCE: OnceLock<Recorded> = OnceLock::new();
    ONCE.get_or_init(|| {
        let mut world = World::new(1, 7);
        world.open_window();
        world.pair_by_pin(0);
        world.run();
        let pin = world.pin_for(0).expect("a PIN is shown");
        world.type_pin(0, &pin);
        world.run();
        let frames = [Side::Client, Side::Gateway].map(|side| {
            let frames = world.overheard.iter().filter(|(_, to, _)| *to == side);
            frames.map(|(.., bytes)| bytes.clone()).collect()
        });
        let record = world.store.records.values().next().expect("it is paired").clone();
        let bounds = [ScopesBuf::parse("read:/lights/**\n").expect("scopes")];
        let ceiling = Ceiling {
            scopes: bounds[0].clone(),
            expires: None,
            named: true,
            maker: Maker::Operator,
        };
        Recorded {
            frames,
            record,
            grants: world.store.grants.clone(),
            scopes: world.store.scopes.clone(),
            bounds,
            ceiling,
        }
    })
}

struct Bytes<'d>(&'d [u8]);

impl<'d> Bytes<'d> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn some(&mut self) -> &'d [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

/// Returns a setup code that is valid in these conversations.
fn setup_code() -> &'static str {
    static ONCE: OnceLock<String> = OnceLock::new();
    ONCE.get_or_init(|| {
        let profile = ProfileName::parse("companion-v1").expect("a profile");
        let terms = Terms { profile, device_label: None, ttl: Span::from_secs(600), bound: true };
        let mut out = [0; SETUP_TOKEN_CHARS];
        let unix = UnixTime::from_secs(1_750_000_000);
        // The gateway of these conversations has the second keys.
        let key = setup_key(1).bound_to(keys(2).channel.public());
        issue(&key, &terms, unix, &Entropy::from_recorded([8; 16]), &mut out)
            .expect("a code")
            .token
            .to_owned()
    })
}

fn recorded_element() -> &'static cpace::Element {
    static ONCE: OnceLock<cpace::Element> = OnceLock::new();
    ONCE.get_or_init(|| {
        cpace_inputs(b"847291", |inputs| {
            cpace::Initiator::start(inputs, &Entropy::from_recorded([5; 32])).expect("an element").1
        })
    })
}

fn cpace_inputs<T>(password: &[u8], with: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let code = Code::parse(core::str::from_utf8(password).expect("a code")).expect("a code");
    let (a, b) = (keys(1), keys(2));
    let hash = HandshakeHash::from_recorded([3; 32]);
    with(&Inputs::new(&code, &hash, a.channel.public(), b.channel.public(), cpace::CodeOrigin::Pin))
}

/// Plays arbitrary bytes as a script; [`World::play`] checks the invariants.
pub fn script(data: &[u8]) {
    let _ = World::play(&super::script::Script::decode(data));
}
