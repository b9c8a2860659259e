//! In place of D-Bus, in a build without the feature `systemd`.

mod answers;

use std::os::fd::OwnedFd;

pub(super) use self::answers::{Failure, Scope, Shutdown};

const WHY: &str = "this envsyncd was built without systemd";

#[allow(clippy::unused_async)]
pub(super) async fn inhibit_shutdown(_: &str) -> Result<OwnedFd, Failure> {
    Err(Failure::NobodyThere(WHY.to_owned()))
}

#[allow(clippy::unused_async)]
pub(super) async fn coming_shutdown() -> Result<Shutdown, Failure> {
    Err(Failure::NobodyThere(WHY.to_owned()))
}

#[allow(clippy::unused_async)]
pub(super) async fn start_scope(_: &str, _: Scope<'_>) -> Result<(), String> {
    Err(WHY.to_owned())
}
