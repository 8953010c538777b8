//! MoM Gateway: one fabric, many minds.
//!
//! The path of a request is told in `ARCHITECTURE.md`; the folders follow it.

pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod eval;
pub mod gateway;
pub mod guard;
mod http;
pub mod learn;
pub mod ledger;
pub mod minds;
pub mod openai;
pub mod route;
pub mod shutdown;
pub mod telemetry;
pub mod upstream;
