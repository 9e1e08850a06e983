//! Frames on a byte stream: whole, in pieces, damaged, and with noise between them.

use handfast_core::limits::{MESSAGE_BYTES, STREAM_BUFFER, STREAM_FRAME};
use handfast_core::wire::frame::{EncodeError, FrameDecoder, FrameError, crc32, encode};
use handfast_host_tests::prng::Prng;

type Answer = Result<Vec<u8>, FrameError>;

fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = [0xaa; STREAM_FRAME];
    encode(message, &mut out).unwrap().to_vec()
}

/// Returns all answers of a decoder to a stream that arrives in pieces.
fn heard_in<B: AsRef<[u8]> + AsMut<[u8]>>(
    mut decoder: FrameDecoder<B>,
    pieces: &[&[u8]],
) -> Vec<Answer> {
    let mut heard = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while let Some(answer) = decoder.read(&mut rest) {
            heard.push(answer.map(<[u8]>::to_vec));
        }
        assert!(rest.is_empty());
    }
    heard
}

fn heard(pieces: &[&[u8]]) -> Vec<Answer> {
    heard_in(FrameDecoder::new([0; STREAM_BUFFER]), pieces)
}

/// Returns messages of all lengths and contents that COBS treats differently.
fn messages() -> Vec<Vec<u8>> {
    let mut prng = Prng::new(0xf4a3e);
    let mut all = Vec::new();
    for length in (1..20).chain(248..262).chain(500..516).chain([MESSAGE_BYTES - 1, MESSAGE_BYTES])
    {
        all.push(vec![0; length]);
        all.push(vec![0xff; length]);
        all.push((0..length).map(|_| prng.bytes::<1>()[0]).collect());
        all.push((0..length).map(|_| prng.bytes::<1>()[0] & 1).collect());
    }
    all
}

/// Returns a message whose bytes on the wire, with the checksum, end exactly with a group of 254.
fn ends_with_a_full_group() -> Vec<u8> {
    (0..=u8::MAX)
        .map(|last| [&[7; 249][..], &[last]].concat())
        .find(|m| m[249] != 0 && !crc32(m).to_le_bytes().contains(&0))
        .unwrap()
}

#[test]
fn every_message_comes_out_as_it_went_in() {
    for message in messages() {
        let frame = frame(&message);
        let (first, inside, last) = (frame[0], &frame[1..frame.len() - 1], frame[frame.len() - 1]);
        assert!(first == 0 && last == 0 && !inside.contains(&0), "zeros are only around a frame");
        assert_eq!(heard(&[&frame]), [Ok(message)]);
    }
}

#[test]
fn a_frame_has_these_bytes() {
    assert_eq!(frame(b"0"), *b"\x00\x06\x30\x21\xdf\xdb\xf4\x00");
    assert_eq!(frame(b"123456789"), *b"\x00\x0e123456789\x26\x39\xf4\xcb\x00");
    assert_eq!(frame(&[1, 0, 2]).len(), 2 + 1 + 3 + 4);
}

#[test]
fn a_stream_may_be_split_anywhere() {
    let sent: [&[u8]; 4] = [b"one", b"2", &[0; 300], &[9; 600]];
    let stream: Vec<u8> = sent.iter().flat_map(|message| frame(message)).collect();
    let expected: Vec<Answer> = sent.iter().map(|message| Ok(message.to_vec())).collect();
    for at in 0..=stream.len() {
        let (before, after) = stream.split_at(at);
        assert_eq!(heard(&[before, after]), expected, "split at {at}");
    }
    for size in [1, 2, 3, 7, 64, 1000] {
        let pieces: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(heard(&pieces), expected, "in pieces of {size}");
    }
}

