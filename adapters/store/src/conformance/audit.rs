//! The audit log.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::limits::Limits;
use handfast_core::link::dispatch::DispatchEvent;
use handfast_core::registry::audit_tree::{
    empty_root, leaf_hash, verify_consistency, verify_inclusion,
};
use handfast_core::registry::codes::{Kind, Window};
use handfast_core::registry::inbound::InboundLimits;
use handfast_core::registry::record::{Cause, Standing};
use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Label, NodeId, Source, Span};
use tokio::task::JoinSet;

use super::{START, asking, at, code, grant, keyed, load, paired, record, session};
use crate::audit::{Entry, Origin, TreeHead, What, Who};
use crate::{
    MemoryStore, RevokedCertificates, SenderChange, SenderFilter, SenderName, Store, Version,
};

async fn lines(store: &dyn Store) -> Vec<String> {
    store.audit_lines(0, 1000).await.unwrap()
}

/// Returns the kinds of the decisions in the log.
async fn kinds(store: &dyn Store) -> Vec<String> {
    let what = |line: &String| {
        let (_, rest) = line.split_once("\"what\":\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    lines(store).await.iter().map(what).collect()
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

/// Makes decisions of every concern.
async fn decide(store: &dyn Store) {
    let limits = Limits::DEFAULT;
    let asks = asking("lamp", "192.0.2.1", &limits);
    let id = store.admit(asks, "{}".to_owned(), limits, START).await.unwrap().unwrap();
    let (_, version) = load(store, id).await.unwrap();
    let version = store.save_by(id, version, paired(), Maker::Operator, START).await.unwrap();
    let Standing::Paired { credential, mode } = paired() else { unreachable!() };
    let muted = Standing::Muted { credential, restore: mode };
    let version = store.save(id, version, muted, at(1)).await.unwrap();
    let version = store.save(id, version, paired(), at(2)).await.unwrap();
    let name = Label::parse("floor lamp").unwrap().into();
    let version = store.relabel(id, version, Some(name), None, at(3)).await.unwrap();
    let out = Standing::Revoked { cause: Cause::Unpaired };
    let version = store.save(id, version, out, at(4)).await.unwrap();
    store.forget(id, version, at(5)).await.unwrap();

    let node = keyed();
    let offered = grant(node.node_id);
    let version =
        store.offer(node.clone(), "{}".to_owned(), None, offered, None, at(6)).await.unwrap();
    let again = grant(node.node_id);
    // What was decided before is offered once more.
    store.offer(node.clone(), "{}".to_owned(), Some(version), again, None, at(6)).await.unwrap();
    store.end_grants(node.node_id, None, at(7)).await.unwrap();
    store.evict(node.node_id, 0).await.unwrap();
    store.revoke_certificates(RevokedCertificates::Node(node.node_id), at(8)).await.unwrap();

    store.set_window(Window::open(at(9), Some(at(99)))).await.unwrap();
    store.set_window(Window { opened: None, ..store.window().await.unwrap() }).await.unwrap();
    let minted = code(Kind::Code(selector("K7QF")));
    store.mint(minted.clone(), at(10)).await.unwrap().unwrap();
    assert!(store.withdraw(minted.id, at(11)).await.unwrap());
    assert!(!store.withdraw(minted.id, at(11)).await.unwrap());

    let companion = session();
    store.insert_session(companion.clone()).await.unwrap();
    assert!(store.end_session(companion.id, at(12)).await.unwrap().0);
    assert!(!store.end_session(companion.id, at(12)).await.unwrap().0);

    let allow = SenderChange::Allow { via: "test".to_owned(), until: None };
    for change in [allow, SenderChange::Block, SenderChange::Unblock, SenderChange::Revoke] {
        store.change_sender("sms", Some("bot"), "+1555", change, at(13)).await.unwrap();
    }
    let senders = ["+1", "+2", "+2"].map(str::to_owned).to_vec();
    store.seed("sms", "bot", senders, "seed".to_owned(), at(14)).await.unwrap();
    let rotated = Some(Entry::new(What::RotateKey, []));
    assert!(
        store
            .replace_vault("key", store.vault("key", vec![1]).await.unwrap(), vec![2], rotated)
            .await
            .unwrap()
    );
    store.note(Entry::new(What::RotateCa, [])).await.unwrap();
}

pub async fn every_decision_has_its_entry_and_no_other_has(store: Arc<dyn Store>) {
    assert_eq!(
        store.audit_head(None).await.unwrap(),
        Some(TreeHead { size: 0, root: empty_root() })
    );
    decide(&*store).await;
    let expected = [
        "approve",
        "mute",
        "unmute",
        "rename",
        "revoke",
        "forget",
        "approve",
        "end-grants",
        "evict",
        "revoke-certificates",
        "open-pairing",
        "close-pairing",
        "mint-code",
        "withdraw-code",
        "import",
        "revoke-session",
        "approve-sender",
        "block-sender",
        "unblock-sender",
        "approve-sender",
        "approve-sender",
        "rotate-key",
        "rotate-ca",
    ];
    assert_eq!(kinds(&*store).await, expected);
    for (number, line) in lines(&*store).await.iter().enumerate() {
        assert!(line.starts_with(&format!("{{\"entry\":{number},\"at\":\"")), "{line}");
        assert!(line.contains("\"outcome\":\"done\""), "{line}");
        assert!(!line.contains("lamp") && !line.contains("+1555"), "a name is in {line}");
    }
}

pub async fn what_nobody_decides_has_no_entry(store: Arc<dyn Store>) {
    let limits = Limits::DEFAULT;
    let asks = asking("lamp", "192.0.2.1", &limits);
    let id = store.admit(asks, "{}".to_owned(), limits, START).await.unwrap().unwrap();
    store.set_window(Window::open(START, None)).await.unwrap();
    let key = super::keys().channel;
    let source = Source::of([192, 0, 2, 1].into());
    let pin = crate::StoredCode { source: Some(source), ..code(Kind::Pin(key)) };
    store.mint(pin.clone(), START).await.unwrap().unwrap();
    store.reserve(Some(pin.id), source, START).await.unwrap().unwrap();
    assert!(store.spend(pin.id, source, START, START).await.unwrap());
    // Nothing is decided by what is refused, either.
    store.save(id, Version(9), paired(), START).await.unwrap_err();
    store.save(record(paired()).node_id, Version(1), paired(), START).await.unwrap_err();
    let gone = Maker::Session(SessionId::from_bytes([9; 16]));
    let (_, version) = load(&*store, id).await.unwrap();
    store.save_by(id, version, paired(), gone, START).await.unwrap_err();
    let event = DispatchEvent::Cancel;
    assert!(store.step_open_dispatches(Some(id), event, START).await.unwrap().is_empty());
    assert_eq!(kinds(&*store).await, ["open-pairing"]);
}

pub async fn an_entry_says_who_decided_and_from_where(store: Arc<dyn Store>) {
    let one = SessionId::from_bytes([0xab; 16]);
    let origin =
        Origin { from: Some([192, 0, 2, 7].into()), ..Origin::new(Who::Session(one), at(60)) };
    let by = Arc::clone(&store).by(origin);
    by.set_window(Window::open(at(50), None)).await.unwrap();
    let closed = Window { opened: None, ..by.window().await.unwrap() };
    // The last origin counts, and only for the handle that has it.
    Arc::clone(&by).by(Origin::new(Who::Operator, at(70))).set_window(closed).await.unwrap();
    let node = record(paired());
    store.insert(node.clone(), "{}".to_owned(), at(80)).await.unwrap();
    let senders = by.senders_by(Origin::new(Who::Policy, at(90)));
    senders.change_sender("sms", None, "+1555", SenderChange::Block, at(91)).await.unwrap();
    let mut lines = lines(&*store).await;
    let blocked = lines.pop().unwrap();
    assert!(blocked.contains("\"who\":\"policy\",\"what\":\"block-sender\",\"sender\":\""));
    assert_eq!(
        lines,
        [
            format!(
                "{{\"entry\":0,\"at\":\"2027-01-15T08:00:50Z\",\"who\":\"session\",\
                 \"by\":\"{}\",\"from\":\"192.0.2.7\",\"what\":\"open-pairing\",\
                 \"outcome\":\"done\"}}",
                "ab".repeat(16)
            ),
            "{\"entry\":1,\"at\":\"2027-01-15T08:01:10Z\",\"who\":\"operator\",\
             \"what\":\"close-pairing\",\"outcome\":\"done\"}"
                .to_owned(),
            format!(
                "{{\"entry\":2,\"at\":\"2027-01-15T08:01:20Z\",\"who\":\"gateway\",\
                 \"what\":\"import\",\"node\":\"{}\",\"how\":\"node\",\"outcome\":\"done\"}}",
                node.node_id
            ),
        ]
    );
}

pub async fn every_entry_and_every_earlier_log_is_proven(store: Arc<dyn Store>) {
    let mut heads = vec![store.audit_head(None).await.unwrap().unwrap()];
    for _ in 0..20 {
        store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
        heads.push(store.audit_head(None).await.unwrap().unwrap());
    }
    let last = heads[20];
    assert_eq!(last.size, 20);
    for (earlier, head) in heads.iter().enumerate() {
        let size = earlier as u64;
        assert_eq!(store.audit_head(Some(size)).await.unwrap(), Some(*head));
        let proof = store.audit_consistency(size, 20).await.unwrap().unwrap();
        assert_eq!(verify_consistency((size, &head.root), (20, &last.root), &proof), Ok(()));
        for number in 0..size {
            let found = store.audit_entry(number, Some(size)).await.unwrap().unwrap();
            assert_eq!(found.leaf, leaf_hash(found.line.as_bytes()));
            let (leaf, proof) = (&found.leaf, &found.proof);
            assert_eq!(verify_inclusion(number, leaf, size, &head.root, proof), Ok(()));
        }
    }
    assert_eq!(store.audit_entry(20, None).await.unwrap(), None);
    assert_eq!(store.audit_entry(7, Some(7)).await.unwrap(), None);
    assert_eq!(store.audit_head(Some(21)).await.unwrap(), None);
    assert_eq!(store.audit_consistency(3, 21).await.unwrap(), None);
    let all = lines(&*store).await;
    assert_eq!(store.audit_lines(7, 3).await.unwrap(), all[7..10]);
    assert!(store.audit_lines(20, 3).await.unwrap().is_empty());
}

pub async fn decisions_at_once_have_numbers_without_a_gap(store: Arc<dyn Store>) {
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let store = Arc::clone(&store);
        all.spawn(async move { store.insert(record(paired()), "{}".to_owned(), START).await });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap().unwrap();
    }
    for (number, line) in lines(&*store).await.iter().enumerate() {
        assert!(line.starts_with(&format!("{{\"entry\":{number},")), "{line}");
    }
    assert_eq!(store.audit_head(None).await.unwrap().unwrap().size, 32);
}

pub async fn what_was_decided_about_a_node_is_found_page_by_page_and_nothing_else(
    store: Arc<dyn Store>,
) {
    let (one, other) = (keyed(), keyed());
    for node in [&one, &other] {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    for second in 0..10 {
        let changed = if second % 3 == 0 { &other } else { &one };
        store.end_grants(changed.node_id, None, at(second)).await.unwrap();
    }
    let all = lines(&*store).await;
    let about = |id: NodeId| -> Vec<String> {
        let named = format!("\"node\":\"{id}\"");
        all.iter().rev().filter(|line| line.contains(&named)).cloned().collect()
    };
    for node in [&one, &other] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = store.audit_lines_of(node.node_id, before, 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            let number = last.strip_prefix("{\"entry\":").unwrap().split_once(',').unwrap().0;
            before = Some(number.parse().unwrap());
            found.extend(page);
        }
        assert_eq!(found, about(node.node_id));
        assert!(found.len() > 2);
        assert_eq!(store.audit_lines_of(node.node_id, Some(u64::MAX), 99).await.unwrap(), found);
    }
    let nobody = NodeId::from_bytes([9; 16]);
    assert!(store.audit_lines_of(nobody, None, 9).await.unwrap().is_empty());
}

pub async fn the_name_of_a_sender_is_apart_and_can_be_removed(store: Arc<dyn Store>) {
    let name = SenderName {
        channel: "sms".to_owned(),
        account: "bot".to_owned(),
        sender: "+1555".to_owned(),
    };
    let change = |change| store.change_sender("sms", Some("bot"), "+1555", change, START);
    change(SenderChange::Block).await.unwrap();
    change(SenderChange::Unblock).await.unwrap();
    let (before, head) = (lines(&*store).await, store.audit_head(None).await.unwrap());
    let first = reference(&before[0]);
    assert_eq!(first, reference(&before[1]));
    assert_eq!(store.audited_sender(first).await.unwrap(), Some(name.clone()));
    assert_eq!(change(SenderChange::Forget).await.unwrap(), 1);
    assert_eq!(change(SenderChange::Forget).await.unwrap(), 0);
    assert_eq!(store.audited_sender(first).await.unwrap(), None);
    let after = lines(&*store).await;
    assert_eq!(after[..2], before[..]);
    assert_eq!(after.len(), 3);
    assert!(after[2].contains("\"what\":\"forget-sender\""), "{}", after[2]);
    assert_eq!(reference(&after[2]), first);
    // The earlier tree is the beginning of the later one: no entry has changed.
    assert_eq!(store.audit_head(Some(2)).await.unwrap(), head);
    // Who comes back is another reference, where references are random.
    change(SenderChange::Block).await.unwrap();
    assert_eq!(
        store.audited_sender(reference(&lines(&*store).await[3])).await.unwrap(),
        Some(name)
    );
}

pub async fn a_sender_is_forgotten_on_all_accounts_once_it_is_out_on_all(store: Arc<dyn Store>) {
    let allow = || SenderChange::Allow { via: "operator".to_owned(), until: None };
    let change = |account, change| store.change_sender("sms", account, "+1555", change, START);
    for account in ["bot", "desk"] {
        change(Some(account), allow()).await.unwrap();
    }
    store.change_sender("sms", Some("bot"), "+1666", allow(), START).await.unwrap();
    store.change_sender("mail", Some("bot"), "+1555", allow(), START).await.unwrap();
    // In force on one account, it is known by its name.
    change(Some("bot"), SenderChange::Revoke).await.unwrap();
    let before = lines(&*store).await.len();
    assert_eq!(change(None, SenderChange::Forget).await.unwrap(), 0);
    assert_eq!(lines(&*store).await.len(), before);
    change(None, SenderChange::Block).await.unwrap();
    assert_eq!(change(Some("desk"), SenderChange::Forget).await.unwrap(), 0, "a block is for all");
    change(None, SenderChange::Unblock).await.unwrap();
    // Two permissions, and the names of both accounts and of all.
    assert_eq!(change(None, SenderChange::Forget).await.unwrap(), 5);
    let listed = SenderFilter { channel: None, all: true, include_revoked: true };
    let limits = InboundLimits::DEFAULT;
    let left = store.senders(listed, None, 9, &limits, START).await.unwrap();
    let names: Vec<_> = left.iter().map(|one| (&*one.name.channel, &*one.name.sender)).collect();
    assert_eq!(names, [("mail", "+1555"), ("sms", "+1666")]);
    for line in lines(&*store).await {
        let known = store.audited_sender(reference(&line)).await.unwrap();
        assert!(
            known.is_none_or(|name| name.channel == "mail" || name.sender == "+1666"),
            "{line}"
        );
    }
}

fn reference(line: &str) -> [u8; 32] {
    let (_, rest) = line.split_once("\"sender\":\"").unwrap();
    std::array::from_fn(|at| u8::from_str_radix(&rest[2 * at..2 * at + 2], 16).unwrap())
}

pub async fn a_session_that_prolongs_itself_all_the_time_does_not_fill_the_log(
    store: Arc<dyn Store>,
) {
    let companion = session();
    store.insert_session(companion.clone()).await.unwrap();
    let ttl = Span::from_secs(companion.expires_at.as_secs() - START.as_secs() + 30);
    for second in 0..20 {
        let longest = Span::from_secs(1_000_000);
        let now = at(second);
        store.refresh_session(companion.id, ttl, longest, now).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(kinds(&*store).await, ["import"]);
    let longer = Span::from_secs(ttl.as_secs() + 3600);
    store.refresh_session(companion.id, longer, longer, at(20)).await.unwrap().unwrap().unwrap();
    assert_eq!(kinds(&*store).await, ["import", "refresh-session"]);
}

pub async fn the_log_is_the_same_as_in_memory(store: Arc<dyn Store>) {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    decide(&*store).await;
    decide(&*memory).await;
    // Ids are drawn anew in each run, and so is the reference to a sender.
    let form = |line: &String| -> String {
        let hex = |word: &str| {
            word.len() >= 32 && word.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
        };
        line.split('"').filter(|word| !hex(word)).collect::<Vec<_>>().join("\"")
    };
    let forms = |lines: Vec<String>| lines.iter().map(form).collect::<Vec<_>>();
    assert_eq!(forms(lines(&*store).await), forms(lines(&*memory).await));
}
