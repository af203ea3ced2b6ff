//! Tests of the mirror machine.
