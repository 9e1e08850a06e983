//! Capability tokens: the cases that the specification accepts and rejects. The simple writer of
//! `handfast_host_tests::capability` makes the forged ones.

mod encoding;

use handfast_core::grant::capability::{
    Authorised, BlockTerms, CannotIssue, Chain, Check, Denied, Held, Holder, MalformedToken,
    Widening, issue, verify,
};
use handfast_core::grant::scope::{Action, Address, Pattern, Scopes};
use handfast_core::limits::{CAPABILITY_BYTES, CAPABILITY_CHARS, CAPABILITY_DEPTH, SCOPES};
use handfast_core::{Label, UnixTime};
use handfast_host_tests::capability::{
    Draft, Keys, any_chain, any_change, id, issuer, number, reads_as_it_is_written, sign, text,
    token,
};
use handfast_host_tests::prng::Prng;

/// Divisor of the cases in long tests: without optimisation a signature takes milliseconds, so only
/// some are tried.
const ONE_IN: usize = if cfg!(debug_assertions) { 7 } else { 1 };
const EMPTY: [u8; CAPABILITY_BYTES] = [0; CAPABILITY_BYTES];

fn terms<'b>(scopes: &[&'b str]) -> BlockTerms<'b> {
    let scopes = Scopes::parse(scopes.iter().copied()).unwrap();
    BlockTerms {
        scopes,
        not_before: UnixTime::from_secs(100),
        expires: UnixTime::from_secs(1000),
        audience: None,
    }
}

fn gateway() -> &'static Keys {
    Keys::of(1)
}

/// Returns the node at a depth of a chain; the root's holder is at zero.
fn node(depth: u8) -> &'static Keys {
    Keys::of(2 + depth)
}

fn check_at(bytes: &[u8], channel: &Keys, now: u64) -> Result<Authorised, Denied> {
    let chain = Chain::from_bytes(bytes).unwrap();
    let gateway = gateway().signing.public();
    let check = Check {
        gateway: &gateway,
        channel: channel.channel.public(),
        audience: None,
        now: UnixTime::from_secs(now),
    };
    verify(&chain, &check, |_| false)
}

fn check(bytes: &[u8], channel: &Keys) -> Result<Authorised, Denied> {
    check_at(bytes, channel, 500)
}

/// Returns a chain of `depth` blocks, the root included, all with these scopes.
fn chain_of(depth: u8, scopes: &[&str]) -> Vec<u8> {
    let mut out = EMPTY;
    let mut bytes = issue(&gateway().signing, &node(0).holder(), &terms(scopes), &mut out)
        .unwrap()
        .as_bytes()
        .to_vec();
    for below in 1..depth {
        let mut out = EMPTY;
        let above = bytes;
        let chain = Chain::from_bytes(&above).unwrap();
        let longer = chain
            .attenuate(&node(below - 1).signing, &node(below).holder(), &terms(scopes), &mut out)
            .unwrap();
        bytes = longer.as_bytes().to_vec();
    }
    bytes
}

fn draft(parent: [u8; 32], holder: &Keys) -> Draft {
    Draft {
        parent,
        channel: *holder.channel.public().as_bytes(),
        signing: Some(*holder.signing.public().as_bytes()),
        scopes: vec![(1, "/lights/**".to_owned())],
        not_before: 100,
        expires: 1000,
        audience: None,
    }
}

fn root() -> Vec<u8> {
    draft(issuer(gateway()), node(0)).signed(&gateway().signing)
}

/// Returns a root with a changed block under it, signed by the root's holder.
fn with_child(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let root = root();
    let mut child = draft(id(&root), node(1));
    change(&mut child);
    let child = child.signed(&node(0).signing);
    token(&[root, child])
}

#[test]
fn chains_of_every_depth_are_issued_attenuated_and_read_back_as_bytes_and_as_text() {
    for depth in 1..=4 {
        let bytes = chain_of(depth, &["write:/lights/**", "read:/"]);
        reads_as_it_is_written(&bytes);
        let chain = Chain::from_bytes(&bytes).unwrap();
        let shown = chain.to_string();
        assert!(shown.starts_with("hf1.") && shown == text(&bytes));
        assert_eq!(Chain::parse(&shown, &mut { EMPTY }).unwrap(), chain);
        assert_eq!(chain.blocks().count(), usize::from(depth));
        assert_eq!(chain.leaf().holder(), &node(depth - 1).holder());
        assert_eq!(chain.leaf().terms(), &terms(&["write:/lights/**", "read:/"]));
        let authorised = check(&bytes, node(depth - 1)).unwrap();
        assert_eq!(authorised.subject(), node(0).channel.public());
        assert_eq!(authorised.expires(), UnixTime::from_secs(1000));
        assert!(authorised.ids().eq(chain.blocks().map(|block| block.id())));
        assert!(
            authorised
                .held()
                .iter()
                .zip(0..)
                .all(|(held, depth)| held.by == *node(depth).channel.public())
        );
    }
}

