//! Misuse of setup codes: shown twice, by strangers, to other gateways, after their end, and after
//! their key is gone.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::setup_code::NotValid;
use handfast_core::registry::sessions::Maker;
use handfast_core::registry::sessions::{NotRedeemed, Session, SessionId};
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::native::pair::{
    self, BootstrapToken, NativeProfile, PairFromGateway, PairFromNode, PairRefusal, Request,
};
use handfast_core::wire::registration::Profile;
use handfast_core::wire::setup::Nonce;
use handfast_core::{Label, Name, Span, UnixTime};
use handfast_edge::blocking::block_on;
use handfast_host_tests::native::raw::{Raw, Rogue, keys};
use handfast_host_tests::native::{World, setup_key};
use handfast_host_tests::setup::{read_token, verdict};
use handfast_store::{MemoryStore, Sessions, SetupCode, Yield};

use super::is_paired;

const MINUTES: Span = Span::from_secs(600);

fn paired_by_setup(nodes: usize, seed: u64) -> (World, String) {
    let mut world = World::new(nodes, seed);
    let token = world.issue_setup(MINUTES);
    world.pair_by_setup(0, &token);
    world.run();
    assert!(world.is_linked(0), "{}", world.story());
    (world, token)
}

fn grants(world: &World) -> usize {
    world.store.grants.len()
}

#[test]
fn a_code_that_was_copied_from_a_screen_is_spent_once_its_device_has_shown_it() {
    let (mut world, token) = paired_by_setup(2, 51);
    let before = grants(&world);
    world.pair_by_setup(1, &token);
    world.run();
    assert!(
        !is_paired_at(&world, 1) && world.nodes[1].heard("PairingRefused(Spent"),
        "{:?}",
        world.nodes[1].news
    );
    assert_eq!((grants(&world), world.store.records.len()), (before, 1));
}

fn is_paired_at(world: &World, at: usize) -> bool {
    matches!(world.nodes[at].memory, NativeMemory::Paired(_))
}

#[test]
fn a_device_that_shows_its_code_again_is_given_the_same_and_nothing_new() {
    let (mut world, token) = paired_by_setup(1, 52);
    let before = world.nodes[0].memory;
    for _ in 0..3 {
        world.pair_by_setup(0, &token);
        world.run();
        assert_eq!((world.nodes[0].memory, grants(&world)), (before, 1), "{}", world.story());
        assert!(world.is_linked(0));
    }
}

#[test]
fn of_two_devices_that_show_one_code_at_once_exactly_one_is_paired() {
    for seed in 0..200 {
        let mut world = World::new(2, seed);
        world.shuffled = true;
        let token = world.issue_setup(MINUTES);
        world.pair_by_setup(0, &token);
        world.pair_by_setup(1, &token);
        world.run();
        let paired = [is_paired_at(&world, 0), is_paired_at(&world, 1)];
        assert!(paired[0] != paired[1], "{paired:?} {}", world.story());
        assert_eq!((grants(&world), world.store.records.len()), (1, 1));
    }
}

#[test]
fn wherever_the_power_fails_a_code_is_good_for_one_device_and_that_one_gets_what_it_was_granted() {
    let mut cut = 0;
    for of_gateway in [false, true] {
        for fuel in 0..24 {
            let mut world = World::new(2, 60 + u64::from(fuel));
            let token = world.issue_setup(MINUTES);
            match of_gateway {
                true => world.gateways[0].fuel = Some(fuel),
                false => world.nodes[0].fuel = Some(fuel),
            }
            world.pair_by_setup(0, &token);
            world.pass(Span::from_secs(5));
            cut += u32::from(
                !world.gateways[0].on || world.nodes[0].on_at.is_some() || world.nodes[0].life > 1,
            );
            world.gateways[0].fuel = None;
            world.gateway_on(0);
            world.nodes[0].fuel = None;
            world.node_on(0);
            if !world.is_linked(0) {
                // Its owner scans the same code again.
                world.pair_by_setup(0, &token);
            }
            world.pass(Span::from_secs(60));
            assert!(world.is_linked(0), "{fuel} {}", world.story());
            let granted = grants(&world);
            world.pair_by_setup(1, &token);
            world.pass(Span::from_secs(5));
            assert!(!is_paired_at(&world, 1) && world.store.records.len() == 1);
            assert_eq!((granted, grants(&world)), (1, 1), "{}", world.story());
        }
    }
    assert!(cut > 10, "the power fails in the middle, and not only before and after it: {cut}");
}

#[test]
fn a_gateway_of_another_fingerprint_is_never_shown_a_code() {
    let mut world = World::new(1, 53);
    world.isolate();
    let token = world.issue_setup(MINUTES);
    world.pair_by_setup(0, &token);
    world.run();
    // The rogue can complete the handshake only as itself, so the node leaves before its third
    // message.
    assert!(Rogue::answers(&mut world, 1, &keys(99)).is_none(), "{}", world.story());
    assert!(world.visited.iter().all(|state| *state != "AwaitSettled"), "{}", world.story());
    assert!(world.overheard.iter().all(|(.., bytes)| !contains(bytes, token.as_bytes())));
    assert!(!is_paired(&world));
}

