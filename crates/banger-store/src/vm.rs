//! Rows of VMs.

use banger_model::{VmId, VmName, VmSpec, VmState};
use rusqlite::{OptionalExtension as _, Row, named_params};

use crate::{Store, StoreError};

/// What makes a guest this VM and no other; handed to it by the agent's `identify`.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestIdentity {
    /// 32 hexadecimal digits for `/etc/machine-id`.
    pub machine_id: String,
    /// Host key in OpenSSH's private form.
    pub ssh_host_key: String,
    /// The same key's public line.
    pub ssh_host_key_public: String,
    /// Hardware address.
    pub mac: String,
}

impl std::fmt::Debug for GuestIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GuestIdentity").field("machine_id", &self.machine_id).finish_non_exhaustive()
    }
}

/// Work on a row that must be finished or undone when the daemon dies in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It is being made: undone.
    Create,
    /// It is being removed: finished.
    Delete,
}

impl Pending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Delete].into_iter().find(|pending| pending.as_str() == name)
    }
}

/// A VM as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmRow {
    /// Identity.
    pub id: VmId,
    /// Name, unique.
    pub name: VmName,
    /// Where it is in its life.
    pub state: VmState,
    /// Work in its middle.
    pub pending: Option<Pending>,
    /// What it is made of.
    pub spec: VmSpec,
    /// Who its guest is.
    pub guest: GuestIdentity,
    /// VMM that was asked for: `auto`, `qemu`, `firecracker`.
    pub vmm_wish: String,
    /// VMM of its latest machine.
    pub vmm: Option<String>,
    /// Boot id of its latest guest.
    pub boot_id: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When its machine was started last.
    pub started_at_ms: Option<i64>,
}

const COLUMNS: &str = "id, name, state, pending, image, kernel, vcpus, memory_mib, work_disk_bytes, \
     overlay_disk_bytes, vmm_wish, vmm, boot_id, last_error, machine_id, ssh_host_key, ssh_host_key_public, mac, \
     created_at_ms, started_at_ms";

impl Store {
    /// Adds a VM; its name must be free. This is the reservation of the name.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub fn insert_vm(&self, vm: &VmRow) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO vms ({COLUMNS}) VALUES (:id, :name, :state, :pending, :image, :kernel, :vcpus, :memory_mib, \
             :work_disk_bytes, :overlay_disk_bytes, :vmm_wish, :vmm, :boot_id, :last_error, :machine_id, \
             :ssh_host_key, :ssh_host_key_public, :mac, :created_at_ms, :started_at_ms)"
        );
        self.write(&sql, vm, "add the VM").map(drop)
    }

    /// Writes a VM's row anew; its id and name stay.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn update_vm(&self, vm: &VmRow) -> Result<(), StoreError> {
        let sql = "UPDATE vms SET name = :name, state = :state, pending = :pending, image = :image, kernel = :kernel, \
             vcpus = :vcpus, memory_mib = :memory_mib, work_disk_bytes = :work_disk_bytes, \
             overlay_disk_bytes = :overlay_disk_bytes, vmm_wish = :vmm_wish, vmm = :vmm, boot_id = :boot_id, \
             last_error = :last_error, machine_id = :machine_id, ssh_host_key = :ssh_host_key, \
             ssh_host_key_public = :ssh_host_key_public, mac = :mac, created_at_ms = :created_at_ms, \
             started_at_ms = :started_at_ms WHERE id = :id";
        self.write(sql, vm, "update the VM").map(drop)
    }

    /// Removes a VM's row. One that is gone is fine.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn remove_vm(&self, id: &VmId) -> Result<(), StoreError> {
        self.connection()
            .execute("DELETE FROM vms WHERE id = ?1", [id.as_str()])
            .map(drop)
            .map_err(|source| StoreError::Statement { action: "remove the VM", source })
    }

    /// Returns all VMs, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Statement`], [`StoreError::Damaged`].
    pub fn list_vms(&self) -> Result<Vec<VmRow>, StoreError> {
        let failed = |source| StoreError::Statement { action: "list the VMs", source };
        let connection = self.connection();
        let sql = format!("SELECT {COLUMNS} FROM vms ORDER BY created_at_ms, id");
        let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok(read(row))).map_err(failed)?;
        rows.map(|row| row.map_err(failed)?).collect()
    }

    /// Returns the VM with this id.
    ///
    /// # Errors
    /// [`StoreError::Statement`], [`StoreError::Damaged`].
    pub fn vm(&self, id: &VmId) -> Result<Option<VmRow>, StoreError> {
        let connection = self.connection();
        let sql = format!("SELECT {COLUMNS} FROM vms WHERE id = ?1");
        connection
            .query_row(&sql, [id.as_str()], |row| Ok(read(row)))
            .optional()
            .map_err(|source| StoreError::Statement { action: "find the VM", source })?
            .transpose()
    }

    fn write(&self, sql: &str, vm: &VmRow, action: &'static str) -> Result<usize, StoreError> {
        let parameters = named_params! {
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
            ":vmm_wish": vm.vmm_wish,
            ":vmm": vm.vmm,
            ":boot_id": vm.boot_id,
            ":last_error": vm.last_error,
            ":machine_id": vm.guest.machine_id,
            ":ssh_host_key": vm.guest.ssh_host_key,
            ":ssh_host_key_public": vm.guest.ssh_host_key_public,
            ":mac": vm.guest.mac,
            ":created_at_ms": vm.created_at_ms,
            ":started_at_ms": vm.started_at_ms,
        };
        self.connection().execute(sql, parameters).map_err(|source| {
            let is_name = source.to_string().contains("vms.name");
            if is_name && source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
                StoreError::NameTaken { name: vm.name.clone() }
            } else {
                StoreError::Statement { action, source }
            }
        })
    }
}

