//! What a machine answers to an event that its state cannot take.

/// An event that cannot happen in a state: a fault of the caller, never of the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{machine} in state {state} cannot take {event}")]
pub struct IllegalTransition {
    /// Which machine.
    pub machine: &'static str,
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}
