//! Approvals in advance.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::logins::LoginId;
use handfast_core::registry::policies::{ApprovalPolicy, POLICIES, PolicyId};
use handfast_core::registry::sessions::{Maker, SessionId};
use tokio::task::JoinSet;

use super::clock_steps::step;
use super::{START, at, fresh, grant, keyed, scopes};
use crate::{ByPolicy, Filter, Over, Store, StoredPolicy};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn policy(most: u16) -> StoredPolicy {
    let policy = ApprovalPolicy {
        id: PolicyId::from_bytes(fresh()),
        made_at: START,
        ends_at: at(600),
        most,
        used: 0,
        scopes: None,
        grant_for: None,
        maker: Maker::Operator,
        ended_at: None,
    };
    StoredPolicy { policy, net: "192.0.2.0/24".to_owned() }
}

async fn made(store: &dyn Store, policy: &StoredPolicy) -> PolicyId {
    assert!(store.add_policy(policy.clone(), START).await.unwrap());
    policy.policy.id
}

async fn read(store: &dyn Store, id: PolicyId) -> ApprovalPolicy {
    let all = store.policies().await.unwrap();
    all.into_iter().find(|one| one.policy.id == id).expect("it is there").policy
}

fn asks(policy: PolicyId) -> ByPolicy {
    let record = keyed();
    let grant = grant(record.node_id);
    let ceiling = Ceiling { scopes: scopes(), expires: None, named: false, maker: Maker::Operator };
    ByPolicy { policy, record, profile: "{}".to_owned(), read_at: None, grant, ceiling }
}

pub async fn a_policy_reads_back_as_it_was_made(store: Arc<dyn Store>) {
    let plain = policy(20);
    let rich = StoredPolicy {
        policy: ApprovalPolicy {
            made_at: at(1),
            scopes: Some(scopes()),
            grant_for: Some(u64::from(u32::MAX)),
            maker: Maker::Session(SessionId::from_bytes([7; 16])),
            ..policy(1).policy
        },
        net: "fd00::/8".to_owned(),
    };
    let by_login = StoredPolicy {
        policy: ApprovalPolicy {
            made_at: at(2),
            maker: Maker::Login(LoginId::from_bytes([8; 16])),
            ..policy(1).policy
        },
        ..policy(1)
    };
    for one in [&plain, &rich, &by_login] {
        made(&*store, one).await;
    }
    assert_eq!(store.policies().await.unwrap(), [plain, rich, by_login]);
}

pub async fn a_policy_approves_so_many_nodes_however_many_ask_at_once(store: Arc<dyn Store>) {
    let id = made(&*store, &policy(5)).await;
    let size = store.audit_head(None).await.unwrap().unwrap().size;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.offer_by_policy(asks(id), at(1)).await.unwrap() });
    }
    let approved = tasks.join_all().await.into_iter().flatten().count();
    assert_eq!((approved, read(&*store, id).await.left()), (5, 0));
    assert_eq!(store.list(Filter::Current, None, 99, at(1)).await.unwrap().len(), 5);
    // Each use has an entry that names the node and the policy.
    let lines = store.audit_lines(size, 99).await.unwrap();
    assert_eq!(lines.len(), 5);
    let hex: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(lines.iter().all(|line| line.contains("\"approve\"") && line.contains(&hex)));
}

pub async fn a_policy_that_has_ended_approves_nobody(store: Arc<dyn Store>) {
    let (ended, over) = (policy(5), policy(5));
    for one in [&ended, &over] {
        made(&*store, one).await;
    }
    assert!(store.end_policy(ended.policy.id, at(1)).await.unwrap());
    assert!(!store.end_policy(ended.policy.id, at(2)).await.unwrap());
    assert!(!store.end_policy(PolicyId::from_bytes(fresh()), at(2)).await.unwrap());
    for (id, now) in [(ended.policy.id, at(2)), (over.policy.id, at(600))] {
        assert_eq!(store.offer_by_policy(asks(id), now).await.unwrap(), None);
        assert_eq!(read(&*store, id).await.used, 0);
    }
    assert_eq!(
        store.offer_by_policy(asks(PolicyId::from_bytes(fresh())), START).await.unwrap(),
        None
    );
    assert_eq!(store.list(Filter::All, None, 9, START).await.unwrap(), []);
    // What was seen to be over stays so, whatever the clock says later.
    assert!(!store.write_over(Over::Policy(over.policy.id), at(599)).await.unwrap());
    assert!(store.write_over(Over::Policy(over.policy.id), at(600)).await.unwrap());
    assert_eq!(store.offer_by_policy(asks(over.policy.id), at(1)).await.unwrap(), None);
}

pub async fn so_many_policies_are_in_force_and_no_more(store: Arc<dyn Store>) {
    for _ in 0..POLICIES {
        made(&*store, &policy(1)).await;
    }
    assert!(!store.add_policy(policy(1), at(1)).await.unwrap());
    let first = store.policies().await.unwrap().remove(0).policy.id;
    assert!(store.end_policy(first, at(1)).await.unwrap());
    assert!(store.add_policy(policy(1), at(1)).await.unwrap());
    // After a day those that are over are forgotten.
    let later = StoredPolicy {
        policy: ApprovalPolicy { made_at: at(2 * DAY), ends_at: at(3 * DAY), ..policy(1).policy },
        ..policy(1)
    };
    assert!(store.add_policy(later.clone(), at(2 * DAY)).await.unwrap());
    assert_eq!(store.policies().await.unwrap(), [later]);
}

pub async fn steps_of_the_clock_leave_a_policy_as_long_as_it_was_made(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let earlier = made(&*store, &policy(1)).await;
    store.begin_run().await.unwrap();
    let own = made(&*store, &policy(1)).await;
    store.take_over(step(START, at(2 * DAY))).await.unwrap();
    let ends = |policy: ApprovalPolicy| (policy.made_at, policy.ends_at);
    assert_eq!(ends(read(&*store, own).await), (at(2 * DAY), at(2 * DAY + 600)));
    assert_eq!(ends(read(&*store, earlier).await), (START, at(600)), "it is not of this run");
}

pub async fn a_policy_that_was_made_under_a_false_time_ends_when_that_is_mended(
    store: Arc<dyn Store>,
) {
    store.begin_run().await.unwrap();
    let later = StoredPolicy {
        policy: ApprovalPolicy { made_at: at(9 * DAY), ends_at: at(10 * DAY), ..policy(1).policy },
        ..policy(1)
    };
    let id = later.policy.id;
    assert!(store.add_policy(later, at(9 * DAY)).await.unwrap());
    store.begin_run().await.unwrap();
    store.take_over(step(at(9 * DAY), at(DAY))).await.unwrap();
    assert!(read(&*store, id).await.ended_at.is_some());
    assert_eq!(store.offer_by_policy(asks(id), at(9 * DAY + 1)).await.unwrap(), None);
}
