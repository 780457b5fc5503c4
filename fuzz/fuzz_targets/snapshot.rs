//! A snapshot's records, any bytes: whatever they are, the cache holds together. The first two bytes say where they are cut
//! into blocks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((cut, records)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let cut = usize::from(u16::from_le_bytes(*cut));
    flagstone_server::restore_made_up(records, cut).expect("it holds together");
});