#[test]
fn no_flipped_bit_passes_for_a_message_nor_costs_the_next_one() {
    let full = ends_with_a_full_group();
    for message in [&b"heartbeat"[..], b"!", &[0; 40], &[5; 300], &full] {
        let good = frame(message);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let heard = heard(&[&good, &bad, &good]);
            let (first, rest) = heard.split_first().unwrap();
            let (last, damaged) = rest.split_last().unwrap();
            assert_eq!((first, last), (&Ok(message.to_vec()), &Ok(message.to_vec())), "bit {bit}");
            // A flipped zero at the end or the beginning is noise beside an intact frame, unless it
            // merges with the frame.
            let at_edge = bit / 8 == 0 || bit / 8 == good.len() - 1;
            for answer in damaged {
                assert!(
                    answer.is_err() || at_edge && *answer == Ok(message.to_vec()),
                    "bit {bit}: {answer:?}"
                );
            }
            assert!(!damaged.is_empty(), "bit {bit}: something is told");
        }
    }
}

#[test]
fn two_or_three_flipped_bits_do_not_pass_either() {
    let mut prng = Prng::new(0xb17);
    let message: Vec<u8> = (0..100).map(|_| prng.bytes::<1>()[0]).collect();
    let good = frame(&message);
    for _ in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..2 + prng.below(2) {
            bad[1 + prng.below(good.len() as u64 - 2) as usize] ^=
                prng.pick(&[1, 2, 4, 8, 16, 32, 64, 128]);
        }
        let heard = heard(&[&bad, &good]);
        assert_eq!(heard.last(), Some(&Ok(message.clone())));
        let before = &heard[..heard.len() - 1];
        assert!(before.iter().all(|answer| answer.is_err() || bad == good), "{before:?}");
    }
}

#[test]
fn a_sender_that_breaks_off_anywhere_does_not_cost_the_next_frame() {
    let message: Vec<u8> = (0..=255).chain(0..=255).collect();
    let whole = frame(&message);
    for kept in 0..whole.len() {
        let heard = heard(&[&whole[..kept], &whole]);
        let (last, before) = heard.split_last().unwrap();
        assert_eq!(*last, Ok(message.clone()), "{kept} bytes");
        match kept {
            0 | 1 => assert!(before.is_empty()),
            kept if kept == whole.len() - 1 => {
                assert_eq!(before, [Ok(message.clone())], "only the last zero is missing");
            }
            _ => assert!(
                matches!(before, [Err(FrameError::Truncated | FrameError::Checksum)]),
                "{kept} bytes: {before:?}"
            ),
        }
    }
}

#[test]
fn noise_between_frames_is_told_and_skipped() {
    let mut prng = Prng::new(0x4015e);
    for _ in 0..2_000 {
        let noise: Vec<u8> = (0..prng.below(1500)).map(|_| prng.bytes::<1>()[0]).collect();
        let noise = if prng.one_in(3) {
            noise.into_iter().filter(|byte| *byte != 0).collect()
        } else {
            noise
        };
        let message: Vec<u8> = (0..=prng.below(400)).map(|_| prng.bytes::<1>()[0]).collect();
        let heard = heard(&[&frame(b"before"), &noise, &frame(&message)]);
        let (first, rest) = heard.split_first().unwrap();
        let (last, between) = rest.split_last().unwrap();
        assert_eq!((first, last), (&Ok(b"before".to_vec()), &Ok(message)));
        assert!(between.iter().all(Result::is_err));
        assert_eq!(
            between.is_empty(),
            noise.iter().all(|byte| *byte == 0),
            "noise is told, silence is not"
        );
    }
}

#[test]
fn zeros_between_frames_mean_nothing() {
    let one = frame(b"x");
    assert_eq!(heard(&[&[0; 50]]), []);
    // A single zero between two frames is enough.
    assert_eq!(
        heard(&[&one[1..], &one[1..], &[0, 0], &one]),
        [Ok(b"x".to_vec()), Ok(b"x".to_vec()), Ok(b"x".to_vec())]
    );
}

#[test]
fn a_frame_that_is_too_long_is_told_at_once_and_only_once() {
    let mut decoder = FrameDecoder::new([0; STREAM_BUFFER]);
    let endless = [7; 10_000];
    let mut rest = &endless[..];
    assert_eq!(decoder.read(&mut rest), Some(Err(FrameError::TooLong)));
    assert!(rest.len() > 8_900);
    assert_eq!(decoder.read(&mut rest), None);
    assert_eq!(heard_in(decoder, &[&endless, &frame(b"next")]), [Ok(b"next".to_vec())]);
}

