//! Attacks on the gate.
