//! The stored forms of secrets.

/// Declares the stored form of a secret: 32 bytes of a hash, which are compared in constant time and
/// redacted in every output.
macro_rules! stored_hash {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        pub struct $name([u8; 32]);

        impl $name {
            /// Restores a hash from the 32 bytes in a store.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes for a store.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl PartialEq for $name {
            /// Compares in constant time.
            fn eq(&self, other: &Self) -> bool {
                use subtle::ConstantTimeEq as _;
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}

        crate::secret::redacted!($name);
    };
}
pub(crate) use stored_hash;