#[test]
fn the_plain_writer_writes_what_issuing_and_attenuating_write() {
    assert_eq!(token(&[root()]), chain_of(1, &["write:/lights/**"]));
    assert_eq!(with_child(|_| ()), chain_of(2, &["write:/lights/**"]));
}

#[test]
fn a_verified_chain_allows_what_its_leaf_says_and_nothing_of_what_only_its_root_has() {
    let mut out = EMPTY;
    let wide = chain_of(1, &["write:/lights/**", "admin:/audio/*"]);
    let narrow = terms(&["read:/lights/*", "write:/audio/1"]);
    let leaf = Chain::from_bytes(&wide)
        .unwrap()
        .attenuate(&node(0).signing, &node(1).holder(), &narrow, &mut out)
        .unwrap();
    let authorised = check(leaf.as_bytes(), node(1)).unwrap();
    let allows = |action, address| authorised.allows(action, &Address::parse(address).unwrap());
    assert!(allows(Action::Read, "/lights/1") && allows(Action::Write, "/audio/1"));
    assert!(!allows(Action::Write, "/lights/1") && !allows(Action::Read, "/lights/1/x"));
    assert!(!allows(Action::Admin, "/audio/1") && !allows(Action::Read, "/audio/2"));
    assert!(authorised.allows_subscription(&Pattern::parse("/lights/*").unwrap()));
    assert!(!authorised.allows_subscription(&Pattern::parse("/lights/**").unwrap()));
    assert_eq!(authorised.scopes().scopes(), narrow.scopes);
}

#[test]
fn every_flipped_bit_of_the_bytes_and_of_the_text_fails() {
    let good = chain_of(2, &["write:/lights/**"]);
    let holder = node(1);
    assert!(check(&good, holder).is_ok());
    let counts = |chain: Result<Chain<'_>, MalformedToken>| {
        chain.is_ok_and(|chain| check(chain.as_bytes(), holder).is_ok())
    };
    for bit in (0..good.len() * 8).step_by(ONE_IN) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!counts(Chain::from_bytes(&bytes)), "bit {bit} of the bytes");
    }
    let shown = text(&good);
    for bit in (0..shown.len() * 8).step_by(ONE_IN) {
        let mut flipped = shown.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut scratch = EMPTY;
        assert!(
            !str::from_utf8(&flipped).is_ok_and(|text| counts(Chain::parse(text, &mut scratch))),
            "bit {bit} of the text"
        );
    }
}

#[test]
fn any_change_of_any_bytes_fails() {
    any_change(&[]);
    let mut prng = Prng::new(0xca9a);
    for _ in 0..2400 / ONE_IN {
        let many = prng.below(3) + 1;
        any_change(&(0..many * 3).map(|_| prng.draw().to_le_bytes()[0]).collect::<Vec<u8>>());
    }
}

#[test]
fn attenuated_chains_never_allow_what_a_block_above_refuses_and_count_exactly_where_the_model_says()
{
    let mut prng = Prng::new(0xcab1e);
    let mut counted = [0; CAPABILITY_DEPTH + 1];
    for _ in 0..4000 / ONE_IN {
        counted[any_chain(&prng.bytes::<96>()).unwrap_or(0)] += 1;
    }
    assert!(counted[1..].iter().all(|many| *many > 0), "{counted:?}");
}

#[test]
fn cut_off_at_every_byte_or_with_a_byte_more_it_does_not_parse() {
    let good = chain_of(3, &["write:/lights/**", "read:/a"]);
    for end in 0..good.len() {
        assert_eq!(Chain::from_bytes(&good[..end]).err(), Some(MalformedToken::Truncated), "{end}");
    }
    let shown = text(&good);
    for end in 0..shown.len() {
        assert!(Chain::parse(&shown[..end], &mut { EMPTY }).is_err(), "{end}");
    }
    for more in 0..=u8::MAX {
        assert_eq!(
            Chain::from_bytes(&[&good[..], &[more]].concat()),
            Err(MalformedToken::Trailing)
        );
    }
}

