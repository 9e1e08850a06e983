//! Sealed exchanges with an adversary on the network: one phone that has the proof, others that
//! guess, and messages that are changed, repeated, dropped or made up.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::x25519::KeyPair;
use handfast_core::flow::provisioning::sealed::ExchangeHandle;
use handfast_core::flow::provisioning::sealed::node::{self, SealedSetup, SetupSecrets};
use handfast_core::flow::provisioning::sealed::phone::{self, SealedPhone};
use handfast_core::limits::SCRATCH;
use handfast_core::wire::provisioning::sealed::{Call, PartBytes};
use handfast_core::{Entropy, Instant, Machine, Source, Span};

const PROOF: &str = "ABCD-EFGH-JKLM";
const WRONG: &str = "ABCD-EFGH-JKLN";
/// The phone that has the proof.
const OWNER: usize = 0;

type Post = (Option<ExchangeHandle>, Vec<u8>);

struct World {
    node: SealedSetup,
    keys: KeyPair,
    proof: Code,
    now: Instant,
    drawn: u64,
    phones: [SealedPhone; 3],
    /// The message of each phone that the node has not got yet.
    posts: [Option<Post>; 3],
    /// Everything that was ever sent.
    seen: Vec<Post>,
    /// The calls that the owner has made, and those that the node has carried out.
    made: usize,
    carried_out: usize,
}

/// Plays a script over sealed exchanges. The node carries out no call that the phone with the proof
/// has not made, and none twice.
///
/// # Panics
/// If this does not hold, or the owner does not get through once the others are quiet.
pub fn any_exchanges(data: &[u8]) {
    let mut world = World {
        node: SealedSetup::default(),
        keys: KeyPair::generate(&Entropy::from_recorded([1; 32])),
        proof: Code::parse(PROOF).expect("a code"),
        now: Instant::from_millis(1000),
        drawn: 0,
        phones: [SealedPhone::default(), SealedPhone::default(), SealedPhone::default()],
        posts: [const { None }; 3],
        seen: Vec::new(),
        made: 0,
        carried_out: 0,
    };
    for pair in data.chunks(2).take(150) {
        let (what, how) = (pair[0], pair.get(1).copied().unwrap_or(0));
        let who = usize::from(how % 3);
        match what % 10 {
            0 | 1 => world.prove(who),
            2 | 3 => {
                let _ = world.deliver(who);
            }
            4 => world.call(who, how),
            5 => {
                // One byte is changed on the way.
                if let Some((_, bytes)) = &mut world.posts[who]
                    && let Some(at) = usize::from(how).checked_rem(bytes.len())
                {
                    bytes[at] ^= 1 << (what / 10 % 8);
                }
                let _ = world.deliver(who);
            }
            6 => {
                // An earlier message comes again, from another address.
                if let Some(at) = usize::from(how).checked_rem(world.seen.len()) {
                    let (handle, bytes) = world.seen[at].clone();
                    world.post(9, handle, bytes);
                }
            }
            7 => {
                let handle = world.seen.last().and_then(|(handle, _)| *handle);
                let made_up = vec![how; usize::from(what)];
                world.post(9, handle.filter(|_| how & 1 == 1), made_up);
            }
            8 => world.posts[who] = None,
            _ => {
                world.now = world.now.after(Span::from_millis(u64::from(how) * 300));
                let _ = world.node.step(world.now, node::Input::Tick, &mut []);
            }
        }
        assert!(world.carried_out <= world.made, "a call that the owner has not made");
    }
    world.owner_gets_through();
}

impl World {
    fn entropy<const N: usize>(&mut self) -> Entropy<N> {
        self.drawn += 1;
        let drawn = self.drawn.to_le_bytes();
        Entropy::from_recorded(std::array::from_fn(|at| drawn[at % 8]))
    }

    fn prove(&mut self, who: usize) {
        let proof = Code::parse(if who == OWNER { PROOF } else { WRONG }).expect("a code");
        let entropy = [self.entropy(), self.entropy()];
        self.step(who, phone::Input::Start { proof, entropy });
    }

