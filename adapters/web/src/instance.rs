//! One instance of the module: at most one node, one companion and one phone.

use zeroize::Zeroize;

#[cfg(feature = "node")]
use crate::call::Call;
use crate::clock::Clock;
#[cfg(feature = "node")]
use crate::peers::Peers;
#[cfg(feature = "phone")]
use crate::phone::WebPhone;
#[cfg(feature = "phone")]
use crate::phone_call::PhoneCall;
use crate::reply::Reply;

/// Size of the buffer for calls: the longest, a setup code, has room in it.
pub const INPUT_BYTES: usize = 8 * 1024;
/// Size of the buffer for answers. An answer has at most four effects of core's machine and three
/// records of this crate's own. The longest are the memory with its token, a message of the
/// application, and three messages of the wire.
pub const OUTPUT_BYTES: usize = 16 * 1024;

/// The roles that the crate's features name, and the clock that they share.
#[derive(Default)]
pub struct Instance {
    #[cfg(feature = "node")]
    peers: Peers,
    #[cfg(feature = "phone")]
    phone: WebPhone,
}

impl Instance {
    /// Makes an instance in which no role is used yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            #[cfg(feature = "node")]
            peers: Peers::new(),
            #[cfg(feature = "phone")]
            phone: WebPhone::new(),
        }
    }

    /// Carries out the call in the first `length` bytes of `input`, and wipes them. Returns the
    /// length of the answer in `output`; 0 if the bytes are no call, which changes nothing.
    ///
    /// `now_millis` is monotonic, from any start; `unix_secs` is the wall clock.
    pub fn call_in_place(
        &mut self,
        input: &mut [u8],
        length: usize,
        now_millis: f64,
        unix_secs: f64,
        output: &mut [u8],
    ) -> usize {
        let clock = Clock::new(now_millis, unix_secs);
        // A length beyond the buffer gives an empty call, which has no answer.
        let bytes = input.get_mut(..length).unwrap_or_default();
        let answered = self.call(bytes, clock, Reply::new(output));
        // A call may hold keys or a code, so it is wiped.
        bytes.zeroize();
        answered
    }

    fn call(&mut self, bytes: &[u8], clock: Clock, mut reply: Reply<'_>) -> usize {
        #[cfg(feature = "phone")]
        if let Some(call) = PhoneCall::read(bytes) {
            self.phone.call(call, clock.now, &mut reply);
            return reply.finish(self.deadline_in(clock));
        }
        #[cfg(feature = "node")]
        if let Some(call) = Call::read(bytes) {
            self.peers.call(call, clock, &mut reply);
            return reply.finish(self.deadline_in(clock));
        }
        0
    }

    /// Returns the time until the next call of `Tick` is due, in milliseconds. A phone has no
    /// deadlines: the host bounds its requests.
    #[cfg_attr(
        not(feature = "node"),
        allow(unused_variables, reason = "only a node has deadlines")
    )]
    fn deadline_in(&self, clock: Clock) -> f64 {
        #[cfg(feature = "node")]
        if let Some(wait) = self.peers.deadline_in(clock) {
            return wait.as_millis() as f64;
        }
        f64::INFINITY
    }
}

#[cfg(test)]
#[cfg(feature = "node")]
mod tests {
    use super::*;

    /// Writes a call with these fields.
    fn call(number: u8, fields: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![number];
        for field in fields {
            bytes.extend(u16::try_from(field.len()).unwrap().to_le_bytes());
            bytes.extend(*field);
        }
        bytes
    }

    /// Carries out a call a second after the start, and returns the deadline with the records.
    fn answer(instance: &mut Instance, mut call: Vec<u8>) -> (f64, Vec<(u8, Vec<u8>)>) {
        let mut output = vec![0; OUTPUT_BYTES];
        let length = call.len();
        let answered = instance.call_in_place(&mut call, length, 1000.0, 1e9, &mut output);
        assert!(call.iter().all(|byte| *byte == 0), "the call is wiped");
        let (head, mut rest) = output[..answered].split_first_chunk().expect("an answer");
        let mut records = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<5>() {
            let [kind, a, b, c, d] = *head;
            let (bytes, behind) = behind.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
            records.push((kind, bytes.to_vec()));
            rest = behind;
        }
        (f64::from_le_bytes(*head), records)
    }

