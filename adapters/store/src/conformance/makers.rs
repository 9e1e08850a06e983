//! Consequences of a session's end for the things that it made.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::Span;
use handfast_core::registry::codes::{Kind, Opened, Window};
use handfast_core::registry::grants::{Grant, State};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::{
    Ended, Maker, NotRedeemed, Prolonged, Prolonging, Session, SessionId,
};
use handfast_core::wire::native::pair::Selector;

use super::{
    START, asking, at, code, entry, grant, keyed, load, paired, record, session, setup_code,
};
use crate::{
    CODES, EndedWith, NotMinted, SaveError, SetupCode, Store, StoredCode, Version, Yield,
    via_session,
};

const HOUR: Span = Span::from_secs(3600);

async fn opened(store: &dyn Store, session: Session) -> Session {
    store.insert_session(session.clone()).await.expect("insert");
    session
}

const fn by(session: &Session) -> Maker {
    Maker::Session(session.id)
}

fn selected(selector: &str, maker: Maker) -> StoredCode {
    StoredCode { maker, ..code(Kind::Code(Selector::parse(selector).expect("a selector"))) }
}

async fn minted(store: &dyn Store, selector: &str, maker: Maker) -> StoredCode {
    let code = selected(selector, maker);
    store.mint(code.clone(), START).await.expect("mint").expect("a place");
    code
}

async fn granted(store: &dyn Store, maker: Maker) -> (Record, Grant) {
    let node = keyed();
    let grant = Grant { maker, ..grant(node.node_id) };
    store
        .offer(node.clone(), "{}".to_owned(), None, grant.clone(), None, START)
        .await
        .expect("offer");
    (node, grant)
}

async fn is_open(store: &dyn Store, id: SessionId, now: u64) -> bool {
    store.session(id).await.expect("read").is_some_and(|session| session.admits(at(now)).is_ok())
}

async fn state(store: &dyn Store, grant: &Grant) -> State {
    let grants = store.grants(grant.node_id).await.expect("grants");
    grants.into_iter().find(|other| other.id == grant.id).expect("it is kept").state
}

async fn lives(store: &dyn Store, code: &StoredCode, now: u64) -> bool {
    store.codes(at(now)).await.expect("codes").iter().any(|other| other.id == code.id)
}

pub async fn who_made_it_reads_back(store: Arc<dyn Store>) {
    let first = opened(&*store, session()).await;
    let prolonged = Some(Prolonged { by: first.id, before: at(60) });
    let second = opened(&*store, Session { maker: by(&first), prolonged, ..session() }).await;
    assert_eq!(store.session(second.id).await.unwrap(), Some(second.clone()));
    let code = minted(&*store, "K7QF", by(&second)).await;
    assert_eq!(store.code(code.id).await.unwrap(), Some(code.clone()));
    assert_eq!(store.codes(START).await.unwrap(), [StoredCode { sealed: vec![], ..code }]);
    let (_, grant) = granted(&*store, by(&first)).await;
    assert_eq!(store.grants(grant.node_id).await.unwrap(), [grant]);
    let window = Window {
        opened: Some(Opened { at: START, closes: Some(at(9)), by: by(&first) }),
        guesses: 3,
    };
    store.set_window(window).await.unwrap();
    assert_eq!(store.window().await.unwrap(), window);
}

pub async fn sessions_leave_the_operator_places_for_codes(store: Arc<dyn Store>) {
    let makers = [by(&opened(&*store, session()).await), by(&opened(&*store, session()).await)];
    let symbols = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";
    let mut selectors = symbols
        .iter()
        .flat_map(|first| symbols.iter().map(move |second| [*first, *second, b'A', b'A']));
    let mut next = |maker| {
        let bytes = selectors.next().expect("there are enough");
        selected(std::str::from_utf8(&bytes).expect("text"), maker)
    };
    let mut minted = 0;
    for number in 0..CODES as usize {
        minted += u32::from(store.mint(next(makers[number % 2]), START).await.unwrap().is_ok());
    }
    assert!(minted < CODES && minted > 0, "{minted}");
    for maker in makers {
        assert_eq!(store.mint(next(maker), START).await.unwrap(), Err(NotMinted::TooMany));
    }
    for _ in minted..CODES {
        assert_eq!(store.mint(next(Maker::Operator), START).await.unwrap(), Ok(()));
    }
    assert_eq!(store.mint(next(Maker::Operator), START).await.unwrap(), Err(NotMinted::TooMany));
}

