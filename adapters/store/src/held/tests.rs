use handfast_core::flow::identity::certificate::CertificateState;
use handfast_core::grant::capability::{self, Held as Block};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::RequestKey;
use handfast_core::registry::codes::NoGuess;
use handfast_core::registry::inbound::{self, Facts};
use handfast_core::registry::record::{Cause, Credential, Mode};
use handfast_core::registry::sessions::{Ended, Maker, Prolonging, Session};
use handfast_core::wire::native::pair::Selector;

use super::*;
use crate::conformance::certificates::signed;
use crate::conformance::{
    ASKED, START, asking, at, code, grant, here, keyed, pin, record, session,
};
use crate::{
    Activation, Certificates, Dispatches, Filter, Inbound, MemoryStore, NotMinted, NotQueued,
    NotStored, Revoked, RevokedCertificates, SenderChange, Sessions,
};

struct Bench {
    raw: Arc<MemoryStore>,
    store: HeldStore,
}

impl Bench {
    fn new() -> Self {
        let raw = Arc::new(MemoryStore::new());
        Self { store: HeldStore::new(raw.clone()), raw }
    }

    fn hold(&self, cut: Cut) -> HeldTicket {
        self.store.held().hold(cut, "it".to_owned(), START, crate::audit::Origin::GATEWAY).unwrap()
    }

    async fn stores_all(&self) {
        let held = self.store.held().list().len();
        assert_eq!(self.store.store_held(at(1)).await.unwrap().len(), held);
        assert!(self.store.held().is_empty());
    }
}

fn node(node_id: NodeId, decision: Decision) -> Cut {
    Cut::Node { node_id, decision, key: None }
}

#[tokio::test]
async fn a_node_that_is_held_out_is_out_in_every_read_and_in_the_store_once_that_is_written() {
    let bench = Bench::new();
    let paired = Standing::Paired { credential: Credential::Keys, mode: Mode::SafeChat };
    let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::SafeChat };
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    let one = Record { standing: paired.clone(), ..keyed() };
    let given = grant(one.node_id);
    bench
        .store
        .offer(one.clone(), "{}".to_owned(), None, given.clone(), None, START)
        .await
        .unwrap();
    let key = one.keys.unwrap().channel;
    let chain = vec![Block { id: given.capability.unwrap(), by: key }];
    for (decision, standing) in [(Decision::Mute, muted), (Decision::Unpair, revoked)] {
        let is_final = decision == Decision::Unpair;
        bench.hold(Cut::Node { node_id: one.node_id, decision, key: Some(key) });
        assert_eq!(bench.store.load(one.node_id).await.unwrap().unwrap().record.standing, standing);
        assert_eq!(bench.store.by_key(&key).await.unwrap().unwrap().record.standing, standing);
        let listed =
            bench.store.list(Filter::All, None, 9, START).await.unwrap().remove(0).unwrap();
        let found = bench.store.find(&one.node_id.to_string(), 9).await.unwrap().remove(0).unwrap();
        assert_eq!(
            (listed.record.standing, found.record.standing),
            (standing.clone(), standing.clone())
        );
        assert_eq!(bench.store.is_revoked(chain.clone()).await.unwrap(), is_final);
        assert_eq!(
            bench.store.grants(one.node_id).await.unwrap()[0].state == State::Ended,
            is_final
        );
        if is_final {
            assert_eq!(
                bench.store.activate(one.node_id, given.id, START).await.unwrap(),
                Activation::NotThere
            );
        }
        assert_ne!(
            bench.raw.load(one.node_id).await.unwrap().unwrap().record.standing,
            standing,
            "it is not stored yet"
        );
        bench.stores_all().await;
        assert_eq!(bench.raw.load(one.node_id).await.unwrap().unwrap().record.standing, standing);
        assert_eq!(bench.raw.is_revoked(chain.clone()).await.unwrap(), is_final);
    }
}

