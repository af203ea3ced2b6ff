//! Tests of the hostfile reader.
