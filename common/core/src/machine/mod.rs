//! State machines: `advance(&State, Event, now) -> Result<(State, Vec<Effect>), IllegalTransition>`.
//! Total over state × event; effects are data and safe to perform twice.

pub mod instance;
pub mod lease;
