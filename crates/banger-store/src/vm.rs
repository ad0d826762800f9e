//! Rows of VMs.

use std::fmt::Display;
use std::sync::Arc;

use banger_model::{EventKind, Pending, Ttl, VmId, VmSizes, VmSpec, VmState};
use banger_sys::failpoint;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::StoreError;
use crate::event::{self, Event};
use crate::store::{DatabaseVersion, Store};
use crate::vm_row::{CreateRequest, GuestIdentity, VmRow};

const COLUMNS: [&str; 32] = [
    "id",
    "name",
    "state",
    "pending",
    "image",
    "kernel",
    "vcpus",
    "memory_mib",
    "work_disk_bytes",
    "overlay_disk_bytes",
    "vmm_wish",
    "vmm",
    "boot_id",
    "last_error",
    "machine_id",
    "ssh_host_key",
    "ssh_host_key_public",
    "mac",
    "created_at_ms",
    "started_at_ms",
    "changed_at_ms",
    "touched_at_ms",
    "ttl_secs",
    "request_key",
    "request_sha256",
    "request_op_id",
    "machine_vcpus",
    "machine_memory_mib",
    "machine_work_disk_bytes",
    "machine_overlay_disk_bytes",
    "bound_pid",
    "bound_start_ticks",
];

/// Returns the position of a column in [`COLUMNS`], at compile time, because SQLite would compare the names again for every
/// cell of every row. An unknown name does not compile.
macro_rules! column {
    ($name:literal) => {
        const { position($name) }
    };
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a panic is a compile error")]
const fn position(name: &str) -> usize {
    let mut at = 0;
    while !COLUMNS[at].as_bytes().eq_ignore_ascii_case(name.as_bytes()) {
        at += 1;
    }
    at
}

impl Store {
    /// Adds a VM, which reserves its name. The name must be free. `op_id` is the operation that does it.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub fn insert_vm(&self, vm: &VmRow, op_id: Option<&str>) -> Result<(), StoreError> {
        let values = COLUMNS.map(|name| format!(":{name}"));
        let sql = format!("INSERT INTO vms ({}) VALUES ({})", COLUMNS.join(", "), values.join(", "));
        self.change("add the VM", |connection| {
            execute(connection, &sql, vm).map_err(|source| is_name_taken(source, vm, "add the VM"))?;
            Ok(vec![event_of(vm, op_id, EventKind::VmAdded, None)])
        })
    }

    /// Replaces a VM's row; its ID stays. The event reports the new state if it changed, otherwise that something else did.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn update_vm(&self, vm: &VmRow, op_id: Option<&str>) -> Result<(), StoreError> {
        self.update_vm_because(vm, op_id, None)
    }

    /// As [`Store::update_vm`], with a reason for the event, used if the row has no error.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn update_vm_because(
        &self,
        vm: &VmRow,
        op_id: Option<&str>,
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        let names = COLUMNS.iter().filter(|name| **name != "id");
        let values: Vec<_> = names.map(|name| format!("{name} = :{name}")).collect();
        let sql = format!("UPDATE vms SET {} WHERE id = :id", values.join(", "));
        self.change("update the VM", |connection| {
            let before = find(connection, &vm.id)?;
            execute(connection, &sql, vm).map_err(|source| is_name_taken(source, vm, "update the VM"))?;
            Ok(before.map(|before| events_of_change(&before, vm, op_id, why)).unwrap_or_default())
        })
    }

    /// Removes a VM's row; its event says why, where there is more to say. It is not an error if there is none.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn remove_vm(&self, id: &VmId, op_id: Option<&str>, why: Option<&str>) -> Result<(), StoreError> {
        let failed = |source| StoreError::Statement { action: "remove the VM", source };
        self.change("remove the VM", |connection| {
            let sql = "DELETE FROM vms WHERE id = ?1 RETURNING name";
            let name: Option<String> =
                connection.query_row(sql, [id.as_str()], |row| row.get(0)).optional().map_err(failed)?;
            let event = |name| Event {
                kind: EventKind::VmRemoved,
                vm_id: Some(id.to_string()),
                name,
                op_id: op_id.map(str::to_owned),
                value: None,
                message: why.map(str::to_owned),
            };
            Ok(name.map(event).into_iter().collect())
        })
    }

    /// Makes a change and its events in one transaction, then announces the events.
    fn change(
        &self,
        action: &'static str,
        change: impl Fn(&Connection) -> Result<Vec<Event>, StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Statement { action, source };
        let last = self.write(|connection| {
            let mut last = None;
            let transaction = connection.transaction().map_err(failed)?;
            for event in change(&transaction)? {
                last = Some(event::insert(&transaction, &event).map_err(failed)?);
            }
            failpoint::pass("commit rows");
            transaction.commit().map_err(failed)?;
            failpoint::pass("rows committed");
            Ok(last)
        })?;
        if let Some(cursor) = last {
            self.announce(cursor);
        }
        Ok(())
    }

    /// Returns all current VMs, oldest first. Rows are read again only after a write, so that listing a thousand VMs, or
    /// looking one up by name, does not read a thousand rows each time.
    ///
    /// # Errors
    /// [`StoreError::Statement`], [`StoreError::Damaged`].
    pub fn list_vms(&self) -> Result<Arc<[VmRow]>, StoreError> {
        let failed = |source| StoreError::Statement { action: "list the VMs", source };
        let mut database = self.database();
        let version = DatabaseVersion::of(&database.connection).map_err(failed)?;
        if let Some((read_at, vms)) = &database.listed
            && *read_at == version
        {
            return Ok(Arc::clone(vms));
        }
        let sql = select("ORDER BY created_at_ms, id");
        let vms: Arc<[VmRow]> = {
            let mut statement = database.connection.prepare_cached(&sql).map_err(failed)?;
            let rows = statement.query_map([], |row| Ok(read(row))).map_err(failed)?;
            rows.map(|row| row.map_err(failed)?).collect::<Result<_, _>>()?
        };
        database.listed = Some((version, Arc::clone(&vms)));
        Ok(vms)
    }

    /// Returns the VM with this ID.
    ///
    /// # Errors
    /// [`StoreError::Statement`], [`StoreError::Damaged`].
    pub fn vm(&self, id: &VmId) -> Result<Option<VmRow>, StoreError> {
        find(&self.database().connection, id)
    }

    /// Returns the VM that was made for a request with this key.
    ///
    /// # Errors
    /// [`StoreError::Statement`], [`StoreError::Damaged`].
    pub fn vm_of_request(&self, key: &str) -> Result<Option<VmRow>, StoreError> {
        find_by(&self.database().connection, "request_key", key)
    }
}

