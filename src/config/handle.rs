//! The configuration in force, which a reload replaces as a whole.

use std::sync::Arc;

use tokio::sync::watch;

use super::Config;

/// A handle of the configuration in force. Clones see the same changes.
#[derive(Debug, Clone)]
pub struct ConfigHandle(watch::Receiver<Arc<Config>>);

impl ConfigHandle {
    /// Returns a handle, and the sender that replaces its configuration.
    pub fn changing(config: Config) -> (watch::Sender<Arc<Config>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(config));
        (sender, Self(receiver))
    }

    /// Returns the configuration now in force. Take two values from one result: the next may be of another configuration.
    pub fn now(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// Waits for the next change and returns the newest configuration. Never ends if the sender is dropped.
    pub async fn changed(&mut self) -> Arc<Config> {
        match self.0.changed().await {
            Ok(()) => self.0.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl From<Config> for ConfigHandle {
    /// A handle of a configuration that never changes.
    fn from(config: Config) -> Self {
        Self::changing(config).1
    }
}