#[tokio::test]
async fn a_key_whose_rejection_is_held_waits_as_it_does_once_that_is_stored() {
    let bench = Bench::new();
    let one = keyed();
    let key = one.keys.unwrap().channel;
    let of_key = RequestKey::of_key(&key);
    let asking = asking("lamp", "192.0.2.1", &Limits::DEFAULT).with_keys(one.keys.unwrap(), ASKED);
    let node_id =
        bench.store.admit(asking, "{}".to_owned(), Limits::DEFAULT, START).await.unwrap().unwrap();
    bench.hold(Cut::Node { node_id, decision: Decision::Reject, key: Some(key) });
    let held = bench.store.rejection(of_key).await.unwrap().expect("it is in force");
    assert!(held.admits(START).is_err() && held.times == 1);
    assert_eq!(bench.raw.rejection(of_key).await.unwrap(), None, "it is not stored yet");
    let saved = bench.raw.load(node_id).await.unwrap().unwrap();
    let rejected = Standing::Revoked { cause: Cause::Rejected };
    bench.raw.save(node_id, saved.version, rejected, START).await.unwrap();
    assert_eq!(bench.store.rejection(of_key).await.unwrap(), Some(held), "it counts once");
}

#[tokio::test]
async fn a_node_that_is_narrowed_is_narrow_in_every_read_and_in_the_store_once_that_is_written() {
    let bench = Bench::new();
    let one = keyed();
    let given = grant(one.node_id);
    let of = |text| Ceiling {
        scopes: handfast_core::grant::scope::ScopesBuf::parse(text).unwrap(),
        expires: None,
        named: true,
        maker: Maker::Operator,
    };
    let (wide, narrow) = (of("read:/**\n"), of("read:/only\n"));
    bench
        .store
        .offer(one.clone(), "{}".to_owned(), None, given, Some(wide.clone()), START)
        .await
        .unwrap();
    bench.hold(Cut::Ceiling { node_id: one.node_id, ceiling: Box::new(narrow.clone()) });
    let key = one.keys.unwrap().channel;
    let held = Some(Box::new(narrow.clone()));
    let read = async |store: &dyn Store| {
        [
            store.load(one.node_id).await.unwrap().unwrap().ceiling,
            store.by_key(&key).await.unwrap().unwrap().ceiling,
            store.list(Filter::All, None, 9, START).await.unwrap().remove(0).unwrap().ceiling,
            store.find(&one.node_id.to_string(), 9).await.unwrap().remove(0).unwrap().ceiling,
            store.named(one.name.as_str(), 9, START).await.unwrap().remove(0).unwrap().ceiling,
            store.list_granted(None, 9, START).await.unwrap().remove(0).0.unwrap().ceiling,
        ]
    };
    assert!(read(&bench.store).await.iter().all(|ceiling| *ceiling == held));
    assert!(
        read(&*bench.raw).await.iter().all(|ceiling| ceiling.as_deref() == Some(&wide)),
        "it is not stored yet"
    );
    let before = bench.raw.grants(one.node_id).await.unwrap();
    bench.stores_all().await;
    assert!(read(&*bench.raw).await.iter().all(|ceiling| *ceiling == held));
    assert_eq!(bench.raw.grants(one.node_id).await.unwrap(), before, "it gives nothing");
    // A revoked node cannot be narrowed any further.
    bench.hold(Cut::Ceiling { node_id: one.node_id, ceiling: Box::new(of("")) });
    let version = bench.raw.load(one.node_id).await.unwrap().unwrap().version;
    bench
        .store
        .save(one.node_id, version, Standing::Revoked { cause: Cause::Unpaired }, START)
        .await
        .unwrap();
    bench.stores_all().await;
    assert_eq!(bench.raw.load(one.node_id).await.unwrap().unwrap().ceiling, held);
}

#[tokio::test]
async fn what_is_stored_later_and_goes_beyond_a_held_decision_stays() {
    let bench = Bench::new();
    let paired = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
    let one = Record { standing: paired, ..keyed() };
    bench.store.insert(one.clone(), "{}".to_owned(), START).await.unwrap();
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    bench.hold(node(one.node_id, Decision::Mute));
    bench.store.save(one.node_id, Version(1), revoked.clone(), START).await.unwrap();
    assert_eq!(bench.store.load(one.node_id).await.unwrap().unwrap().record.standing, revoked);
    bench.stores_all().await;
    assert_eq!(bench.raw.load(one.node_id).await.unwrap().unwrap().record.standing, revoked);
    // The cut of a node that no longer exists has no effect.
    bench.hold(node(record(revoked).node_id, Decision::Unpair));
    bench.stores_all().await;
    // Only the decision that was stored is released, not a newer one about the same subject.
    let older = bench.hold(node(one.node_id, Decision::Mute));
    bench.hold(node(one.node_id, Decision::Unpair));
    bench.store.held().release(&older);
    assert!(!bench.store.held().is_empty());
}

