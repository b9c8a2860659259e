//! Keys of a task that do not go together with what else the task says.

use crate::config::job::{KeepPrevious, Mode, StoreKind};
use crate::config::reader::Table;
use crate::config::stores::{StoreFormat, Stores};

/// Refuses the keys that are another store's own.
pub(super) fn refuse_of_others(table: &Table<'_>, kind: StoreKind, stores: Stores) {
    let own = stores
        .of_kind(kind)
        .map_or(&[][..], |store| store.own_keys());
    for store in stores.all() {
        for key in store.own_keys().iter().map(|key| key.name) {
            if own.iter().any(|own| own.name == key) {
                continue;
            }
            if let Some(value) = table.get(key) {
                let of = store.kind();
                let what = format!("`{key}` is for kind {of}, and this task's is {kind}");
                value.report(value.wrong(what).help(format!("leave `{key}` out")));
            }
        }
    }
}

/// Keys of a task that a push has no use for, with the reason.
const NOT_IN_A_PUSH: [(&str, &str); 6] = [
    (
        "canary",
        "there is no server that could be asked for rows of a snapshot",
    ),
    ("keep", "a snapshot has no rows of its own that could stay"),
    (
        "leave_out",
        "what a table needs is looked at where it is restored",
    ),
    (
        "scripts",
        "there is no server that could run them on a snapshot",
    ),
    (
        "previous",
        "a push replaces nothing: how many snapshots are kept is said beside the archive's `url`",
    ),
    (
        "roles",
        "whom things belong to is decided where they are restored",
    ),
];

/// Refuses keys of a task that a push or a pull cannot follow.
pub(super) fn refuse_with_archives(
    table: &Table<'_>,
    from_archive: bool,
    to_archive: bool,
    stores: Stores,
) {
    let refuse = |key, why: &str, help: &str| {
        if let Some(value) = table.get(key) {
            value.report(value.wrong(why).help(help));
        }
    };
    if from_archive && to_archive {
        refuse(
            "target",
            "source and target are both archives",
            "a task reads from a store or writes to one; a snapshot is a folder, and any tool copies it as it is",
        );
        return;
    }
    if from_archive {
        refuse(
            "max_replication_lag",
            "an archive has no replication that could lag",
            "leave `max_replication_lag` out, or put it into the job that pushes",
        );
    }
    if !to_archive {
        return;
    }
    let said = |key: &str| {
        table
            .keys
            .get(key)
            .and_then(|value| value.get_ref().as_str())
    };
    if said("mode") == Some("overlay") {
        refuse(
            "mode",
            "a snapshot is written anew, and there is nothing in it that could stay",
            "leave `mode` out, or put it into the job that pulls",
        );
    }
    if said("publish") == Some("in_place") {
        refuse(
            "publish",
            "a snapshot is there as a whole once its manifest is, and there is nothing to empty",
            "leave `publish` out, or put it into the job that pulls",
        );
    }
    let own = stores.all().flat_map(StoreFormat::own_keys);
    let own = own.filter_map(|key| Some((key.name, key.not_in_a_push?)));
    for (key, why) in NOT_IN_A_PUSH.into_iter().chain(own) {
        let help = match key {
            "previous" => "leave `previous` out; keep_last, keep_daily, keep_weekly and max_age keep snapshots".to_owned(),
            _ => format!("leave `{key}` out, or put it into the job that pulls"),
        };
        refuse(key, why, &help);
    }
}

/// What needs live beside the copy, while there is only one of them.
pub(super) fn refuse_with_in_place(
    table: &Table<'_>,
    format: Option<&dyn StoreFormat>,
    mode: Option<Mode>,
    previous: Option<KeepPrevious>,
    keep: &[String],
) {
    let overlays = format.is_some_and(StoreFormat::overlays);
    let keeps = format.is_some_and(StoreFormat::keeps_in_place);
    let refuse = |key, why: &str, instead: &str| {
        if let Some(value) = table.get(key) {
            let why = format!("this is not possible with publish = \"in_place\": {why}");
            value.report(value.wrong(why).help(instead));
        }
    };
    if mode == Some(Mode::Overlay) && !overlays {
        refuse(
            "mode",
            "live is emptied before the copy is loaded, and nothing in it can stay",
            "take mode = \"replace\", or publish = \"swap\"",
        );
    }
    if !keep.is_empty() {
        refuse(
            "keep",
            "live is emptied before the copy is loaded, and no rows of its own can stay",
            "leave `keep` out, or take publish = \"swap\"",
        );
    }
    if previous == Some(KeepPrevious::Keep) && !keeps {
        refuse(
            "previous",
            "what was live is gone, and there is nothing to go back to",
            "leave `previous` out, or take publish = \"swap\"",
        );
    }
}
