//! Tests of the launch data.