#[test]
fn an_outer_signature_by_the_leafs_own_key_fails() {
    let (root, stranger) = (root(), node(1));
    let child = draft(id(&root), stranger).signed(&stranger.signing);
    assert_eq!(check(&token(&[root, child]), stranger).err(), Some(Denied::Signature));
    let own = draft(issuer(gateway()), stranger).signed(&stranger.signing);
    assert_eq!(check(&token(&[own]), stranger).err(), Some(Denied::Signature));
    let of_itself = draft(issuer(stranger), stranger).signed(&stranger.signing);
    assert_eq!(check(&token(&[of_itself]), stranger).err(), Some(Denied::OtherIssuer));
}

#[test]
fn every_signature_counts_not_only_the_last() {
    let bytes = chain_of(4, &["write:/lights/**"]);
    let block = (bytes.len() - 1) / 4;
    for forged in 0..4 {
        // From the forged block on, strangers sign as if they were its holder, so all hashes and
        // later signatures are right.
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        for (depth, part) in (0u8..).zip(bytes[1..].chunks(block)) {
            let mut body = part[..block - 64].to_vec();
            if let Some(above) = blocks.last() {
                body[..32].copy_from_slice(&id(above));
            }
            let holder = if depth == 0 { gateway() } else { node(depth - 1) };
            blocks.push(sign(body, &if depth == forged { Keys::of(99) } else { holder }.signing));
        }
        assert_eq!(
            check(&token(&blocks), node(3)).err(),
            Some(Denied::Signature),
            "block {forged}"
        );
    }
}

#[test]
fn a_chain_deeper_than_the_limit_is_neither_made_nor_read() {
    let deepest = chain_of(4, &["read:/a"]);
    let mut out = EMPTY;
    let chain = Chain::from_bytes(&deepest).unwrap();
    let deeper =
        chain.attenuate(&node(3).signing, &node(4).holder(), &terms(&["read:/a"]), &mut out);
    assert_eq!(deeper.err(), Some(CannotIssue::TooDeep));
    let next = draft(*chain.leaf().id().as_bytes(), node(4)).signed(&node(3).signing);
    let forged = [&[CAPABILITY_DEPTH as u8 + 1], &deepest[1..], &next].concat();
    assert_eq!(Chain::from_bytes(&forged).err(), Some(MalformedToken::Depth));
    assert_eq!(Chain::from_bytes(&[0]).err(), Some(MalformedToken::Depth));
    assert_eq!(Chain::from_bytes(&number(u64::MAX)).err(), Some(MalformedToken::Depth));
}

#[test]
fn a_child_that_is_wider_lives_longer_or_begins_earlier_than_its_parent_is_neither_made_nor_verified()
 {
    assert!(check(&with_child(|_| ()), node(1)).is_ok());
    type Change = fn(&mut Draft);
    let wider: [(Change, Widening); 8] = [
        (|child| child.scopes[0].0 = 2, Widening::Scopes),
        (|child| child.scopes[0].1 = "/**".to_owned(), Widening::Scopes),
        (|child| child.scopes[0].1 = "/audio".to_owned(), Widening::Scopes),
        (|child| child.scopes.push((0, "/".to_owned())), Widening::Scopes),
        (|child| child.expires = 1001, Widening::Life),
        (|child| child.expires = u64::MAX, Widening::Life),
        (|child| child.not_before = 99, Widening::Life),
        (|child| child.not_before = 0, Widening::Life),
    ];
    for (change, widening) in wider {
        let bytes = with_child(change);
        assert_eq!(check(&bytes, node(1)).err(), Some(Denied::Wider(widening)));
        let wide = Chain::from_bytes(&bytes).unwrap().leaf().terms().clone();
        let parent = chain_of(1, &["write:/lights/**"]);
        let parent = Chain::from_bytes(&parent).unwrap();
        let mut out = EMPTY;
        let made = parent.attenuate(&node(0).signing, &node(1).holder(), &wide, &mut out);
        assert_eq!(made.err(), Some(CannotIssue::Wider(widening)));
    }
}