    fn call(&mut self, who: usize, how: u8) {
        let call = Call::ALL[usize::from(how) % Call::ALL.len()];
        let bytes = PartBytes::new(&[7; 9]).expect("a part");
        let waits = self.posts[who].is_some();
        self.step(who, phone::Input::Part { call, bytes, last: true });
        if who == OWNER && !waits && self.posts[who].is_some() {
            self.made += 1;
        }
    }

    fn step(&mut self, who: usize, input: phone::Input<'_>) -> Option<bool> {
        let mut scratch = [0; SCRATCH];
        let mut proven = None;
        for effect in self.phones[who].step(self.now, input, &mut scratch) {
            match effect {
                phone::Effect::Post(handle, bytes) => {
                    self.posts[who] = Some((handle, bytes.to_vec()));
                }
                phone::Effect::Proven(key) => {
                    assert_eq!((who, key), (OWNER, *self.keys.public()), "proven without proof");
                    proven = Some(true);
                }
                phone::Effect::Wrong(_) => {
                    assert_ne!(who, OWNER, "the right proof is never wrong");
                    proven = Some(false);
                }
                phone::Effect::Later(_) | phone::Effect::Lost => proven = Some(false),
                phone::Effect::More | phone::Effect::Answer { .. } => {}
            }
        }
        proven
    }

    fn deliver(&mut self, who: usize) -> Option<bool> {
        let (handle, bytes) = self.posts[who].take()?;
        self.seen.push((handle, bytes.clone()));
        let source = u8::try_from(who).expect("three phones");
        let mut answer = self.post(source, handle, bytes)?;
        let entropy = self.entropy();
        self.step(who, phone::Input::Answer(&mut answer, entropy))
    }

    /// Hands the node a message, and returns its answer.
    fn post(
        &mut self,
        from: u8,
        handle: Option<ExchangeHandle>,
        mut bytes: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let source = Source::of([192, 168, 4, from].into());
        let (first, entropy) = (self.entropy(), self.entropy());
        let mut scratch = [0; SCRATCH];
        let secrets = SetupSecrets { channel: &self.keys, proof: &self.proof };
        let input = match handle {
            None => {
                let entropy = (first, entropy);
                node::Input::Open { source, bytes: &mut bytes, entropy, secrets }
            }
            Some(handle) => {
                node::Input::Frame { handle, source, bytes: &mut bytes, entropy, secrets }
            }
        };
        let (mut reply, mut called) = (None, None);
        for effect in self.node.step(self.now, input, &mut scratch) {
            match effect {
                node::Effect::Opened(handle, frame) => {
                    reply = Some([handle.as_bytes(), frame].concat());
                }
                node::Effect::Reply(frame) => reply = Some(frame.to_vec()),
                node::Effect::Call { handle, bytes, last, .. } => {
                    assert_eq!((bytes, last), (&[7; 9][..], true), "what the owner has sent");
                    called = Some(handle);
                }
                node::Effect::Refuse(_)
                | node::Effect::Rest { .. }
                | node::Effect::GuessWrong(_)
                | node::Effect::Ended(_) => {}
            }
        }
        let Some(handle) = called else { return reply };
        self.carried_out += 1;
        let input = node::Input::Answered { handle, status: 200, rest: b"{}" };
        self.node.step(self.now, input, &mut scratch).into_iter().find_map(|effect| match effect {
            node::Effect::Reply(frame) => Some(frame.to_vec()),
            _ => None,
        })
    }

    fn owner_gets_through(&mut self) {
        // Longer than any exchange that says nothing, and any wait after a wrong guess.
        self.now = self.now.after(Span::from_secs(61));
        self.prove(OWNER);
        let proven =
            std::iter::from_fn(|| self.posts[OWNER].is_some().then(|| self.deliver(OWNER)))
                .flatten()
                .last();
        assert_eq!(proven, Some(true), "the owner proves what is on the label");
        let before = self.carried_out;
        self.call(OWNER, 0);
        self.deliver(OWNER);
        assert_eq!(self.carried_out, before + 1, "the owner's call is carried out");
    }
}
