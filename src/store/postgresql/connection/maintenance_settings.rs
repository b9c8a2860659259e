//! What building an index may take of the target's server: memory and helpers, shared by all that are built at a time.

use super::address::Address;

/// More memory than this makes no sort faster.
const MOST_KB: u64 = 1024 * 1024;

/// The statements for a session of one of so many workers, on a machine with so many cores. What the URL's own `options`
/// speak of stays as it is.
pub(in crate::store::postgresql) fn statements(
    address: &Address,
    workers: usize,
    cores: usize,
) -> String {
    let mut script = String::new();
    if !address.says("maintenance_work_mem") {
        script.push_str(&memory(workers));
    }
    if !address.says("max_parallel_maintenance_workers") {
        script.push_str(&helpers(workers, cores));
    }
    script
}

/// An eighth of the memory that the server was given to share, divided among the workers. Never less than the server's
/// own setting.
fn memory(workers: usize) -> String {
    let shares = 8 * workers.max(1);
    format!(
        "SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, \
         least(pg_size_bytes(current_setting('shared_buffers')) / 1024 / {shares}, {MOST_KB}))::text || 'kB', false);"
    )
}

/// Several indexes are built at a time: with more helpers than cores are left, they would stand in each other's way.
/// Never more than the server's own setting.
fn helpers(workers: usize, cores: usize) -> String {
    let left = (cores / workers.max(1)).saturating_sub(1);
    format!(
        "SELECT set_config('max_parallel_maintenance_workers', \
         least(current_setting('max_parallel_maintenance_workers')::int, {left})::text, false);"
    )
}
