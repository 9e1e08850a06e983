#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| handfast_host_tests::json_against_serde::agree(text));
