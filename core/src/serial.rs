//! Building blocks of the formats that postcard carries: the native messages, capability tokens
//! and the records on devices. A value is checked by its own parser when it is read, so a format
//! holds nothing that its type does not allow.

use postcard::ser_flavors::Flavor;

/// Arrays of bytes, bare: their length is fixed, so none is written. A field names this module:
/// `#[serde(with = "byte_array")]`. serde's own arrays end at 32 bytes, and unroll each read.
pub mod byte_array {
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::{SerializeTuple, Serializer};

    /// Writes the bytes.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut tuple = to.serialize_tuple(N)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// Those of the deserialiser.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let mut bytes = [0; N];
        fill(from, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads as many bytes as the slice has, in place.
    pub(crate) fn fill<'de, D: Deserializer<'de>>(
        from: D,
        bytes: &mut [u8],
    ) -> Result<(), D::Error> {
        from.deserialize_tuple(bytes.len(), Fill(bytes))
    }

    struct Fill<'a>(&'a mut [u8]);

    impl<'de> Visitor<'de> for Fill<'_> {
        type Value = ();

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("bytes of a fixed number")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<(), A::Error> {
            for place in self.0 {
                *place = bytes.next_element()?.ok_or_else(|| A::Error::custom("too few bytes"))?;
            }
            Ok(())
        }
    }
}

/// Returns `true` if the bytes are exactly what postcard writes for the value.
pub fn is_form_of(value: &impl serde::Serialize, bytes: &[u8]) -> bool {
    postcard::serialize_with_flavor(value, Expected(bytes)).is_ok()
}

/// A target of postcard that takes only the bytes that it expects.
struct Expected<'b>(&'b [u8]);

impl Flavor for Expected<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // The form is compared while it is written, so that it needs no buffer.
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }
}

/// Implements serde's traits for a type that holds a checked text, by its parser and its accessor.
macro_rules! serial_text {
    ($name:ident, $parse:expr, $text:ident) => {
        impl serde::Serialize for $name<'_> {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.$text())
            }
        }

        impl<'de: 'b, 'b> serde::Deserialize<'de> for $name<'b> {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let parse: fn(&'b str) -> Option<Self> = $parse;
                let text = <&'b str as serde::Deserialize>::deserialize(from)?;
                parse(text).ok_or_else(|| serde::de::Error::custom("the text is not allowed here"))
            }
        }
    };
}

/// Implements serde's traits for a type that holds a checked array of bytes, by its parser and its
/// accessor.
macro_rules! serial_bytes {
    ($name:ident, $parse:expr, $bytes:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::serial::byte_array::serialize(self.$bytes(), to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let bytes = $crate::serial::byte_array::deserialize(from)?;
                $parse(&bytes).ok_or_else(|| serde::de::Error::custom("no such value"))
            }
        }
    };
}

pub(crate) use {serial_bytes, serial_text};
