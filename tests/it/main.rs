//! Integration tests: the real gateway on port 0, real sockets, a scripted upstream, the
//! real minds where a test is about them. One binary, for link time. No mocks: a test that
//! needs a provider to misbehave writes the bytes of the misbehaviour.
#![cfg(test)]

mod client;
mod exchange;
mod gateway;
mod upstream;

mod admin;
mod asking;
mod bench;
mod budgets;
mod calibrate;
mod cancel;
mod cascade;
mod classify;
mod cli;
mod decoders;
mod delay;
mod errors;
mod eval;
mod feedback;
mod fidelity;
mod guard;
mod headers;
mod import;
mod learning;
mod ledger;
mod outcomes;
mod providers;
mod replay;
mod resilience;
mod routing;
mod shadow;
mod sticky;
mod storm;
mod streams;
mod tidy;
