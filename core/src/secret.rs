//! Secret bytes: wiped on drop, redacted in every output, compared in constant time.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes. The type has no `Clone`, `Copy` or `Serialize`; the only access is
/// [`expose`](Secret::expose) and, for a field of a format, [`exposed`]: both are easy to search
/// for.
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes ownership of the bytes; the caller wipes its own copy.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Borrows the secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Prints types as their names and nothing of their content, by `Debug` and by `defmt::Format`.
macro_rules! redacted {
    ($($name:ident $(<$lifetime:lifetime>)?),* $(,)?) => {$(
        impl core::fmt::Debug for $name $(<$lifetime>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for $name $(<$lifetime>)? {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=str}(redacted)", stringify!($name));
            }
        }
    )*};
}
pub(crate) use redacted;

/// Overwrites the bytes with zeros. It is not generic, so one copy of the code serves secrets of
/// every length.
#[inline(never)]
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

impl<const N: usize> PartialEq for Secret<N> {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

/// Compares bytes of one length in constant time. It is not generic, as [`wipe`] is not.
#[inline(never)]
fn same(ours: &[u8], theirs: &[u8]) -> bool {
    // By words, since each comparison passes an optimisation barrier.
    let ((ours, our_rest), (theirs, their_rest)) = (ours.as_chunks::<8>(), theirs.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let rest = our_rest.ct_eq(their_rest);
    let words = ours.iter().zip(theirs);
    words.fold(rest, |same, (a, b)| same & word(a).ct_eq(&word(b))).into()
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> core::fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Secret<{N}>(redacted)")
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for Secret<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Secret(redacted)");
    }
}

/// Serialises a secret field, which names this module: `#[serde(with = "secret::exposed")]`.
/// [`Secret`] itself has no serialisation, so each field that leaves memory is found by this name.
/// The caller writes only into a buffer that it wipes or seals.
pub mod exposed {
    use core::marker::PhantomData;

    use serde::de::{Deserializer, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::Secret;
    use crate::serial::byte_array;

    /// A secret that a format may hold.
    pub trait Expose {
        /// Writes the secret.
        ///
        /// # Errors
        /// Those of the serialiser.
        fn expose_to<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error>;
    }

    /// A secret that can be read from a format.
    pub trait Conceal<'de>: Sized {
        /// Reads the secret.
        ///
        /// # Errors
        /// Those of the deserialiser, or the value is not allowed.
        fn conceal_from<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
    }

    /// Writes the secret.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<T: Expose, S: Serializer>(secret: &T, to: S) -> Result<S::Ok, S::Error> {
        secret.expose_to(to)
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// Those of the deserialiser, or the value is not allowed.
    pub fn deserialize<'de, T: Conceal<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::conceal_from(from)
    }

    impl<const N: usize> Expose for Secret<N> {
        fn expose_to<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            byte_array::serialize(self.expose(), to)
        }
    }

    impl<'de, const N: usize> Conceal<'de> for Secret<N> {
        fn conceal_from<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            // Read in place, so that no copy stays behind, not even of a part.
            let mut secret = Self::new([0; N]);
            byte_array::fill(from, &mut secret.0)?;
            Ok(secret)
        }
    }

    struct Exposed<'a, T>(&'a T);

    impl<T: Expose> Serialize for Exposed<'_, T> {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            self.0.expose_to(to)
        }
    }

    impl<T: Expose> Expose for Option<T> {
        fn expose_to<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match self {
                None => to.serialize_none(),
                Some(secret) => to.serialize_some(&Exposed(secret)),
            }
        }
    }

    impl<'de, T: Conceal<'de>> Conceal<'de> for Option<T> {
        fn conceal_from<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_option(Optional(PhantomData))
        }
    }

    struct Optional<T>(PhantomData<T>);

    impl<'de, T: Conceal<'de>> Visitor<'de> for Optional<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("a secret or none")
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            T::conceal_from(from).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let shown = format!("{:?}", Secret::new(*b"hunter2!"));
        assert_eq!(shown, "Secret<8>(redacted)");
    }

    #[test]
    fn secrets_are_equal_only_byte_for_byte() {
        assert_eq!(Secret::new([7; 4]), Secret::new([7; 4]));
        assert_ne!(Secret::new([7, 7, 7, 7]), Secret::new([7, 7, 7, 6]));
        for at in 0..19 {
            let mut other = [7; 19];
            other[at] ^= 0x10;
            assert_ne!(Secret::new([7; 19]), Secret::new(other), "byte {at}");
        }
        assert_eq!(Secret::new([7; 19]), Secret::new([7; 19]));
    }
}
