//! Measuring this machine. Reports what was measured, never a constant from elsewhere.

pub mod proxy;
