#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = handfast_host_tests::capability::any_chain(data);
});
