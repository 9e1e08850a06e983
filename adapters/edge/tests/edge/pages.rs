//! Records of a firmware's own, longer than a page of this flash.

use handfast_edge::blocking::block_on;
use handfast_edge::pages::{KeepError, Pages, RECORD_OVERHEAD, RecordBuffer, RecordKind};

use crate::flash::{PAGE, Tear, TornFlash};

/// Two pages and a half, so that a record takes three.
const LONG: usize = 640;
const KIND: RecordKind = RecordKind::of_firmware(7);

type Cells = TornFlash<8>;

/// Returns the n-th text of a series, of very different lengths.
fn text(n: usize) -> String {
    char::from(b'a' + (n % 26) as u8).to_string().repeat(n * 97 % (LONG - RECORD_OVERHEAD - 2))
}

fn pages(cells: &Cells) -> Pages<LONG> {
    // The first page belongs to somebody else.
    Pages::new(cells, PAGE as u32).unwrap()
}

fn load(cells: &Cells) -> Result<Option<String>, KeepError> {
    let mut record = RecordBuffer::new();
    let loaded = block_on(pages(cells).load::<_, &str>(&mut cells.clone(), KIND, &mut record))?;
    Ok(loaded.map(str::to_owned))
}

fn keep(cells: &Cells, text: &str) -> Result<(), KeepError> {
    let mut record = RecordBuffer::new();
    block_on(pages(cells).replace(&mut cells.clone(), KIND, &text, &mut record, false))
}

#[test]
fn a_record_longer_than_a_page_survives_a_power_cut_at_any_write_or_erase() {
    let mut cuts = 0;
    for tear in Tear::all() {
        let cells = Cells::erased();
        keep(&cells, &text(0)).unwrap();
        for n in 1..6 {
            let (old, new) = (text(n - 1), text(n));
            for operations in 0.. {
                let torn = cells.copy();
                torn.cut_after(operations, tear);
                let outcome = keep(&torn, &new);
                if !torn.restore() {
                    assert_eq!(outcome, Ok(()));
                    break;
                }
                cuts += 1;
                let found = load(&torn).unwrap().unwrap();
                assert!(found == old || found == new, "{tear:?} {n} {operations}");
                keep(&torn, &text(n + 1)).unwrap();
                assert_eq!(load(&torn).unwrap().unwrap(), text(n + 1), "{tear:?} {n} {operations}");
            }
            keep(&cells, &new).unwrap();
        }
    }
    assert!(cuts > 600, "{cuts}");
}

#[test]
fn a_record_stays_within_its_pages() {
    let cells = Cells::erased();
    for n in 0..4 {
        keep(&cells, &text(n)).unwrap();
    }
    let bytes = cells.bytes();
    let free = |range: core::ops::Range<usize>| bytes[range].iter().all(|&byte| byte == 0xff);
    assert_eq!(Pages::<LONG>::length::<Cells>(), 6 * PAGE);
    assert!(free(0..PAGE) && free(7 * PAGE..8 * PAGE), "the neighbours' pages");
}

#[test]
fn a_value_that_is_too_long_is_refused_and_the_old_one_stays() {
    let cells = Cells::erased();
    keep(&cells, "old").unwrap();
    assert_eq!(keep(&cells, &"x".repeat(LONG)), Err(KeepError::TooLong));
    assert_eq!(load(&cells), Ok(Some("old".to_owned())));
}

#[test]
fn records_that_do_not_fit_the_flash_are_refused() {
    assert!(Pages::<LONG>::new(&Cells::erased(), 3 * PAGE as u32).is_err(), "beyond its end");
    assert!(Pages::<642>::new(&Cells::erased(), 0).is_err(), "not whole words");
}
