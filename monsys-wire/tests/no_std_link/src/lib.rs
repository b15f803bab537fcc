//! The wire crate in a program without std: own panic handler, own allocator.
//!
//! If any dependency brought std along, its panic handler would be the second one, and this crate
//! would not build.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use monsys_core::id::AgentId;
use monsys_core::time::Timestamp;
use monsys_wire::device::{DeviceIdentity, Nonce};
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Received, Scratch};
use monsys_wire::header::AUTHORIZATION;
use monsys_wire::sign::{Claim, Message};
use monsys_wire::{Audience, DeviceKey, SigningKey};

/// Checks a body and signs it, so that every part of the crate is linked.
#[unsafe(no_mangle)]
pub extern "C" fn monsys_admit(first: u8) -> u16 {
    let body = [first; 64];
    let key = SigningKey::from_secret_bytes([first; 32]);
    let signed = key
        .verifying_key()
        .verify(&Message::ingest(&body), &key.sign(&Message::ingest(&body)));
    let Ok(identity) = DeviceIdentity::parse("org", "device") else {
        return 2;
    };
    let nonce = Nonce::from_random_bytes([first; 16]);
    let claim = Claim::new(&identity, &nonce, Timestamp::MAX);
    let device = DeviceKey::from_secret_bytes([first; 32]);
    let proved = device.verify(&claim, &body, &device.mac(&claim, &body));
    let owner = Credentials::new(AgentId::from_bytes([1; 16]), AuthProfile::Ed25519);
    let Ok(audience) = Audience::parse("hub") else {
        return 1;
    };
    let mut scratch = Scratch::new();
    let admitted = Received::new(&body, [(AUTHORIZATION, &body[..])])
        .and_then(|received| received.authenticate(&owner, BodyForm::Accept, &mut scratch))
        .and_then(|authenticated| authenticated.fresh(&audience))
        .and_then(|fresh| fresh.admit());
    admitted.map_or_else(|reject| reject.status(), |_| u16::from(signed.is_ok() && proved.is_ok()))
}

/// Hands out the bytes of one arena and takes none back.
struct Arena {
    used: AtomicUsize,
}

#[global_allocator]
static ARENA: Arena = Arena {
    used: AtomicUsize::new(0),
};
static mut BYTES: [u8; 1 << 16] = [0; 1 << 16];

unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let reserved = layout.size() + layout.align();
        let start = self.used.fetch_add(reserved, Ordering::Relaxed);
        if start + reserved > 1 << 16 {
            return null_mut();
        }
        let bytes = (&raw mut BYTES).cast::<u8>().wrapping_add(start);
        bytes.wrapping_add(bytes.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
