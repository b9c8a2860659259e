//! Pages as structures of plain values, each with its template. What fills them knows the state store; they do not.

mod access;
mod copied;
mod environments;
mod frame;
mod job;
mod job_file;
mod new_job;
mod overview;
mod part;
mod run;
mod site;

pub(super) use access::{
    Audit, AuditLine, Fresh, Login, SnapshotLine, Snapshots, TokenLine, Tokens,
};
pub(super) use copied::{Copied, CopiedLine, Stage};
pub(super) use environments::{EnvironmentLine, Environments, Masking};
pub(super) use frame::{Failed, Frame, Notice, Place, User};
pub(super) use job::{Coverage, Job, JobListing, Jobs, Recurring, Schedule, TaskDefinition};
pub(super) use job_file::{Edited, JobFile};
pub(super) use new_job::{Choice, Draft, NewJob};
pub(super) use overview::{Filter, JobLine, Need, Next, Overview, Running, Step};
pub(super) use part::{Held, Pages, Paused, RunLine, Way};
pub(super) use run::{History, Line, Masks, Run, Search, Table, Task};
pub(super) use site::{Plan, Side, Site, SiteLine, Sites, Tab};
