//! SHA-1 of the only message that a WebSocket client hashes: 60 bytes, none of them secret, with no
//! security resting on its strength. The sha1 crate unrolls the loop to 3 KiB of flash; this takes
//! a tenth of that.

/// Length in bytes of a key with the GUID appended.
pub(super) const MESSAGE: usize = 60;

/// Computes the digest (FIPS 180-4, section 6.1.2).
pub(super) fn digest(message: &[u8; MESSAGE]) -> [u8; 20] {
    // Two blocks: the message, the end bit, zeros, and the length in bits.
    let mut blocks = [[0u32; 16]; 2];
    for (word, chunk) in blocks.iter_mut().flatten().zip(message.chunks_exact(4)) {
        *word = chunk.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    }
    let [[.., end], [.., bits]] = &mut blocks;
    *end = 1 << 31;
    *bits = 480;
    let state = blocks
        .into_iter()
        .fold([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0], compress);
    let mut out = [0; 20];
    for (place, byte) in out.iter_mut().zip(state.into_iter().flat_map(u32::to_be_bytes)) {
        *place = byte;
    }
    out
}

fn compress(state: [u32; 5], mut w: [u32; 16]) -> [u32; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = state;
    for round in 0u8..80 {
        let (f, k) = match round {
            0..20 => (b & c | !b & d, 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        // The schedule is rotated, so the word of this round is always first.
        let [w0, _, w2, _, _, _, _, _, w8, _, _, _, _, w13, ..] = w;
        let t = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(w0);
        w.rotate_left(1);
        let [.., last] = &mut w;
        *last = (w13 ^ w8 ^ w2 ^ w0).rotate_left(1);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, t);
    }
    let mut sums = state;
    for (sum, word) in sums.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(word);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_zeros_hash_as_everywhere() {
        let expected = [
            0xfb, 0x3d, 0x8f, 0xb7, 0x45, 0x70, 0xa0, 0x77, 0xe3, 0x32, 0x99, 0x3f, 0x7d, 0x3d,
            0x27, 0x60, 0x35, 0x01, 0xb9, 0x87,
        ];
        assert_eq!(digest(&[0; MESSAGE]), expected);
    }
}
