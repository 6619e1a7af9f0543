//! Listening sockets that the process was started with (`LISTEN_FDS`), as systemd passes them.

use std::io;

use listenfd::ListenFd;

use super::listener::Listener;
use crate::config::Address;

/// Listening sockets that the process was started with. The parent keeps them open, so they outlive the process: connections
/// that it does not accept are left for its successor.
#[derive(Debug)]
pub(crate) struct Inherited(Vec<(Address, Listener)>);

impl Inherited {
    /// Takes the sockets, which can be done once in a process. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If one is neither a TCP nor a Unix stream socket, or has no address that the configuration could name.
    pub(crate) fn from_env() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).map(|place| {
            let listener = listener(&mut passed, place);
            let listener = listener.and_then(|listener| Ok((listener.address()?, listener)));
            listener.map_err(|error| io::Error::new(error.kind(), format!("socket {place} of LISTEN_FDS: {error}")))
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Returns true if no socket was passed, or all are taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the socket with this address, if there is one.
    pub(crate) fn take(&mut self, address: &Address) -> Option<Listener> {
        let place = self.0.iter().position(|(own, _)| own == address)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Returns the address of a socket that was not taken.
    pub(crate) fn left_over(&self) -> Option<&Address> {
        self.0.first().map(|(address, _)| address)
    }
}

fn listener(passed: &mut ListenFd, place: usize) -> io::Result<Listener> {
    // A socket of another kind stays where it is.
    if let Ok(Some(socket)) = passed.take_unix_listener(place) {
        return Listener::inherited_unix(socket);
    }
    match passed.take_tcp_listener(place) {
        Ok(Some(socket)) => Listener::inherited_tcp(socket),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a TCP nor a Unix stream socket")),
    }
}