/// Returns the query for rows that [`read`] reads.
fn select(which: &str) -> String {
    format!("SELECT {} FROM vms {which}", COLUMNS.join(", "))
}

fn find(connection: &Connection, id: &VmId) -> Result<Option<VmRow>, StoreError> {
    find_by(connection, "id", id.as_str())
}

fn find_by(connection: &Connection, column: &'static str, value: &str) -> Result<Option<VmRow>, StoreError> {
    let failed = |source| StoreError::Statement { action: "find the VM", source };
    let sql = select(&format!("WHERE {column} = ?1"));
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    statement.query_row([value], |row| Ok(read(row))).optional().map_err(failed)?.transpose()
}

fn execute(connection: &Connection, sql: &str, vm: &VmRow) -> rusqlite::Result<usize> {
    let request = vm.request.as_ref();
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": vm.id.as_str(),
        ":name": vm.name.as_str(),
        ":state": vm.state.as_str(),
        ":pending": vm.pending.map(Pending::as_str),
        ":image": vm.spec.image.as_str(),
        ":kernel": vm.spec.kernel.as_str(),
        ":vcpus": i64::from(vm.spec.vcpus),
        ":memory_mib": i64::from(vm.spec.memory),
        ":work_disk_bytes": i64::from(vm.spec.work_disk),
        ":overlay_disk_bytes": i64::from(vm.spec.overlay_disk),
        ":vmm_wish": vm.vmm_wish.as_str(),
        ":vmm": vm.vmm,
        ":boot_id": vm.boot_id,
        ":last_error": vm.last_error,
        ":machine_id": vm.guest.machine_id,
        ":ssh_host_key": vm.guest.ssh_host_key,
        ":ssh_host_key_public": vm.guest.ssh_host_key_public,
        ":mac": vm.guest.mac,
        ":created_at_ms": vm.created_at_ms,
        ":started_at_ms": vm.started_at_ms,
        ":changed_at_ms": vm.changed_at_ms,
        ":touched_at_ms": vm.touched_at_ms,
        ":ttl_secs": vm.ttl.map(i64::from),
        ":request_key": request.map(|request| &request.key),
        ":request_sha256": request.map(|request| &request.sha256),
        ":request_op_id": request.map(|request| &request.op_id),
        ":machine_vcpus": vm.machine.map(|sizes| i64::from(sizes.vcpus)),
        ":machine_memory_mib": vm.machine.map(|sizes| i64::from(sizes.memory)),
        ":machine_work_disk_bytes": vm.machine.map(|sizes| i64::from(sizes.work_disk)),
        ":machine_overlay_disk_bytes": vm.machine.map(|sizes| i64::from(sizes.overlay_disk)),
        ":bound_pid": vm.bound_to.map(|(pid, _)| pid),
        ":bound_start_ticks": vm.bound_to.and_then(|(_, start_ticks)| i64::try_from(start_ticks).ok()),
    })
}

