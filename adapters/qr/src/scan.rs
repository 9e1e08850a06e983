//! Readers for codes in tests, based on a foreign decoder.

use rqrr::{Grid, MetaData, PreparedImage, SimpleGrid};

/// Error correction level of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    L,
    M,
}

impl From<MetaData> for Level {
    fn from(found: MetaData) -> Self {
        match found.ecc_level {
            0 => Self::M,
            1 => Self::L,
            other => panic!("level {other} is never asked for"),
        }
    }
}

/// Reads the only code on an enlarged greyscale picture.
pub(super) fn photo(
    width: usize,
    height: usize,
    pixel: impl Fn(usize, usize) -> u8,
) -> (Level, String) {
    const ENLARGED: usize = 4;
    let mut image =
        PreparedImage::prepare_from_greyscale(width * ENLARGED, height * ENLARGED, |x, y| {
            pixel(x / ENLARGED, y / ENLARGED)
        });
    // The reader may take some modules of a large code for another code, which then decodes to
    // nothing.
    let read: Vec<_> = image.detect_grids().iter().filter_map(|grid| grid.decode().ok()).collect();
    let [(found, text)] = &read[..] else { panic!("{} codes are read", read.len()) };
    ((*found).into(), text.clone())
}

/// Reads a code from its modules.
pub(super) fn modules(side: usize, dark: impl Fn(usize, usize) -> bool) -> (Level, String) {
    let (found, text) = Grid::new(SimpleGrid::from_func(side, dark)).decode().unwrap();
    (found.into(), text)
}

/// Returns base64url text without a pattern, similar to a setup code.
pub(super) fn payload(length: usize) -> String {
    seeded(length, 1)
}

/// Returns text like [`payload`], different for each seed but 0.
pub(super) fn seeded(length: usize, seed: u64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut seed = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        char::from(ALPHABET[(seed >> 32) as usize % ALPHABET.len()])
    };
    (0..length).map(|_| next()).collect()
}
