//! What the gateway learns from outcomes and from its own traffic. Pure: scores and outcomes in, settings and
//! predictors out. Nothing here changes a setting; an operator pastes what it finds.

pub mod bandit;
pub mod knob;
pub mod lessons;
pub mod ope;
pub mod outcomes;
pub mod thresholds;
