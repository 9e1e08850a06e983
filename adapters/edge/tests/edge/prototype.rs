//! The parts that a board has before its own are written: flash in RAM and in a file, and
//! randomness of another generation.

use handfast_core::{Entropy, NodeId};
use handfast_edge::blocking::block_on;
use handfast_edge::native::memory::{CertificateFlash, NativeFlash, keys};
use handfast_edge::prototype::RamFlash;
use handfast_edge::random::FillBytes;

use crate::net::Chance;

const LENGTH: usize = CertificateFlash::<RamFlash<0>>::LENGTH;

#[test]
fn every_storage_works_in_ram_as_in_flash() {
    let mut keep = CertificateFlash::new(RamFlash::<LENGTH>::new(), 0).unwrap();
    let own = block_on(keys(&mut keep, &mut Chance(1))).unwrap();
    let mut keep = CertificateFlash::new(keep.into_flash(), 0).unwrap();
    let again = block_on(keys(&mut keep, &mut Chance(2))).unwrap();
    assert_eq!(own.channel.public(), again.channel.public());
    assert!(NativeFlash::new(RamFlash::<1023>::new(), 0).is_err());
}

#[cfg(feature = "std")]
#[test]
fn a_file_keeps_the_keys_and_the_pairing_over_a_restart() {
    use handfast_core::flow::native::node::NativeMemory;
    use handfast_edge::native::memory::NativeStorage as _;
    use handfast_edge::prototype::FileFlash;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flash.bin");
    let asked = |gateway| NativeMemory::Asked { gateway };
    let own = {
        let mut keep = NativeFlash::new(FileFlash::open(&path, 1024).unwrap(), 0).unwrap();
        let own = block_on(keys(&mut keep, &mut Chance(1))).unwrap();
        block_on(keep.keep(&asked(*own.channel.public()))).unwrap();
        own
    };
    // A longer flash keeps what is there.
    let mut keep = NativeFlash::new(FileFlash::open(&path, 2000).unwrap(), 0).unwrap();
    assert_eq!(block_on(keep.load()), Ok(asked(*own.channel.public())));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 2048);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A driver's generator, which counts.
struct Driver(u8);

impl rand_core_0_6::RngCore for Driver {
    fn next_u32(&mut self) -> u32 {
        rand_core_0_6::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core_0_6::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| {
            self.0 += 1;
            self.0
        });
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_0_6::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_0_9::RngCore for Driver {
    fn next_u32(&mut self) -> u32 {
        rand_core_0_9::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core_0_9::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        rand_core_0_6::RngCore::fill_bytes(self, bytes);
    }
}

#[test]
fn generators_of_older_generations_fit() {
    let (mut older, mut old) = (Driver(0), Driver(0));
    let mut older = FillBytes::new(|bytes: &mut [u8]| {
        rand_core_0_6::RngCore::fill_bytes(&mut older, bytes);
    });
    let mut old = FillBytes::new(|bytes: &mut [u8]| {
        rand_core_0_9::RngCore::fill_bytes(&mut old, bytes);
    });
    let counted = NodeId::new(&Entropy::from_recorded(core::array::from_fn(|at| at as u8 + 1)));
    assert_eq!(NodeId::new(&Entropy::draw(&mut older)), counted);
    assert_eq!(NodeId::new(&Entropy::draw(&mut old)), counted);
}
