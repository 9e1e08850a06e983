//! Several gateways on one database. Each is a store of its own, as in a process of its own.

use std::sync::Arc;

use handfast_core::Source;
use handfast_core::grant::token::TokenHash;
use handfast_core::limits::GUESSES_PER_CODE;
use handfast_core::limits::Limits;
use handfast_core::registry::audit_tree::verify_consistency;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{NoGuess, Window};
use handfast_core::registry::policies::{ApprovalPolicy, PolicyId};
use handfast_core::registry::record::{Cause, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_store::audit::{Audit, TreeHead};
use handfast_store::conformance::{
    START, asking, at, grant, keyed, pin, record, session, setup_code,
};
use handfast_store::{
    ByPolicy, Policies, PostgresStore, SaveError, SessionFilter, Sessions, Store, StoreError,
    StoredPolicy, Version, Yield,
};
use tokio::task::JoinSet;

use crate::shared;

/// Returns two gateways on one empty registry, and the name of its database.
fn two() -> ([Arc<PostgresStore>; 2], String) {
    let name = shared().create();
    let address = shared().address(&name);
    ([(); 2].map(|()| Arc::new(PostgresStore::open(&address).unwrap())), name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_spent_on_two_gateways_at_once_is_spent_once() {
    let (gateways, _) = two();
    for _ in 0..20 {
        let code = setup_code(60);
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let gateway = Arc::clone(&gateways[number % 2]);
            tasks.spawn(async move {
                gateway.redeem(code, Yield::Session(session()), START).await.unwrap().is_ok()
            });
        }
        let won = tasks.join_all().await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
    let sessions = gateways[0].sessions(SessionFilter::All, None, usize::MAX, START).await.unwrap();
    assert_eq!(sessions.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_approval_and_a_rejection_at_once_exactly_one_holds() {
    let (gateways, _) = two();
    for _ in 0..20 {
        let entry = record(Standing::Pending { expires: at(60) });
        let id = entry.node_id;
        gateways[0].insert(entry, "{}".to_owned(), START).await.unwrap();
        let version = gateways[1].load(id).await.unwrap().unwrap().version;
        let [approved, rejected] = [
            Standing::Unapproved { token: TokenHash::from_bytes([7; 32]) },
            Standing::Revoked { cause: Cause::Rejected },
        ];
        let (approval, rejection) = tokio::join!(
            gateways[0].save(id, version, approved.clone(), START),
            gateways[1].save(id, version, rejected.clone(), START),
        );
        let standing = match (approval, rejection) {
            (Ok(_), Err(SaveError::Conflict)) => approved,
            (Err(SaveError::Conflict), Ok(_)) => rejected,
            both => panic!("{both:?}"),
        };
        for gateway in &gateways {
            let stored = gateway.load(id).await.unwrap().unwrap();
            assert_eq!(stored.record.standing, standing);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_over_two_gateways_count_once() {
    let (gateways, _) = two();
    gateways[0].set_window(Window::open(START, None)).await.unwrap();
    let code = pin();
    gateways[0].mint(code.clone(), START).await.unwrap().unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..40_u8 {
        let gateway = Arc::clone(&gateways[usize::from(number % 2)]);
        let source = Source::of([192, 0, 2, number / 2].into());
        tasks.spawn(async move { gateway.reserve(Some(code.id), source, START).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    let mut left: Vec<_> = answers.iter().flatten().copied().collect();
    left.sort_unstable();
    assert_eq!(left, (0..GUESSES_PER_CODE).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(NoGuess::Locked))));
    for gateway in &gateways {
        assert_eq!(gateway.window().await.unwrap().guesses, GUESSES_PER_CODE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_for_five_nodes_approves_five_over_two_gateways() {
    let (gateways, _) = two();
    let policy = ApprovalPolicy {
        id: PolicyId::from_bytes([7; 16]),
        made_at: START,
        ends_at: at(600),
        most: 5,
        used: 0,
        scopes: None,
        grant_for: None,
        maker: Maker::Operator,
        ended_at: None,
    };
    let (id, net) = (policy.id, "192.0.2.0/24".to_owned());
    assert!(gateways[0].add_policy(StoredPolicy { policy, net }, START).await.unwrap());
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let gateway = Arc::clone(&gateways[number % 2]);
        tasks.spawn(async move {
            let record = keyed();
            let grant = grant(record.node_id);
            let (scopes, maker) = (grant.scopes.clone(), Maker::Operator);
            let ceiling = Ceiling { scopes, expires: None, named: false, maker };
            let profile = "{}".to_owned();
            let asks = ByPolicy { policy: id, record, profile, read_at: None, grant, ceiling };
            gateway.offer_by_policy(asks, at(1)).await.unwrap()
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().flatten().count(), 5);
    for gateway in &gateways {
        assert_eq!(gateway.policies().await.unwrap()[0].policy.left(), 0);
        assert_eq!(gateway.counts(at(1)).await.unwrap().paired, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decisions_of_two_gateways_are_one_log_without_a_gap() {
    let (gateways, _) = two();
    let early = decide(&gateways).await;
    let late = decide(&gateways).await;
    assert_eq!((early.size, late.size), (40, 80));
    let proof = gateways[1].audit_consistency(early.size, late.size).await.unwrap().unwrap();
    let heads = ((early.size, &early.root), (late.size, &late.root));
    assert!(verify_consistency(heads.0, heads.1, &proof).is_ok());
    assert_eq!(gateways[1].audit_lines(0, 1000).await.unwrap().len(), 80);
}

/// Makes forty decisions at once, half on each gateway.
async fn decide(gateways: &[Arc<PostgresStore>; 2]) -> TreeHead {
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let gateway = Arc::clone(&gateways[number % 2]);
        tasks.spawn(async move {
            let entry = record(Standing::Revoked { cause: Cause::Unpaired });
            gateway.insert(entry, "{}".to_owned(), START).await.unwrap();
        });
    }
    tasks.join_all().await;
    gateways[0].audit_head(None).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caps_on_requests_hold_over_two_gateways() {
    let (gateways, _) = two();
    let limits = Limits { pending_total: 10, pending_per_source: 5, ..Limits::DEFAULT };
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let gateway = Arc::clone(&gateways[number % 2]);
        tasks.spawn(async move {
            let asks =
                asking(&format!("lamp {number}"), &format!("192.0.2.{}", number / 10), &limits);
            gateway.admit(asks, "{}".to_owned(), limits, START).await.unwrap().is_ok()
        });
    }
    let admitted = tasks.join_all().await.into_iter().filter(|is_in| *is_in).count();
    let pending = gateways[1].counts(START).await.unwrap().pending;
    assert!(pending <= 10 && admitted >= 10, "{admitted} came in and {pending} wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_open_an_empty_database_at_once_make_one_registry() {
    let address = shared().database();
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let address = address.clone();
        tasks.spawn_blocking(move || PostgresStore::open(&address).unwrap());
    }
    let gateways = tasks.join_all().await;
    let entry = record(Standing::Revoked { cause: Cause::Unpaired });
    gateways[0].insert(entry.clone(), "{}".to_owned(), START).await.unwrap();
    for gateway in &gateways {
        assert!(gateway.load(entry.node_id).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_of_a_newer_version_is_refused_with_words_and_left_as_it_is() {
    let ([gateway, other], name) = two();
    drop(other);
    let entry = record(Standing::Revoked { cause: Cause::Unpaired });
    gateway.insert(entry.clone(), "{}".to_owned(), START).await.unwrap();
    shared().sql(&name, "UPDATE handfast.registry SET version = 1000");

    // One that has it open already changes nothing any more, and one that starts does not open it.
    let open = gateway.forget(entry.node_id, Version(1), START).await.unwrap_err();
    let SaveError::Store(open) = open else { panic!("{open:?}") };
    let new = PostgresStore::open(&shared().address(&name)).unwrap_err();
    for refused in [open, new] {
        let text = refused.to_string();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        assert!(
            text.starts_with("a newer Handfast wrote this registry (schema 1000, this one knows ")
                && text.ends_with("run that one; nothing was changed"),
            "{text}"
        );
    }
    let version = shared().sql(&name, "SELECT version FROM handfast.registry");
    assert_eq!(version, "1000");
    assert!(gateway.load(entry.node_id).await.unwrap().is_some());
}

#[test]
fn a_database_that_does_not_keep_unicode_is_refused_with_words() {
    shared().sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let refused = PostgresStore::open(&shared().address("latin")).unwrap_err().to_string();
    assert!(refused.contains("keeps text as LATIN1, and a registry needs UTF8"), "{refused}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'handfast'";
    assert_eq!(shared().sql("latin", schemas), "0");
}

#[tokio::test]
async fn the_audit_log_is_changed_by_no_statement() {
    let ([gateway, _], name) = two();
    let entry = record(Standing::Revoked { cause: Cause::Unpaired });
    gateway.insert(entry, "{}".to_owned(), START).await.unwrap();
    for sql in [
        "UPDATE handfast.audit SET line = ''",
        "DELETE FROM handfast.audit",
        "TRUNCATE handfast.audit",
        "INSERT INTO handfast.audit VALUES (7, decode(repeat('00', 32), 'hex'), '')",
    ] {
        let done = shared()
            .psql(&name)
            .args(["-c", &format!("SET search_path = handfast; {sql}")])
            .output();
        let told = String::from_utf8(done.unwrap().stderr).unwrap();
        assert!(told.contains("the audit log"), "{sql}: {told}");
    }
}
