//! Objects that are sent in parts.

use handfast_core::wire::native::link;
use handfast_core::wire::native::part::{Assembled, Assembly, NotAssembled, Object, Part};
use handfast_host_tests::native_wire::cut;

use super::mirror;

const OBJECTS: [Object; 4] =
    [Object::Certificates, Object::Chain, Object::Profile, Object::CompactCertificate];

/// Returns the part in a message of this implementation.
fn part_in(message: &[u8]) -> Part<'_> {
    match link::FromNode::parse(message) {
        Ok(link::FromNode::Part(part)) => part,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_object_of_every_length_is_cut_and_put_together() {
    for object in OBJECTS {
        for length in 1..=object.limit() {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let messages = cut(object, &bytes);
            let mut room = vec![0; length];
            let mut assembly = Assembly::IDLE;
            for (at, message) in messages.iter().enumerate() {
                match assembly.take(&part_in(message), &mut room) {
                    Ok(Assembled::More(next)) if at + 1 < messages.len() => assembly = next,
                    Ok(Assembled::Whole { object: whole, bytes: assembled }) => {
                        assert_eq!(
                            (whole, assembled, at + 1),
                            (object, bytes.as_slice(), messages.len())
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(
            Part::cut(object, &[]).is_none()
                && Part::cut(object, &vec![0; object.limit() + 1]).is_none()
        );
    }
}

#[test]
fn parts_that_are_missing_repeated_or_of_another_object_end_an_assembly() {
    let (certificates, chain) =
        (cut(Object::Certificates, &[1; 2500]), cut(Object::Chain, &[2; 1533]));
    let mut room = [0; 3000];
    let begun = |room: &mut [u8], count: usize| {
        certificates[..count].iter().fold(Assembly::IDLE, |assembly, message| {
            match assembly.take(&part_in(message), room) {
                Ok(Assembled::More(next)) => next,
                other => panic!("{other:?}"),
            }
        })
    };
    for count in 0..3 {
        let assembly = begun(&mut room, count);
        for (at, message) in certificates.iter().enumerate().filter(|(at, _)| *at != count) {
            let expected = if at < count { NotAssembled::Repeated } else { NotAssembled::Gap };
            assert_eq!(
                assembly.take(&part_in(message), &mut room),
                Err(expected),
                "part {at} after {count}"
            );
        }
        if count > 0 {
            assert_eq!(
                assembly.take(&part_in(&chain[count.min(1)]), &mut room),
                Err(NotAssembled::OtherObject)
            );
        }
    }
}

#[test]
fn an_object_over_its_limit_or_over_the_buffer_is_given_up_before_a_byte_of_it_too_many_is_written()
{
    let part = |object, index, last, bytes: &[u8]| {
        mirror::bytes(&mirror::LinkFromNode::Part(mirror::Part { object, index, last, bytes }))
    };
    let mut room = [0; 4096];
    // A profile of a full part, a chain of two full parts, and a chain whose last part is one byte
    // too long.
    let profile = part(mirror::Object::Profile, 0, false, &[1; 1000]);
    assert_eq!(Assembly::IDLE.take(&part_in(&profile), &mut room), Err(NotAssembled::TooLong));
    for (last, bytes) in [(false, &[1; 1000][..]), (true, &[1; 534])] {
        let first = part(mirror::Object::Chain, 0, false, &[1; 1000]);
        let Ok(Assembled::More(assembly)) = Assembly::IDLE.take(&part_in(&first), &mut room) else {
            panic!("it fits")
        };
        let message = part(mirror::Object::Chain, 1, last, bytes);
        assert_eq!(assembly.take(&part_in(&message), &mut room), Err(NotAssembled::TooLong));
        assert!(room[1000..].iter().all(|byte| *byte == 0));
    }
    let message = part(mirror::Object::Chain, 0, true, &[1; 100]);
    assert_eq!(
        Assembly::IDLE.take(&part_in(&message), &mut [0; 99]),
        Err(NotAssembled::BufferTooSmall)
    );
}
