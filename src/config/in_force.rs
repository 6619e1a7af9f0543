//! The configuration in force, which changes as a whole.

use std::sync::Arc;

use tokio::sync::watch;

use super::Config;

/// The configuration in force. Its clones follow the same changes.
#[derive(Debug, Clone)]
pub struct InForce(watch::Receiver<Arc<Config>>);

impl InForce {
    /// A configuration that changes with what is sent.
    pub fn changing(config: Config) -> (watch::Sender<Arc<Config>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(config));
        (sender, Self(receiver))
    }

    /// What is in force now. Whoever needs two things of it takes both from one.
    pub fn now(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// What is in force after the next change; of several since the last time the newest alone, at once. Never ends where
    /// there will be none.
    pub async fn changed(&mut self) -> Arc<Config> {
        match self.0.changed().await {
            Ok(()) => self.0.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl From<Config> for InForce {
    /// One that never changes.
    fn from(config: Config) -> Self {
        Self::changing(config).1
    }
}
