//! Costs of the native wire: both sides of a pairing and a link against the sum of their
//! primitives, measured in the same run, and capability tokens.
//! `cargo bench -p handfast-host-tests --bench native`

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use divan::Bencher;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace::{self, Inputs};
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::{HandshakeHash, ik};
use handfast_core::crypto::x25519::KeyPair;
use handfast_core::grant::capability::{BlockTerms, Chain, Check, Holder, issue, verify};
use handfast_core::grant::scope::{Action, Address, Scopes};
use handfast_core::limits::{CAPABILITY_BYTES, MESSAGE_BYTES};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::{Entropy, Span, UnixTime};
use handfast_host_tests::native::World;
use handfast_host_tests::native::raw::keys;

fn main() {
    ratios();
    divan::main();
}

fn entropy(byte: u8) -> Entropy<32> {
    Entropy::from_recorded([byte; 32])
}

/// Returns the median of many measurements of one call.
fn of(times: u32, mut call: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Clock::now();
            call();
            begun.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[all.len() / 2]
}

struct Primitives {
    agree: Duration,
    generate: Duration,
    element: Duration,
    tags: Duration,
    sign: Duration,
    verify: Duration,
}

fn primitives() -> Primitives {
    let (a, b) = (keys(1), keys(2));
    let code = Code::parse("847291").expect("a code");
    let inputs = || {
        Inputs::new(
            &code,
            &HandshakeHash::from_recorded([3; 32]),
            a.channel.public(),
            b.channel.public(),
            cpace::CodeOrigin::Pin,
        )
    };
    let begin = || cpace::Initiator::start(&inputs(), &entropy(5)).expect("an element");
    let (_, yb) = cpace::Responder::answer(&inputs(), &entropy(6), &begin().1).expect("an element");
    let element = of(400, || drop(black_box(begin())));
    let both = of(400, || drop(black_box(begin().0.confirm(&yb))));
    let signature = a.signing.sign(b"label", [&[1; 32], &[2; 32]]);
    Primitives {
        agree: of(400, || {
            let _ = black_box(a.channel.agree(b.channel.public()));
        }),
        generate: of(400, || drop(black_box(KeyPair::generate(&entropy(4))))),
        element,
        tags: both.saturating_sub(element),
        sign: of(400, || {
            let _ = black_box(a.signing.sign(b"label", [&[1; 32], &[2; 32]]));
        }),
        verify: of(400, || {
            let _ =
                black_box(a.signing.public().verify(b"label", [&[1; 32], &[2; 32]], &signature));
        }),
    }
}

/// Measures pairing by PIN: both sides with their stores (a map in memory) and the harness around
/// the machines.
fn pairing() -> Duration {
    let mut all: Vec<Duration> = (0..200)
        .map(|seed| {
            let mut world = World::new(1, seed);
            world.open_window();
            let begun = Clock::now();
            world.pair_by_pin(0);
            world.run();
            let pin = world.pin_for(0).expect("a PIN is shown");
            world.type_pin(0, &pin);
            let paired = world.run_until(|world| world.nodes[0].state() == "Closing");
            assert!(paired);
            begun.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn link_at_the_gateway(node: &OwnKeys, gateway: &OwnKeys) -> Duration {
    let mut room = [0; MESSAGE_BYTES];
    let open = Open::new(Intent::Link);
    let started = ik::Initiator::start(
        open.prologue(),
        &node.channel,
        gateway.channel.public(),
        &entropy(7),
        &[],
        &mut room,
    );
    let first = started.expect("it fits").1.to_vec();
    let mut out = [0; MESSAGE_BYTES];
    of(400, || {
        let mut first = first.clone();
        let (responder, _) =
            ik::Responder::read_first(open.prologue(), &gateway.channel, &mut first).expect("ours");
        let _ = black_box(responder.write_second(&entropy(8), &[0], &mut out).expect("it fits"));
    })
}

fn ratios() {
    let Primitives { agree, generate, element, tags, sign, verify } = primitives();
    // Each side has three agreements and an ephemeral key, an element and the tags. The node signs
    // its request; the gateway verifies it and issues a capability token twice, once for the id
    // that it keeps and once for the offer.
    let sum = (agree * 3 + generate + element + tags) * 2 + sign + verify + sign * 2;
    let took = pairing();
    println!(
        "X25519 {agree:?}, key {generate:?}, element {element:?}, tags {tags:?}, sign {sign:?}, verify {verify:?}"
    );
    println!(
        "pairing by PIN, both sides: {took:?}, its primitives {sum:?}: {:.2}",
        took.as_secs_f64() / sum.as_secs_f64()
    );
    let (took, sum) = (link_at_the_gateway(&keys(1), &keys(2)), agree * 4 + generate);
    println!(
        "link, gateway: {took:?}, its X25519 {sum:?}: {:.2}",
        took.as_secs_f64() / sum.as_secs_f64()
    );
}

/// Returns a chain of `depth` blocks, and the keys of its last holder.
fn chain(depth: u8) -> (OwnKeys, Vec<u8>) {
    let terms = || BlockTerms {
        scopes: Scopes::parse(["read:/lights/**", "write:/lights/*/level"]).expect("scopes"),
        not_before: UnixTime::from_secs(0),
        expires: UnixTime::from_secs(1).after(Span::from_secs(1000)),
        audience: None,
    };
    let mut room = [0; CAPABILITY_BYTES];
    let mut bytes = issue(&keys(2).signing, &Holder::of(&keys(10)), &terms(), &mut room)
        .expect("issued")
        .as_bytes()
        .to_vec();
    for at in 1..depth {
        let (signer, holder) = (keys(9 + at), Holder::of(&keys(10 + at)));
        let mut room = [0; CAPABILITY_BYTES];
        let longer = {
            let chain = Chain::from_bytes(&bytes).expect("ours");
            let longer =
                chain.attenuate(&signer.signing, &holder, &terms(), &mut room).expect("delegated");
            longer.as_bytes().to_vec()
        };
        bytes = longer;
    }
    (keys(9 + depth), bytes)
}

#[divan::bench(args = [1, 3])]
fn read_and_verify_a_token(bencher: Bencher<'_, '_>, depth: u8) {
    let (holder, bytes) = chain(depth);
    let gateway = keys(2).signing.public();
    let check = Check {
        gateway: &gateway,
        channel: holder.channel.public(),
        audience: None,
        now: UnixTime::from_secs(10),
    };
    bencher.bench_local(|| {
        let chain = Chain::from_bytes(black_box(&bytes)).expect("ours");
        verify(&chain, &check, |_| false).expect("it counts")
    });
}

#[divan::bench]
fn check_a_scope(bencher: Bencher<'_, '_>) {
    let scopes = Scopes::parse(["read:/audio/**", "write:/lights/*/level", "read:/lights/**"])
        .expect("scopes");
    let address = Address::parse("/lights/kitchen/level").expect("an address");
    bencher.bench_local(|| assert!(scopes.allows(black_box(Action::Read), &address)));
}

#[divan::bench]
fn pair_by_pin_and_link_in_the_simulated_world(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let mut world = World::new(1, 7);
        world.open_window();
        world.pair_by_pin(0);
        world.run();
        let pin = world.pin_for(0).expect("a PIN is shown");
        world.type_pin(0, &pin);
        world.run();
        assert!(world.is_linked(0));
    });
}
