//! Companions and senders in a file: kept across restarts, reported if damaged, and never with a
//! token in clear.

use std::path::{Path, PathBuf};

use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::registry::inbound::{ChallengeCode, InboundLimits, SenderId};
use handfast_core::registry::sessions::{NotRedeemed, Session};
use handfast_store::conformance::{START, at, session, setup_code};
use handfast_store::{
    Inbound, ListedSender, SenderChange, SenderFilter, SenderName, SenderStanding, SessionFilter,
    Sessions, SqliteStore, StoreError, Yield,
};
use rusqlite::Connection;

const ALL: SenderFilter = SenderFilter { channel: None, all: true, include_revoked: true };

fn fresh() -> (PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (directory.path().join("handfast.db"), directory)
}

/// Changes the file behind the store's back.
fn tamper(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    connection.execute_batch(sql).unwrap();
}

/// Reads the files in the registry's directory. One that has gone since they were listed is skipped:
/// the mark is written under a temporary name.
fn beside(path: &Path) -> impl Iterator<Item = Vec<u8>> {
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap();
    files.filter_map(|file| match std::fs::read(file.unwrap().path()) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    })
}

fn ana() -> SenderId<'static> {
    SenderId::parse("wa", "home", "ana").unwrap()
}

fn allow() -> SenderChange {
    SenderChange::Allow { via: "cli".to_owned(), until: None }
}

