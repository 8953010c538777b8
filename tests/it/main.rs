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
mod calibrate;
mod cancel;
mod classify;
mod cli;
mod decoders;
mod delay;
mod errors;
mod eval;
mod fidelity;
mod guard;
mod headers;
mod import;
mod ledger;
mod outcomes;
mod providers;
mod resilience;
mod routing;
mod storm;
mod streams;
mod tidy;
