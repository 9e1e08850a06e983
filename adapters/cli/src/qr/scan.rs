//! Reading codes back in tests, with a decoder that we did not write.

use rqrr::{Grid, MetaData, PreparedImage, SimpleGrid};

/// How much of a code may be lost.
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

/// Takes a photograph of a picture, enlarged, and reads the one code on it.
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
    // In a large code the reader may take some modules for another code, which then reads as
    // nothing.
    let read: Vec<_> = image.detect_grids().iter().filter_map(|grid| grid.decode().ok()).collect();
    let [(found, text)] = &read[..] else { panic!("{} codes are read", read.len()) };
    ((*found).into(), text.clone())
}

/// Reads a code whose dark modules are known.
pub(super) fn modules(side: usize, dark: impl Fn(usize, usize) -> bool) -> (Level, String) {
    let (found, text) = Grid::new(SimpleGrid::from_func(side, dark)).decode().unwrap();
    (found.into(), text)
}

/// A text as setup codes have it: base64url that follows no pattern.
pub(super) fn payload(length: usize) -> String {
    seeded(length, 1)
}

/// As [`payload`], another for each seed but 0.
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
