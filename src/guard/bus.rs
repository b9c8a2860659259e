//! What is asked of systemd and logind over D-Bus: `org.freedesktop.systemd1.Manager` and `org.freedesktop.login1.Manager`,
//! see org.freedesktop.systemd1(5) and org.freedesktop.login1(5).

mod answers;

use std::os::fd::OwnedFd;

use zbus::zvariant::{self, OwnedObjectPath, Value};

pub(super) use self::answers::{Failure, Scope, Shutdown};

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1",
    gen_blocking = false
)]
trait Logind {
    fn inhibit(
        &self,
        what: &str,
        who: &str,
        why: &str,
        mode: &str,
    ) -> zbus::Result<zvariant::OwnedFd>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn scheduled_shutdown(&self) -> zbus::Result<(String, u64)>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn preparing_for_shutdown(&self) -> zbus::Result<bool>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_blocking = false
)]
trait Systemd {
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Value<'_>)],
        others: &[(&str, Vec<(&str, Value<'_>)>)],
    ) -> zbus::Result<OwnedObjectPath>;
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        let is_refusal = matches!(&error, zbus::Error::MethodError(name, _, _)
            if name.ends_with(".AccessDenied") || name.ends_with(".InteractiveAuthorizationRequired"));
        if is_refusal {
            Self::Refused(error.to_string())
        } else {
            Self::NobodyThere(error.to_string())
        }
    }
}

async fn logind() -> zbus::Result<LogindProxy<'static>> {
    let bus = zbus::Connection::system().await?;
    // Asked once and dropped: a cache would only add a round trip and a signal subscription.
    LogindProxy::builder(&bus)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
}

/// logind shuts down only for those who insist, while what is returned is open.
pub(super) async fn inhibit_shutdown(why: &str) -> Result<OwnedFd, Failure> {
    let held = logind()
        .await?
        .inhibit("shutdown", "envsyncd", why, "block")
        .await?;
    Ok(held.into())
}

/// What logind knows of a shutdown that is under way or scheduled.
pub(super) async fn coming_shutdown() -> Result<Shutdown, Failure> {
    let logind = logind().await?;
    if logind.preparing_for_shutdown().await? {
        return Ok(Shutdown::Now);
    }
    let (mode, at) = logind.scheduled_shutdown().await?;
    Ok(Shutdown::At { mode, at })
}

/// Has systemd make a scope of this name. It is queued when this returns.
pub(super) async fn start_scope(name: &str, scope: Scope<'_>) -> Result<(), String> {
    let stop = u64::try_from(scope.stop_timeout.as_micros()).unwrap_or(u64::MAX);
    // Processor, memory and tasks are accounted for anyway. Not I/O: the controller would be switched on for all
    // services, and then a scheduler that weighs groups (BFQ) no longer holds our low priority against theirs.
    let properties = [
        ("Description", Value::from(scope.description)),
        ("PIDs", Value::from(vec![scope.pid])),
        ("Slice", Value::from(scope.slice)),
        ("CollectMode", Value::from("inactive-or-failed")),
        ("TimeoutStopUSec", Value::from(stop)),
        ("After", Value::from(scope.after.to_vec())),
    ];
    let asked = async {
        let bus = zbus::Connection::system().await?;
        SystemdProxy::builder(&bus)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?
            .start_transient_unit(name, "fail", &properties, &[])
            .await
    };
    asked
        .await
        .map(|_| ())
        .map_err(|error: zbus::Error| error.to_string())
}
