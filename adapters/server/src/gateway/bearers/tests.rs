use handfast_core::grant::scope::ScopesBuf;

use super::*;

fn holder(byte: u8) -> BearerHolder {
    BearerHolder::Node(NodeId::from_bytes([byte; 16]))
}

fn key(byte: u8) -> x25519::PublicKey {
    x25519::PublicKey::parse(&[byte; 32]).unwrap()
}

fn scopes() -> ScopesBuf {
    ScopesBuf::parse("read:/lights/**\nwrite:/lights/kitchen\n").unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

fn issue(bearers: &Bearers, who: BearerHolder, held: &[Held], now: Instant) -> String {
    bearers.issue((who, held), scopes(), None, now).unwrap().expose().to_owned()
}

#[test]
fn a_bearer_expires_after_five_minutes_or_with_its_link() {
    let bearers = Bearers::default();
    let token = issue(&bearers, holder(1), &[], at(0));
    assert!(bearers.find(&token, at(299)).is_some());
    assert!(bearers.find(&token, at(300)).is_none());
    let short =
        bearers.issue((holder(1), &[]), scopes(), Some(Duration::from_secs(10)), at(0)).unwrap();
    assert!(
        bearers.find(short.expose(), at(9)).is_some()
            && bearers.find(short.expose(), at(10)).is_none()
    );
    assert!(bearers.issue((holder(1), &[]), scopes(), Some(Duration::ZERO), at(0)).is_none());
}

#[test]
fn what_a_bearer_rests_on_ends_it_and_no_other() {
    let held = |byte| {
        [
            Held { id: capability::Id::from_bytes([1; 32]), by: key(1) },
            Held { id: capability::Id::from_bytes([byte; 32]), by: key(byte) },
        ]
    };
    let fresh = || {
        let bearers = Bearers::default();
        let tokens = [2, 3]
            .map(|byte| issue(&bearers, BearerHolder::Delegate(key(byte)), &held(byte), at(0)));
        (bearers, tokens)
    };
    let count = |(bearers, tokens): (Bearers, [String; 2])| {
        tokens.map(|token| bearers.find(&token, at(1)).is_some())
    };
    let after = |end: &dyn Fn(&Bearers)| {
        let (bearers, tokens) = fresh();
        end(&bearers);
        count((bearers, tokens))
    };
    assert_eq!(
        after(&|bearers| bearers.drop_blocks(&[capability::Id::from_bytes([2; 32])])),
        [false, true]
    );
    assert_eq!(after(&|bearers| bearers.drop_key(&key(3))), [true, false]);
    assert_eq!(after(&|bearers| bearers.drop_key(&key(1))), [false, false], "the delegator");
    assert_eq!(
        after(&|bearers| bearers.drop_blocks(&[capability::Id::from_bytes([9; 32])])),
        [true, true]
    );
}

#[test]
fn nobody_holds_more_than_sixteen_and_what_expires_first_makes_room() {
    let bearers = Bearers::default();
    let tokens: Vec<_> = (0..=MOST_OF_ONE as u64)
        .map(|second| issue(&bearers, holder(1), &[], at(second)))
        .collect();
    assert!(bearers.find(&tokens[0], at(17)).is_none());
    assert!(tokens[1..].iter().all(|token| bearers.find(token, at(17)).is_some()));
    let kept = bearers.0.lock().unwrap();
    assert_eq!(
        (kept.by_hash.len(), kept.by_expiry.len(), kept.by_tie[&Tie::Holder(holder(1))].len()),
        (16, 16, 16)
    );
    assert!(!format!("{kept:?}").contains(&tokens[1]), "what is kept is no bearer");
}

#[test]
fn only_so_many_are_kept_and_nothing_is_left_behind() {
    let bearers = Bearers::default();
    let numbered = |number: usize| {
        BearerHolder::Node(NodeId::from_bytes(u128::try_from(number).unwrap().to_be_bytes()))
    };
    let first = issue(&bearers, numbered(0), &[], at(0));
    for number in 1..=MOST {
        issue(&bearers, numbered(number), &[], at(1));
    }
    assert!(bearers.find(&first, at(1)).is_none());
    assert_eq!(bearers.0.lock().unwrap().by_hash.len(), MOST);
    issue(&bearers, numbered(0), &[], at(301));
    let kept = bearers.0.lock().unwrap();
    assert_eq!((kept.by_hash.len(), kept.by_expiry.len(), kept.by_tie.len()), (1, 1, 1));
}
