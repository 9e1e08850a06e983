use core::convert::Infallible;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;

/// The leaves of the known trees of Certificate Transparency's test suite.
const LEAVES: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[
        0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e,
        0x6f,
    ],
];

/// The roots of the trees with the first 0 to 8 of the leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Stored hashes; it counts the reads.
#[derive(Default)]
struct Map {
    hashes: BTreeMap<Subtree, Hash>,
    size: u64,
    reads: u64,
}

impl Subtrees for Map {
    type Error = Infallible;

    fn hash(&mut self, subtree: Subtree) -> Result<Hash, Infallible> {
        self.reads += 1;
        Ok(*self.hashes.get(&subtree).expect("only complete subtrees are asked for"))
    }
}

impl Map {
    fn add(&mut self, entry: &[u8]) {
        let (size, leaf) = (self.size, leaf_hash(entry));
        let Ok(()) = append(size, leaf, self, |map, at, hash| {
            map.hashes.insert(at, hash);
            Ok(())
        });
        self.hashes.insert(Subtree { level: 0, index: size }, leaf);
        self.size += 1;
    }

    fn root(&mut self, size: u64) -> Hash {
        let Ok(root) = root(size, self);
        root
    }
}

fn hex(text: &str) -> Hash {
    core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

fn proof(hashes: &[&str]) -> Vec<Hash> {
    hashes.iter().map(|hash| hex(hash)).collect()
}

/// The definitions of RFC 6962, section 2.1, word for word.
mod reference {
    use super::*;

    pub(super) fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            several => {
                let (left, right) = several.split_at(k(several.len()));
                node_hash(&root(left), &root(right))
            }
        }
    }

    pub(super) fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = k(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut path, sibling) = match m < k {
            true => (path(m, left), root(right)),
            false => (path(m - k, right), root(left)),
        };
        path.push(sibling);
        path
    }

    pub(super) fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { std::vec![root(leaves)] };
        }
        let k = k(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) = match m <= k {
            true => (subproof(m, left, whole), root(right)),
            false => (subproof(m - k, right, false), root(left)),
        };
        proof.push(sibling);
        proof
    }

    fn k(len: usize) -> usize {
        len.next_power_of_two() / 2
    }
}

#[test]
fn the_roots_of_the_known_trees_are_those_that_everybody_computes() {
    let mut tree = Map::default();
    assert_eq!(tree.root(0), hex(ROOTS[0]));
    for (at, leaf) in LEAVES.iter().enumerate() {
        tree.add(leaf);
        for size in 0..=tree.size {
            assert_eq!(tree.root(size), hex(ROOTS[size as usize]), "size {size} after {at}");
        }
    }
}

#[test]
fn the_known_proofs_are_made_and_accepted() {
    let mut tree = Map::default();
    LEAVES.iter().for_each(|leaf| tree.add(leaf));
    let path = proof(&[
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]);
    assert_eq!(inclusion(0, 8, &mut tree).unwrap().unwrap()[..], path);
    assert_eq!(consistency(1, 8, &mut tree).unwrap().unwrap()[..], path);
    let between = proof(&[
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]);
    assert_eq!(consistency(6, 8, &mut tree).unwrap().unwrap()[..], between);
    let (six, eight) = (hex(ROOTS[6]), hex(ROOTS[8]));
    assert_eq!(verify_consistency((6, &six), (8, &eight), &between), Ok(()));
    assert_eq!(verify_inclusion(0, &leaf_hash(LEAVES[0]), 8, &eight, &path), Ok(()));
}

