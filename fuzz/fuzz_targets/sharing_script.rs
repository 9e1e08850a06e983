#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| handfast_host_tests::models::two_gateways(data));
