//! What the registry of stores sees of this one.

use super::connection::address::Address;
use super::connection::lag::Gauge;
use super::databases::destination::Destination;
use super::source::Source;
use super::target::Target;
use crate::config::job::{Endpoint, Task};
use crate::error::Result;
use crate::store::{self, Context, Unable};

/// What a task asks that PostgreSQL cannot do: nothing of what there is so far.
pub(in crate::store) fn unable(_task: &Task) -> Vec<Unable> {
    Vec::new()
}

/// Opens a source.
pub(in crate::store) async fn open_source(
    endpoint: &Endpoint,
    context: &Context,
) -> Result<Box<dyn store::Source>> {
    let address = Address::of(endpoint, context, "source").await?;
    Ok(Box::new(Source::open(address, context).await?))
}

/// Opens a target.
pub(in crate::store) async fn open_target(
    task: &Task,
    context: &Context,
) -> Result<Box<dyn store::Target>> {
    let address = Address::of(&task.target, context, "target").await?;
    let destination = Destination::open(address, task, context).await?;
    Ok(Box::new(Target::new(destination)))
}

/// Opens what measures the source's lag.
pub(in crate::store) async fn open_gauge(
    endpoint: &Endpoint,
    context: &Context,
) -> Result<Box<dyn store::Gauge>> {
    let address = Address::of(endpoint, context, "source").await?;
    Ok(Box::new(Gauge::new(address)))
}