#[test]
fn a_grandchild_wider_than_its_parent_fails_though_the_root_has_it_all() {
    let root = root();
    let mut child = draft(id(&root), node(1));
    child.scopes[0].1 = "/lights/1".to_owned();
    let child = child.signed(&node(0).signing);
    let grandchild = draft(id(&child), node(2)).signed(&node(1).signing);
    assert_eq!(
        check(&token(&[root, child, grandchild]), node(2)).err(),
        Some(Denied::Wider(Widening::Scopes))
    );
}

#[test]
fn it_counts_from_its_first_second_until_before_its_last() {
    let bytes = chain_of(2, &["read:/a"]);
    for (now, expected) in
        [(0, Some(Denied::NotYet)), (99, Some(Denied::NotYet)), (100, None), (999, None)]
    {
        assert_eq!(check_at(&bytes, node(1), now).err(), expected, "{now}");
    }
    for now in [1000, 1001, u64::MAX] {
        assert_eq!(check_at(&bytes, node(1), now).err(), Some(Denied::Expired), "{now}");
    }
    let mut never = terms(&[]);
    never.expires = never.not_before;
    assert_eq!(
        issue(&gateway().signing, &node(0).holder(), &never, &mut { EMPTY }).err(),
        Some(CannotIssue::NeverInForce)
    );
    assert_eq!(
        Chain::from_bytes(&with_child(|child| child.expires = 100)).err(),
        Some(MalformedToken::Life)
    );
}

#[test]
fn it_counts_on_no_channel_but_that_of_its_leafs_holder() {
    let bytes = chain_of(3, &["read:/a"]);
    for (depth, expected) in [
        (0, Some(Denied::NotTheHolder)),
        (1, Some(Denied::NotTheHolder)),
        (2, None),
        (3, Some(Denied::NotTheHolder)),
    ] {
        assert_eq!(check(&bytes, node(depth)).err(), expected, "{depth}");
    }
}

#[test]
fn another_gateways_chain_does_not_count() {
    let other = Keys::of(77);
    let mut out = EMPTY;
    let chain = issue(&other.signing, &node(0).holder(), &terms(&["read:/a"]), &mut out).unwrap();
    assert_eq!(check(chain.as_bytes(), node(0)).err(), Some(Denied::OtherIssuer));
    let renamed = draft(issuer(gateway()), node(0)).signed(&other.signing);
    assert_eq!(check(&token(&[renamed]), node(0)).err(), Some(Denied::Signature));
}

#[test]
fn an_audience_is_kept_by_children_and_counts_only_there() {
    let named = |name| BlockTerms { audience: Label::parse(name), ..terms(&["read:/a"]) };
    let (mut out, mut below) = (EMPTY, EMPTY);
    let parent = issue(&gateway().signing, &node(0).holder(), &named("studio"), &mut out).unwrap();
    for wider in [named("stage"), terms(&["read:/a"])] {
        let mut out = EMPTY;
        let made = parent.attenuate(&node(0).signing, &node(1).holder(), &wider, &mut out);
        assert_eq!(made.err(), Some(CannotIssue::Wider(Widening::Audience)));
    }
    let child = parent
        .attenuate(&node(0).signing, &node(1).holder(), &named("studio"), &mut below)
        .unwrap();
    let gateway = gateway().signing.public();
    let key = node(1);
    let at = |audience| {
        let check = Check {
            gateway: &gateway,
            channel: key.channel.public(),
            audience,
            now: UnixTime::from_secs(500),
        };
        verify(&child, &check, |_| false).err()
    };
    assert_eq!(at(Label::parse("studio")), None);
    assert_eq!(at(Label::parse("stage")), Some(Denied::OtherAudience));
    assert_eq!(at(None), Some(Denied::OtherAudience));
    assert_eq!(
        Chain::from_bytes(&with_child(|child| child.audience = Some("  ".to_owned()))).err(),
        Some(MalformedToken::Value)
    );
    assert_eq!(
        Chain::from_bytes(&with_child(|child| child.audience = Some("a\nb".to_owned()))).err(),
        Some(MalformedToken::Value)
    );
}

