//! One program for all fuzz targets, so that one is linked: `HOLDFAST_FUZZ_TARGET` says which, and libFuzzer has `main`.
//! What each target holds to be true stands in `fuzz.rs` of the crate that it is about.

#![no_main]

use std::{env, sync::LazyLock};

static PROPERTY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let target = env::var("HOLDFAST_FUZZ_TARGET").unwrap_or_default();
    match target.as_str() {
        "bill" => bills::fuzz::bill,
        "config" => edge::fuzz::configuration,
        "http" => edge::fuzz::request,
        "journal" => domain::fuzz::journal,
        "mqtt" => broker::fuzz::packets,
        "pile" => domain::fuzz::pile_message,
        "session" => broker::fuzz::session,
        other => panic!("HOLDFAST_FUZZ_TARGET={other}: `cargo xtask fuzz` sets it to a folder of fuzz/corpus"),
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (*PROPERTY)(data));