#[test]
fn the_gateway_that_the_code_names_is_shown_it_under_seal_alone() {
    let (world, token) = paired_by_setup(1, 54);
    let nonce = world.audit.issued[0].1;
    for (.., bytes) in &world.overheard {
        assert!(
            !contains(bytes, &token.as_bytes()[..16]) && !contains(bytes, nonce.as_bytes()),
            "a code in clear"
        );
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_code_without_a_fingerprint_is_shown_to_nobody() {
    let mut world = World::new(1, 55);
    let token = world.issue_setup(MINUTES);
    world.nodes[0].setup = Some(token);
    world.feed_node(
        0,
        handfast_host_tests::native::node::NodeIn::Pair(
            handfast_core::flow::native::node::PairMethod::Setup,
            None,
        ),
    );
    world.run();
    assert!(!is_paired(&world) && !world.visited.contains("AwaitSettled"), "{}", world.story());
}

#[test]
fn the_frames_of_a_pairing_that_somebody_recorded_pair_nobody_again() {
    let (mut world, _) = paired_by_setup(1, 56);
    let conns: Vec<_> = world.overheard.iter().map(|(conn, ..)| *conn).collect();
    for frames in 1..12 {
        let _ = world.replay(conns[0], frames);
        world.run();
    }
    assert_eq!((grants(&world), world.store.records.len()), (1, 1));
}

/// Shows this token with keys of the stranger's own, and returns the refusal.
fn shows(world: &mut World, seed: u8, token: &str) -> Option<PairRefusal<'static>> {
    let own = keys(seed);
    let mut raw = Raw::introduces_itself(world, Intent::Pair, &own)?;
    let label = Label::parse("lamp").unwrap();
    let profile = NativeProfile::new(Profile::EMPTY).unwrap();
    let request = Request {
        features: handfast_core::wire::native::Features::NONE,
        name: label,
        room: label,
        profile,
        method: pair::Method::Setup,
        wants: pair::AskedScopes::NONE,
        csr: None,
    };
    let ask = pair::Ask::sign(request, &own.signing, &raw.channel.hash.clone());
    raw.says(world, &PairFromNode::Ask(ask));
    raw.says(world, &PairFromNode::SetupCode(BootstrapToken::new(token).unwrap()));
    let heard = raw.hears(world)?;
    match PairFromGateway::parse(&heard) {
        Ok(PairFromGateway::Refused(PairRefusal::Spent)) => Some(PairRefusal::Spent),
        Ok(PairFromGateway::Refused(PairRefusal::Expired)) => Some(PairRefusal::Expired),
        Ok(PairFromGateway::Refused(PairRefusal::WrongCode { attempts_left })) => {
            Some(PairRefusal::WrongCode { attempts_left })
        }
        _ => None,
    }
}

#[test]
fn any_bit_of_a_code_that_is_another_and_no_code_at_all_pair_nobody() {
    let mut world = World::new(0, 57);
    let token = world.issue_setup(MINUTES);
    let mut prng = handfast_host_tests::prng::Prng::new(1);
    for _ in 0..60 {
        let mut changed = token.clone().into_bytes();
        let at = prng.below(changed.len() as u64) as usize;
        changed[at] ^= 1 << prng.below(7);
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(
            shows(&mut world, 99, &changed),
            Some(PairRefusal::WrongCode { attempts_left: 0 }),
            "{changed}"
        );
    }
    assert!(world.store.records.is_empty() && world.store.setup_spent.is_empty());
}

#[test]
fn a_code_of_a_key_that_was_rotated_out_pairs_nobody_and_one_of_the_key_before_the_last_does() {
    let mut world = World::new(0, 58);
    let token = world.issue_setup(MINUTES);
    world.rotate_setup();
    assert_eq!(shows(&mut world, 1, &token), None, "it overlaps");
    let token = world.issue_setup(MINUTES);
    world.rotate_setup();
    world.rotate_setup();
    assert_eq!(shows(&mut world, 2, &token), Some(PairRefusal::WrongCode { attempts_left: 0 }));
    assert_eq!(world.store.records.len(), 1);
}

#[test]
fn a_code_is_over_when_its_time_is_and_a_spent_one_stays_spent() {
    let mut world = World::new(0, 59);
    let token = world.issue_setup(Span::from_secs(30));
    let other = world.issue_setup(Span::from_secs(60));
    assert_eq!(shows(&mut world, 1, &token), None);
    assert_eq!(shows(&mut world, 2, &token), Some(PairRefusal::Spent));
    // The clock jumps, as it does when a network supplies the time.
    world.now += 30_000;
    assert_eq!(shows(&mut world, 3, &token), Some(PairRefusal::Expired));
    assert_eq!(shows(&mut world, 3, &other), None, "this is good for half a minute more");
    world.now -= 30_000;
    assert!(
        matches!(shows(&mut world, 4, &token), Some(PairRefusal::Spent | PairRefusal::Expired)),
        "however the clock is set back"
    );
    assert!(matches!(
        shows(&mut world, 5, &other),
        Some(PairRefusal::Spent | PairRefusal::Expired)
    ));
}

/// Shows a limit of unbound codes: a thief who shows a copy first has it. So codes are short-lived
/// and spent once, and the owner learns of the theft from the refusal.
#[test]
fn a_code_that_somebody_else_was_faster_with_is_refused_to_its_owner_who_so_learns_of_it() {
    let mut world = World::new(1, 61);
    let token = world.issue_setup(MINUTES);
    assert_eq!(shows(&mut world, 99, &token), None, "it is a bearer's");
    world.pair_by_setup(0, &token);
    world.run();
    assert!(world.nodes[0].heard("PairingRefused(Spent"), "{:?}", world.nodes[0].news);
    let intruder = *keys(99).channel.public();
    assert!(world.store.by_key(&intruder).is_some(), "and the operator sees whose key it is");
    assert_ne!(Fingerprint::of(&intruder), Fingerprint::of(world.nodes[0].keys.channel.public()));
}

fn session(number: u8) -> Session {
    let token: String = core::iter::repeat_n(char::from(b'A' + number), 43).collect();
    Session {
        id: SessionId::from_bytes([number; 16]),
        hash: SessionHash::of(&Token::parse(&token).unwrap()),
        profile: Name::from(Label::parse("companion-v1").unwrap()),
        device_label: None,
        issued_at: UnixTime::from_secs(1_000),
        expires_at: UnixTime::from_secs(90_000),
        revoked_at: None,
        over: false,
        maker: Maker::Operator,
        prolonged: None,
    }
}

fn setup_code(number: u8, expires_at: u64) -> SetupCode {
    SetupCode {
        nonce: Nonce::from_bytes([number; 16]),
        expires_at: UnixTime::from_secs(expires_at),
        maker: Maker::Operator,
    }
}

#[test]
fn a_clock_that_is_set_back_revives_no_code_that_was_forgotten() {
    let store = MemoryStore::default();
    let redeem = |code, number, now| {
        block_on(store.redeem(code, Yield::Session(session(number)), UnixTime::from_secs(now)))
    };
    assert_eq!(redeem(setup_code(1, 2_000), 1, 1_000).unwrap(), Ok(()));
    assert_eq!(
        redeem(setup_code(2, 9_000), 2, 5_000).unwrap(),
        Ok(()),
        "by now the first is forgotten"
    );
    for now in [0, 1_000, 1_999, 2_000, 5_000] {
        let again = redeem(setup_code(1, 2_000), 3, now).unwrap();
        assert!(
            matches!(again, Err(NotRedeemed::Expired | NotRedeemed::AlreadyUsed)),
            "{again:?} at {now}"
        );
    }
    assert_eq!(
        redeem(setup_code(4, 1_999), 3, 1_000).unwrap(),
        Err(NotRedeemed::Expired),
        "nor one that nobody showed"
    );
    assert!(block_on(store.session(SessionId::from_bytes([3; 16]))).unwrap().is_none());
}

#[test]
fn a_code_that_many_show_at_once_opens_one_session() {
    let store = std::sync::Arc::new(MemoryStore::default());
    let opened: usize = std::thread::scope(|scope| {
        let shown: Vec<_> = (0..8)
            .map(|number| {
                let store = std::sync::Arc::clone(&store);
                scope.spawn(move || {
                    let redeemed = block_on(store.redeem(
                        setup_code(1, 2_000),
                        Yield::Session(session(number)),
                        UnixTime::from_secs(1_000),
                    ));
                    usize::from(redeemed.unwrap().is_ok())
                })
            })
            .collect();
        shown.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(opened, 1);
    let sessions = block_on(store.sessions(
        handfast_store::SessionFilter::All,
        None,
        100,
        UnixTime::from_secs(1_000),
    ))
    .unwrap();
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_signature_is_checked_before_anything_that_it_should_vouch_for_is_read() {
    // The claims are invalid, but under a forged signature the answer does not tell that.
    for claims in [
        "not JSON",
        r#"{"profile":"companion-v1","expires_at":"2001-01-01T00:00:00Z","nonce":"00"}"#,
    ] {
        let token = handfast_host_tests::setup::signed(&[9; 32], claims.as_bytes());
        assert_eq!(verdict(&[setup_key(1)], &token), Err(NotValid::Signature));
        assert_eq!(read_token(&[[1; 32]], &token), Err(NotValid::Signature));
    }
}