    fn boot(stored: &[u8]) -> Vec<u8> {
        call(0, &[&[7; 64], stored, b"Lamp", b"", b"", b""])
    }

    fn described(instance: &mut Instance) -> String {
        let (_, records) = answer(instance, call(14, &[]));
        String::from_utf8(records[0].1.clone()).unwrap()
    }

    #[test]
    fn a_new_node_is_stored_before_anything_else_and_is_the_same_when_it_starts_again() {
        let mut instance = Instance::new();
        let (deadline, records) = answer(&mut instance, boot(&[]));
        assert_eq!(deadline, f64::INFINITY, "it waits for its owner");
        let [(4, stored)] = &records[..] else { panic!("{records:?}") };
        let mut again = Instance::new();
        assert_eq!(answer(&mut again, boot(stored)).1, []);
        assert_eq!(described(&mut again), described(&mut instance));
        assert!(described(&mut again).contains(r#""state":"Idle","linked":false"#));
    }

    #[test]
    fn stored_bytes_of_another_version_or_damaged_ones_are_refused_with_the_reason() {
        for (stored, code) in [(&[2][..], "stored_version"), (&[1, 2, 3][..], "stored_damaged")] {
            let (_, records) = answer(&mut Instance::new(), boot(stored));
            assert!(String::from_utf8_lossy(&records[0].1).contains(code), "{code}");
        }
    }

    #[test]
    fn a_node_that_is_to_pair_connects_with_the_next_tick() {
        let mut instance = Instance::new();
        answer(&mut instance, boot(&[]));
        let (deadline, _) = answer(&mut instance, call(6, &[&[1], b"", b""]));
        assert_eq!(deadline, 0.0);
        let (_, records) = answer(&mut instance, call(1, &[]));
        assert_eq!(records, [(0, vec![])], "connect");
        let (_, records) = answer(&mut instance, call(2, &[&[9; 32]]));
        let sent: Vec<_> = records.iter().map(|(kind, bytes)| (*kind, bytes.len())).collect();
        assert_eq!(sent, [(1, 2), (1, 32)], "Open, and the first message of XX");
    }

    #[test]
    fn a_call_without_its_random_bytes_is_refused_and_changes_nothing() {
        let mut instance = Instance::new();
        let (_, records) = answer(&mut instance, call(2, &[&[9; 32]]));
        assert!(String::from_utf8_lossy(&records[0].1).contains("no_node"));
        let short = call(0, &[&[7; 63], b"", b"Lamp", b"", b"", b""]);
        let (_, records) = answer(&mut instance, short);
        assert!(String::from_utf8_lossy(&records[0].1).contains("entropy"));
        assert!(described(&mut instance).contains("no_node"));
    }

    #[test]
    fn bytes_that_are_no_call_have_no_answer() {
        let mut output = [0; 64];
        for mut bytes in [vec![], vec![0xff], vec![1, 0]] {
            let length = bytes.len();
            let answered =
                Instance::new().call_in_place(&mut bytes, length, f64::NAN, -1.0, &mut output);
            assert_eq!(answered, 0);
        }
        assert_eq!(Instance::new().call_in_place(&mut [1], 2, 0.0, 0.0, &mut output), 0);
    }

    #[test]
    fn a_companion_shows_its_code_and_hears_the_answer() {
        let mut instance = Instance::new();
        let (deadline, records) = answer(&mut instance, call(18, &[b"e30.AAAA"]));
        assert_eq!(deadline, 10_000.0);
        assert_eq!(records, [(8, br#"{"bootstrap_token":"e30.AAAA"}"#.to_vec())]);
        let (deadline, records) = answer(&mut instance, call(19, &[br#"{"error":"expired"}"#]));
        assert_eq!(deadline, f64::INFINITY);
        assert_eq!(records, [(5, br#"{"event":"refused","reason":"expired"}"#.to_vec())]);
    }
}
