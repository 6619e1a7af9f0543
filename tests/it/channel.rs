//! What carries calls to the policy service, with real sockets: which calls it loses, and which it does not.

mod addresses;
mod breaker;
mod connection;
mod goaway;
mod health;
mod late;
mod metadata;
mod names;
mod outliers;
mod retry;
mod server;
mod tls;
mod unanswered;