#[tokio::test]
async fn grants_chains_codes_sessions_and_the_window_are_out_before_that_is_stored() {
    let bench = Bench::new();
    let one = keyed();
    let (first, second) = (grant(one.node_id), grant(one.node_id));
    bench
        .store
        .offer(one.clone(), "{}".to_owned(), None, first.clone(), None, START)
        .await
        .unwrap();
    let held = |id, by| vec![Block { id, by }];
    let (block, key) = (capability::Id::from_bytes([8; 32]), one.keys.unwrap().channel);
    let foreign = keyed().keys.unwrap().channel;
    bench.hold(Cut::Revoked(Revoked::Block(block)));
    assert!(bench.store.is_revoked(held(block, foreign)).await.unwrap());
    bench.hold(Cut::Revoked(Revoked::Key(foreign)));
    assert!(
        bench.store.is_revoked(held(capability::Id::from_bytes([9; 32]), foreign)).await.unwrap()
    );
    assert!(!bench.store.is_revoked(held(second.capability.unwrap(), key)).await.unwrap());
    let capabilities = vec![first.capability.unwrap()];
    bench.hold(Cut::Grants { node_id: one.node_id, which: Some(first.id), capabilities });
    assert_eq!(
        bench.store.grant_of(&first.capability.unwrap()).await.unwrap().unwrap().state,
        State::Ended
    );
    assert!(bench.store.list_granted(None, 9, START).await.unwrap()[0].1.is_empty());
    assert!(bench.store.is_revoked(held(first.capability.unwrap(), key)).await.unwrap());

    bench.store.set_window(Window::open(START, None)).await.unwrap();
    let pin = pin();
    bench.store.mint(pin.clone(), START).await.unwrap().unwrap();
    bench.hold(Cut::Code(pin.id));
    assert_eq!(
        bench.store.reserve(Some(pin.id), here(), START).await.unwrap(),
        Err(NoGuess::Expired)
    );
    assert!(
        !bench.store.spend(pin.id, here(), START, START).await.unwrap()
            && bench.store.codes(START).await.unwrap().is_empty()
    );
    assert!(bench.store.code(pin.id).await.unwrap().unwrap().sealed.is_empty());
    let other = code(crate::conformance::pin().counted.kind);
    bench.hold(Cut::Window);
    assert!(bench.store.window().await.unwrap().opened.is_none());
    assert_eq!(bench.store.mint(other, START).await.unwrap(), Err(NotMinted::Closed));

    let session = session();
    bench.store.insert_session(session.clone()).await.unwrap();
    bench.hold(Cut::Session { id: session.id, with: Box::default() });
    for found in
        [bench.store.session(session.id).await, bench.store.session_by_hash(&session.hash).await]
    {
        assert_eq!(found.unwrap().unwrap().admits(START), Err(Ended::Revoked));
    }
    let longer = handfast_core::Span::from_secs(9);
    assert_eq!(
        bench.store.refresh_session(session.id, longer, longer, START).await.unwrap(),
        Some(Err(Ended::Revoked))
    );

    bench.stores_all().await;
    assert!(
        bench.raw.window().await.unwrap().opened.is_none()
            && bench.raw.codes(START).await.unwrap().is_empty()
    );
    assert_eq!(
        bench.raw.session(session.id).await.unwrap().unwrap().admits(START),
        Err(Ended::Revoked)
    );
    for (id, by) in [
        (block, key),
        (capability::Id::from_bytes([9; 32]), foreign),
        (first.capability.unwrap(), key),
    ] {
        assert!(bench.raw.is_revoked(held(id, by)).await.unwrap());
    }
    // Opening the window again overrides the held closing.
    bench.hold(Cut::Window);
    bench.store.set_window(Window::open(at(2), None)).await.unwrap();
    assert!(bench.store.window().await.unwrap().opened.is_some() && bench.store.held().is_empty());
}

