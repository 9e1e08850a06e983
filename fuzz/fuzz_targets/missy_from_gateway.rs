#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| handfast_host_tests::fuzz::missy_from_gateway(data));
