//! What the gateway learns from its own traffic. Pure: scores and outcomes in, settings out.
//! Nothing here changes a setting; an operator pastes what it finds.

pub mod thresholds;
