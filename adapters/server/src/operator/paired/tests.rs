use handfast_core::crypto::keys::OwnKeys;
use handfast_core::grant::capability;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::grants::{GrantId, State};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record};
use handfast_core::registry::sessions::Maker;
use handfast_core::{Label, Name, UnixTime};
use handfast_store::Version;

use super::revoking::foreign_block;
use super::*;
use crate::entropy;
use crate::operator::final_decisions::FEWEST_FOR_GOOD;

const NOW: UnixTime = UnixTime::from_secs(1000);

/// A node whose id and capability are made of one byte each.
fn node(name: &str, id: u8, capability: u8) -> PairedNode {
    let keys = Holder::of(&OwnKeys::generate(&entropy::draw()));
    let label = Name::from(Label::parse(name).unwrap());
    let node_id = NodeId::from_bytes([id; 16]);
    let record = Record {
        node_id,
        name: label.clone(),
        room: label,
        address: [192, 0, 2, 1].into(),
        keys: Some(keys),
        asked_at: NOW,
        asked: Asked::by(AskMethod::Approval),
        standing: Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
    };
    let grant = Grant {
        id: GrantId::from_bytes([id; 16]),
        node_id,
        capability: Some(capability::Id::from_bytes([capability; 32])),
        scopes: handfast_core::grant::scope::ScopesBuf::default(),
        not_before: NOW,
        expires: None,
        moved: 0,
        state: State::Active,
        maker: Maker::Operator,
    };
    let entry = Entry {
        record,
        version: Version(1),
        ceiling: None,
        profile: "{}".to_owned(),
        changed_at: NOW,
        asked: None,
        rejection: None,
        asks_more: AskedScopesBuf::EMPTY,
        observed: None,
        maker: Maker::Operator,
    };
    PairedNode {
        device: Device { entry, online: false, linked_at: None },
        keys,
        grants: vec![grant],
        delegates: Vec::new(),
    }
}

fn found(which: &str) -> Vec<String> {
    let nodes = [
        node("My Phone", 0x11, 0xaa),
        node("lamp", 0x12, 0xbb),
        node("lamp", 0xcc, 0x11),
        node("121212", 0x33, 0xdd),
    ];
    matches(&nodes, which, FEWEST_FOR_GOOD).iter().map(|one| describe(one, &nodes)).collect()
}

#[test]
fn a_node_is_named_by_its_whole_name_or_the_beginning_of_its_id() {
    assert_eq!(found("My Phone"), [r#""My Phone" (11111111-1111-1111-1111-111111111111)"#]);
    assert_eq!(found("CCCCCC").len(), 1);
    assert_eq!(found("12121212-1212").len(), 1);
    for nobody in ["", "My", "my phone", "My Phone ", "zz", "11111111-11112", "C", "CC", "CCCCC"] {
        assert_eq!(found(nobody), [""; 0], "{nobody:?}");
    }
}

#[test]
fn a_capability_is_named_by_eight_digits_of_its_id_at_least() {
    assert_eq!(found("aaaaaaa"), [""; 0]);
    assert_eq!(found("AAAAAAAA"), [format!("capability {} of \"My Phone\"", "aa".repeat(32))]);
    assert_eq!(found(&"bb".repeat(32)).len(), 1);
}

#[test]
fn all_that_a_text_may_mean_is_found() {
    assert_eq!(found("lamp").len(), 2, "two of one name");
    assert_eq!(found("11111111").len(), 2, "an id, and a capability of another node");
    assert_eq!(found("121212").len(), 2, "an id, and another node's name");
}

#[test]
fn a_block_that_nobody_here_knows_is_named_by_all_its_digits() {
    let id = capability::Id::from_bytes([0x5e; 32]);
    assert_eq!(foreign_block(&id.to_string()), Some(id));
    assert_eq!(foreign_block(&id.to_string().to_uppercase()), Some(id));
    for wrong in ["", "5e5e", &"5g".repeat(32), &"ä".repeat(32)] {
        assert_eq!(foreign_block(wrong), None);
    }
}
