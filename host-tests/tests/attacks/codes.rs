use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace::{self, CodeOrigin as With, Element, Inputs};
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::native::pair::{
    Ask, GrantId, Method, NativeProfile, PairFromGateway, PairFromNode, PairRefusal, Request,
    Selector,
};
use handfast_core::{Entropy, Label, Span};
use handfast_host_tests::native::World;
use handfast_host_tests::native::raw::{Raw, keys};

pub(super) fn by_code() -> Method {
    Method::Code { selector: Selector::parse("K7QF").unwrap() }
}

/// Sends a valid request to pair with these keys.
pub(super) fn asks(world: &mut World, keys: &OwnKeys, method: Method) -> Raw {
    let mut raw = Raw::introduces_itself(world, Intent::Pair, keys).expect("a channel");
    let label = |text| Label::parse(text).unwrap();
    let request = Request {
        features: handfast_core::wire::native::Features::NONE,
        name: label("x"),
        room: label("y"),
        profile: NativeProfile::EMPTY,
        method,
        wants: handfast_core::wire::native::pair::AskedScopes::NONE,
        csr: None,
    };
    let ask = Ask::sign(request, &keys.signing, &raw.channel.hash);
    raw.says(world, &PairFromNode::Ask(ask));
    raw
}

fn element(
    raw: &Raw,
    keys: &OwnKeys,
    code: &str,
    with: With,
    chance: u8,
) -> (cpace::Initiator, Element) {
    let code = Code::parse(code).unwrap();
    let inputs =
        Inputs::new(&code, &raw.channel.hash, keys.channel.public(), &raw.channel.peer, with);
    cpace::Initiator::start(&inputs, &Entropy::from_recorded([chance; 32])).unwrap()
}

/// Makes a whole guess, up to the gateway's answer.
fn guesses(
    world: &mut World,
    raw: &mut Raw,
    keys: &OwnKeys,
    code: &str,
    with: With,
) -> Option<Vec<u8>> {
    let (initiator, ya) = element(raw, keys, code, with, 9);
    raw.says(world, &PairFromNode::Ya(ya));
    let heard = raw.hears(world)?;
    let Ok(PairFromGateway::Yb(yb)) = PairFromGateway::parse(&heard) else { return Some(heard) };
    let (_, ta) = initiator.confirm(&yb).unwrap();
    raw.says(world, &PairFromNode::Ta(ta));
    raw.hears(world)
}

fn heard(bytes: Option<&Vec<u8>>) -> Option<PairFromGateway<'_>> {
    bytes.map(|bytes| PairFromGateway::parse(bytes).expect("a message"))
}

fn counted(world: &World) -> u8 {
    world.store.codes.values().map(|kept| kept.counted.guesses).sum()
}

const PROTOCOL: Option<PairFromGateway<'static>> =
    Some(PairFromGateway::Refused(PairRefusal::Protocol));

#[test]
fn identity_and_invalid_elements_end_a_run_and_cost_no_guess() {
    let mut negative = *curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED.as_bytes();
    negative[0] ^= 1;
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xed, 0x7f);
    for (at, bad) in [[0; 32], [0xff; 32], beyond, negative].into_iter().enumerate() {
        let mut world = World::new(1, 3);
        world.mint_code("K7QF", "847291");
        let mine = keys(200);
        let mut raw = asks(&mut world, &mine, by_code());
        raw.says(&mut world, &PairFromNode::Ya(bad));
        assert_eq!(heard(raw.hears(&mut world).as_ref()), PROTOCOL, "element {at}");
        assert_eq!((counted(&world), world.gateways[0].seats.len()), (0, 0));
    }
}