#[tokio::test]
async fn with_a_session_everything_is_out_that_it_made_down_to_the_last_before_that_is_stored() {
    let bench = Bench::new();
    let by = |maker: &Session| Maker::Session(maker.id);
    let (first, adds) = (session(), session());
    let second = Session { maker: by(&first), ..session() };
    let third = Session { maker: by(&second), ..session() };
    for one in [&first, &adds, &second, &third] {
        bench.store.insert_session(one.clone()).await.unwrap();
    }
    // A session of another maker that the second prolonged, and a code that it made in the added
    // time.
    let longer = Session { expires_at: at(60), ..session() };
    bench.store.insert_session(longer.clone()).await.unwrap();
    let hour = handfast_core::Span::from_secs(3600);
    let how = Prolonging { ttl: hour, longest: hour, ends: None, by: Some(second.id) };
    bench.store.prolong_session(longer.id, how, START).await.unwrap().unwrap().unwrap();
    let selected = |selector: &str, maker| {
        let selector = Selector::parse(selector).unwrap();
        crate::StoredCode { maker, ..code(handfast_core::registry::codes::Kind::Code(selector)) }
    };
    let codes = [selected("AAAA", by(&third)), selected("BBBB", by(&longer))];
    let spared = selected("CCCC", by(&adds));
    for one in codes.iter().chain([&spared]) {
        bench.store.mint(one.clone(), START).await.unwrap().unwrap();
    }
    bench.store.set_window(Window::open_by(START, None, by(&second))).await.unwrap();
    let node = keyed();
    let given = Grant { maker: by(&third), ..grant(node.node_id) };
    bench
        .store
        .offer(node.clone(), "{}".to_owned(), None, given.clone(), None, START)
        .await
        .unwrap();
    let token = Credential::Token(handfast_core::grant::token::TokenHash::from_bytes([7; 32]));
    let approved = record(Standing::Paired { credential: token, mode: Mode::Full });
    bench.store.insert(approved.clone(), "{}".to_owned(), START).await.unwrap();
    bench
        .store
        .save_by(approved.node_id, Version(1), approved.standing.clone(), by(&second), START)
        .await
        .unwrap();
    let via = crate::via_session(third.id);
    bench.store.seed_until("mail", "a", vec!["x".to_owned()], via, None, START).await.unwrap();

    let with = bench.store.ending_with(first.id, at(1)).await.unwrap();
    bench.hold(Cut::Session { id: first.id, with: Box::new(with.clone()) });
    let is_out = async |store: &dyn Store| {
        let mut out = Vec::new();
        for one in [&first, &second, &third] {
            out.push(
                store.session(one.id).await.unwrap().unwrap().admits(at(1)) == Err(Ended::Revoked),
            );
        }
        out.push(store.session(longer.id).await.unwrap().unwrap().expires_at == at(60));
        out.push(store.codes(at(1)).await.unwrap().iter().all(|code| code.id == spared.id));
        out.push(store.window().await.unwrap().opened.is_none());
        out.push(store.grants(node.node_id).await.unwrap()[0].state == State::Ended);
        let held = vec![Block { id: given.capability.unwrap(), by: node.keys.unwrap().channel }];
        out.push(store.is_revoked(held).await.unwrap());
        let standing = store.load(approved.node_id).await.unwrap().unwrap().record.standing;
        out.push(matches!(standing, Standing::Unapproved { .. }));
        let sender = inbound::SenderId::parse("mail", "a", "x").unwrap();
        let facts = store.facts(sender, &inbound::InboundLimits::DEFAULT, at(2)).await.unwrap();
        out.push(facts.allowed.is_some_and(|allowed| !allowed.is_active(at(2))));
        out
    };
    assert_eq!(is_out(&bench.store).await, [true; 10]);
    assert_eq!(is_out(&*bench.raw).await, [false; 10], "nothing of it is stored yet");
    assert!(
        bench.store.session(adds.id).await.unwrap().unwrap().admits(at(1)).is_ok(),
        "what others made goes on"
    );
    let stored = bench.store.store_held(at(1)).await.unwrap();
    assert_eq!(
        (stored.len(), &stored[0].ended),
        (1, &EndedWith::NOTHING),
        "all of it has been told already"
    );
    assert_eq!(is_out(&*bench.raw).await, [true; 10]);
    assert_eq!(is_out(&bench.store).await, [true; 10]);
}

