//! What the gateway learns from outcomes and from its own traffic. Pure: scores and outcomes in, settings and
//! predictors out. Nothing here changes a setting; an operator pastes what it finds.

pub mod grade;
pub mod knob;
pub mod outcomes;
pub mod power;
pub mod thresholds;
