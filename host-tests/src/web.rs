//! The boundary of the module for browsers: any bytes are a call or none, and every answer is whole.

use handfast_web::{INPUT_BYTES, Instance, OUTPUT_BYTES};

/// Plays arbitrary bytes as calls of one instance, one behind the other: for each the milliseconds
/// since the one before (`u8`, in steps of 128) and the length (`u16`, little endian), then the call.
///
/// # Panics
/// If a call panics, is not wiped, or has an answer that is not whole.
pub fn any_calls(data: &[u8]) {
    let mut instance = Instance::new();
    let mut now = 0u64;
    let mut rest = data;
    while let Some((&[step, low, high], behind)) = rest.split_first_chunk() {
        now += u64::from(step) * 128;
        let length = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let (call, behind) = behind.split_at(length);
        rest = behind;
        one(&mut instance, call, now);
    }
}

fn one(instance: &mut Instance, call: &[u8], now: u64) {
    let mut input = [0xa5; INPUT_BYTES];
    let mut output = [0; OUTPUT_BYTES];
    let length = call.len();
    // A longer call does not fit into the buffer of the module, which then has none.
    if let Some(place) = input.get_mut(..length) {
        place.copy_from_slice(call);
    }
    let seconds = 1_700_000_000 + now / 1000;
    let answered =
        instance.call_in_place(&mut input, length, now as f64, seconds as f64, &mut output);
    if let Some(place) = input.get(..length) {
        assert!(place.iter().all(|byte| *byte == 0), "the call is wiped");
    }
    if answered == 0 {
        return;
    }
    let (deadline, mut records) = output[..answered].split_first_chunk().expect("a deadline");
    assert!(f64::from_le_bytes(*deadline) >= 0.0, "a deadline is a time from now");
    while let Some((&[kind, a, b, c, d], behind)) = records.split_first_chunk() {
        assert!(matches!(kind, 0..=8 | 32..=34), "the kind {kind} is none");
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let (bytes, behind) = behind.split_at_checked(length).expect("a record is whole");
        match kind {
            // JSON of events and refusals, and texts.
            5 | 7 | 8 => {
                assert!(core::str::from_utf8(bytes).is_ok_and(|text| text.starts_with('{')));
            }
            1 | 32 => assert!((1..=1024).contains(&bytes.len()), "a message of the wire"),
            33 => assert!((17..=1040).contains(&bytes.len()), "a handle, and a message"),
            34 => assert!((3..=1003).contains(&bytes.len()), "a status, a flag, and a part"),
            _ => {}
        }
        records = behind;
    }
    assert!(records.is_empty(), "bytes follow the last record");
}
