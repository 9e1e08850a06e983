#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| handfast_host_tests::web::any_calls(data));