pub async fn all_that_a_session_made_ends_with_it_down_to_the_last(store: Arc<dyn Store>) {
    let first = opened(&*store, session()).await;
    let second = opened(&*store, Session { maker: by(&first), ..session() }).await;
    let third = opened(&*store, Session { maker: by(&second), ..session() }).await;
    let codes =
        [minted(&*store, "AAAA", by(&first)).await, minted(&*store, "BBBB", by(&third)).await];
    let (node, grant) = granted(&*store, by(&third)).await;
    store.activate(node.node_id, grant.id, START).await.unwrap();
    store.set_window(Window::open_by(START, None, by(&second))).await.unwrap();

    let foretold = store.ending_with(first.id, at(1)).await.unwrap();
    assert!(
        is_open(&*store, third.id, 1).await && lives(&*store, &codes[1], 1).await,
        "nothing is changed by looking"
    );
    assert_eq!(state(&*store, &grant).await, State::Active);
    let (revoked, with) = store.end_session(first.id, at(1)).await.unwrap();
    assert!(revoked);
    assert_eq!(foretold, with);
    let expected = EndedWith {
        sessions: vec![second.id, third.id],
        grants: vec![(node.node_id, grant.id)],
        capabilities: grant.capability.into_iter().collect(),
        codes: 2,
        window: true,
        ..EndedWith::default()
    };
    assert_eq!(with, expected);
    for session in [&first, &second, &third] {
        assert!(!is_open(&*store, session.id, 1).await);
    }
    for code in &codes {
        assert!(!lives(&*store, code, 1).await);
        assert!(
            store.code(code.id).await.unwrap().unwrap().sealed.is_empty(),
            "its secret is erased"
        );
    }
    assert_eq!(state(&*store, &grant).await, State::Ended);
    assert_eq!(store.window().await.unwrap().opened, None);
    // Ending it again ends nothing more.
    assert_eq!(store.end_session(first.id, at(2)).await.unwrap(), (false, EndedWith::default()));
}

pub async fn what_others_made_goes_on(store: Arc<dyn Store>) {
    let (one, other) = (opened(&*store, session()).await, opened(&*store, session()).await);
    let codes =
        [minted(&*store, "AAAA", by(&other)).await, minted(&*store, "BBBB", Maker::Operator).await];
    let grants = [granted(&*store, by(&other)).await.1, granted(&*store, Maker::Operator).await.1];
    store.set_window(Window::open(START, None)).await.unwrap();
    let (_, with) = store.end_session(one.id, at(1)).await.unwrap();
    assert_eq!(with, EndedWith::default());
    assert!(is_open(&*store, other.id, 1).await);
    for code in &codes {
        assert!(lives(&*store, code, 1).await);
    }
    for grant in &grants {
        assert_eq!(state(&*store, grant).await, grant.state);
    }
    assert!(store.window().await.unwrap().opened.is_some());
    assert_eq!(store.end_orphans(at(1)).await.unwrap(), EndedWith::default());
}

pub async fn nothing_is_made_for_a_session_that_has_ended(store: Arc<dyn Store>) {
    let over = opened(&*store, Session { expires_at: at(5), ..session() }).await;
    let gone = opened(&*store, session()).await;
    store.end_session(gone.id, at(1)).await.unwrap();
    let never = session();
    for maker in [by(&over), by(&gone), by(&never)] {
        assert_eq!(
            store.mint(selected("AAAA", maker), at(5)).await.unwrap(),
            Err(NotMinted::MakerEnded)
        );
        let node = keyed();
        let made = Grant { maker, ..grant(node.node_id) };
        let offered =
            store.offer(node.clone(), "{}".to_owned(), None, made.clone(), None, at(5)).await;
        assert!(matches!(offered, Err(SaveError::Conflict)), "{offered:?}");
        assert_eq!(load(&*store, node.node_id).await, None);
        let code = SetupCode { maker, ..setup_code(60) };
        let session = Session { maker, ..session() };
        assert_eq!(
            store.redeem(code, Yield::Session(session), at(5)).await.unwrap(),
            Err(NotRedeemed::Expired)
        );
        let yields = Yield::Node {
            record: Box::new(node),
            profile: "{}".to_owned(),
            read_at: None,
            grant: Box::new(made),
            ceiling: None,
        };
        assert_eq!(store.redeem(code, yields, at(5)).await.unwrap(), Err(NotRedeemed::Expired));
    }
}

pub async fn what_outlived_its_maker_is_found_and_ended(store: Arc<dyn Store>) {
    let first = opened(&*store, Session { expires_at: at(100), ..session() }).await;
    let second = opened(&*store, Session { maker: by(&first), ..session() }).await;
    let code = minted(&*store, "AAAA", by(&second)).await;
    let (node, grant) = granted(&*store, by(&first)).await;
    assert_eq!(store.end_orphans(at(99)).await.unwrap(), EndedWith::default());
    let with = store.end_orphans(at(100)).await.unwrap();
    assert_eq!(
        (with.sessions, with.grants, with.codes),
        (vec![second.id], vec![(node.node_id, grant.id)], 1)
    );
    assert!(!lives(&*store, &code, 100).await);
    // A clock that is set back revives none of it.
    assert!(!is_open(&*store, second.id, 1).await && !lives(&*store, &code, 1).await);
    assert_eq!(store.end_orphans(at(100)).await.unwrap(), EndedWith::default());
}

