//! Tests of Handfast.
