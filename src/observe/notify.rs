//! Notifications to the service manager that has asked for them (`NOTIFY_SOCKET`): systemd, by its `Type=notify`.

pub(crate) use sd_notify::NotifyState;
use tracing::debug;

/// Notifies the service manager, if there is one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "service manager not notified");
    }
}

/// Notifies the service manager of the beginning of a reload, whose end is [`NotifyState::Ready`].
pub(crate) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "service manager not notified"),
    }
}