pub async fn what_a_session_added_to_another_ends_with_it(store: Arc<dyn Store>) {
    let adds = opened(&*store, Session { expires_at: at(2000), ..session() }).await;
    let longer = opened(&*store, Session { expires_at: at(60), ..session() }).await;
    let how = Prolonging { ttl: HOUR, longest: HOUR, ends: None, by: Some(adds.id) };
    assert_eq!(
        store.prolong_session(longer.id, how, START).await.unwrap(),
        Some(Ok(at(2000))),
        "no longer than itself"
    );
    let made =
        opened(&*store, Session { maker: by(&longer), expires_at: at(50), ..session() }).await;
    let (_, lasting) = granted(&*store, by(&longer)).await;
    let (_, with) = store.end_session(adds.id, at(1)).await.unwrap();
    assert_eq!(
        (with.shortened, with.grants),
        (vec![(longer.id, at(60))], vec![(lasting.node_id, lasting.id)])
    );
    assert_eq!(
        store.session(longer.id).await.unwrap(),
        Some(Session { expires_at: at(60), ..longer })
    );
    assert!(is_open(&*store, made.id, 1).await, "what ends before it anyway goes on");
    let again = store.prolong_session(made.id, how, at(1)).await.unwrap();
    assert_eq!(again, Some(Err(Ended::Revoked)), "who has ended prolongs nothing");
}

pub async fn a_session_ends_no_later_than_the_one_that_made_it_however_it_is_prolonged(
    store: Arc<dyn Store>,
) {
    let first = opened(&*store, Session { expires_at: at(100), ..session() }).await;
    let second =
        opened(&*store, Session { maker: by(&first), expires_at: at(50), ..session() }).await;
    assert_eq!(
        store.refresh_session(second.id, HOUR, HOUR, at(1)).await.unwrap(),
        Some(Ok(at(100)))
    );
    assert_eq!(
        store.refresh_session(first.id, HOUR, HOUR, at(1)).await.unwrap(),
        Some(Ok(at(3600)))
    );
    assert_eq!(
        store.refresh_session(second.id, HOUR, HOUR, at(1)).await.unwrap(),
        Some(Ok(at(3600)))
    );
}

pub async fn a_node_that_a_session_approved_waits_again(store: Arc<dyn Store>) {
    let session = opened(&*store, session()).await;
    let node = record(paired());
    store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    store.save_by(node.node_id, Version(1), paired(), by(&session), START).await.unwrap();
    assert_eq!(entry(&*store, node.node_id).await.maker, by(&session));
    // Another decision leaves the maker of the approval unchanged.
    let version = store.save(node.node_id, Version(2), node.standing.clone(), START).await.unwrap();
    assert_eq!(entry(&*store, node.node_id).await.maker, by(&session));
    let (_, with) = store.end_session(session.id, at(1)).await.unwrap();
    assert_eq!(with.unapproved, [node.node_id]);
    let found = entry(&*store, node.node_id).await;
    let token = node.standing.token().unwrap().clone();
    assert_eq!(
        (found.record.standing, found.maker),
        (Standing::Unapproved { token }, Maker::Operator)
    );
    assert!(found.version > version);
    assert_eq!(store.counts(START).await.unwrap().pending, 1);
    // A node that an operator approved stays.
    let late = store.save_by(node.node_id, found.version, paired(), by(&session), at(2)).await;
    assert!(matches!(late, Err(SaveError::Conflict)), "{late:?}");
    store.save_by(node.node_id, found.version, paired(), Maker::Operator, at(2)).await.unwrap();
    assert_eq!(store.end_orphans(at(9000)).await.unwrap().unapproved, []);
    // Requests of others are not affected.
    let limits = handfast_core::limits::Limits::DEFAULT;
    store
        .admit(asking("lamp", "192.0.2.1", &limits), "{}".to_owned(), limits, START)
        .await
        .unwrap()
        .unwrap();
}

pub async fn those_that_a_session_let_in_are_strangers_again(store: Arc<dyn Store>) {
    let session = opened(&*store, session()).await;
    let until = Some(at(600));
    let senders = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let via = via_session(session.id);
    assert_eq!(
        store.seed_until("mail", "a", senders(["x", "y"]), via, until, START).await.unwrap(),
        2
    );
    assert_eq!(
        store.seed("mail", "a", senders(["y", "z"]), "api".to_owned(), START).await.unwrap(),
        1
    );
    let epoch = store.inbound_epoch();
    let (_, with) = store.end_session(session.id, at(1)).await.unwrap();
    let mut ended: Vec<_> =
        with.senders.into_iter().map(|name| (name.channel, name.account, name.sender)).collect();
    ended.sort();
    assert_eq!(
        ended,
        ["x", "y"].map(|sender| ("mail".to_owned(), "a".to_owned(), sender.to_owned()))
    );
    assert_ne!(store.inbound_epoch(), epoch);
    for (sender, is_in) in [("x", false), ("y", false), ("z", true)] {
        let id = handfast_core::registry::inbound::SenderId::parse("mail", "a", sender).unwrap();
        let facts = store.facts(id, &Default::default(), at(2)).await.unwrap();
        assert_eq!(
            facts.allowed.is_some_and(|allowed| allowed.is_active(at(2))),
            is_in,
            "{sender}"
        );
    }
}
