//! Sockets of tokio as streams of embedded-io, and a repeatable generator.

use std::convert::Infallible;

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorType, Read, Write};
use handfast_edge::ports::Stream;
use rand_core::{TryCryptoRng, TryRng};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

pub(crate) struct Tcp<T>(pub(crate) FromTokio<T>);

impl<T> ErrorType for Tcp<T> {
    type Error = std::io::Error;
}

impl<T: AsyncRead + Unpin> Read for Tcp<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf).await
    }
}

impl<T: AsyncWrite + Unpin> Write for Tcp<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().await
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for Tcp<T> {
    async fn close(&mut self) {
        let _ = self.0.inner_mut().shutdown().await;
    }
}

/// A SplitMix64 generator: repeatable, and for tests only.
pub(crate) struct Chance(pub(crate) u64);

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ z >> 31)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Chance {}
