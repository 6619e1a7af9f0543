//! The integration tests, in one binary: `support` is compiled once, and hookgate linked once.
//! `cargo test --test it access::` runs one module. `tests/callbacks.rs` and `tests/examples.rs` have a harness of their own.
//!
//! All modules share a process. A test that needs an environment, a current directory, a log or limits of its own starts
//! the program (`support::program`). A file that a test writes has a name that no other test uses.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

/// Who may call: addresses, passwords, paths, client certificates; the admin listener's callers.
mod access;
/// Connections to the policy: choice of address, retries, health, breaker, GOAWAY, name lookups.
mod channel;
/// The configuration: file, variables, flags, OpenIM's webhooks.yml; every mistake; `config print`.
mod config;
/// The decision log.
mod decisions;
/// `hookgate drift`.
mod drift;
/// After events in memory: replies, retries, order, pace, bounds.
mod events;
/// A policy that fails: which denial OpenIM reads.
mod faults;
/// Mutated input to the entry points of `fuzz/`.
mod fuzz;
/// What the program tells people about itself: help, version, callbacks, what to try first.
mod help;
/// After events on NATS JetStream: real servers, by `--ignored`, as `NATS_SERVER` names them.
mod jetstream;
/// The writer of log and decision lines.
mod lines;
/// Bad days under load, small; at full size by `--ignored`.
mod load;
/// The log: levels and formats.
mod log;
/// Metrics, as Prometheus scrapes them.
mod metrics;
/// Ten mistakes of beginners: what the log, `trigger` and `verify` say of each, as the manual's table has it.
mod mistakes;
/// The judge: what OpenIM makes of a reply.
mod openim;
/// The keys by which After events are kept in order.
mod ordering;
/// After events on disk: crashes, damage, order, operation; figures by `--ignored`.
mod outbox;
/// Several policies: routes to them, joined verdicts, their events, shadows and guards.
mod policies;
/// Hostile and heavy use of the listeners: limits on memory, connections, sizes, time.
mod pressure;
/// The program as people start it: arguments, output, exit codes.
mod program;
/// Properties of every callback, of random values.
mod properties;
/// Code and commands that README.md shows.
mod readme;
/// The generated references are current and complete.
mod reference;
/// A configuration that changes while the program runs.
mod reload;
/// The rooms of `src/`: none uses one above it.
mod rooms;
/// Routes: what is allowed without asking.
mod routes;
/// Failure rules: fail open, fail closed.
mod rules;
/// The contract: what holds of every message and field, and what the build refuses.
mod schema;
/// No secret and no content in anything that is said.
mod secrecy;
/// `hookgate status`, failures in `/status`, and the admin listener's index.
mod status;
/// Stopping: drains, signals, load balancers.
mod stop;
/// Parts that tests share: a policy service, hookgate in this process or as a program, clients, certificates.
mod support;
/// TLS on both sides, and Unix sockets.
mod tls;
/// Traces, as an OTLP collector gets them.
mod traces;
/// Replies that OpenIM misreads, callback by callback.
mod traps;
/// `hookgate trigger`.
mod trigger;
/// `hookgate verify`.
mod verify;
/// One webhook from request to reply: routes, metadata, connections.
mod way;
