//! What systemd is told, see sd_notify(3). Where there is no systemd, nobody.

use std::time::Duration;

use sd_notify::NotifyState;

/// Words to the service manager, each one only when it says something new.
#[derive(Debug, Default)]
pub(super) struct Notify {
    status: String,
}

impl Notify {
    /// Schedules are kept from now on.
    pub(super) fn ready() {
        send(&[NotifyState::Ready]);
    }

    /// Files are read again; [`Notify::ready`] ends that. Both are understood by a `Type=notify` unit of systemd 252, too.
    pub(super) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
    }

    /// It will end soon, in `within` at the most, and asks not to be killed before.
    pub(super) fn stopping(within: Duration) {
        let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
        send(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(within),
        ]);
    }

    /// The scheduler's own loop has come round.
    pub(super) fn alive() {
        if sd_notify::watchdog_enabled().is_some() {
            send(&[NotifyState::Watchdog]);
        }
    }

    /// One line for `systemctl status`.
    pub(super) fn status(&mut self, text: String) {
        if self.status != text {
            send(&[NotifyState::Status(&text)]);
            self.status = text;
        }
    }
}

fn send(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
