//! Tests of wiring and order.
