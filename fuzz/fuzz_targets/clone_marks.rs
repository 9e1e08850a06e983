#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| handfast_host_tests::identity::clone_marks(data));