#[tokio::test]
async fn a_sender_that_is_held_out_writes_no_longer_and_what_was_remembered_of_it_is_forgotten() {
    let bench = Bench::new();
    let ident = |text| inbound::Ident::parse(text).unwrap();
    let sender = inbound::SenderId {
        channel: ident("telegram"),
        account: ident("bot"),
        sender: ident("@ana"),
    };
    bench
        .store
        .seed("telegram", "bot", vec!["@ana".to_owned()], "seed".to_owned(), START)
        .await
        .unwrap();
    let facts =
        async || bench.store.facts(sender, &inbound::InboundLimits::DEFAULT, START).await.unwrap();
    assert!(facts().await.allowed.unwrap().is_active(START));
    let cut = |account: Option<&str>, change| Cut::Sender {
        channel: "telegram".to_owned(),
        account: account.map(str::to_owned),
        sender: "@ana".to_owned(),
        change,
    };
    let epoch = bench.store.inbound_epoch();
    bench.hold(cut(Some("bot"), SenderChange::Revoke));
    assert!(!facts().await.allowed.unwrap().is_active(START));
    assert_ne!(bench.store.inbound_epoch(), epoch);
    bench.hold(cut(None, SenderChange::Block));
    assert_eq!(facts().await, Facts { blocked: true, ..Facts::default() });
    bench.stores_all().await;
    assert!(facts().await.blocked);
    bench.hold(cut(None, SenderChange::Block));
    bench
        .store
        .change_sender("telegram", None, "@ana", SenderChange::Unblock, START)
        .await
        .unwrap();
    assert!(!facts().await.blocked && bench.store.held().is_empty());
}

#[tokio::test]
async fn certificates_that_are_held_out_are_out_in_every_read_and_stored_as_soon_as_can_be() {
    let bench = Bench::new();
    let one = keyed();
    let id = one.node_id;
    bench.store.insert(one, "{}".to_owned(), START).await.unwrap();
    let stored = signed(id, bench.store.issuing(id, START).await.unwrap().unwrap(), START);
    let (serial, key) = (stored.certificate.serial, stored.certificate.key);
    assert_eq!(bench.store.issue(stored.clone(), START).await.unwrap(), Ok(()));
    let state = async |store: &dyn Store| {
        store.certificate(serial).await.unwrap().unwrap().certificate.state
    };
    for which in [
        RevokedCertificates::Node(id),
        RevokedCertificates::Serial(serial),
        RevokedCertificates::Key(key),
        RevokedCertificates::Before(at(1)),
    ] {
        let ticket = bench.hold(Cut::Certificates(which));
        assert_eq!(state(&bench.store).await, CertificateState::Revoked, "{which:?}");
        assert!(bench.store.allow_list(START).await.unwrap().is_empty());
        assert!(!bench.store.confirm_certificate(id, serial).await.unwrap());
        assert_eq!(state(&*bench.raw).await, CertificateState::Issued, "it is not stored yet");
        bench.store.held().release(&ticket);
        assert_eq!(state(&bench.store).await, CertificateState::Issued);
    }
    bench.hold(Cut::Certificates(RevokedCertificates::Key(key)));
    assert!(bench.store.is_certificate_key_revoked(key).await.unwrap());
    let mut again = signed(id, bench.store.issuing(id, START).await.unwrap().unwrap(), START);
    again.certificate.key = key;
    assert_eq!(bench.store.issue(again, START).await.unwrap(), Err(NotStored::KeyRevoked));
    bench.stores_all().await;
    assert_eq!(state(&*bench.raw).await, CertificateState::Revoked);
    let kept = bench.raw.certificate(serial).await.unwrap().unwrap();
    assert_eq!(kept.ended, Some(START), "it ended when that was decided");
}

#[tokio::test]
async fn a_node_whose_eviction_is_held_gets_no_certificate_of_the_old_epoch() {
    let bench = Bench::new();
    let one = keyed();
    let id = one.node_id;
    bench.store.insert(one, "{}".to_owned(), START).await.unwrap();
    let asked = bench.store.issuing(id, START).await.unwrap().unwrap();
    let stored = signed(id, asked, START);
    assert_eq!(bench.store.issue(stored, START).await.unwrap(), Ok(()));
    let next = bench.store.issuing(id, START).await.unwrap().unwrap();
    bench.hold(Cut::Evicted { node_id: id, from: 0 });
    let epoch = async |store: &dyn Store| store.node_standing(id).await.unwrap().unwrap().epoch;
    assert_eq!((epoch(&bench.store).await, epoch(&*bench.raw).await), (1, 0));
    let [(_, Some(standing))] = bench.store.allow_list(START).await.unwrap()[..] else {
        panic!("one certificate")
    };
    assert_eq!(standing.epoch, 1);
    let late = bench.store.issue(signed(id, next, START), START).await.unwrap();
    assert_eq!(late, Err(NotStored::Changed));
    bench.stores_all().await;
    assert_eq!(epoch(&*bench.raw).await, 1);
    assert_eq!(bench.store.issuing(id, START).await.unwrap().unwrap().epoch, 1);
}