#[test]
fn a_wrong_tag_counts_whatever_it_is_and_a_malformed_one_costs_nothing() {
    let mut world = World::new(1, 3);
    world.mint_code("K7QF", "847291");
    let mine = keys(200);
    let mut raw = asks(&mut world, &mine, by_code());
    let (_, ya) = element(&raw, &mine, "111111", With::Code, 5);
    raw.says(&mut world, &PairFromNode::Ya(ya));
    let mut short = vec![2];
    short.extend([0; 63]);
    raw.says(&mut world, &short);
    assert_eq!(counted(&world), 0);
    for left in (0..5).rev() {
        let mut raw = asks(&mut world, &mine, by_code());
        raw.says(&mut world, &PairFromNode::Ya(ya));
        let _yb = raw.hears(&mut world);
        raw.says(&mut world, &PairFromNode::Ta([0; 64]));
        let expected = if left == 0 {
            PairRefusal::Locked
        } else {
            PairRefusal::WrongCode { attempts_left: left }
        };
        assert_eq!(heard(raw.hears(&mut world).as_ref()), Some(PairFromGateway::Refused(expected)));
    }
    let mut raw = asks(&mut world, &mine, by_code());
    assert_eq!(
        heard(guesses(&mut world, &mut raw, &mine, "847291", With::Code).as_ref()),
        Some(PairFromGateway::Refused(PairRefusal::Locked))
    );
    assert!(world.store.records.is_empty(), "a dead code is dead, even if it is guessed");
}

#[test]
fn nothing_is_granted_to_who_skips_a_step_or_goes_back_to_an_easier_method() {
    let stored = PairFromNode::Stored(GrantId::from_bytes([1; 16]));
    for method in [Method::Pin, by_code()] {
        let mut world = World::new(1, 3);
        world.open_window();
        world.mint_code("K7QF", "847291");
        let mine = keys(200);
        for step in 0..4 {
            let mut raw = asks(&mut world, &mine, method);
            if method == Method::Pin {
                assert!(matches!(
                    heard(raw.hears(&mut world).as_ref()),
                    Some(PairFromGateway::PinShown { .. })
                ));
            }
            let again = Request {
                features: handfast_core::wire::native::Features::NONE,
                name: Label::parse("x").unwrap(),
                room: Label::parse("y").unwrap(),
                profile: NativeProfile::EMPTY,
                method: Method::Approval,
                wants: handfast_core::wire::native::pair::AskedScopes::NONE,
                csr: None,
            };
            match step {
                0 => raw.says(&mut world, &stored),
                1 => raw.says(&mut world, &PairFromNode::Ta([7; 64])),
                2 => raw.says(
                    &mut world,
                    &PairFromNode::Ask(Ask::sign(again, &mine.signing, &raw.channel.hash.clone())),
                ),
                _ => raw.says(&mut world, &Vec::new()),
            }
            assert_eq!(heard(raw.hears(&mut world).as_ref()), PROTOCOL, "{method:?}, {step}");
        }
        assert_eq!((world.store.records.len(), counted(&world)), (0, 0));
    }
}

#[test]
fn a_pin_serves_the_key_it_was_shown_for_and_no_other_session() {
    let mut world = World::new(2, 5);
    world.open_window();
    for at in 0..2 {
        world.pair_by_pin(at);
        world.run();
    }
    let pins = [world.pin_for(0).unwrap(), world.pin_for(1).unwrap()];
    assert_ne!(pins[0], pins[1]);
    for at in 0..2 {
        world.type_pin(at, &pins[1 - at]);
        world.run();
        assert!(world.nodes[at].heard("WrongCode { attempts_left: 4 }"));
    }
    world.type_pin(0, &pins[0]);
    world.run();
    assert!(world.is_linked(0));
    // The PIN is spent: its owner cannot pair with it again, and neither can anybody else.
    world.feed_node(0, handfast_host_tests::native::node::NodeIn::Forget);
    world.run();
    world.pair_by_pin(0);
    world.run();
    world.type_pin(0, &pins[0]);
    world.run();
    assert!(
        world.nodes[0].memory == NativeMemory::Blank && world.store.grants.len() == 1,
        "{}",
        world.story()
    );
}