#[test]
fn the_buffer_bounds_what_is_read_and_the_limit_bounds_the_buffer() {
    let (longest, short) = (vec![3; MESSAGE_BYTES], b"12345678");
    let frames = [frame(&longest), frame(short)].concat();
    assert_eq!(
        heard_in(FrameDecoder::new([0; 12]), &[&frames]),
        [Err(FrameError::TooLong), Ok(short.to_vec())]
    );
    assert_eq!(
        heard_in(FrameDecoder::new([0; 11]), &[&frames]),
        [Err(FrameError::TooLong), Err(FrameError::TooLong)]
    );
    assert_eq!(
        heard_in(FrameDecoder::new(Vec::new()), &[&frames]),
        [Err(FrameError::TooLong), Err(FrameError::TooLong)]
    );
    // An encoder with a higher limit would send these bytes.
    let mut out = [0; STREAM_FRAME + 8];
    let (message, checksum) =
        (vec![3; MESSAGE_BYTES + 1], crc32(&vec![3; MESSAGE_BYTES + 1]).to_le_bytes());
    assert_eq!(encode(&message, &mut out), Err(EncodeError::MessageTooLong));
    let body = [&message[..], &checksum].concat();
    let by_hand: Vec<u8> =
        body.chunks(254).flat_map(|group| [&[group.len() as u8 + 1], group].concat()).collect();
    assert!(!checksum.contains(&0));
    assert_eq!(
        heard_in(FrameDecoder::new(vec![0; 4096]), &[&by_hand, &[0]]),
        [Err(FrameError::TooLong)]
    );
}

#[test]
fn a_frame_needs_exactly_its_own_length_and_never_more_than_the_limit() {
    for message in messages() {
        let needed = frame(&message).len();
        assert!(needed <= STREAM_FRAME);
        let mut out = vec![0; needed];
        assert!(encode(&message, &mut out).is_ok());
        assert_eq!(encode(&[], &mut out), Err(EncodeError::MessageEmpty));
        for short in [0, 1, 2, needed - 1] {
            let mut out = vec![0; short];
            assert_eq!(
                encode(&message, &mut out),
                Err(EncodeError::BufferTooSmall),
                "{short} of {needed}"
            );
        }
    }
    assert_eq!(frame(&[1; MESSAGE_BYTES]).len(), STREAM_FRAME);
}

#[test]
fn a_frame_that_is_too_short_for_a_message_is_truncated() {
    // The last case is an empty message with the checksum of an empty message: four zeros, with
    // which a damaged frame could begin.
    for inside in
        [&[1][..], &[1, 1], &[1, 1, 1, 1], &[4, 1, 2, 3], &[2], &[255, 1], &[1, 1, 1, 1, 1]]
    {
        assert_eq!(heard(&[inside, &[0]]), [Err(FrameError::Truncated)], "{inside:?}");
    }
}

#[test]
fn a_message_has_one_frame_only() {
    let message = ends_with_a_full_group();
    let good = frame(&message);
    assert_eq!((good[1], good.len()), (255, 1 + 1 + 254 + 1));
    let needless = [&good[..good.len() - 1], &[1, 0]].concat();
    assert_eq!(heard(&[&needless, &good]), [Err(FrameError::NotCanonical), Ok(message)]);
}

#[test]
fn what_is_read_from_a_frame_with_a_byte_more_or_less_would_be_sent_in_the_same_bytes() {
    for message in [ends_with_a_full_group(), vec![0; 9], b"heartbeat".to_vec()] {
        let good = frame(&message);
        for at in 1..good.len() {
            let (before, after) = good.split_at(at);
            for inserted in [1, 2, 3, 7, 254, 255] {
                for changed in
                    [[before, &[inserted], after].concat(), [before, &after[1..], &[0]].concat()]
                {
                    for answer in heard(&[&changed]).into_iter().flatten() {
                        let inside: Vec<u8> =
                            changed.iter().copied().filter(|byte| *byte != 0).collect();
                        assert_eq!(frame(&answer), [&[0], &inside[..], &[0]].concat());
                    }
                }
            }
        }
    }
}