fn is_spoiled<T: std::fmt::Debug>(answer: Result<T, StoreError>, what: &str) {
    match answer {
        Err(StoreError::Database(problem)) => {
            assert!(problem.contains("cannot be read"), "{what}: {problem}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn reopening_keeps_sessions_spent_codes_the_mark_and_all_senders() {
    let (path, _kept) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let (forgotten, spent) = (setup_code(60), setup_code(900));
    for (code, now) in [(forgotten, START), (spent, at(100))] {
        store.redeem(code, Yield::Session(session()), now).await.unwrap().unwrap();
    }
    let limits = InboundLimits::DEFAULT;
    let code = ChallengeCode::parse("ABCD2345").unwrap();
    let _ = store.challenge(ana(), r#"{"a":1}"#.to_owned(), code, &limits, START).await.unwrap();
    store.change_sender("wa", Some("home"), "ben", allow(), START).await.unwrap();
    store.change_sender("wa", None, "eve", SenderChange::Block, START).await.unwrap();
    store.keep_cursor("wa", "17".to_owned()).await.unwrap();
    let sessions = store.sessions(SessionFilter::All, None, 9, START).await.unwrap();
    let senders = store.senders(ALL, None, 9, &limits, START).await.unwrap();
    assert_eq!((sessions.len(), senders.len()), (2, 3));
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.sessions(SessionFilter::All, None, 9, START).await.unwrap(), sessions);
    assert_eq!(store.senders(ALL, None, 9, &limits, START).await.unwrap(), senders);
    assert_eq!(store.facts(ana(), &limits, START).await.unwrap().pending_total, 1);
    assert_eq!(store.waiting_senders(&limits, START).await.unwrap(), [("wa".to_owned(), 1)]);
    assert_eq!(store.cursor("wa").await.unwrap().as_deref(), Some("17"));
    for (code, why) in [(forgotten, NotRedeemed::Expired), (spent, NotRedeemed::AlreadyUsed)] {
        assert_eq!(store.redeem(code, Yield::Session(session()), START).await.unwrap(), Err(why));
    }
}

#[tokio::test]
async fn whoever_deletes_a_spent_code_by_hand_revives_none() {
    let (path, _kept) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let code = setup_code(60);
    store.redeem(code, Yield::Session(session()), START).await.unwrap().unwrap();
    tamper(&path, "DELETE FROM spent_setup_code");
    assert_eq!(
        store.redeem(code, Yield::Session(session()), START).await.unwrap(),
        Err(NotRedeemed::Expired)
    );
}

#[tokio::test]
async fn a_spoiled_session_is_reported_lets_nobody_in_and_can_be_ended() {
    for spoil in [
        "profile = ''",
        "profile = char(27) || '[2J'",
        "device_label = CAST(x'ff' AS TEXT)",
        "issued_at = -1",
        "expires_at = -1",
        "revoked_at = -1",
        "hash = x'00'",
    ] {
        let (path, _kept) = fresh();
        let store = SqliteStore::open(&path).unwrap();
        let (good, bad) = (session(), session());
        for session in [&good, &bad] {
            store.insert_session(session.clone()).await.unwrap();
        }
        let hex: String = bad.id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        tamper(&path, &format!("UPDATE session SET {spoil} WHERE session_id = x'{hex}'"));
        is_spoiled(store.session(bad.id).await, spoil);
        assert!(!matches!(store.session_by_hash(&bad.hash).await, Ok(Some(_))), "{spoil}");
        is_spoiled(store.sessions(SessionFilter::All, None, 9, START).await, spoil);
        assert_eq!(store.session_by_hash(&good.hash).await.unwrap(), Some(good), "{spoil}");
        let ended = store.revoke_session(bad.id, START).await.unwrap();
        // Ending a session reads no clock, so it also works on one whose end cannot be read.
        assert_eq!(ended, !spoil.starts_with("revoked_at"), "{spoil}");
    }
}

#[tokio::test]
async fn what_is_spoiled_of_a_sender_is_reported_and_lets_nobody_in() {
    let limits = InboundLimits::DEFAULT;
    for (spoil, is_listed, is_read_for_facts) in [
        ("UPDATE sender_allowed SET until = -1", true, true),
        ("UPDATE sender_allowed SET revoked_at = -1", true, true),
        ("UPDATE sender_allowed SET via = char(27)", true, false),
        ("UPDATE sender_allowed SET approved_at = -1", true, false),
        ("UPDATE sender_pending SET code = 'abcd2345'", true, true),
        ("UPDATE sender_pending SET code = 'ABCD234O'", true, true),
        ("UPDATE sender_pending SET told_at = -1", false, true),
        ("UPDATE sender_pending SET meta = '[]'", true, false),
        ("UPDATE sender_blocked SET sender = 'eve '", true, false),
    ] {
        let (path, _kept) = fresh();
        let store = SqliteStore::open(&path).unwrap();
        let entry = |standing| ListedSender {
            name: SenderName {
                channel: "wa".to_owned(),
                account: "home".to_owned(),
                sender: "ana".to_owned(),
            },
            standing,
        };
        let code = ChallengeCode::parse("ABCD2345").unwrap();
        store.change_sender("wa", Some("home"), "eve", SenderChange::Block, START).await.unwrap();
        if spoil.contains("allowed") {
            store.change_sender("wa", Some("home"), "ana", allow(), START).await.unwrap();
        } else {
            let pending =
                SenderStanding::Pending { code, created_at: START, meta: "{}".to_owned() };
            store.insert_sender(entry(pending)).await.unwrap();
        }
        tamper(&path, spoil);
        if is_listed {
            is_spoiled(store.senders(ALL, None, 9, &limits, START).await, spoil);
        }
        if is_read_for_facts {
            is_spoiled(store.facts(ana(), &limits, START).await, spoil);
            let fresh = ChallengeCode::parse("WXYZ2345").unwrap();
            is_spoiled(store.challenge(ana(), "{}".to_owned(), fresh, &limits, START).await, spoil);
        }
    }
}

#[tokio::test]
async fn tallies_that_cannot_be_are_as_good_as_full() {
    let (path, _kept) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    tamper(&path, "UPDATE sender_total SET waiting = -5");
    assert_eq!(
        store.facts(ana(), &InboundLimits::DEFAULT, START).await.unwrap().pending_total,
        u32::MAX
    );
}

#[tokio::test]
async fn a_token_is_in_no_file() {
    let (path, _kept) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let token = |number| {
        Token::parse(&format!("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD{number:03}")).unwrap()
    };
    let tokens: Vec<_> = (0..20).map(token).collect();
    for token in &tokens {
        let session = Session { hash: SessionHash::of(token), ..session() };
        store
            .redeem(setup_code(60), Yield::Session(session.clone()), START)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(store.session_by_hash(&SessionHash::of(token)).await.unwrap(), Some(session));
    }
    let holds = |bytes: &[u8]| {
        beside(&path).any(|file| file.windows(bytes.len()).any(|part| part == bytes))
    };
    for token in &tokens {
        assert!(!holds(token.expose().as_bytes()));
        // The search itself works: the hash is found.
        assert!(holds(SessionHash::of(token).as_bytes()));
    }
}
