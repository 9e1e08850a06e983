//! Stored memory survives a power cut at every write and every erase.

use crate::flash::{PAGE, Tear, TornFlash};
use handfast_core::NodeId;
use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_core::wire::token::Token;
use handfast_edge::blocking::block_on;
use handfast_edge::pages::Pages;
use handfast_edge::registration::memory::{
    GeometryError, KeepError, RegistrationFlash, RegistrationStorage,
};

type Cells = TornFlash<2>;

fn chars(n: u8) -> String {
    format!("Token{n:03}").chars().chain(std::iter::repeat('x')).take(43).collect()
}

fn id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

/// Returns the n-th memory of a series in which every kind follows every other.
fn memory(n: u8) -> RegistrationMemory {
    match n % 5 {
        0 => RegistrationMemory::Blank,
        1 | 3 => RegistrationMemory::Asked { node_id: id(n) },
        _ => RegistrationMemory::Paired { node_id: id(n), token: Token::parse(&chars(n)).unwrap() },
    }
}

fn load(cells: &Cells) -> Result<RegistrationMemory, KeepError> {
    block_on(RegistrationFlash::new(cells.clone(), 0).unwrap().load())
}

fn keep(cells: &Cells, memory: &RegistrationMemory) -> Result<(), KeepError> {
    block_on(RegistrationFlash::new(cells.clone(), 0).unwrap().keep(memory))
}

#[test]
fn erased_flash_is_blank() {
    assert_eq!(load(&Cells::erased()), Ok(RegistrationMemory::Blank));
}

#[test]
fn what_is_kept_is_loaded() {
    let cells = Cells::erased();
    for n in 0..40 {
        keep(&cells, &memory(n)).unwrap();
        assert_eq!(load(&cells), Ok(memory(n)));
    }
}

#[test]
fn a_power_cut_at_any_write_or_erase_leaves_the_old_memory_or_the_new() {
    let mut cuts = 0;
    for tear in Tear::all() {
        let cells = Cells::erased();
        for n in 1..26 {
            let (old, new) = (memory(n - 1), memory(n));
            for operations in 0.. {
                let torn = cells.copy();
                torn.cut_after(operations, tear);
                let outcome = keep(&torn, &new);
                if !torn.restore() {
                    assert_eq!(outcome, Ok(()));
                    break;
                }
                cuts += 1;
                let found =
                    load(&torn).unwrap_or_else(|e| panic!("{e:?} {tear:?} {n} {operations}"));
                assert!(found == old || found == new, "{found:?} {tear:?} {n} {operations}");
                // A memory that was read as the new one must stay so.
                assert_eq!(load(&torn), Ok(found), "{tear:?} {n} {operations}");
                for later in [n, n + 1, n + 2, n + 3] {
                    keep(&torn, &memory(later))
                        .unwrap_or_else(|e| panic!("{e:?} {tear:?} {n} {operations}"));
                    assert_eq!(load(&torn), Ok(memory(later)), "{tear:?} {n} {operations}");
                }
            }
            keep(&cells, &new).unwrap();
        }
    }
    assert!(cuts > 3000, "{cuts}");
}

#[test]
fn what_is_forgotten_is_gone_from_the_flash() {
    let cells = Cells::erased();
    for n in [1, 2, 3, 4, 0] {
        keep(&cells, &memory(n)).unwrap();
    }
    let bytes = cells.bytes();
    for n in [2, 4] {
        let token = chars(n);
        assert!(!bytes.windows(8).any(|window| window == &token.as_bytes()[..8]));
    }
}

#[test]
fn flash_without_power_is_an_error_and_not_a_blank_memory() {
    let cells = Cells::erased();
    keep(&cells, &memory(2)).unwrap();
    cells.cut_after(0, Tear::Before);
    assert_eq!(keep(&cells, &memory(3)), Err(KeepError::Flash));
    assert_eq!(load(&cells), Err(KeepError::Flash));
    cells.restore();
    assert_eq!(load(&cells), Ok(memory(2)));
}

#[test]
fn many_power_cuts_in_a_row_never_lose_both_memories() {
    let tears: Vec<_> = Tear::all().collect();
    let cells = Cells::erased();
    let mut old = RegistrationMemory::Blank;
    for round in 0..20_000u32 {
        let chance = round.wrapping_mul(2_654_435_761) >> 7;
        let new = memory((round % 251) as u8);
        cells.cut_after(chance % 4, tears[chance as usize / 4 % tears.len()]);
        let outcome = keep(&cells, &new);
        cells.restore();
        let found = load(&cells).unwrap_or_else(|e| panic!("{e:?} in round {round}"));
        assert!(found == new || (found == old && outcome.is_err()), "{found:?} in round {round}");
        old = found;
    }
}

#[test]
fn pages_full_of_something_else_are_an_error_until_the_owner_forgets() {
    let cells = Cells::filled(0x5a);
    assert_eq!(load(&cells), Err(KeepError::Corrupted));
    keep(&cells, &RegistrationMemory::Blank).unwrap();
    assert_eq!(load(&cells), Ok(RegistrationMemory::Blank));
}

#[test]
fn pages_that_do_not_fit_the_flash_are_refused_by_the_rule_that_they_break() {
    let refused = |start| RegistrationFlash::new(Cells::erased(), start).err();
    assert_eq!(refused(0), None);
    assert_eq!(refused(4), Some(GeometryError::Misaligned { start: 4, page: PAGE }));
    let outside = GeometryError::Outside { end: 3 * PAGE, capacity: 2 * PAGE };
    assert_eq!(refused(PAGE as u32), Some(outside));
    assert_eq!(outside.to_string(), "the pages end at 768, behind a flash of 512 bytes");
    assert!(matches!(refused(0xffff_ff00), Some(GeometryError::Outside { .. })));
    let words = Pages::<130>::new(&Cells::erased(), 0).err();
    assert_eq!(words, Some(GeometryError::Words { record: 130, word: 4 }));
}
