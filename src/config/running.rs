//! `[scheduler]`, `[priority]` and `[reboot_lock]` of envsyncd.toml: when runs are started, how many, and with how much of the machine.

use std::time::Duration;

use super::job::{IoClass, OnStop, Priority, RebootLock, Settings};
use super::reader::Table;
use crate::limits;

/// How long a stopping daemon waits for runs.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(90);

pub(super) fn read_scheduler(table: Table<'_>, settings: &mut Settings) {
    if let Some(zone) = table.get("timezone").and_then(|value| value.time_zone()) {
        settings.timezone = zone;
    }
    if let Some(runs) = table
        .get("max_concurrent_runs")
        .and_then(|value| value.integer(1..=1024))
    {
        settings.max_concurrent_runs = usize::try_from(runs).unwrap_or(1);
    }
    if let Some(one) = (table.get("one_manual_run")).and_then(|value| value.boolean()) {
        settings.one_manual_run = one;
    }
    let choices = [("leave", OnStop::Leave), ("cancel", OnStop::Cancel)];
    if let Some(choice) = table.choice("on_stop", &choices, OnStop::Leave) {
        settings.on_stop = choice;
    }
    if let Some(value) = table.get("stop_timeout") {
        settings.stop_timeout = value.duration().unwrap_or(STOP_TIMEOUT);
        if settings.on_stop == OnStop::Leave {
            value.report(
                value
                    .wrong("this has no effect without `on_stop = \"cancel\"`")
                    .warning(),
            );
        }
    }
    if let Some(length) = table.get("kill_after").and_then(|value| value.duration()) {
        settings.kill_after = length;
    }
    table.finish();
}

pub(super) fn read_priority(table: Table<'_>) -> Priority {
    let mut priority = Priority::default();
    let classes = [
        ("idle", IoClass::Idle),
        ("best-effort", IoClass::BestEffort),
        ("none", IoClass::None),
    ];
    if let Some(class) = table
        .get("io_class")
        .and_then(|value| value.choice(&classes, &[]))
    {
        priority.io_class = class;
    }
    if let Some(value) = table.get("io_level")
        && let Some(level) = value.integer(0..=7)
    {
        if priority.io_class != IoClass::BestEffort {
            value.report(
                value
                    .wrong("only `io_class = \"best-effort\"` has levels")
                    .warning(),
            );
        }
        priority.io_level = u8::try_from(level).unwrap_or(priority.io_level);
    }
    if let Some(nice) = table.get("nice").and_then(|value| value.integer(-20..=19)) {
        priority.nice = i8::try_from(nice).unwrap_or(priority.nice);
    }
    if let Some(size) = table
        .get("memory_max")
        .and_then(|value| value.size(limits::LEAST_MEMORY))
    {
        priority.memory_max = size;
    }
    table.finish();
    priority
}

pub(super) fn read_reboot_lock(table: Table<'_>, lock: &mut RebootLock) {
    lock.directory = table.get("directory").and_then(|value| value.path());
    if let Some(inhibit) = table.get("inhibit").and_then(|value| value.boolean()) {
        lock.inhibit = inhibit;
    }
    table.finish();
}