#[test]
fn every_proof_of_every_tree_is_that_of_the_definition_and_is_accepted() {
    let mut tree = Map::default();
    let mut leaves = Vec::new();
    for size in 1..=40_u64 {
        let entry = size.to_be_bytes();
        tree.add(&entry);
        leaves.push(leaf_hash(&entry));
        let root = tree.root(size);
        assert_eq!(root, reference::root(&leaves));
        for earlier in 0..=size {
            let made = consistency(earlier, size, &mut tree).unwrap().unwrap();
            let expected = match earlier {
                0 => Vec::new(),
                _ => reference::subproof(earlier as usize, &leaves, true),
            };
            assert_eq!(made[..], expected, "{earlier} in {size}");
            let before = tree.root(earlier);
            assert_eq!(verify_consistency((earlier, &before), (size, &root), &made), Ok(()));
        }
        for index in 0..size {
            let made = inclusion(index, size, &mut tree).unwrap().unwrap();
            assert_eq!(made[..], reference::path(index as usize, &leaves), "{index} of {size}");
            let leaf = leaves[index as usize];
            assert_eq!(verify_inclusion(index, &leaf, size, &root, &made), Ok(()));
        }
        assert_eq!(inclusion(size, size, &mut tree).unwrap(), None);
        assert_eq!(consistency(size + 1, size, &mut tree).unwrap(), None);
    }
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let mut tree = Map::default();
    LEAVES.iter().for_each(|leaf| tree.add(leaf));
    for size in 1..=8_u64 {
        let root = tree.root(size);
        for index in 0..size {
            let made = inclusion(index, size, &mut tree).unwrap().unwrap();
            let leaf = leaf_hash(LEAVES[index as usize]);
            let verify = |index, leaf: &Hash, size, root: &Hash, proof: &[Hash]| {
                verify_inclusion(index, leaf, size, root, proof)
            };
            let other = leaf_hash(b"other");
            assert_eq!(verify(index, &other, size, &root, &made), Err(NotProven::OtherRoot));
            assert_eq!(verify(index, &leaf, size, &other, &made), Err(NotProven::OtherRoot));
            assert_eq!(verify(size, &leaf, size, &root, &made), Err(NotProven::OutOfRange));
            assert_eq!(verify(index, &leaf, 0, &root, &made), Err(NotProven::OutOfRange));
            let mut longer = made.to_vec();
            longer.push(other);
            assert_eq!(verify(index, &leaf, size, &root, &longer), Err(NotProven::WrongLength));
            for at in 0..made.len() {
                let mut changed = made.to_vec();
                changed[at][31] ^= 1;
                assert_eq!(verify(index, &leaf, size, &root, &changed), Err(NotProven::OtherRoot));
                let shorter = [&made[..at], &made[at + 1..]].concat();
                assert!(verify(index, &leaf, size, &root, &shorter).is_err());
            }
        }
        for earlier in 0..=size {
            let before = tree.root(earlier);
            let made = consistency(earlier, size, &mut tree).unwrap().unwrap();
            let other = leaf_hash(b"other");
            assert!(verify_consistency((earlier, &other), (size, &root), &made).is_err());
            if earlier > 0 {
                assert!(verify_consistency((earlier, &before), (size, &other), &made).is_err());
            }
            let mut longer = made.to_vec();
            longer.push(other);
            assert!(verify_consistency((earlier, &before), (size, &root), &longer).is_err());
            assert_eq!(
                verify_consistency((size + 1, &before), (size, &root), &made),
                Err(NotProven::OutOfRange)
            );
        }
    }
}

#[test]
fn what_is_read_grows_with_the_logarithm_of_the_size() {
    let mut tree = Map::default();
    for entry in 0..4096_u64 {
        tree.reads = 0;
        tree.add(&entry.to_be_bytes());
        assert!(tree.reads <= 12, "{} reads to append entry {entry}", tree.reads);
    }
    for size in [4095, 4096] {
        tree.reads = 0;
        tree.root(size);
        assert!(tree.reads <= 12, "{} reads for the root of {size}", tree.reads);
        tree.reads = 0;
        inclusion(7, size, &mut tree).unwrap().unwrap();
        consistency(7, size, &mut tree).unwrap().unwrap();
        assert!(tree.reads <= 2 * 80, "{} reads for two proofs", tree.reads);
    }
}
