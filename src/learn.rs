//! What the gateway learns from outcomes and from its own traffic. Pure: scores and outcomes in, settings and
//! predictors out. Nothing here changes a setting; an operator pastes what it finds. The one exception is
//! [`bandit`], on routes that ask for it and once [`ope`] says that it is better.

pub mod bandit;
pub mod grade;
pub mod knob;
pub mod lessons;
pub mod ope;
pub mod outcomes;
pub mod power;
pub mod replay;
pub mod simulation;
pub mod thresholds;