fn is_name_taken(source: rusqlite::Error, vm: &VmRow, action: &'static str) -> StoreError {
    let is_name = source.to_string().contains("vms.name");
    if is_name && source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        StoreError::NameTaken { name: vm.name.clone() }
    } else {
        StoreError::Statement { action, source }
    }
}

/// Returns the events of a change of a row: a new state, or a change of name, spec or time to live. Other changes cause none.
fn events_of_change(before: &VmRow, after: &VmRow, op_id: Option<&str>, why: Option<&str>) -> Vec<Event> {
    let has_ended_pending = before.pending == Some(Pending::Create) && after.pending.is_none();
    if before.state != after.state || has_ended_pending {
        let message = after.last_error.clone().or_else(|| why.map(str::to_owned));
        return vec![event_of(after, op_id, EventKind::VmState, message)];
    }
    let has_changed = before.spec != after.spec
        || before.ttl != after.ttl
        || before.touched_at_ms != after.touched_at_ms
        || before.name != after.name;
    if has_changed { vec![event_of(after, op_id, EventKind::VmChanged, None)] } else { Vec::new() }
}

fn event_of(vm: &VmRow, op_id: Option<&str>, kind: EventKind, message: Option<String>) -> Event {
    Event {
        kind,
        vm_id: Some(vm.id.to_string()),
        name: vm.name.to_string(),
        op_id: op_id.map(str::to_owned),
        value: Some(vm.state.as_str().to_owned()),
        message,
    }
}

