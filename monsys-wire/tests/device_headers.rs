//! The headers of the hmac profile under any bytes whatever.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::device::{Device, HEADERS};
use monsys_wire::Reject;
use monsys_wire::header::{DeviceHeaders, SignedHeaders};
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_bytes_panic_and_every_refusal_is_the_senders_fault(
        which in 0_usize..5,
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[A-Za-z0-9._-]{0,70}".prop_map(String::into_bytes),
            "[0-9]{0,21}".prop_map(String::into_bytes),
        ],
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let device = Device::new();
        let good = device.good();
        let mut request = device.good().with(HEADERS[which], Some(&value));
        if body.len() % 2 == 0 {
            request.body = body;
        }
        match device.send(&request) {
            Ok(_) => prop_assert_eq!(request.header(HEADERS[which]), good.header(HEADERS[which])),
            Err(reject) => prop_assert!((400..500).contains(&reject.status()), "{reject}"),
        }
    }

    #[test]
    fn what_is_read_is_written_in_the_same_bytes(
        org in "[A-Za-z0-9._-]{1,64}",
        name in "[A-Za-z0-9._-]{1,64}",
        seconds in 0_u64..=253_402_300_799,
        nonce in "[A-Za-z0-9_-]{16,64}",
        mac in "[0-9a-f]{64}",
    ) {
        let values = [org, name, seconds.to_string(), nonce, mac];
        let pairs = HEADERS.into_iter().zip(values.iter().map(String::as_bytes));
        let read = DeviceHeaders::parse(pairs);
        prop_assert!(read.is_ok());
        let read = read.map_err(|reject: Reject| reject.code()).unwrap();
        let written = SignedHeaders::new(&read.claim(), &read.mac());
        let written: Vec<&str> = written.iter().map(|(_, value)| value).collect();
        prop_assert_eq!(written, values.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