#[tokio::test]
async fn a_node_that_is_held_out_or_muted_is_given_no_task() {
    let bench = Bench::new();
    let one = keyed();
    let id = one.node_id;
    bench.store.insert(one, "{}".to_owned(), START).await.unwrap();
    for (decision, no) in
        [(Decision::Mute, NotQueued::Muted), (Decision::Unpair, NotQueued::NotPaired)]
    {
        assert_eq!(bench.store.takes_tasks(id).await.unwrap(), Ok(()));
        let ticket = bench.hold(node(id, decision));
        assert_eq!(bench.store.takes_tasks(id).await.unwrap(), Err(no));
        assert_eq!(bench.raw.takes_tasks(id).await.unwrap(), Ok(()), "it is not stored yet");
        bench.store.held().release(&ticket);
    }
}

#[tokio::test]
async fn a_login_that_is_held_out_is_out_with_its_codes_and_its_window() {
    use handfast_core::registry::codes::Kind;
    use handfast_core::registry::sessions::LoginId;

    use crate::Logins;
    use crate::conformance::logins::login;

    let bench = Bench::new();
    let login = login();
    assert!(bench.store.insert_login(login.clone(), START).await.unwrap());
    let maker = Maker::Login(login.id);
    let kind = Kind::Code(Selector::parse("K7QF").unwrap());
    let code = crate::StoredCode { maker, ..code(kind) };
    bench.store.mint(code.clone(), START).await.unwrap().unwrap();
    bench.store.set_window(Window::open_by(START, None, maker)).await.unwrap();
    bench.hold(Cut::Login(LoginId::from_bytes([9; 16])));
    assert!(bench.store.window().await.unwrap().opened.is_some(), "another one's end");
    bench.hold(Cut::Login(login.id));
    let read = bench.store.login(login.id).await.unwrap().unwrap();
    assert_eq!(read.admits(START), Err(Ended::Revoked));
    assert_eq!(bench.store.logins().await.unwrap()[0].revoked_at, Some(START));
    assert!(bench.store.codes(START).await.unwrap().is_empty());
    assert!(bench.store.window().await.unwrap().opened.is_none());
    bench.stores_all().await;
    let stored = bench.raw.login(login.id).await.unwrap().unwrap();
    assert_eq!(stored.revoked_at, Some(START));
    assert!(bench.raw.codes(START).await.unwrap().is_empty());
    assert!(bench.raw.window().await.unwrap().opened.is_none());
}

#[tokio::test]
async fn a_decision_that_is_stored_late_says_who_took_it_and_since_when_it_was_in_force() {
    use crate::audit::{Audit as _, Origin, Who};

    let bench = Bench::new();
    let one = record(crate::conformance::paired());
    bench.store.insert(one.clone(), "{}".to_owned(), START).await.unwrap();
    let origin = Origin { from: Some([192, 0, 2, 7].into()), ..Origin::new(Who::Operator, START) };
    let cut = node(one.node_id, Decision::Mute);
    bench.store.held().hold(cut, "it".to_owned(), START, origin).unwrap();
    assert_eq!(bench.store.audit_head(None).await.unwrap().unwrap().size, 1);
    bench.store.store_held(at(60)).await.unwrap();
    let lines = bench.store.audit_lines(1, 9).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(
            "\"at\":\"2027-01-15T08:01:00Z\",\"who\":\"operator\",\"from\":\"192.0.2.7\",\"what\":\"mute\""
        ) && lines[0].ends_with(
            "\"outcome\":\"stored-late\",\"in_force_since\":\"2027-01-15T08:00:00Z\"}"
        ),
        "{lines:?}"
    );
}