#[test]
fn twenty_wrong_pins_close_the_window_whatever_names_keys_and_sessions_they_came_from() {
    let mut world = World::new(1, 6);
    world.open_window();
    let mut refusals = Vec::new();
    for who in 0..12 {
        let mine = keys(100 + who);
        let mut raw = asks(&mut world, &mine, Method::Pin);
        let shown = raw.hears(&mut world);
        if heard(shown.as_ref()) == Some(PairFromGateway::Refused(PairRefusal::Locked)) {
            refusals.push(who);
            continue;
        }
        for _ in 0..3 {
            let _ = guesses(&mut world, &mut raw, &mine, "000000", With::Pin);
        }
    }
    let wrong: u32 = world.audit.wrong.values().sum();
    assert_eq!((wrong, world.store.window.guesses, refusals), (20, 20, vec![7, 8, 9, 10, 11]));
    world.gateway_off(0);
    world.pass(Span::from_secs(30));
    assert!(world.store.window.is_locked(), "a restart opens nothing");
}

#[test]
fn of_two_hundred_guesses_at_once_five_are_compared() {
    let mut world = World::new(1, 8);
    world.shuffled = true;
    world.mint_code("K7QF", "847291");
    let mine = keys(200);
    let mut at_once = Vec::new();
    for _ in 0..200 {
        let mut raw = asks(&mut world, &mine, by_code());
        let (_, ya) = element(&raw, &mine, "111111", With::Code, 5);
        raw.says(&mut world, &PairFromNode::Ya(ya));
        at_once.push(raw);
    }
    for raw in &mut at_once {
        let frame = raw.channel.seal(&PairFromNode::Ta([1; 64]));
        world.inject(raw.conn, handfast_host_tests::native::wires::Side::Gateway, frame);
    }
    world.run();
    assert_eq!(world.audit.wrong.values().sum::<u32>(), 5);
    let locked = at_once.iter_mut().filter_map(|raw| {
        let _yb = raw.hears(&mut world)?;
        raw.hears(&mut world)
    });
    let locked = locked
        .filter(|said| heard(Some(said)) == Some(PairFromGateway::Refused(PairRefusal::Locked)));
    assert_eq!(locked.count(), 196, "the fifth, and all after it");
}

#[test]
fn the_right_code_for_another_channel_method_or_pair_of_keys_is_a_wrong_one() {
    let mut world = World::new(1, 9);
    world.mint_code("K7QF", "847291");
    let (mine, other) = (keys(200), keys(201));
    let mut raw = asks(&mut world, &mine, by_code());
    let wrong =
        |left| Some(PairFromGateway::Refused(PairRefusal::WrongCode { attempts_left: left }));
    // Unknown key share: the peer that proves the code is not the one of the channel.
    assert_eq!(
        heard(guesses(&mut world, &mut raw, &other, "847291", With::Code).as_ref()),
        wrong(4)
    );
    assert_eq!(heard(guesses(&mut world, &mut raw, &mine, "847291", With::Pin).as_ref()), wrong(3));
    let elsewhere = asks(&mut world, &mine, by_code());
    let hash = core::mem::replace(&mut raw.channel.hash, elsewhere.channel.hash);
    assert_eq!(
        heard(guesses(&mut world, &mut raw, &mine, "847291", With::Code).as_ref()),
        wrong(2)
    );
    raw.channel.hash = hash;
    world.audit.typed.insert((*mine.channel.public().as_bytes(), "847291".to_owned()));
    assert!(matches!(
        heard(guesses(&mut world, &mut raw, &mine, "847291", With::Code).as_ref()),
        Some(PairFromGateway::Tb(_))
    ));
}

#[test]
fn a_request_that_another_signed_for_another_channel_is_refused() {
    let mut world = World::new(1, 10);
    let (mine, theirs) = (keys(200), keys(201));
    let honest = asks(&mut world, &theirs, Method::Approval);
    let mut raw = Raw::introduces_itself(&mut world, Intent::Pair, &mine).unwrap();
    let label = |text| Label::parse(text).unwrap();
    let request = Request {
        features: handfast_core::wire::native::Features::NONE,
        name: label("x"),
        room: label("y"),
        profile: NativeProfile::EMPTY,
        method: Method::Approval,
        wants: handfast_core::wire::native::pair::AskedScopes::NONE,
        csr: None,
    };
    raw.says(
        &mut world,
        &PairFromNode::Ask(Ask::sign(request, &theirs.signing, &honest.channel.hash)),
    );
    assert_eq!(heard(raw.hears(&mut world).as_ref()), PROTOCOL);
    assert_eq!(world.store.records.len(), 1);
}