fn read(row: &Row<'_>) -> Result<VmRow, StoreError> {
    let failed = |source| StoreError::Statement { action: "read a VM", source };
    let text = |column: &str| row.get::<_, String>(column).map_err(failed);
    let number = |column: &str| row.get::<_, i64>(column).map_err(failed);
    let optional = |column: &str| row.get::<_, Option<String>>(column).map_err(failed);
    let id = text("id")?;
    let damaged = |reason: String| StoreError::Damaged { id: id.clone(), reason };
    let state = text("state")?;
    let pending = optional("pending")?;
    Ok(VmRow {
        id: id.parse().map_err(|error| damaged(format!("{error}")))?,
        name: text("name")?.parse().map_err(|error| damaged(format!("{error}")))?,
        state: VmState::from_name(&state).ok_or_else(|| damaged(format!("no state `{state}`")))?,
        pending: pending
            .map(|name| Pending::from_name(&name).ok_or_else(|| damaged(format!("no pending work `{name}`"))))
            .transpose()?,
        spec: VmSpec {
            image: text("image")?.parse().map_err(|error| damaged(format!("{error}")))?,
            kernel: text("kernel")?.parse().map_err(|error| damaged(format!("{error}")))?,
            vcpus: number("vcpus")?.try_into().map_err(|error| damaged(format!("{error}")))?,
            memory: number("memory_mib")?.try_into().map_err(|error| damaged(format!("{error}")))?,
            work_disk: number("work_disk_bytes")?.try_into().map_err(|error| damaged(format!("{error}")))?,
            overlay_disk: number("overlay_disk_bytes")?
                .try_into()
                .map_err(|error| damaged(format!("{error}")))?,
        },
        guest: GuestIdentity {
            machine_id: text("machine_id")?,
            ssh_host_key: text("ssh_host_key")?,
            ssh_host_key_public: text("ssh_host_key_public")?,
            mac: text("mac")?,
        },
        vmm_wish: text("vmm_wish")?,
        vmm: optional("vmm")?,
        boot_id: optional("boot_id")?,
        last_error: optional("last_error")?,
        created_at_ms: number("created_at_ms")?,
        started_at_ms: row.get("started_at_ms").map_err(failed)?,
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
            guest: GuestIdentity {
                machine_id: "0".repeat(32),
                ssh_host_key: "secret".into(),
                ssh_host_key_public: "ssh-ed25519 AAAA".into(),
                mac: "52:54:00:00:00:01".into(),
            },
            vmm_wish: "auto".into(),
            vmm: None,
            boot_id: None,
            last_error: None,
            created_at_ms: 1,
            started_at_ms: None,
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
        store.insert_vm(&vm).unwrap();
        assert_eq!(store.vm(&vm.id).unwrap(), Some(vm.clone()));
        vm.state = VmState::Running;
        vm.pending = None;
        vm.vmm = Some("qemu/tcg".into());
        vm.last_error = Some("x".into());
        vm.started_at_ms = Some(5);
        store.update_vm(&vm).unwrap();
        assert_eq!(store.list_vms().unwrap(), [vm.clone()]);
        store.remove_vm(&vm.id).unwrap();
        assert_eq!(store.vm(&vm.id).unwrap(), None);
    }

    #[test]
    fn a_taken_name_is_refused_and_changes_nothing() {
        let (_directory, store) = store();
        store.insert_vm(&row("aa", "one")).unwrap();
        let error = store.insert_vm(&row("bb", "one")).unwrap_err();
        assert_eq!(error.to_string(), "a VM named `one` exists already");
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
                        store.insert_vm(&row(&format!("{number:02x}"), "one")).is_ok()
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
        store.connection().pragma_update(None, "user_version", 99).unwrap();
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
        assert!(matches!(Store::open(&path), Err(StoreError::Open { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_damaged_row_is_named() {
        let (_directory, store) = store();
        store.insert_vm(&row("aa", "one")).unwrap();
        store.connection().execute("UPDATE vms SET state = 'odd'", []).unwrap();
        let error = store.list_vms().unwrap_err();
        assert_eq!(error.to_string(), "the database's row of VM `aa` is damaged: no state `odd`");
    }

    #[test]
    fn inspecting_changes_nothing_and_secrets_are_not_printed() {
        let (directory, store) = store();
        store.insert_vm(&row("aa", "one")).unwrap();
        assert_eq!(Store::inspect(&directory.path().join("banger.db")).unwrap(), 1);
        assert!(!format!("{:?}", row("aa", "one")).contains("secret"));
    }
}