fn read(row: &Row<'_>) -> Result<VmRow, StoreError> {
    let failed = |source| StoreError::Statement { action: "read a VM", source };
    let text = |column: usize| row.get::<_, String>(column).map_err(failed);
    let number = |column: usize| row.get::<_, i64>(column).map_err(failed);
    let optional = |column: usize| row.get::<_, Option<String>>(column).map_err(failed);
    let moment = |column: usize| row.get::<_, Option<i64>>(column).map_err(failed);
    let id = text(column!("id"))?;
    let damaged = |reason: &dyn Display| StoreError::Damaged { id: id.clone(), reason: reason.to_string() };
    let state = text(column!("state"))?;
    let pending = optional(column!("pending"))?;
    Ok(VmRow {
        id: id.parse().map_err(|error| damaged(&error))?,
        name: text(column!("name"))?.parse().map_err(|error| damaged(&error))?,
        state: VmState::from_name(&state).ok_or_else(|| damaged(&format!("no state `{state}`")))?,
        pending: pending
            .map(|name| {
                Pending::from_word(&name).ok_or_else(|| damaged(&format!("no pending work `{name}`")))
            })
            .transpose()?,
        spec: VmSpec {
            image: text(column!("image"))?.parse().map_err(|error| damaged(&error))?,
            kernel: text(column!("kernel"))?.parse().map_err(|error| damaged(&error))?,
            vcpus: number(column!("vcpus"))?.try_into().map_err(|error| damaged(&error))?,
            memory: number(column!("memory_mib"))?.try_into().map_err(|error| damaged(&error))?,
            work_disk: number(column!("work_disk_bytes"))?.try_into().map_err(|error| damaged(&error))?,
            overlay_disk: number(column!("overlay_disk_bytes"))?
                .try_into()
                .map_err(|error| damaged(&error))?,
        },
        machine: match (
            moment(column!("machine_vcpus"))?,
            moment(column!("machine_memory_mib"))?,
            moment(column!("machine_work_disk_bytes"))?,
            moment(column!("machine_overlay_disk_bytes"))?,
        ) {
            (Some(vcpus), Some(memory), Some(work_disk), Some(overlay_disk)) => Some(VmSizes {
                vcpus: vcpus.try_into().map_err(|error| damaged(&error))?,
                memory: memory.try_into().map_err(|error| damaged(&error))?,
                work_disk: work_disk.try_into().map_err(|error| damaged(&error))?,
                overlay_disk: overlay_disk.try_into().map_err(|error| damaged(&error))?,
            }),
            _ => None,
        },
        guest: GuestIdentity {
            machine_id: text(column!("machine_id"))?,
            ssh_host_key: text(column!("ssh_host_key"))?,
            ssh_host_key_public: text(column!("ssh_host_key_public"))?,
            mac: text(column!("mac"))?,
        },
        vmm_wish: text(column!("vmm_wish"))?.parse().map_err(|error| damaged(&error))?,
        vmm: optional(column!("vmm"))?,
        boot_id: optional(column!("boot_id"))?,
        last_error: optional(column!("last_error"))?,
        created_at_ms: number(column!("created_at_ms"))?,
        started_at_ms: moment(column!("started_at_ms"))?,
        changed_at_ms: moment(column!("changed_at_ms"))?,
        touched_at_ms: moment(column!("touched_at_ms"))?,
        ttl: moment(column!("ttl_secs"))?
            .map(|secs| u64::try_from(secs).map_err(|error| damaged(&error)))
            .transpose()?
            .map(|secs| Ttl::try_from(secs).map_err(|error| damaged(&error)))
            .transpose()?,
        request: match (
            optional(column!("request_key"))?,
            optional(column!("request_sha256"))?,
            optional(column!("request_op_id"))?,
        ) {
            (Some(key), Some(sha256), Some(op_id)) => Some(CreateRequest { key, sha256, op_id }),
            _ => None,
        },
        bound_to: moment(column!("bound_pid"))?
            .zip(moment(column!("bound_start_ticks"))?)
            .map(|(pid, start_ticks)| {
                let pid = u32::try_from(pid).map_err(|error| damaged(&error))?;
                Ok((pid, u64::try_from(start_ticks).map_err(|error| damaged(&error))?))
            })
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str) -> VmRow {
        VmRow {
            id: id.parse().unwrap(),
            name: name.parse().unwrap(),
            state: VmState::Created,
            pending: Some(Pending::Create),
            spec: VmSpec {
                image: "debian-bookworm".parse().unwrap(),
                kernel: "debian-12".parse().unwrap(),
                vcpus: "2".parse().unwrap(),
                memory: "512M".parse().unwrap(),
                work_disk: "8G".parse().unwrap(),
                overlay_disk: "8G".parse().unwrap(),
            },
            machine: None,
            guest: GuestIdentity {
                machine_id: "0".repeat(32),
                ssh_host_key: "secret".into(),
                ssh_host_key_public: "ssh-ed25519 AAAA".into(),
                mac: "52:54:00:00:00:01".into(),
            },
            vmm_wish: banger_model::WantedVmm::Auto,
            vmm: None,
            boot_id: None,
            last_error: None,
            created_at_ms: 1,
            started_at_ms: None,
            changed_at_ms: None,
            touched_at_ms: None,
            ttl: None,
            request: None,
            bound_to: None,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("banger.db")).unwrap();
        (directory, store)
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let (_directory, store) = store();
        let mut vm = row("aa", "one");
        store.insert_vm(&vm, None).unwrap();
        assert_eq!(store.vm(&vm.id).unwrap(), Some(vm.clone()));
        vm.state = VmState::Running;
        vm.pending = None;
        vm.vmm = Some("qemu/tcg".into());
        vm.machine = Some(vm.spec.sizes());
        vm.last_error = Some("x".into());
        vm.started_at_ms = Some(5);
        vm.ttl = Ttl::try_from(60).ok();
        vm.request = Some(CreateRequest { key: "k".into(), sha256: "5".into(), op_id: "op-1".into() });
        store.update_vm(&vm, None).unwrap();
        assert_eq!(*store.list_vms().unwrap(), [vm.clone()]);
        store.remove_vm(&vm.id, None, None).unwrap();
        assert_eq!(store.vm(&vm.id).unwrap(), None);
    }

    #[test]
    fn each_part_of_a_row_that_is_news_is_told_by_itself() {
        let resting = VmRow { pending: None, ..row("aa", "one") };
        let told = |before: &VmRow, change: &dyn Fn(&mut VmRow)| {
            let mut after = before.clone();
            change(&mut after);
            events_of_change(before, &after, None, None)
                .into_iter()
                .map(|event| event.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&resting, &|vm| vm.state = VmState::Failed), [EventKind::VmState]);
        let news: [&dyn Fn(&mut VmRow); 4] = [
            &|vm| vm.spec.vcpus = "1".parse().unwrap(),
            &|vm| vm.ttl = Ttl::try_from(60).ok(),
            &|vm| vm.touched_at_ms = Some(7),
            &|vm| vm.name = "two".parse().unwrap(),
        ];
        for change in news {
            assert_eq!(told(&resting, change), [EventKind::VmChanged]);
        }
        assert!(told(&resting, &|vm| vm.boot_id = Some("x".into())).is_empty());
        assert!(told(&resting, &|vm| vm.pending = Some(Pending::Delete)).is_empty());

        let being_made = row("aa", "one");
        assert_eq!(told(&being_made, &|vm| vm.pending = None), [EventKind::VmState]);
        assert!(told(&being_made, &|vm| vm.vmm = Some("qemu/tcg".into())).is_empty());
        let being_removed = VmRow { pending: Some(Pending::Delete), ..resting };
        assert!(told(&being_removed, &|vm| vm.pending = None).is_empty());
    }

    #[test]
    fn pending_work_is_read_as_it_was_written() {
        let (_directory, store) = store();
        for (id, name, pending) in [
            ("aa", "made", Some(Pending::Create)),
            ("bb", "removed", Some(Pending::Delete)),
            ("cc", "resting", None),
        ] {
            let vm = VmRow { pending, ..row(id, name) };
            store.insert_vm(&vm, None).unwrap();
            assert_eq!(store.vm(&vm.id).unwrap(), Some(vm));
        }
        // The values that older and newer versions find in the column.
        assert_eq!([Pending::Create, Pending::Delete].map(Pending::as_str), ["create", "delete"]);
    }

    #[test]
    fn no_log_tells_a_host_key() {
        let told = format!("{:?}", row("aa", "one"));
        assert!(told.contains(&"0".repeat(32)) && !told.contains("secret"), "{told}");
    }

    #[test]
    fn the_list_is_as_new_as_the_last_write_whoever_wrote() {
        let (directory, store) = store();
        let mut one = row("aa", "one");
        store.insert_vm(&one, None).unwrap();
        let first = store.list_vms().unwrap();
        assert!(Arc::ptr_eq(&first, &store.list_vms().unwrap()), "nobody wrote, and it was read again");

        one.state = VmState::Failed;
        store.update_vm(&one, None).unwrap();
        assert_eq!(*store.list_vms().unwrap(), [one.clone()]);
        let _ = store.insert_vm(&row("bb", "one"), None).unwrap_err();
        assert_eq!(*store.list_vms().unwrap(), [one.clone()]);

        let other = Connection::open(directory.path().join("banger.db")).unwrap();
        other.execute("UPDATE vms SET name = 'renamed'", []).unwrap();
        assert_eq!(store.list_vms().unwrap()[0].name.as_str(), "renamed");

        store.remove_vm(&one.id, None, None).unwrap();
        assert_eq!(*store.list_vms().unwrap(), []);
    }

    #[test]
    fn each_change_tells_one_event_and_a_refused_one_none() {
        let (_directory, store) = store();
        let mut vm = row("aa", "one");
        store.insert_vm(&vm, Some("op-1")).unwrap();
        let _ = store.insert_vm(&row("bb", "one"), Some("op-2")).unwrap_err();
        vm.state = VmState::Failed;
        vm.last_error = Some("silent".into());
        store.update_vm(&vm, Some("op-1")).unwrap();
        vm.boot_id = Some("no news".into());
        store.update_vm(&vm, None).unwrap();
        vm.spec.vcpus = "1".parse().unwrap();
        store.update_vm(&vm, Some("op-3")).unwrap();
        store.remove_vm(&vm.id, Some("op-4"), Some("it was time")).unwrap();
        store.remove_vm(&vm.id, Some("op-5"), None).unwrap();
        let told: Vec<_> = store
            .events(0, 10)
            .unwrap()
            .into_iter()
            .map(|row| (row.event.kind, row.event.value, row.event.message, row.event.op_id))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                (EventKind::VmAdded, text("created"), None, text("op-1")),
                (EventKind::VmState, text("failed"), text("silent"), text("op-1")),
                (EventKind::VmChanged, text("failed"), None, text("op-3")),
                (EventKind::VmRemoved, None, text("it was time"), text("op-4")),
            ]
        );
    }

    #[test]
    fn the_vm_of_a_request_is_found_by_its_key() {
        let (_directory, store) = store();
        let mut vm = row("aa", "one");
        vm.request = Some(CreateRequest { key: "k".into(), sha256: "5".into(), op_id: "op-1".into() });
        store.insert_vm(&vm, None).unwrap();
        assert_eq!(store.vm_of_request("k").unwrap(), Some(vm.clone()));
        assert_eq!(store.vm_of_request("other").unwrap(), None);
        let twin = VmRow { request: vm.request, ..row("bb", "two") };
        assert!(matches!(store.insert_vm(&twin, None), Err(StoreError::Statement { .. })));
    }

    #[test]
    fn a_taken_name_is_refused_and_changes_nothing() {
        let (_directory, store) = store();
        store.insert_vm(&row("aa", "one"), None).unwrap();
        let error = store.insert_vm(&row("bb", "one"), None).unwrap_err();
        assert_eq!(error.to_string(), "a VM named `one` already exists");
        assert_eq!(store.list_vms().unwrap().len(), 1);
    }

    #[test]
    fn of_many_who_want_one_name_one_gets_it() {
        let (_directory, store) = store();
        let barrier = std::sync::Barrier::new(8);
        let winners = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|number| {
                    let (store, barrier) = (&store, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        store.insert_vm(&row(&format!("{number:02x}"), "one"), None).is_ok()
                    })
                })
                .collect();
            tries.into_iter().map(|each| each.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(winners, 1);
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused_and_left_alone() {
        let (directory, store) = store();
        let path = directory.path().join("banger.db");
        store.database().connection.pragma_update(None, "user_version", 99).unwrap();
        drop(store);
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
        assert!(matches!(Store::inspect(&path), Err(StoreError::Newer { .. })));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("banger.db");
        std::fs::write(&path, "not a database, but long enough to be looked at as one: ".repeat(20)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }));
        assert!(error.to_string().contains("damaged; put a copy of it back"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_damaged_row_is_named() {
        let (_directory, store) = store();
        store.insert_vm(&row("aa", "one"), None).unwrap();
        store.database().connection.execute("UPDATE vms SET state = 'odd'", []).unwrap();
        let error = store.list_vms().unwrap_err();
        assert_eq!(error.to_string(), "the database's row of VM `aa` is damaged: no state `odd`");
    }

    #[test]
    fn inspecting_changes_nothing_and_secrets_are_not_printed() {
        let (directory, store) = store();
        store.insert_vm(&row("aa", "one"), None).unwrap();
        assert_eq!(Store::inspect(&directory.path().join("banger.db")).unwrap().len(), 1);
        assert!(!format!("{:?}", row("aa", "one")).contains("secret"));
    }
}