#[test]
fn revoking_any_block_or_any_holder_ends_the_chain() {
    let bytes = chain_of(4, &["read:/a"]);
    let chain = Chain::from_bytes(&bytes).unwrap();
    let (gateway, leaf) = (gateway().signing.public(), node(3));
    let check = Check {
        gateway: &gateway,
        channel: leaf.channel.public(),
        audience: None,
        now: UnixTime::from_secs(500),
    };
    let held = verify(&chain, &check, |_| false).unwrap().held().to_vec();
    assert_eq!(held.len(), 4);
    for ended in &held {
        let by_id = |held: &Held| held.id == ended.id;
        let by_node = |held: &Held| held.by == ended.by;
        assert_eq!(verify(&chain, &check, by_id).err(), Some(Denied::Revoked));
        assert_eq!(verify(&chain, &check, by_node).err(), Some(Denied::Revoked));
    }
}

#[test]
fn a_holder_without_a_signing_key_has_rights_and_delegates_none() {
    let keyless = Holder { signing: None, ..node(0).holder() };
    let mut out = EMPTY;
    let chain = issue(&gateway().signing, &keyless, &terms(&["read:/a"]), &mut out).unwrap();
    assert!(check(chain.as_bytes(), node(0)).is_ok());
    let mut below = EMPTY;
    let made =
        chain.attenuate(&node(0).signing, &node(1).holder(), &terms(&["read:/a"]), &mut below);
    assert_eq!(made.err(), Some(CannotIssue::NotTheHolder));
    // Whoever signs below it, with its former key or with the gateway's, delegates nothing either.
    for signer in [node(0), gateway()] {
        let draft = Draft { scopes: vec![], ..draft(*chain.leaf().id().as_bytes(), node(1)) };
        let child = draft.signed(&signer.signing);
        let bytes = token(&[chain.as_bytes()[1..].to_vec(), child]);
        assert_eq!(check(&bytes, node(1)).err(), Some(Denied::Signature));
    }
}

#[test]
fn nobody_looks_up_the_ids_of_a_chain_that_is_not_signed() {
    let (root, stranger) = (root(), node(1));
    let bytes = token(&[root.clone(), draft(id(&root), stranger).signed(&stranger.signing)]);
    let gateway = gateway().signing.public();
    let check = Check {
        gateway: &gateway,
        channel: stranger.channel.public(),
        audience: None,
        now: UnixTime::from_secs(500),
    };
    let asked = core::cell::Cell::new(0);
    let revoked = |_: &Held| {
        asked.set(asked.get() + 1);
        false
    };
    assert!(verify(&Chain::from_bytes(&bytes).unwrap(), &check, revoked).is_err());
    assert_eq!(asked.get(), 0);
}

#[test]
fn blocks_of_two_chains_cannot_be_swapped_left_out_or_reordered() {
    let root_of = |scope: &str| {
        let mut root = draft(issuer(gateway()), node(0));
        root.scopes.push((2, scope.to_owned()));
        root.signed(&gateway().signing)
    };
    let under = |parent: &Vec<u8>, depth: u8| {
        draft(id(parent), node(depth)).signed(&node(depth - 1).signing)
    };
    let (one, two) = (root_of("/one"), root_of("/two"));
    let (below_one, below_two) = (under(&one, 1), under(&two, 1));
    let deeper = under(&below_one, 2);
    assert!(check(&token(&[one.clone(), below_one.clone(), deeper.clone()]), node(2)).is_ok());
    for (blocks, leaf) in [
        (vec![one.clone(), below_two], node(1)),
        (vec![two.clone(), below_one.clone()], node(1)),
        (vec![two, below_one.clone(), deeper.clone()], node(2)),
        (vec![one.clone(), deeper.clone()], node(2)),
        (vec![one.clone(), one.clone()], node(0)),
    ] {
        assert_eq!(check(&token(&blocks), leaf).err(), Some(Denied::Detached));
    }
    for blocks in [vec![below_one.clone()], vec![deeper.clone()], vec![below_one, one, deeper]] {
        let leaf = Chain::from_bytes(&token(&blocks)).unwrap().leaf().holder().channel;
        let leaf =
            [node(1), node(2)].into_iter().find(|node| *node.channel.public() == leaf).unwrap();
        assert_eq!(check(&token(&blocks), leaf).err(), Some(Denied::OtherIssuer));
    }
}

#[test]
fn only_the_holder_attenuates() {
    let bytes = chain_of(2, &["read:/a"]);
    let chain = Chain::from_bytes(&bytes).unwrap();
    for key in [gateway(), node(0), node(2)] {
        let mut out = EMPTY;
        let made = chain.attenuate(&key.signing, &node(2).holder(), &terms(&["read:/a"]), &mut out);
        assert_eq!(made.err(), Some(CannotIssue::NotTheHolder));
    }
}
