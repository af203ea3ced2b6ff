//! Tests of line assembly.
